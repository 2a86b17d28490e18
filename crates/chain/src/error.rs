//! Errors of the communication with a node. None of them says anything about the state of the chain.

use alloy::primitives::Bytes;
use alloy::rpc::json_rpc::ErrorPayload;
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
        match self {
            Self::Refused { message, .. } => is_failed_call(message),
            Self::Transient { .. } | Self::Misconfigured(_) => false,
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

/// Recognises the wording of geth (core/vm/errors.go) and anvil for a call that was executed and failed.
pub(crate) fn is_failed_call(message: &str) -> bool {
    let text = message.to_lowercase();
    ["revert", "out of gas", "invalid opcode", "invalid jump", "stack underflow", "stack limit", "evm error"]
        .iter()
        .any(|words| text.contains(words))
}

/// A node's refusal, with its revert data if there is any.
pub(crate) fn refused(operation: &'static str, answer: &ErrorPayload) -> ChainError {
    let data = answer.as_revert_data();
    ChainError::Refused { operation, code: answer.code, message: answer.message.to_string(), data }
}

/// The error for a `null` from a method that must return a value.
pub(crate) fn null(operation: &'static str) -> ChainError {
    ChainError::transient(operation, "null")
}

/// Shortens a text for logs, because some providers answer with an HTML page.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(200).collect()
}
