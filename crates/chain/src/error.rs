//! Errors of the communication with a node. None of them says anything about the state of the chain.

use crate::refusals::{RefusalKind, refusal_kind};
use alloy::primitives::Bytes;
use alloy::rpc::json_rpc::ErrorPayload;
use alloy::sol_types::{Revert, SolError};
use runtime::{Cause, Undone};
use std::sync::Arc;

/// An unusable answer, a refusal, or a wrong configuration.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChainError {
    /// No usable answer: unreachable, rate limited, timed out, HTML, truncated, null, or two providers that disagree.
    /// It decides nothing; ask again.
    #[error("{operation}: the node gave no usable answer")]
    Transient {
        /// The RPC method.
        operation: &'static str,
        /// The cause.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The node answered with a JSON-RPC error: a revert, or a rule of its pool.
    #[error("{operation}: the node refused: {message} ({code})")]
    Refused {
        /// The RPC method.
        operation: &'static str,
        /// JSON-RPC error code.
        code: i64,
        /// Its message.
        message: String,
        /// Revert data, if there is any.
        data: Option<Bytes>,
    },
    /// The installation contradicts the configuration. The process must not start.
    #[error("{0}")]
    Misconfigured(String),
}

impl ChainError {
    /// No usable answer to `operation`, because of `cause`.
    pub fn transient(operation: &'static str, cause: impl Into<Cause>) -> Self {
        Self::Transient { operation, source: Arc::from(cause.into()) }
    }

    /// Returns `true` if the call was executed and failed, which is the contract's own verdict. Any other refusal is
    /// about the node.
    pub fn is_failed_call(&self) -> bool {
        self.refusal_kind() == Some(RefusalKind::FailedCall)
    }

    /// The kind of a refusal. `None` if the node did not refuse.
    pub(crate) fn refusal_kind(&self) -> Option<RefusalKind> {
        match self {
            Self::Refused { code, message, data, .. } => Some(refusal_kind(*code, message, data.as_ref())),
            Self::Transient { .. } | Self::Misconfigured(_) => None,
        }
    }

    /// The contract's reason, or the node's words if it gave none.
    ///
    /// # Errors
    /// The error itself, if it is no failed call: nothing is known about the contract.
    pub(crate) fn into_reason(self) -> Result<String, Self> {
        let failed = self.is_failed_call();
        match self {
            Self::Refused { message, data, .. } if failed => {
                let revert = data.and_then(|data| Revert::abi_decode(&data).ok());
                Ok(revert.map_or(message, |revert| revert.reason))
            }
            other => Err(other),
        }
    }
}

impl From<ChainError> for Undone {
    /// Nothing that a node says is a reason to give up an order. A wrong configuration does not heal by itself.
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::Transient { .. } | ChainError::Refused { .. } => Self::transient(error),
            ChainError::Misconfigured(_) => Self::corrupt(error),
        }
    }
}

/// A node's refusal, with its revert data if there is any.
pub(crate) fn refused(operation: &'static str, answer: &ErrorPayload) -> ChainError {
    let data = revert_data(answer);
    ChainError::Refused { operation, code: answer.code, message: answer.message.to_string(), data }
}

/// The revert data of an answer. The library looks only into answers whose message speaks of a revert. Nethermind's and
/// OpenEthereum's does not, and begins the data with a word.
pub(crate) fn revert_data(answer: &ErrorPayload) -> Option<Bytes> {
    answer.as_revert_data().or_else(|| {
        let text: String = serde_json::from_str(answer.data.as_ref()?.get()).ok()?;
        text.trim_start_matches("Reverted ").strip_prefix("0x")?.parse().ok()
    })
}

/// The error for a `null` from a method that must return a value.
pub(crate) fn null(operation: &'static str) -> ChainError {
    ChainError::transient(operation, "null")
}

/// Shortens a text for logs, because some providers answer with an HTML page.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The words of `require(false, "no")`, as each client gives them, and two refusals that are not the contract's.
    #[test]
    fn the_contracts_reason_is_read_from_every_client_and_a_nodes_trouble_is_no_reason() {
        let data = Bytes::from(Revert::from("no").abi_encode());
        let cases = [
            (format!(r#"{{"code":3,"message":"execution reverted: no","data":"{data}"}}"#), Ok("no")),
            (format!(r#"{{"code":-32000,"message":"Execution reverted","data":"{data}"}}"#), Ok("no")),
            (format!(r#"{{"code":-32015,"message":"VM execution error.","data":"Reverted {data}"}}"#), Ok("no")),
            (r#"{"code":3,"message":"execution reverted","data":"0x"}"#.to_owned(), Ok("execution reverted")),
            (r#"{"code":-32000,"message":"out of gas"}"#.to_owned(), Ok("out of gas")),
            (r#"{"code":-32000,"message":"header not found"}"#.to_owned(), Err(())),
            (r#"{"code":-32000,"message":"missing trie node","data":"0x"}"#.to_owned(), Err(())),
        ];
        for (answer, expected) in cases {
            let payload: ErrorPayload = serde_json::from_str(&answer).unwrap();
            let reason = refused("eth_call", &payload).into_reason();
            assert_eq!(reason.as_deref().map_err(|_| ()), expected, "{answer}");
        }
    }
}
