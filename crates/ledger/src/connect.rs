//! A connection to the ledger that has passed the start-up gate.

use crate::client::{connect_client, find_api, request, stream_info};
use crate::damage::StreamLook;
use crate::error::{ConnectError, LedgerError};
use crate::gate;
use crate::monitor::{Monitor, Storage};
use crate::subjects::STREAM;
use crate::whole::Whole;
use async_nats::jetstream;
use chrono::{DateTime, Utc};
use runtime::{ConfigError, Env, Variable};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// Where the ledger is.
#[derive(Clone, Debug)]
pub struct LedgerConfig {
    /// `nats://127.0.0.1:4222`, several separated by commas; with a user, `nats://api:password@127.0.0.1:4222`.
    pub url: String,
    /// `http://127.0.0.1:8222`: `/varz` there tells whether an ack is durable.
    pub monitor_url: String,
}

impl LedgerConfig {
    /// Reads `NATS_URL` and `NATS_MONITOR_URL`.
    ///
    /// # Errors
    /// Names the variable and its shape.
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

/// What a durable consumer has before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Lag {
    /// Messages that nobody was given yet.
    #[serde(rename = "num_pending")]
    pub pending: u64,
    /// Messages that somebody holds, and has not acknowledged.
    #[serde(rename = "num_ack_pending")]
    pub held: u64,
}

/// The ledger. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub(crate) client: async_nats::Client,
    pub(crate) jetstream: jetstream::Context,
    /// What subjects of the JetStream API begin with: the account of the user decides.
    pub(crate) api: &'static str,
    pub(crate) source: &'static str,
    pub(crate) whole: Arc<Whole>,
    monitor: Monitor,
    incarnation: DateTime<Utc>,
}

impl Ledger {
    /// Connects and passes the gate: server version, durable acks, the stream as `nats/` defines it. A damaged ledger
    /// passes, because it can be read: [`Ledger::stopped`] says so. `source` is the CloudEvents source of what this process writes, `/paymint/api`.
    ///
    /// # Errors
    /// [`ConnectError`] says what to change. Nothing was written.
    pub async fn connect(config: &LedgerConfig, source: &'static str) -> Result<Self, ConnectError> {
        let client = connect_client(&config.url).await?;
        let api = find_api(&client).await?;
        let monitor = Monitor::new(&config.monitor_url)?;
        let incarnation = gate::pass(&client, api, &monitor).await?;
        let ledger = Self::unlooked(client, api, source, monitor, incarnation);
        ledger.first_look().await;
        Ok(ledger)
    }

    /// Over a connection, without a look at the stream that was created at `incarnation`.
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
        Self { client, jetstream, api, source, whole, monitor, incarnation }
    }

    /// When the stream was created. Another value than yesterday's is another ledger: positions do not carry over (F13).
    pub fn incarnation(&self) -> DateTime<Utc> {
        self.incarnation
    }

    /// Whether the connection stands now; for `/readyz`.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    /// How much a durable consumer of `nats/consumers/` has before it.
    ///
    /// # Errors
    /// [`LedgerError::Transient`] without an answer, or without a consumer of this name.
    pub async fn lag(&self, consumer: &str) -> Result<Lag, LedgerError> {
        let answer = request(&self.client, self.api, &format!("CONSUMER.INFO.{STREAM}.{consumer}"), Value::Null).await;
        let answer = answer.map_err(|e| LedgerError::transient(format!("state of the consumer {consumer}"), e))?;
        serde_json::from_value(answer)
            .map_err(|e| LedgerError::transient(format!("state of the consumer {consumer}"), e))
    }

    /// How full the server's storage is.
    ///
    /// # Errors
    /// [`LedgerError::Transient`] without an answer of the monitor.
    pub async fn storage(&self) -> Result<Storage, LedgerError> {
        self.monitor.storage().await.map_err(|e| LedgerError::transient("state of the storage", e))
    }

    /// Re-reads the stream's state: `(creation time, last sequence)`.
    ///
    /// # Errors
    /// [`LedgerError::Transient`] without an answer.
    pub async fn state(&self) -> Result<(DateTime<Utc>, u64), LedgerError> {
        let info =
            stream_info(&self.client, self.api).await.map_err(|e| LedgerError::transient("state of the stream", e))?;
        Ok((info.created, info.state.last_seq))
    }
}
