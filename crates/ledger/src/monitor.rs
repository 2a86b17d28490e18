//! The monitor of nats-server: facts about the server that no client connection tells.

use crate::error::ConnectError;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// Time limit of a request. The monitor is on the same machine or network as the ledger.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The monitor at `NATS_MONITOR_URL`. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Monitor {
    http: reqwest::Client,
    url: String,
}

/// Use of the server's file storage, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Bytes that all streams take.
    pub used: u64,
    /// Bytes that the server may take. Without a configured limit this is three quarters of the free space at its
    /// start.
    pub max: u64,
}

impl Storage {
    /// Used share of the storage in percent.
    pub fn used_percent(self) -> u64 {
        self.used.saturating_mul(100).checked_div(self.max).unwrap_or(100)
    }
}

#[derive(Deserialize)]
struct Jsz {
    storage: u64,
    config: JszConfig,
}

#[derive(Deserialize)]
struct JszConfig {
    max_storage: u64,
}

impl Monitor {
    pub(crate) fn new(url: &str) -> Result<Self, ConnectError> {
        let url = url.trim_end_matches('/').to_owned();
        let built = reqwest::Client::builder().timeout(TIMEOUT).build();
        let http = built.map_err(|e| ConnectError::NoMonitor { url: url.clone(), cause: e.to_string() })?;
        Ok(Self { http, url })
    }

    /// True if an ack means that the message is fsynced, according to `jetstream.config.sync_always` in `/varz`.
    pub(crate) async fn says_synced(&self) -> Result<bool, ConnectError> {
        let varz: Value = self.get("varz").await?;
        Ok(varz.pointer("/jetstream/config/sync_always") == Some(&Value::Bool(true)))
    }

    /// Used and allowed storage, from `/jsz`.
    pub(crate) async fn storage(&self) -> Result<Storage, ConnectError> {
        let jsz: Jsz = self.get("jsz").await?;
        Ok(Storage { used: jsz.storage, max: jsz.config.max_storage })
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, ConnectError> {
        let fail = |e: reqwest::Error| ConnectError::NoMonitor { url: self.url.clone(), cause: e.to_string() };
        let answer = self.http.get(format!("{}/{path}", self.url)).send().await.map_err(fail)?;
        answer.json().await.map_err(fail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_percent_and_no_room_at_all_is_full() {
        for (used, max, percent) in [(0, 100, 0), (799, 1_000, 79), (800, 1_000, 80), (5, 4, 125), (0, 0, 100)] {
            assert_eq!(Storage { used, max }.used_percent(), percent);
        }
    }
}
