//! A message of the ledger: its bytes as stored, and the event that they hold. Every process passes on this type, from
//! the first read to the second copy. It knows no transport: the crate `ledger` reads the header block.

use crate::event::Event;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use std::ops::Deref;

/// One message of the ledger, byte for byte as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// Sequence in the ledger. It is also the id of the SSE event and the position of projections.
    pub seq: u64,
    /// Subject of the message.
    pub subject: String,
    /// Header block in canonical form: lines `Name: value` with CRLF, sorted. `None` if the message has no headers.
    pub headers: Option<Vec<u8>>,
    /// Body of the message. A clone shares the bytes, so no reader copies them.
    pub payload: Bytes,
    /// When the ledger stored it.
    pub recorded_at: DateTime<Utc>,
}

impl StoredMessage {
    /// True if `other` has the same subject and the same body. Headers are left out, because the server adds some of its
    /// own to some of its answers.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        self.subject == other.subject && self.payload == other.payload
    }
}

/// A stored message, decoded once. Its fields can be read as those of the [`StoredMessage`].
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The message as stored.
    pub message: StoredMessage,
    /// The event, or the reason why it cannot be read.
    pub event: Result<Event, Undecodable>,
    /// W3C trace context, to be passed on to later events.
    pub trace: Option<String>,
}

impl Deref for Recorded {
    type Target = StoredMessage;

    fn deref(&self) -> &StoredMessage {
        &self.message
    }
}

/// The reason why a message is not an event of Paymint. Such a message is set aside, never guessed at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// Not structured CloudEvents JSON 1.0.
    #[error("not a CloudEvent: {0}")]
    NotACloudEvent(String),
    /// Type, id, aggregate or data contradict the subject.
    #[error("{0}")]
    Contradiction(String),
    /// A type or version that this build does not know. Consumers hold such a message, and do not skip it.
    #[error("unknown event type {0}")]
    UnknownType(String),
}

impl Undecodable {
    /// Returns the event type if it is in the namespace of Paymint and this build does not know it. Then a newer build
    /// wrote it.
    pub fn newer(&self) -> Option<&str> {
        match self {
            Self::UnknownType(kind) if kind.starts_with("io.paymint.") => Some(kind),
            Self::UnknownType(_) | Self::NotACloudEvent(_) | Self::Contradiction(_) => None,
        }
    }
}
