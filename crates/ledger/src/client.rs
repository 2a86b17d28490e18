//! The connection, and single requests to the JetStream API.

use crate::address::Address;
use crate::error::ConnectError;
use crate::subjects::STREAM;
use async_nats::{Client, Event, HeaderMap, ServerError};
use chrono::{DateTime, Utc};
use runtime::Backoff;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// Time limit of a request. The outcome of a request without an answer is unknown. A leader failover of three replicas
/// stalls for 5.5 to 6.5 s.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Interval of pings. The client gives up a half-open connection when two pings are unanswered and a third is due
/// (async-nats 0.51): after 9 s, which is before the api gives up an append.
const PING_INTERVAL: Duration = Duration::from_secs(3);

/// Pauses between tries to connect. The client's own pauses grow to four seconds, for which a server that has come back
/// would wait.
const RECONNECT: Backoff = Backoff { first: Duration::from_millis(10), max: Duration::from_millis(500) };

/// Prefix of the JetStream API of an account that has a JetStream of its own.
pub(crate) const OWN_API: &str = "$JS.API";

/// Prefix under which `nats/server.conf` exports the ledger's JetStream to the other accounts.
const IMPORTED_API: &str = "LEDGER.API";

/// Error code of the JetStream API in an account without a JetStream.
const NO_JETSTREAM: u64 = 10039;

/// API level that requests name: a server of a lower level refuses them instead of ignoring a part.
const REQUIRED_API_LEVEL: &str = "5";

/// The fields of a stream's info that are used.
#[derive(Debug, Deserialize)]
pub(crate) struct StreamInfo {
    pub created: DateTime<Utc>,
    pub config: Value,
    pub state: StreamState,
}

/// The fields of a stream's state that are used.
#[derive(Debug, Deserialize)]
pub(crate) struct StreamState {
    pub messages: u64,
    pub last_seq: u64,
    pub last_ts: DateTime<Utc>,
}

/// Connects to any of the comma-separated URLs as their user. Afterwards the client reconnects without limit.
pub(crate) async fn connect_client(url: &str) -> Result<Client, ConnectError> {
    let address = Address::parse(url)?;
    address
        .options()
        .ping_interval(PING_INTERVAL)
        .request_timeout(Some(REQUEST_TIMEOUT))
        .reconnect_delay_callback(reconnect_delay)
        .event_callback(|event| async move { tell(&event) })
        .connect(address.servers.clone())
        .await
        .map_err(|e| ConnectError::Unreachable { url: address.to_string(), cause: e.to_string() })
}

/// Pause before the next try to connect.
fn reconnect_delay(tries: usize) -> Duration {
    RECONNECT.pause(u32::try_from(tries).unwrap_or(u32::MAX))
}

/// Logs an event of the connection. The caller of a publish that the server refuses sees a time-out only. The event
/// gives the reason: a mistake in `nats/server.conf`, or a service that does what it must not do.
fn tell(event: &Event) {
    match event {
        Event::ServerError(ServerError::AuthorizationViolation) => {
            tracing::error!("the ledger refuses this user or its password: see NATS_URL");
        }
        _ => match refused(event) {
            Some(subject) => tracing::error!(subject, %event, "the ledger refuses what this user may not do"),
            None => tracing::info!(%event, "ledger connection"),
        },
    }
}

/// Reads the subject from an error such as `Permissions Violation for Publish to "orders.…"`.
fn refused(event: &Event) -> Option<&str> {
    match event {
        Event::ServerError(ServerError::Other(text)) if text.to_lowercase().starts_with("permissions violation") => {
            Some(text.split('"').nth(1).unwrap_or_default())
        }
        _ => None,
    }
}

/// The prefix under which this connection finds the JetStream that holds the ledger.
pub(crate) async fn find_api(client: &Client) -> Result<&'static str, ConnectError> {
    let answer = request(client, OWN_API, &format!("STREAM.INFO.{STREAM}"), Value::Null).await?;
    let is_elsewhere = answer.pointer("/error/err_code") == Some(&Value::from(NO_JETSTREAM));
    Ok(if is_elsewhere { IMPORTED_API } else { OWN_API })
}

/// Sends one request to the JetStream API below `prefix`.
pub(crate) async fn request(client: &Client, prefix: &str, api: &str, body: Value) -> Result<Value, ConnectError> {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Required-Api-Level", REQUIRED_API_LEVEL);
    let payload = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let message = client
        .request_with_headers(format!("{prefix}.{api}"), headers, payload.into())
        .await
        .map_err(|e| ConnectError::Other(format!("{api}: {e}")))?;
    serde_json::from_slice(&message.payload).map_err(|e| ConnectError::Other(format!("{api}: {e}")))
}

/// The stream as it is now.
pub(crate) async fn stream_info(client: &Client, prefix: &str) -> Result<StreamInfo, ConnectError> {
    let answer = request(client, prefix, &format!("STREAM.INFO.{STREAM}"), Value::Null).await?;
    if answer.pointer("/error/code") == Some(&Value::from(404)) {
        return Err(ConnectError::NoStream(STREAM));
    }
    serde_json::from_value(answer).map_err(|e| ConnectError::Other(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p3_tries_to_connect_are_never_far_apart_however_many_there_were() {
        let delays: Vec<u128> = [0, 1, 5, 6, 100, usize::MAX].map(|tries| reconnect_delay(tries).as_millis()).into();
        assert_eq!(delays, [10, 20, 320, 500, 500, 500]);
    }

    #[test]
    fn s19_a_refusal_is_told_with_its_subject() {
        let said = |text: &str| Event::ServerError(ServerError::Other(text.to_owned()));
        let violation = said("Permissions Violation for Publish to \"orders.0.a.mint.owed.payment.confirmed\"");
        assert_eq!(refused(&violation), Some("orders.0.a.mint.owed.payment.confirmed"));
        assert_eq!(refused(&said("Maximum Connections Exceeded")), None);
        assert_eq!(refused(&Event::Connected), None);
    }
}
