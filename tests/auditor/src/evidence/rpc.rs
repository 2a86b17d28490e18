//! JSON-RPC by hand.

use crate::CannotAudit;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::Duration;

/// A node may take long over an old block; nobody waits for us.
const TIMEOUT: Duration = Duration::from_secs(30);

/// One node.
#[derive(Clone, Debug)]
pub struct Rpc {
    client: reqwest::Client,
    url: String,
}

impl Rpc {
    pub fn new(url: &str) -> Self {
        Self { client: reqwest::Client::new(), url: url.to_owned() }
    }

    /// One call.
    ///
    /// # Errors
    /// No answer, an error, or a result of another form.
    pub async fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, CannotAudit> {
        let fail = |why: String| CannotAudit(format!("{method} {params}: {why}"));
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let sent = self.client.post(&self.url).timeout(TIMEOUT).json(&body).send().await;
        let mut answer: Value = sent.map_err(|e| fail(e.to_string()))?.json().await.map_err(|e| fail(e.to_string()))?;
        if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
            return Err(fail(error.to_string()));
        }
        serde_json::from_value(answer["result"].take()).map_err(|e| fail(e.to_string()))
    }
}
