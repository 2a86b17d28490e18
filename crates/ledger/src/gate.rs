//! The start-up gate: a service that would acknowledge what it cannot keep does not start.

use crate::client::stream_info;
use crate::definitions::{compare, same_layout, stream};
use crate::error::ConnectError;
use crate::monitor::Monitor;
use async_nats::Client;
use chrono::{DateTime, Utc};

/// 2.15 group-commits under `sync_interval: always` on replicas, and knows every header that is used here.
const MINIMUM_SERVER: (u64, u64) = (2, 15);
const MINIMUM_SERVER_TEXT: &str = "2.15.0";

/// Passes or says what to change; answers with the stream's creation time.
pub(crate) async fn pass(client: &Client, api: &str, monitor: &Monitor) -> Result<DateTime<Utc>, ConnectError> {
    pass_server(client, monitor).await?;
    let info = stream_info(client, api).await?;
    same_layout(&info.config)?;
    compare("the stream LEDGER", &stream(), &info.config)?;
    // It overrides `sync_interval: always` (NATS ADR-56), and a definition that leaves it out does not exclude it.
    if info.config.get("persist_mode").is_some_and(|mode| mode == "async") {
        return Err(ConnectError::NotSynced);
    }
    Ok(info.created)
}

/// The part of it that asks for no stream.
pub(crate) async fn pass_server(client: &Client, monitor: &Monitor) -> Result<(), ConnectError> {
    check_version(&client.server_info().version)?;
    if monitor.says_synced().await? { Ok(()) } else { Err(ConnectError::NotSynced) }
}

fn check_version(found: &str) -> Result<(), ConnectError> {
    let mut parts = found.split(['.', '-']).map(|part| part.parse::<u64>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if version < MINIMUM_SERVER {
        return Err(ConnectError::OldServer { found: found.to_owned(), needed: MINIMUM_SERVER_TEXT });
    }
    Ok(())
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
