//! The table of event types: how one row becomes a type name, a subject, data, a number, a reason and a transaction.
//!
//! A row reads `Variant .key #n (Data) = "name" in "queue"`. `.key` is a field of the data that stands behind the name
//! in the subject (a nonce, an epoch). `#n` says that the event repeats and carries its number, counted from 1. `queue`
//! stands before the name in the subject: events of several types that one consumer takes have the same queue. All three
//! may be left out. Adding an event type takes one row, the data's [`EventData`], a schema and an example.

use alloy_primitives::B256;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Facts that several kinds of data have in common. Data that has none of them implements it with an empty block.
pub trait EventData: Serialize + DeserializeOwned {
    /// The stable code of the reason, for an event that waits, has failed or is parked.
    fn reason(&self) -> Option<String> {
        None
    }

    /// The text for people that explains the reason.
    fn detail(&self) -> Option<&str> {
        None
    }

    /// The time before which the order is not tried again.
    fn retry_at(&self) -> Option<DateTime<Utc>> {
        None
    }

    /// The transaction that the data names.
    fn tx_hash(&self) -> Option<B256> {
        None
    }
}

impl<T: EventData> EventData for Box<T> {
    fn reason(&self) -> Option<String> {
        (**self).reason()
    }

    fn detail(&self) -> Option<&str> {
        (**self).detail()
    }

    fn retry_at(&self) -> Option<DateTime<Utc>> {
        (**self).retry_at()
    }

    fn tx_hash(&self) -> Option<B256> {
        (**self).tx_hash()
    }
}

/// Returns a reason's stable code, as the event spells it.
pub(crate) fn code(reason: &impl Serialize) -> Option<String> {
    serde_json::to_value(reason).ok()?.as_str().map(str::to_owned)
}

/// One row of the table, as far as subjects need it.
#[derive(Clone, Copy, Debug)]
pub struct EventRow {
    /// The event's name, such as `payment.requested`: the last part of its type and of its subject.
    pub name: &'static str,
    /// The word before the name in the subject, if there is one.
    pub queue: Option<&'static str>,
    /// True if the event repeats and carries its number.
    pub repeats: bool,
}

/// An enum that was declared by [`event_types`](crate::event_types).
pub trait EventType: Sized {
    /// Its event types.
    const ROWS: &'static [EventRow];

    /// The row of this event in [`EventType::ROWS`].
    fn row(&self) -> EventRow;

    /// See [`EventRow::name`].
    fn name(&self) -> &'static str {
        self.row().name
    }

    /// The numbers behind the name in the subject: the key of the data and the event's own number, as far as it has them.
    fn numbers(&self) -> Vec<u64>;

    /// The `data` of its CloudEvent.
    ///
    /// # Errors
    /// Errors of the serializer.
    fn data(&self) -> Result<serde_json::Value, serde_json::Error>;

    /// Reads the event `name` from the JSON text `data`. `numbers` stand behind the name in its subject. Returns `None`
    /// if no event type has the name, and an error if the data or the numbers do not fit the type. The caller compares
    /// the key in the subject with the key in the data.
    fn read(name: &str, numbers: &[u64], data: &str) -> Option<Result<Self, Unreadable>>;
}

/// The reason why an event cannot be read although its type is known.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The data do not fit the type.
    #[error("data: {0}")]
    Data(#[from] serde_json::Error),
    /// The numbers behind the name are not those of an event of this type.
    #[error("the subject lacks its number, or has one too many")]
    Numbers,
}

