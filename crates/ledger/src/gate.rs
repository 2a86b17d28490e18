//! The start-up gate: a service that would acknowledge what it cannot keep does not start.

use crate::error::ConnectError;
use crate::provision::{self, Definition};
use crate::subjects::STREAM;
use async_nats::Client;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// 2.15 group-commits under `sync_interval: always` on replicas, and knows every header that is used here.
const MINIMUM_SERVER: (u64, u64) = (2, 15);
const MINIMUM_SERVER_TEXT: &str = "2.15.0";

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

/// Passes or says what to change; answers with the stream's creation time.
pub(crate) async fn pass(client: &Client, monitor_url: &str) -> Result<DateTime<Utc>, ConnectError> {
    check_version(&client.server_info().version)?;
    check_sync(monitor_url).await?;
    let info = stream_info(client).await?;
    let expected = provision::stream();
    compare("the stream LEDGER", &expected, &info.config)?;
    Ok(info.created)
}

fn check_version(found: &str) -> Result<(), ConnectError> {
    let mut parts = found.split(['.', '-']).map(|part| part.parse::<u64>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if version < MINIMUM_SERVER {
        return Err(ConnectError::OldServer { found: found.to_owned(), needed: MINIMUM_SERVER_TEXT });
    }
    Ok(())
}

/// `/varz` says `jetstream.config.sync_always` when an ack means fsynced.
async fn check_sync(monitor_url: &str) -> Result<(), ConnectError> {
    let fail = |e: reqwest::Error| ConnectError::NoMonitor { url: monitor_url.to_owned(), cause: e.to_string() };
    let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().map_err(fail)?;
    let varz: Value = http
        .get(format!("{}/varz", monitor_url.trim_end_matches('/')))
        .send()
        .await
        .map_err(fail)?
        .json()
        .await
        .map_err(fail)?;
    match varz.pointer("/jetstream/config/sync_always") {
        Some(Value::Bool(true)) => Ok(()),
        _ => Err(ConnectError::NotSynced),
    }
}

pub(crate) async fn stream_info(client: &Client) -> Result<StreamInfo, ConnectError> {
    let answer = provision::request(client, &format!("STREAM.INFO.{STREAM}"), Value::Null).await?;
    if answer.pointer("/error/code") == Some(&Value::from(404)) {
        return Err(ConnectError::NoStream(STREAM));
    }
    serde_json::from_value(answer).map_err(|e| ConnectError::Other(e.to_string()))
}

/// Every key of the definition must be in force; what the server adds is its own business.
pub(crate) fn compare(what: &str, wanted: &Definition, found: &Value) -> Result<(), ConnectError> {
    let Some(keys) = wanted.config.as_object() else { return Ok(()) };
    for (key, value) in keys {
        let actual = found.get(key).unwrap_or(&Value::Null);
        let absent_means_default = actual.is_null() && is_default(value);
        if actual != value && !absent_means_default {
            let difference = format!("{key} is {actual}, not {value}");
            return Err(ConnectError::Drift { what: what.to_owned(), difference });
        }
    }
    Ok(())
}

/// The server leaves out what is false, zero or empty.
fn is_default(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_i64() == Some(0),
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_server_is_refused() {
        for (version, passes) in
            [("2.15.1", true), ("2.15.0-RC.1", true), ("3.0.0", true), ("2.9.10", false), ("", false)]
        {
            assert_eq!(check_version(version).is_ok(), passes, "{version}");
        }
    }
}
