//! Configuration of mint-projector, from the environment.

use chain::{ChainConfig, KeySource};
use domain::Usdc;
use ledger::LedgerConfig;
use runtime::{ConfigError, Env};
use std::net::SocketAddr;
use std::num::ParseIntError;
use std::str::FromStr;
use std::time::Duration;

/// What may be lost to a reorganisation deeper than N, whole USDC, unless the installation says otherwise.
const EXPOSURE_MAX: u64 = 1_000;

/// Whole USDC, as people write it.
#[derive(Clone, Copy, Debug)]
struct Dollars(u64);

impl Dollars {
    /// More than there can be is no limit.
    fn usdc(self) -> Usdc {
        Usdc(self.0.saturating_mul(1_000_000))
    }
}

impl FromStr for Dollars {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// What mint-projector needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The ledger.
    pub ledger: LedgerConfig,
    /// The read models, to find orders that another process left waiting. Without an answer from there new orders and
    /// those that wait in this process go on.
    pub database_url: String,
    /// The chain.
    pub chain: ChainConfig,
    /// One lane each; every one must be a minter of the token factory.
    pub keys: KeySource,
    /// A batch goes when its oldest payment has waited this long, or when it is full.
    pub max_wait: Duration,
    /// First wait before a mint that would be skipped is tried again.
    pub retry: Duration,
    /// Value that may be minted while its payments are not final (P1b).
    pub exposure_max: Usdc,
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
            keys: KeySource::from_env(env, "MINTER")?,
            max_wait: env.millis_or("MINT_MAX_WAIT_MS", Duration::from_secs(2))?,
            retry: env.millis_or("MINT_RETRY_MS", Duration::from_secs(2))?,
            exposure_max: env.parse_or("EXPOSURE_MAX_USDC", "whole USDC, such as 1000", Dollars(EXPOSURE_MAX))?.usdc(),
            health: env.optional("HEALTH_ADDR", "127.0.0.1:8103")?,
            instance: env.instance("mint-projector"),
        })
    }
}
