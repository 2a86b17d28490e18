//! Configuration of confirmer, from the environment.

use chain::ChainConfig;
use ledger::LedgerConfig;
use runtime::{ConfigError, Env, Settings, SharedSettings, Variable};
use std::net::SocketAddr;
use std::time::Duration;

/// Configuration of confirmer.
#[derive(Clone, Debug)]
pub struct Config {
    /// The ledger.
    pub ledger: LedgerConfig,
    /// URL of the read models. They tell which orders another process left waiting. If the database does not answer,
    /// new orders and those that wait in this process go on.
    pub database_url: String,
    /// The chain, and the number of confirmations.
    pub chain: ChainConfig,
    /// Pause between two requests for the head of the chain.
    pub poll: Duration,
    /// Settings, shared by all loops.
    pub settings: SharedSettings,
    /// Address of `/healthz`, `/readyz` and `/metrics`; `None` serves them nowhere.
    pub health: Option<SocketAddr>,
}

impl Config {
    /// Reads the variables. An error names the variable and its shape.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            ledger: LedgerConfig::from_env(env)?,
            database_url: env.get(
                &Variable::required(
                    "DATABASE_URL",
                    "postgres://user:password@127.0.0.1:5432/paymint",
                    "Read models, where waiting orders of a process that has gone are found. Only read.",
                )
                .secret(),
            )?,
            chain: ChainConfig::from_env(env)?,
            poll: env.millis(&Variable::millis(
                "HEAD_POLL_MS",
                Duration::from_millis(200),
                1..=60_000,
                "Pause between two requests for the head of the chain.",
            ))?,
            settings: SharedSettings::new(Settings::from_env(env)?),
            health: env.find(&Variable::optional(
                "HEALTH_ADDR",
                "127.0.0.1:8102",
                "Address of /healthz, /readyz and /metrics. Without it they are served nowhere.",
            ))?,
        })
    }
}
