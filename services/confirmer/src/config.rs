//! Configuration of confirmer, from the environment.

use chain::{Asset, ChainConfig};
use ledger::LedgerConfig;
use runtime::{ConfigError, Env};
use std::net::SocketAddr;
use std::time::Duration;

/// What confirmer needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The ledger.
    pub ledger: LedgerConfig,
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
            ledger: LedgerConfig {
                url: env.text("NATS_URL", "nats://127.0.0.1:4222")?,
                monitor_url: env.text("NATS_MONITOR_URL", "http://127.0.0.1:8222")?,
            },
            chain: ChainConfig {
                rpc_url: env.text("RPC_URL", "http://127.0.0.1:8545")?,
                chain_id: env.parse("CHAIN_ID", "84532")?,
                asset: Asset {
                    address: env.parse("ASSET_ADDRESS", "0x036CbD53842c5426634e7929541eC2318f3dCF7e")?,
                    name: env.text("ASSET_NAME", "USDC")?,
                    version: env.text("ASSET_VERSION", "2")?,
                },
                confirmations: env.parse_or("CONFIRMATIONS", "a number of blocks such as 5", 1)?,
                start_block: env.parse_or("START_BLOCK", "a block number", 0)?,
            },
            poll: env.millis_or("HEAD_POLL_MS", Duration::from_millis(200))?,
            retry: env.millis_or("SENDER_RETRY_MS", Duration::from_secs(2))?,
            health: env.optional("HEALTH_ADDR", "127.0.0.1:8102")?,
        })
    }
}
