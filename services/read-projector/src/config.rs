//! Configuration of the projector.

use ledger::LedgerConfig;
use runtime::{ConfigError, Env};
use std::net::SocketAddr;

/// Addresses and options.
#[derive(Clone, Debug)]
pub struct Config {
    /// `NATS_URL`, `NATS_MONITOR_URL`.
    pub ledger: LedgerConfig,
    /// `DATABASE_URL`.
    pub database_url: String,
    /// `DATABASE_SCHEMA`: the schema for the read models, beside the live ones. If absent, the URL's search path
    /// decides.
    pub schema: Option<String>,
    /// `HEALTH_ADDR`: address of `/healthz` and `/readyz`. If absent, they are not served.
    pub health_addr: Option<SocketAddr>,
}

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    /// Names the variable and gives an example.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            ledger: LedgerConfig {
                url: env.text("NATS_URL", "nats://127.0.0.1:4222")?,
                monitor_url: env.text("NATS_MONITOR_URL", "http://127.0.0.1:8222")?,
            },
            database_url: env.text("DATABASE_URL", "postgres://user:password@127.0.0.1:5432/paymint")?,
            schema: env.text("DATABASE_SCHEMA", "read_v2").ok(),
            health_addr: match env.parse("HEALTH_ADDR", "127.0.0.1:9105") {
                Err(ConfigError::Missing { .. }) => None,
                address => Some(address?),
            },
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_shape() {
        let mut pairs = vec![("NATS_URL", "nats://a"), ("NATS_MONITOR_URL", "http://a"), ("HEALTH_ADDR", "nowhere")];
        let missing = Config::from_env(&Env::of(pairs.clone())).unwrap_err().to_string();
        assert!(missing.contains("DATABASE_URL") && missing.contains("postgres://"), "{missing}");
        pairs.push(("DATABASE_URL", "postgres://a"));
        let invalid = Config::from_env(&Env::of(pairs.clone())).unwrap_err().to_string();
        assert!(invalid.contains("HEALTH_ADDR") && invalid.contains("127.0.0.1:9105"), "{invalid}");
        pairs.retain(|(variable, _)| *variable != "HEALTH_ADDR");
        assert_eq!(Config::from_env(&Env::of(pairs)).unwrap().schema, None);
    }
}
