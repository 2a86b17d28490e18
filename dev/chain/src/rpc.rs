//! A plain JSON-RPC client for a node that is trusted because the test or the demo started it itself.

use alloy::primitives::Bytes;
use alloy::rpc::json_rpc::ErrorPayload;
use chain::ChainError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// A local node answers within milliseconds, except while it mines or writes its state.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Without history, anvil refuses a call at "latest" with `BlockOutOfRangeError` if a block is mined meanwhile (1.7.1).
/// The call is sent again after this time.
const MINING_TIME: Duration = Duration::from_millis(10);

/// Number of times a call is sent before its refusal counts.
const ATTEMPTS_MAX: u32 = 20;

/// A JSON-RPC client for one local node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Rpc {
    http: reqwest::Client,
    url: reqwest::Url,
}

/// A JSON-RPC answer. `result` may be null.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    result: Value,
    error: Option<ErrorPayload>,
}

impl Rpc {
    /// Builds a client for the node at `url`. Connects at the first call.
    ///
    /// # Errors
    /// `Misconfigured` if the URL cannot be parsed.
    pub fn new(url: &str) -> Result<Self, ChainError> {
        let url = url.parse().map_err(|e| ChainError::Misconfigured(format!("RPC_URL: {e}")))?;
        let http = reqwest::Client::builder().timeout(ANSWER_TIMEOUT).build();
        let http = http.map_err(|e| ChainError::Misconfigured(format!("the HTTP client cannot be built: {e}")))?;
        Ok(Self { http, url })
    }

    /// Calls `method` and decodes its result.
    ///
    /// # Errors
    /// `Refused` for an error of the node; `Transient` without an answer, and for one that cannot be decoded.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        params: impl Serialize,
    ) -> Result<T, ChainError> {
        let transient = |cause: String| ChainError::transient(operation, cause);
        // Methods without parameters take an empty list, not null.
        let params = serde_json::to_value(params).map_err(|e| transient(e.to_string()))?;
        let params = if params.is_null() { json!([]) } else { params };
        let question = json!({ "jsonrpc": "2.0", "id": 1, "method": operation, "params": params });
        let mut attempt = 1;
        let answer = loop {
            let sent = self.http.post(self.url.clone()).json(&question).send().await;
            let answer = sent.map_err(|e| transient(with_cause(&e)))?;
            let answer: Answer = answer.json().await.map_err(|e| transient(with_cause(&e)))?;
            let Some(error) = answer.error else { break answer.result };
            if error.message.contains("BlockOutOfRange") && attempt < ATTEMPTS_MAX {
                attempt += 1;
                tokio::time::sleep(MINING_TIME).await;
                continue;
            }
            let data: Option<Bytes> = error.as_revert_data();
            let message = error.message.into_owned();
            return Err(ChainError::Refused { operation, code: error.code, message, data });
        };
        serde_json::from_value(answer).map_err(|e| transient(e.to_string()))
    }
}

/// The error with its innermost cause: reqwest's own text does not say why a connection failed.
fn with_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    format!("{error}: {cause}")
}
