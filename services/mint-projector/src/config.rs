//! Configuration of mint-projector, from the environment.

use chain::{ChainConfig, KeySource};
use ledger::LedgerConfig;
use runtime::{ConfigError, Env, Settings, SharedSettings, Variable};
use std::net::SocketAddr;

/// Configuration of mint-projector.
#[derive(Clone, Debug)]
pub struct Config {
    /// The ledger.
    pub ledger: LedgerConfig,
    /// The chain.
    pub chain: ChainConfig,
    /// One lane each; every one must be a minter of the token factory.
    pub keys: KeySource,
    /// Settings, shared by all lanes.
    pub settings: SharedSettings,
    /// Address of `/healthz`, `/readyz` and `/metrics`; `None` serves them nowhere.
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
            chain: ChainConfig::from_env(env)?,
            keys: KeySource::from_env(env, "MINTER")?,
            settings: SharedSettings::new(Settings::from_env(env)?),
            health: env.find(&Variable::optional(
                "HEALTH_ADDR",
                "127.0.0.1:8103",
                "Address of /healthz, /readyz and /metrics. Without it they are served nowhere.",
            ))?,
            instance: env.get(&Variable::or(
                "INSTANCE",
                "mint-projector",
                "Name of this process in the ledger. Each instance needs its own.",
            ))?,
        })
    }
}
