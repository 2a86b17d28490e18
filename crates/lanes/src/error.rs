//! Errors, cut by what the caller can do.

use chain::ChainError;
use ledger::{AppendError, LedgerError};

/// Why a lane did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// An order or the lane has moved on: read again, decide again. Nothing was written or sent.
    #[error("somebody else wrote first")]
    Stale,
    /// The ledger or the node did not answer. What was to be sent may be in the ledger: read again before deciding.
    #[error("{0}")]
    Transient(String),
    /// The lane cannot go on: its past is impossible, or its key is used elsewhere. Others go on.
    #[error("the lane stops: {0}")]
    Broken(String),
}

impl From<LedgerError> for LaneError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Transient(text) => Self::Transient(text),
            LedgerError::Corrupt(text) => Self::Broken(text),
        }
    }
}

impl From<AppendError> for LaneError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::WrongVersion => Self::Stale,
            AppendError::Unknown(_) | AppendError::Refused(_) | AppendError::Stopped(_) => {
                Self::Transient(error.to_string())
            }
        }
    }
}

impl From<ChainError> for LaneError {
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::Transient { .. } | ChainError::Refused { .. } => Self::Transient(error.to_string()),
            ChainError::Misconfigured(text) => Self::Broken(text),
        }
    }
}
