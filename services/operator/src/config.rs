//! Configuration of operator, from the environment.

use chain::{ChainConfig, KeySource};
use ledger::LedgerConfig;
use runtime::{ConfigError, Env, Settings, SharedSettings, Variable};
use std::net::SocketAddr;

/// Configuration of operator.
#[derive(Clone, Debug)]
pub struct Config {
    /// The ledger.
    pub ledger: LedgerConfig,
    /// URL of the read models. They tell which orders another process left waiting. If the database does not answer,
    /// new orders and those that wait in this process go on.
    pub database_url: String,
    /// The chain.
    pub chain: ChainConfig,
    /// The signing keys. Each is one lane, and its account must be an operator of the tokens' factory.
    pub keys: KeySource,
    /// Settings, shared by all lanes.
    pub settings: SharedSettings,
    /// Address of `/healthz`, `/readyz` and `/metrics`; `None` serves them nowhere.
    pub health: Option<SocketAddr>,
    /// Name of this process in the ledger.
    pub instance: String,
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
            keys: KeySource::from_env(env, "OPERATOR")?,
            settings: SharedSettings::new(Settings::from_env(env)?),
            health: env.find(&Variable::optional(
                "HEALTH_ADDR",
                "127.0.0.1:8106",
                "Address of /healthz, /readyz and /metrics. Without it they are served nowhere.",
            ))?,
            instance: env.instance("operator")?,
        })
    }
}
