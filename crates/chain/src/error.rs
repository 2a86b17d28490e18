//! Errors of the communication with a node. None of them says anything about the state of the chain.

use alloy::primitives::Bytes;
use alloy::rpc::json_rpc::ErrorPayload;

/// An unusable answer, a refusal, or a wrong configuration.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChainError {
    /// No usable answer: unreachable, rate limited, timed out, HTML, truncated, null, or two providers that disagree.
    /// It decides nothing; ask again.
    #[error("{operation}: the node gave no usable answer: {cause}")]
    Transient {
        /// The RPC method.
        operation: &'static str,
        /// The cause.
        cause: String,
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
    /// Returns `true` if the call was executed and failed, which is the contract's own verdict. Any other refusal is
    /// about the node.
    pub fn is_failed_call(&self) -> bool {
        match self {
            Self::Refused { message, .. } => is_failed_call(message),
            Self::Transient { .. } | Self::Misconfigured(_) => false,
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
    ChainError::Transient { operation, cause: "null".to_owned() }
}

/// Shortens a text for logs, because some providers answer with an HTML page.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(200).collect()
}
