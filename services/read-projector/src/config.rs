//! Configuration of read-projector, from the environment.

use ledger::LedgerConfig;
use runtime::{ConfigError, Env, Variable};
use std::net::SocketAddr;

/// Configuration of read-projector.
#[derive(Clone, Debug)]
pub struct Config {
    /// The ledger.
    pub ledger: LedgerConfig,
    /// The database of the read models.
    pub database_url: String,
    /// Schema in which the read models are built, beside the live ones. `None` is the search path of the URL.
    pub schema: Option<String>,
    /// Address of `/healthz`, `/readyz` and `/metrics`; `None` serves them nowhere.
    pub health: Option<SocketAddr>,
}

impl Config {
    /// Reads the variables.
    ///
    /// # Errors
    /// [`ConfigError`] names the variable and how a valid value looks.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            ledger: LedgerConfig::from_env(env)?,
            database_url: env.get(
                &Variable::required(
                    "DATABASE_URL",
                    "postgres://user:password@127.0.0.1:5432/paymint",
                    "Database of the read models and of the second copy of the ledger.",
                )
                .secret(),
            )?,
            schema: env.find(&Variable::optional(
                "DATABASE_SCHEMA",
                "read_v2",
                "Schema in which the read models are built, beside the live ones. Without it: the URL's search path.",
            ))?,
            health: env.find(&Variable::optional(
                "HEALTH_ADDR",
                "127.0.0.1:8105",
                "Address of /healthz, /readyz and /metrics. Without it they are served nowhere.",
            ))?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_variable_is_named_with_its_shape() {
        let mut pairs = vec![("NATS_URL", "nats://a"), ("NATS_MONITOR_URL", "http://a"), ("HEALTH_ADDR", "nowhere")];
        let missing = Config::from_env(&Env::of(pairs.clone())).unwrap_err().to_string();
        assert!(missing.contains("DATABASE_URL") && missing.contains("postgres://"), "{missing}");
        pairs.push(("DATABASE_URL", "postgres://a"));
        let invalid = Config::from_env(&Env::of(pairs.clone())).unwrap_err().to_string();
        assert!(invalid.contains("HEALTH_ADDR") && invalid.contains("127.0.0.1:8105"), "{invalid}");
        pairs.retain(|(variable, _)| *variable != "HEALTH_ADDR");
        assert_eq!(Config::from_env(&Env::of(pairs)).unwrap().schema, None);
    }
}
