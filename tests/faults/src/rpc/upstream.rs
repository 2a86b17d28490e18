//! A node behind the proxy.

use serde_json::{Value, json};

/// Asked over HTTP, one request at a time.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    pub(super) http: reqwest::Client,
    pub(super) url: String,
}

impl Upstream {
    /// The node's answer; null when it gives none.
    pub(super) async fn ask(&self, request: &Value) -> Value {
        let sent = self.http.post(&self.url).json(request).send().await;
        match sent {
            Ok(answer) => answer.json().await.unwrap_or(Value::Null),
            Err(_) => Value::Null,
        }
    }

    /// The result of a request of our own; none for an error, or no answer.
    pub(super) async fn result(&self, method: &str, params: Value) -> Option<Value> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.ask(&request).await.get("result").cloned()
    }
}
