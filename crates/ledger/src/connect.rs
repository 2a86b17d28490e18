//! A connection to the ledger that has passed the start-up gate.

use crate::client::{connect_client, find_api, request, stream_info};
use crate::damage::StreamLook;
use crate::error::{ConnectError, LedgerError};
use crate::gate;
use crate::monitor::{Monitor, Storage};
use crate::replies::Replies;
use crate::subjects::STREAM;
use crate::whole::Whole;
use async_nats::jetstream;
use chrono::{DateTime, Utc};
use runtime::{ConfigError, Env, Variable};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::{Mutex, OnceCell};

/// The addresses of the ledger.
#[derive(Clone, Debug)]
pub struct LedgerConfig {
    /// URL of the server, such as `nats://127.0.0.1:4222`; several are separated by commas. With a user:
    /// `nats://api:password@127.0.0.1:4222`.
    pub url: String,
    /// URL of the server's monitor, such as `http://127.0.0.1:8222`. Its page `/varz` shows if an ack is durable.
    pub monitor_url: String,
}

impl LedgerConfig {
    /// Reads `NATS_URL` and `NATS_MONITOR_URL`.
    ///
    /// # Errors
    /// [`ConfigError`] names the variable and its shape.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            url: env.get(
                &Variable::required(
                    "NATS_URL",
                    "nats://127.0.0.1:4222",
                    "NATS servers, separated by commas. With a user it looks like nats://api:password@host:4222.",
                )
                .secret(),
            )?,
            monitor_url: env.get(&Variable::required(
                "NATS_MONITOR_URL",
                "http://127.0.0.1:8222",
                "Monitor of the NATS server. It shows if an ack is durable.",
            ))?,
        })
    }
}

/// Messages that a durable consumer has not finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Lag {
    /// Messages that were delivered to no process yet.
    #[serde(rename = "num_pending")]
    pub pending: u64,
    /// Messages that a process holds and has not acknowledged.
    #[serde(rename = "num_ack_pending")]
    pub held: u64,
}

/// The ledger. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub(crate) client: async_nats::Client,
    pub(crate) jetstream: jetstream::Context,
    /// Prefix of the JetStream API. It depends on the account of the user.
    pub(crate) api: &'static str,
    pub(crate) source: &'static str,
    pub(crate) whole: Arc<Whole>,
    /// Replies to direct gets. The first get subscribes.
    pub(crate) replies: Arc<OnceCell<Replies>>,
    /// Locked while a large batch is sent and its acknowledgement is awaited.
    pub(crate) large_batch: Arc<Mutex<()>>,
    monitor: Monitor,
    incarnation: DateTime<Utc>,
}

impl Ledger {
    /// Connects and passes the gate: the server's version, durable acks, and the stream as `nats/` defines it. A
    /// damaged ledger passes, because it can still be read; [`Ledger::stopped`] then says so. `source` is the
    /// CloudEvents source of the events that this process writes, such as `/paymint/api`.
    ///
    /// # Errors
    /// [`ConnectError`] says what to change. Nothing has been written.
    pub async fn connect(config: &LedgerConfig, source: &'static str) -> Result<Self, ConnectError> {
        let client = connect_client(&config.url).await?;
        let api = find_api(&client).await?;
        let monitor = Monitor::new(&config.monitor_url)?;
        let incarnation = gate::pass(&client, api, &monitor).await?;
        let ledger = Self::unlooked(client, api, source, monitor, incarnation);
        ledger.first_look().await;
        Ok(ledger)
    }

    /// Makes a ledger of an open connection, without a look at the stream that was created at `incarnation`.
    pub(crate) fn unlooked(
        client: async_nats::Client,
        api: &'static str,
        source: &'static str,
        monitor: Monitor,
        incarnation: DateTime<Utc>,
    ) -> Self {
        let jetstream = jetstream::with_prefix(client.clone(), api);
        let nothing = StreamLook { created: incarnation, messages: 0, last: 0, last_at: incarnation };
        let whole = Whole::new(nothing);
        Self {
            client,
            jetstream,
            api,
            source,
            whole,
            replies: Arc::default(),
            large_batch: Arc::default(),
            monitor,
            incarnation,
        }
    }

    /// The creation time of the stream. If it has changed, this is another ledger, and positions in the old one mean
    /// nothing in it.
    pub fn incarnation(&self) -> DateTime<Utc> {
        self.incarnation
    }

    /// True while the connection is up. For `/readyz`.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    /// Number of messages that a durable consumer of `nats/consumers/` has not finished.
    ///
    /// # Errors
    /// [`LedgerError::Transient`]: no answer, or no consumer of this name.
    pub async fn lag(&self, consumer: &str) -> Result<Lag, LedgerError> {
        let answer = request(&self.client, self.api, &format!("CONSUMER.INFO.{STREAM}.{consumer}"), Value::Null).await;
        let answer = answer.map_err(|e| LedgerError::transient(format!("state of the consumer {consumer}"), e))?;
        serde_json::from_value(answer)
            .map_err(|e| LedgerError::transient(format!("state of the consumer {consumer}"), e))
    }

    /// How full the server's storage is.
    ///
    /// # Errors
    /// [`LedgerError::Transient`]: the monitor did not answer.
    pub async fn storage(&self) -> Result<Storage, LedgerError> {
        self.monitor.storage().await.map_err(|e| LedgerError::transient("state of the storage", e))
    }

    /// Asks for the state of the stream: its creation time and its last sequence.
    ///
    /// # Errors
    /// [`LedgerError::Transient`]: the server did not answer.
    pub async fn state(&self) -> Result<(DateTime<Utc>, u64), LedgerError> {
        let info =
            stream_info(&self.client, self.api).await.map_err(|e| LedgerError::transient("state of the stream", e))?;
        Ok((info.created, info.state.last_seq))
    }
}
