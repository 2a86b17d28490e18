//! Configuration of payment-sender, from the environment.

use chain::{Address, ChainConfig, KeySource};
use ledger::LedgerConfig;
use runtime::{ConfigError, Env};
use std::net::SocketAddr;
use std::time::Duration;

/// What payment-sender needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The ledger.
    pub ledger: LedgerConfig,
    /// The read models, to find orders that another process left waiting. Without an answer from there new orders and
    /// those that wait in this process go on.
    pub database_url: String,
    /// The chain.
    pub chain: ChainConfig,
    /// The settlement contract.
    pub settlement: Address,
    /// One lane each.
    pub keys: KeySource,
    /// How long the first payment of a batch waits for company.
    pub linger: Duration,
    /// First wait before a payment that would fail is tried again; doubled each time.
    pub retry: Duration,
    /// Where `/healthz` and `/readyz` are served; nowhere when not set.
    pub health: Option<SocketAddr>,
    /// Name of this process in the ledger.
    pub instance: String,
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
            settlement: env.parse("SETTLEMENT_ADDRESS", "0x5FbDB2315678afecb367f032d93F642f64180aa3")?,
            keys: KeySource::from_env(env, "SENDER")?,
            linger: env.millis_or("SENDER_LINGER_MS", Duration::from_millis(100))?,
            retry: env.millis_or("SENDER_RETRY_MS", Duration::from_secs(2))?,
            health: env.optional("HEALTH_ADDR", "127.0.0.1:8101")?,
            instance: env.instance("payment-sender"),
        })
    }
}
