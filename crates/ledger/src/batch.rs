//! Batches: events that are appended together, in an order that a broken batch cannot turn into a loss.
//!
//! An append is all or nothing. But a server whose byte limit was set while it committed a batch kept the beginning of it
//! and refused the rest (nats-server 2.15.1, seen once). So the order of a batch matters in two ways, and there are two
//! ways to build one of several kinds of events. What others depend on stands first: the bytes of a transaction before the
//! orders in it, a key before its order ([`Batch::led_by`]). Bytes without their orders are found paid, while orders
//! without bytes would wait permanently. What says that all is done stands last ([`Batch::of`]).

use crate::lane::LaneVersion;
use domain::Event;

/// What must be last in the ledger for an append to be valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The last sequence of the event's order, as folded; 0 where there is nothing yet.
    Version(u64),
    /// Nothing under the event's own subject: for what depends on no other event of its stream.
    Absent,
    /// The version of the event's lane. The event may stand in another bucket than its version.
    Lane(LaneVersion),
    /// Nothing of the event's key, whatever it signs for: for the first claim.
    Unclaimed,
}

/// An event to append.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// What happened.
    pub event: Event,
    /// When it may be written.
    pub expected: Expected,
    /// W3C trace context of the order, handed on.
    pub trace: Option<String>,
}

/// Events to append, all or none.
#[derive(Clone, Debug)]
pub struct Batch(Vec<NewEvent>);

/// The beginning of a batch, see [`Batch::led_by`].
#[derive(Debug)]
pub struct Led(Vec<NewEvent>);

/// A batch without its end, see [`Batch::of`].
#[derive(Debug)]
pub struct Unsealed(Vec<NewEvent>);

impl Batch {
    /// Begins with what the rest of the batch depends on.
    pub fn led_by(first: impl IntoIterator<Item = NewEvent>) -> Led {
        Led(first.into_iter().collect())
    }

    /// Begins with what must be there before [`Unsealed::sealed_by`] says that all is done.
    pub fn of(events: impl IntoIterator<Item = NewEvent>) -> Unsealed {
        Unsealed(events.into_iter().collect())
    }

    /// Events of which each is right without the others.
    pub fn unordered(events: impl IntoIterator<Item = NewEvent>) -> Self {
        Self(events.into_iter().collect())
    }

    /// The events, in the order in which they are stored.
    pub fn events(&self) -> &[NewEvent] {
        &self.0
    }

    /// Several batches one behind the other, to be appended together.
    pub(crate) fn joined<'a>(batches: impl IntoIterator<Item = &'a Self>) -> Self {
        Self(batches.into_iter().flat_map(|batch| batch.0.iter().cloned()).collect())
    }
}

impl Led {
    /// Adds what depends on the beginning.
    pub fn then(self, rest: impl IntoIterator<Item = NewEvent>) -> Batch {
        let Self(mut events) = self;
        events.extend(rest);
        Batch(events)
    }
}

impl Unsealed {
    /// Adds the event that says that all of it is done.
    pub fn sealed_by(self, last: NewEvent) -> Batch {
        let Self(mut events) = self;
        events.push(last);
        Batch(events)
    }
}

impl From<NewEvent> for Batch {
    fn from(event: NewEvent) -> Self {
        Self(vec![event])
    }
}

impl From<&[NewEvent; 1]> for Batch {
    fn from(events: &[NewEvent; 1]) -> Self {
        Self(events.to_vec())
    }
}

impl From<&Self> for Batch {
    fn from(batch: &Self) -> Self {
        batch.clone()
    }
}