/// Declares an enum of event types and implements [`EventType`](crate::event::EventType) for it. See the module
/// `event/table.rs` for how a row is read.
#[macro_export]
macro_rules! event_types {
    (
        $(#[$meta:meta])*
        $vis:vis enum $enum:ident {
            $( $(#[$doc:meta])* $variant:ident $(.$key:ident)? $(#$n:ident)? ($data:ty) = $name:literal $(in $queue:literal)?, )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        $vis enum $enum {
            $( $(#[$doc])* $variant($($crate::event_types!(@number $n),)? $data), )+
        }

        #[allow(dead_code, reason = "not every enum of events has a use for all of them")]
        impl $enum {
            /// The event's name: the last part of its type and of its subject.
            pub const fn name(&self) -> &'static str {
                match self {
                    $( Self::$variant(..) => $name, )+
                }
            }

            /// The event's number, if it repeats.
            pub const fn number(&self) -> Option<u32> {
                match self {
                    $( Self::$variant($($n,)? ..) => $crate::event_types!(@some $($n)?), )+
                }
            }

            /// The stable code of the reason, for an event that waits, has failed or is parked.
            pub fn reason(&self) -> Option<String> {
                match self {
                    $( Self::$variant($($crate::event_types!(@ignored $n),)? data) => $crate::event::EventData::reason(data), )+
                }
            }

            /// The text for people that explains the reason.
            pub fn detail(&self) -> Option<&str> {
                match self {
                    $( Self::$variant($($crate::event_types!(@ignored $n),)? data) => $crate::event::EventData::detail(data), )+
                }
            }

            /// The time before which the order is not tried again.
            pub fn retry_at(&self) -> Option<chrono::DateTime<chrono::Utc>> {
                match self {
                    $( Self::$variant($($crate::event_types!(@ignored $n),)? data) => $crate::event::EventData::retry_at(data), )+
                }
            }

            /// The transaction that the event names.
            pub fn tx_hash(&self) -> Option<alloy_primitives::B256> {
                match self {
                    $( Self::$variant($($crate::event_types!(@ignored $n),)? data) => $crate::event::EventData::tx_hash(data), )+
                }
            }
        }

        impl $crate::event::EventType for $enum {
            const ROWS: &'static [$crate::event::EventRow] =
                &[$($crate::event_types!(@row $name ($($queue)?) $($n)?)),+];

            fn row(&self) -> $crate::event::EventRow {
                match self {
                    $( Self::$variant(..) => $crate::event_types!(@row $name ($($queue)?) $($n)?), )+
                }
            }

            fn numbers(&self) -> Vec<u64> {
                match self {
                    $( Self::$variant($($n,)? data) => {
                        let _ = data;
                        vec![$( u64::from(data.$key), )? $( u64::from(*$n), )?]
                    } )+
                }
            }

            fn data(&self) -> Result<serde_json::Value, serde_json::Error> {
                match self {
                    $( Self::$variant($($crate::event_types!(@ignored $n),)? data) => serde_json::to_value(data), )+
                }
            }

            fn read(name: &str, numbers: &[u64], data: &str) -> Option<Result<Self, $crate::event::Unreadable>> {
                Some(match name {
                    $( $name => {
                        let rest = $crate::event_types!(@behind numbers $($key)?);
                        let data = serde_json::from_str::<$data>(data).map_err($crate::event::Unreadable::from);
                        $crate::event_types!(@read $enum $variant rest data $($n)?)
                    } )+
                    _ => return None,
                })
            }

        }
    };
    (@number $n:ident) => { u32 };
    (@ignored $n:ident) => { _ };
    (@row $name:literal ($($queue:literal)?) $($n:ident)?) => {
        $crate::event::EventRow {
            name: $name,
            queue: $crate::event_types!(@queue $($queue)?),
            repeats: $crate::event_types!(@repeats $($n)?),
        }
    };
    (@queue) => { None };
    (@queue $queue:literal) => { Some($queue) };
    (@repeats) => { false };
    (@repeats $n:ident) => { true };
    (@some) => { None };
    (@some $n:ident) => { Some(*$n) };
    (@behind $numbers:ident) => { Some($numbers) };
    (@behind $numbers:ident $key:ident) => { $numbers.split_first().map(|(_, rest)| rest) };
    (@read $enum:ident $variant:ident $rest:ident $data:ident) => {
        match ($rest, $data) {
            (Some([]), Ok(data)) => Ok($enum::$variant(data)),
            (Some([]), Err(why)) => Err(why),
            _ => Err($crate::event::Unreadable::Numbers),
        }
    };
    (@read $enum:ident $variant:ident $rest:ident $data:ident $n:ident) => {
        match ($rest, $data) {
            (Some([n]), data) => match (u32::try_from(*n), data) {
                (Ok($n), Ok(data)) => Ok($enum::$variant($n, data)),
                (Ok(_), Err(why)) => Err(why),
                (Err(_), _) => Err($crate::event::Unreadable::Numbers),
            },
            _ => Err($crate::event::Unreadable::Numbers),
        }
    };
}
