//! Errors, cut by what the caller can do about them.

use runtime::{Cause, Undone};
use std::borrow::Cow;

/// Reading from the server, or talking to it at all.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Try again: unreachable, slow, no answer yet.
    #[error("{operation}: the ledger did not answer")]
    Transient {
        /// The operation that failed, with the name or id that it is about.
        operation: Cow<'static, str>,
        /// What the client or the server said.
        #[source]
        source: Cause,
    },
    /// The past cannot be read: stop this order or lane, and call an operator.
    #[error("{what}: no decider could have written this")]
    Corrupt {
        /// Subject and sequence.
        what: String,
        /// The contradiction.
        #[source]
        source: Cause,
    },
    /// The past holds an event of a newer build. Nothing is decided on it before this process is upgraded.
    #[error("{what}: this build does not know the event type {kind}")]
    Newer {
        /// Subject and sequence.
        what: String,
        /// The event type.
        kind: String,
    },
}

impl LedgerError {
    /// `operation` was not answered, because of `cause`.
    pub fn transient(operation: impl Into<Cow<'static, str>>, cause: impl Into<Cause>) -> Self {
        Self::Transient { operation: operation.into(), source: cause.into() }
    }
}

/// Appending. In every case but `Unknown` nothing of this append is in the ledger.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Another writer was first: read again, decide again.
    #[error("the expected version is stale: read again")]
    WrongVersion,
    /// It may be stored, now or later. Append the same events again: that is always safe.
    #[error("no answer to the append, it may be stored")]
    Unknown(#[source] Cause),
    /// The server will not take it: full, or not permitted. Nothing is stored.
    #[error("the ledger refuses the append")]
    Refused(#[source] Cause),
    /// The ledger is not what it was, or a stop stands in it: nothing is sent until an operator has looked.
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

/// Why a ledger is not filled further. What was put stays, in a stream that nobody can use; begin again.
#[derive(Debug, thiserror::Error)]
pub enum RefillError {
    /// No acknowledgement, or a refusal.
    #[error("the event of sequence {seq} is not known to be stored: {cause}")]
    NotStored {
        /// Which.
        seq: u64,
        /// What the server or the client said.
        cause: String,
    },
    /// What was stored before it is not what stood before it.
    #[error(
        "the event of sequence {seq} was stored at {found}: delete the stream LEDGER, which is not in use, and begin again"
    )]
    Misplaced {
        /// Its place.
        seq: u64,
        /// Where it is.
        found: u64,
    },
    /// Not a header block.
    #[error("the headers of the event of sequence {seq} cannot be read")]
    Unreadable {
        /// Which.
        seq: u64,
    },
}

/// Why a service does not start.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No server there.
    #[error("NATS_URL: no NATS server answers at {url}: {cause}")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What the client said.
        cause: String,
    },
    /// The monitor does not answer.
    #[error("NATS_MONITOR_URL: no NATS monitor answers at {url}: {cause}; it looks like http://127.0.0.1:8222")]
    NoMonitor {
        /// Where it was looked for.
        url: String,
        /// What the client said.
        cause: String,
    },
    /// Too old: D15, and group commit under `always` needs 2.15.
    #[error("nats-server {found} is too old: Paymint needs {needed} or newer")]
    OldServer {
        /// Its version.
        found: String,
        /// Ours.
        needed: &'static str,
    },
    /// An ack would not be durable.
    #[error("nats-server acknowledges before it syncs: set `sync_interval: always` in its jetstream block")]
    NotSynced,
    /// No such stream.
    #[error("the stream {0} does not exist: apply the definitions in nats/ first")]
    NoStream(&'static str),
    /// The ledger's subjects were laid out by another version of Paymint.
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
    /// The stream or consumer is not what `nats/` says.
    #[error("{what} differs from its definition in nats/: {difference}")]
    Drift {
        /// Which.
        what: String,
        /// The first key that differs, with both values.
        difference: String,
    },
    /// The server answered something else.
    #[error("the ledger could not be opened: {0}")]
    Other(String),
}
