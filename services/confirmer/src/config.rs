//! Configuration of confirmer, from the environment.

use chain::ChainConfig;
use ledger::LedgerConfig;
use runtime::{ConfigError, Env};
use std::net::SocketAddr;
use std::time::Duration;

/// What confirmer needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The ledger.
    pub ledger: LedgerConfig,
    /// The read models, to find orders that another process left waiting. Without an answer from there new orders and
    /// those that wait in this process go on.
    pub database_url: String,
    /// The chain, and how deep is deep enough.
    pub chain: ChainConfig,
    /// How often the head is asked for.
    pub poll: Duration,
    /// First wait before a payment that failed on chain is tried again.
    pub retry: Duration,
    /// Where `/healthz` and `/readyz` are served; nowhere when not set.
    pub health: Option<SocketAddr>,
}

impl Config {
    /// Reads the variables; an error names the variable and its shape.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            ledger: LedgerConfig::from_env(env)?,
            database_url: env.text("DATABASE_URL", "postgres://user:password@127.0.0.1:5432/paymint")?,
            chain: ChainConfig::from_env(env)?,
            poll: env.millis_or("HEAD_POLL_MS", Duration::from_millis(200))?,
            retry: env.millis_or("SENDER_RETRY_MS", Duration::from_secs(2))?,
            health: env.optional("HEALTH_ADDR", "127.0.0.1:8102")?,
        })
    }
}
