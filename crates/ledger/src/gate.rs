//! The start-up gate: a service does not start on a ledger that could lose what it acknowledges.

use crate::client::stream_info;
use crate::definitions::{compare, same_layout, stream};
use crate::error::ConnectError;
use crate::monitor::Monitor;
use async_nats::Client;
use chrono::{DateTime, Utc};

/// The oldest accepted version. 2.15 commits in groups under `sync_interval: always` on replicas, and knows every
/// header that Paymint sends.
const MINIMUM_SERVER: (u64, u64) = (2, 15);
const MINIMUM_SERVER_TEXT: &str = "2.15.0";

/// Checks server and stream. Returns the stream's creation time, or an error that says what to change.
pub(crate) async fn pass(client: &Client, api: &str, monitor: &Monitor) -> Result<DateTime<Utc>, ConnectError> {
    pass_server(client, monitor).await?;
    let info = stream_info(client, api).await?;
    same_layout(&info.config)?;
    compare("the stream LEDGER", &stream(), &info.config)?;
    // This mode overrides `sync_interval: always` (NATS ADR-56). The comparison above cannot exclude it, because the
    // definition does not mention it.
    if info.config.get("persist_mode").is_some_and(|mode| mode == "async") {
        return Err(ConnectError::NotSynced);
    }
    Ok(info.created)
}

/// Checks the server only, not the stream.
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
