//! Errors, divided by what the caller can do about them.

use runtime::{Cause, Undone};
use std::borrow::Cow;

/// An error of a request to the server.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The server is unreachable, slow, or gave no answer: try again.
    #[error("{operation}: the ledger did not answer")]
    Transient {
        /// The operation that failed, with the name or id that it is about.
        operation: Cow<'static, str>,
        /// The error of the client or the server.
        #[source]
        source: Cause,
    },
    /// The history cannot be read: stop this order or lane, and call an operator.
    #[error("{what}: no decider could have written this")]
    Corrupt {
        /// Subject and sequence of the event.
        what: String,
        /// The contradiction.
        #[source]
        source: Cause,
    },
    /// The history holds an event of a newer build. Nothing is decided on it before this process is upgraded.
    #[error("{what}: this build does not know the event type {kind}")]
    Newer {
        /// Subject and sequence of the event.
        what: String,
        /// The event type.
        kind: String,
    },
}

impl LedgerError {
    /// Makes a [`LedgerError::Transient`] of an operation and its cause.
    pub fn transient(operation: impl Into<Cow<'static, str>>, cause: impl Into<Cause>) -> Self {
        Self::Transient { operation: operation.into(), source: cause.into() }
    }
}

/// A history that no decider could have written. It harms only the order or lane that has it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Impossible(LedgerError);

/// Separates an impossible history from the errors after which nothing is known, so that one such history stops no other
/// order.
///
/// # Errors
/// `Transient`: the ledger did not answer. `Newer`: nothing is decided before this process is upgraded.
pub fn read_or_impossible<T>(read: Result<T, LedgerError>) -> Result<Result<T, Impossible>, LedgerError> {
    match read {
        Ok(read) => Ok(Ok(read)),
        Err(error @ LedgerError::Corrupt { .. }) => Ok(Err(Impossible(error))),
        Err(other @ (LedgerError::Transient { .. } | LedgerError::Newer { .. })) => Err(other),
    }
}

/// An error of an append. In every case but `Unknown` no more of this append will be stored.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Another writer was first: read again and decide again. Nothing of this append is stored, except if the server kept
    /// only its beginning (see [`Batch`](crate::Batch)); reading finds that.
    #[error("the expected version is stale: read again")]
    WrongVersion,
    /// The outcome is unknown: the events may be stored now or later. Append the same events again, which is always
    /// safe.
    #[error("no answer to the append, it may be stored")]
    Unknown(#[source] Cause),
    /// The server does not accept it, because it is full or the user lacks the permission. Nothing is stored.
    #[error("the ledger refuses the append")]
    Refused(#[source] Cause),
    /// The ledger is damaged, or payouts are stopped. Nothing is sent until an operator has looked.
    #[error("nothing is appended: {0}")]
    Stopped(String),
}

impl From<LedgerError> for Undone {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Transient { .. } => Self::transient(error),
            LedgerError::Corrupt { .. } => Self::corrupt(error),
            LedgerError::Newer { kind, .. } => Self::Unknown(kind.into()),
        }
    }
}

impl From<AppendError> for Undone {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::WrongVersion => Self::Stale,
            AppendError::Unknown(_) | AppendError::Refused(_) => Self::transient(error),
            AppendError::Stopped(why) => Self::Stopped(why),
        }
    }
}

/// The reason why a refill does not continue. Events that were put stay in the stream, which no service can use. Begin
/// the refill again.
#[derive(Debug, thiserror::Error)]
pub enum RefillError {
    /// The event was not acknowledged, or was refused.
    #[error("the event of sequence {seq} is not known to be stored: {cause}")]
    NotStored {
        /// Sequence of the event.
        seq: u64,
        /// The error of the server or the client.
        cause: String,
    },
    /// The event got another sequence, so the events before it are not those of the copy.
    #[error(
        "the event of sequence {seq} was stored at {found}: delete the stream LEDGER, which is not in use, and begin again"
    )]
    Misplaced {
        /// The sequence that the event must have.
        seq: u64,
        /// The sequence that it got.
        found: u64,
    },
    /// The stored headers are not a header block.
    #[error("the headers of the event of sequence {seq} cannot be read")]
    Unreadable {
        /// Sequence of the event.
        seq: u64,
    },
}

/// The reason why a service does not start.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No server answers at this address.
    #[error("NATS_URL: no NATS server answers at {url}: {cause}")]
    Unreachable {
        /// The address that was tried.
        url: String,
        /// The error of the client.
        cause: String,
    },
    /// The monitor does not answer.
    #[error("NATS_MONITOR_URL: no NATS monitor answers at {url}: {cause}; it looks like http://127.0.0.1:8222")]
    NoMonitor {
        /// The address that was tried.
        url: String,
        /// The error of the client.
        cause: String,
    },
    /// The server is too old. Older versions can lose a stream in a crash, and only 2.15 and newer commit in groups
    /// under `sync_interval: always`.
    #[error("nats-server {found} is too old: Paymint needs {needed} or newer")]
    OldServer {
        /// Version of the server.
        found: String,
        /// The oldest version that Paymint accepts.
        needed: &'static str,
    },
    /// The server acknowledges before it syncs, so an ack would not be durable.
    #[error("nats-server acknowledges before it syncs: set `sync_interval: always` in its jetstream block")]
    NotSynced,
    /// The stream does not exist.
    #[error("the stream {0} does not exist: apply the definitions in nats/ first")]
    NoStream(&'static str),
    /// Another version of Paymint wrote this ledger, with another layout of subjects.
    #[error(
        "the stream LEDGER was written by another version of Paymint (layout {found}, and this build reads layout \
         {needed}): start with an empty ledger, or run the version that wrote it"
    )]
    OtherLayout {
        /// The layout that the stream names; 1 if it names none.
        found: String,
        /// The layout of this build.
        needed: String,
    },
    /// The stream or consumer differs from its definition in `nats/`.
    #[error("{what} differs from its definition in nats/: {difference}")]
    Drift {
        /// Name of the stream or consumer.
        what: String,
        /// The first setting that differs, with both values.
        difference: String,
    },
    /// Any other answer of the server.
    #[error("the ledger could not be opened: {0}")]
    Other(String),
}
