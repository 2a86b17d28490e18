//! Why a piece of work is not done, cut by what its caller can do, and how a chain of causes is printed.

use std::error::Error;
use std::fmt;

/// A cause: the `source()` of an error, never text inside the error's text.
pub type Cause = Box<dyn Error + Send + Sync + 'static>;

/// Why a piece of work is not done. Adapters turn their own errors into it, so that loops and lanes have one list of
/// cases.
#[derive(Debug, thiserror::Error)]
pub enum Undone {
    /// An order or a lane has moved on: read again, decide again. Nothing was written or sent.
    #[error("another writer was first")]
    Stale,
    /// The chain does not decide it yet, for example because a block is not deep enough: look again at the next head.
    #[error("not decided yet")]
    NotYet,
    /// A neighbour did not answer. Something that was to be written may be in the ledger: read again before deciding.
    #[error(transparent)]
    Transient(Cause),
    /// The past holds an event of a newer build: wait until this process is upgraded. The cause is the event's type.
    #[error("this build does not know the event type {0}")]
    Unknown(Cause),
    /// The ledger is damaged, or an operator has stopped payouts: nothing is decided until the stop ends.
    #[error("{0}")]
    Stopped(String),
    /// Nothing may be built on this past, or the configuration is wrong. Others go on.
    #[error(transparent)]
    Corrupt(Cause),
}

impl Undone {
    /// A neighbour's fault.
    pub fn transient(cause: impl Into<Cause>) -> Self {
        Self::Transient(cause.into())
    }

    /// A past that nothing may be built on.
    pub fn corrupt(cause: impl Into<Cause>) -> Self {
        Self::Corrupt(cause.into())
    }
}

/// Prints an error and its causes on one line, separated by colons. Used where an error is handled, and only there.
#[derive(Clone, Copy)]
pub struct Causes<'a>(&'a (dyn Error + 'static));

/// [`Causes`] of `error`.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> Causes<'a> {
    Causes(error)
}

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(inner) = cause {
            write!(f, ": {inner}")?;
            cause = inner.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("reading order 7")]
    struct Reading(#[source] Cause);

    #[test]
    fn a_chain_of_causes_is_printed_once_and_keeps_its_sources() {
        let error = Undone::transient(Reading("the connection closed".into()));
        assert_eq!(causes(&error).to_string(), "reading order 7: the connection closed");
        assert_eq!(error.source().map(ToString::to_string), Some("the connection closed".to_owned()));
        assert_eq!(causes(&Undone::Stale).to_string(), "another writer was first");
    }
}
