//! What can go wrong between us and a node. None of it says anything about what is on the chain.

use alloy::primitives::Bytes;
use alloy::rpc::json_rpc::ErrorPayload;
use alloy::transports::{RpcError, TransportErrorKind};
use runtime::{Cause, Undone};
use std::sync::Arc;

/// An answer that is no answer, or a refusal.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChainError {
    /// No usable answer: unreachable, rate limited, time-out, HTML, truncated, null; or two providers that do not agree.
    /// Decides nothing; ask again.
    #[error("{operation}: the node gave no usable answer")]
    Transient {
        /// The RPC method.
        operation: &'static str,
        /// What happened.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The node answered with an error of the protocol: a revert, a rule of its pool.
    #[error("{operation}: the node refuses: {message} ({code})")]
    Refused {
        /// The RPC method.
        operation: &'static str,
        /// JSON-RPC error code.
        code: i64,
        /// Its message.
        message: String,
        /// Revert data, where there are any.
        data: Option<Bytes>,
    },
    /// The installation is not what the configuration says: refuse to start.
    #[error("{0}")]
    Misconfigured(String),
}

impl ChainError {
    /// No usable answer to `operation`, because of `cause`.
    pub(crate) fn transient(operation: &'static str, cause: impl Into<Cause>) -> Self {
        Self::Transient { operation, source: Arc::from(cause.into()) }
    }

    /// Whether the call was executed and failed: the contract's word. Anything else that is refused is about the node.
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

/// The words of geth (core/vm/errors.go) and anvil for a call that was executed and failed.
pub(crate) fn is_failed_call(message: &str) -> bool {
    let text = message.to_lowercase();
    ["revert", "out of gas", "invalid opcode", "invalid jump", "stack underflow", "stack limit", "evm error"]
        .iter()
        .any(|words| text.contains(words))
}

/// Codes with which providers say "not now": rate limit, and internal errors of a load balancer.
const RETRY_CODES: [i64; 4] = [429, -32005, -32016, -32603];

/// A node's refusal, with the revert data that it may hold.
pub(crate) fn refused(operation: &'static str, answer: &ErrorPayload) -> ChainError {
    let data = answer.as_revert_data();
    ChainError::Refused { operation, code: answer.code, message: answer.message.to_string(), data }
}

/// Null where the method owes something.
pub(crate) fn null(operation: &'static str) -> ChainError {
    ChainError::transient(operation, "null")
}

/// Translates the error of the library's own client, which the development chain is set up with.
pub(crate) fn from_rpc(operation: &'static str, error: RpcError<TransportErrorKind>) -> ChainError {
    match error {
        RpcError::ErrorResp(answer) if !RETRY_CODES.contains(&answer.code) || is_failed_call(&answer.message) => {
            refused(operation, &answer)
        }
        other => ChainError::transient(operation, clip(&other.to_string())),
    }
}

/// A whole HTML page is no use in a log.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(200).collect()
}
