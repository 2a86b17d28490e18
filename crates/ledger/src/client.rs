//! The connection, and single requests to the JetStream API.

use crate::error::ConnectError;
use crate::subjects::STREAM;
use async_nats::{Client, HeaderMap};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// A request that is not answered within this has an unknown outcome. R3 leader failover stalls 5.5 to 6.5 s.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A half-open connection is noticed after two missed pings (F06).
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// The server refuses a request that it does not understand in full.
const REQUIRED_API_LEVEL: &str = "5";

/// The part of a stream's info that is used.
#[derive(Debug, Deserialize)]
pub(crate) struct StreamInfo {
    pub created: DateTime<Utc>,
    pub config: Value,
    pub state: StreamState,
}

/// The part of a stream's state that is used.
#[derive(Debug, Deserialize)]
pub(crate) struct StreamState {
    pub last_seq: u64,
}

/// Connects to any of the comma-separated URLs; reconnects for ever afterwards.
pub(crate) async fn connect_client(url: &str) -> Result<Client, ConnectError> {
    let unreachable = |cause: String| ConnectError::Unreachable { url: url.to_owned(), cause };
    let servers: Vec<async_nats::ServerAddr> = url
        .split(',')
        .map(|one| one.trim().parse().map_err(|e| unreachable(format!("{e}; a URL looks like nats://127.0.0.1:4222"))))
        .collect::<Result<_, _>>()?;
    async_nats::ConnectOptions::new()
        .ping_interval(PING_INTERVAL)
        .request_timeout(Some(REQUEST_TIMEOUT))
        .event_callback(|event| async move { tracing::info!(%event, "ledger connection") })
        .connect(servers)
        .await
        .map_err(|e| unreachable(e.to_string()))
}

/// One request to the JetStream API.
pub(crate) async fn request(client: &Client, api: &str, body: Value) -> Result<Value, ConnectError> {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Required-Api-Level", REQUIRED_API_LEVEL);
    let payload = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let message = client
        .request_with_headers(format!("$JS.API.{api}"), headers, payload.into())
        .await
        .map_err(|e| ConnectError::Other(format!("{api}: {e}")))?;
    serde_json::from_slice(&message.payload).map_err(|e| ConnectError::Other(format!("{api}: {e}")))
}

/// The stream as it is now.
pub(crate) async fn stream_info(client: &Client) -> Result<StreamInfo, ConnectError> {
    let answer = request(client, &format!("STREAM.INFO.{STREAM}"), Value::Null).await?;
    if answer.pointer("/error/code") == Some(&Value::from(404)) {
        return Err(ConnectError::NoStream(STREAM));
    }
    serde_json::from_value(answer).map_err(|e| ConnectError::Other(e.to_string()))
}
