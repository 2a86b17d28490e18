//! Configuration of the api, from the environment.

use alloy_primitives::Address;
use axum::http::HeaderValue;
use edge::{BearerToken, EdgeConfig};
use ledger::LedgerConfig;
use runtime::{ConfigError, Env, Settings, Variable};
use std::net::SocketAddr;
use std::time::Duration;
use x402::Network;

/// The variable of the address; named in the error when the port is taken.
pub(crate) const ADDR_VARIABLE: &str = "API_ADDR";
/// Address on which the earlier system listened.
const ADDR_DEFAULT: &str = "127.0.0.1:4021";
/// Settlements per second before any has been seen: half a full transaction every second.
const SETTLE_RATE: u64 = 50;
/// Longest time for a body that has begun. An order needs 20 bytes.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for the acknowledgement of an append. A leader election takes 6.5 s, and a 202 after it is better than
/// a 503 that leaves the outcome unknown.
const APPEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest of these two that can be configured, milliseconds. Clients give up after a minute.
const TIMEOUT_MAX_MS: u64 = 60_000;

/// Configuration of the api.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on. Port 0 takes a free one, see [`crate::Server::address`].
    pub addr: SocketAddr,
    /// Address of `/healthz`, `/readyz` and `/metrics` for operators; `None` serves them nowhere. It is not the public
    /// address, so that counters stay inside.
    pub health: Option<SocketAddr>,
    /// URL at which clients reach this service, without a slash at the end. `None` is `http://` and the address.
    pub public_url: Option<String>,
    /// The ledger.
    pub ledger: LedgerConfig,
    /// The read models. The service starts and works without them.
    pub database_url: String,
    /// The chain on which clients pay.
    pub network: Network,
    /// The USDC contract on that chain.
    pub asset: Address,
    /// Its EIP-712 name. With a wrong one no signature is valid.
    pub asset_name: String,
    /// Its EIP-712 version.
    pub asset_version: String,
    /// Settlements per second that are assumed until they have been measured.
    pub settle_rate: u32,
    /// Bearer token of the operators, who may follow all events. Without a token no client may.
    pub operator_token: Option<BearerToken>,
    /// Origins of browser applications; empty for any (`*`).
    pub cors_origins: Vec<HeaderValue>,
    /// Longest time for a body that has begun.
    pub body_timeout: Duration,
    /// Longest wait for the acknowledgement of an append.
    pub append_timeout: Duration,
    /// Limits on connections and streams.
    pub edge: EdgeConfig,
    /// Settings at the start.
    pub settings: Settings,
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// [`ConfigError`] names the variable and how a valid value looks.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let (required, optional) = (Variable::required, Variable::optional);
        let timeout =
            |name, default, meaning| env.millis(&Variable::millis(name, default, 1..=TIMEOUT_MAX_MS, meaning));
        Ok(Self {
            addr: env.get(&Variable::or(
                ADDR_VARIABLE,
                ADDR_DEFAULT,
                "Address to listen on. Port 0 takes a free one.",
            ))?,
            health: env.find(&optional(
                "HEALTH_ADDR",
                "127.0.0.1:8104",
                "Internal address of /healthz, /readyz and /metrics. Without it they are served nowhere.",
            ))?,
            public_url: public_url(env)?,
            ledger: LedgerConfig::from_env(env)?,
            database_url: env.get(
                &required(
                    "DATABASE_URL",
                    "postgres://user:password@127.0.0.1:5432/paymint",
                    "Read models. The api starts and works without an answer from there.",
                )
                .secret(),
            )?,
            network: Network::from_chain_id(env.get(&required(
                "CHAIN_ID",
                "84532",
                "EIP-155 id of the chain on which clients pay.",
            ))?),
            asset: env.get(&required(
                "ASSET_ADDRESS",
                "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
                "USDC contract on that chain.",
            ))?,
            asset_name: env.get(&required(
                "ASSET_NAME",
                "USDC",
                "EIP-712 name of the asset. With a wrong one no signature is valid.",
            ))?,
            asset_version: env.get(&required("ASSET_VERSION", "2", "EIP-712 version of the asset."))?,
            settle_rate: env.number(&Variable::number(
                "SETTLE_RATE",
                SETTLE_RATE,
                1..=1_000_000,
                "Settlements per second that are assumed until they have been measured.",
            ))?,
            operator_token: env.find(
                &optional(
                    "OPERATOR_TOKEN",
                    "16-or-more-visible-ASCII-characters",
                    "Bearer token of the operators, who may follow all events. Without it nobody may.",
                )
                .secret(),
            )?,
            cors_origins: cors_origins(env)?,
            body_timeout: timeout("BODY_TIMEOUT_MS", BODY_TIMEOUT, "Longest time for a body that has begun.")?,
            append_timeout: timeout(
                "APPEND_TIMEOUT_MS",
                APPEND_TIMEOUT,
                "Longest wait for the acknowledgement of an append. After it the client is told to try again.",
            )?,
            edge: EdgeConfig::from_env(env)?,
            settings: Settings::from_env(env)?,
        })
    }
}

/// An absolute URL, because v1 clients throw on a relative resource.
fn public_url(env: &Env) -> Result<Option<String>, ConfigError> {
    const SHAPE: &str = "https://mint.example.com";
    let meaning = "URL at which clients reach this service. Without it they are told http:// and the address.";
    match env.find::<String>(&Variable::optional("PUBLIC_URL", SHAPE, meaning))? {
        None => Ok(None),
        Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
            Ok(Some(url.trim_end_matches('/').to_owned()))
        }
        Some(_) => Err(ConfigError::invalid("PUBLIC_URL", SHAPE, "it starts with neither http:// nor https://")),
    }
}

fn cors_origins(env: &Env) -> Result<Vec<HeaderValue>, ConfigError> {
    const SHAPE: &str = "https://app.example.com,http://localhost:3000";
    let meaning = "Origins of browser applications, or * for any.";
    let origins: Vec<String> = env.list(&Variable::or("CORS_ORIGINS", "*", meaning).list())?;
    if origins == ["*"] {
        return Ok(vec![]);
    }
    let origin = |one: &String| {
        let one = one.trim_end_matches('/');
        HeaderValue::from_str(one)
            .ok()
            .filter(|_| one.starts_with("http://") || one.starts_with("https://"))
            .ok_or_else(|| ConfigError::invalid("CORS_ORIGINS", SHAPE, "one of them is no origin"))
    };
    origins.iter().map(origin).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn env(change: &[(&str, &str)]) -> Env {
        let required = [
            ("NATS_URL", "nats://127.0.0.1:4222"),
            ("NATS_MONITOR_URL", "http://127.0.0.1:8222"),
            ("DATABASE_URL", "postgres://127.0.0.1/paymint"),
            ("CHAIN_ID", "84532"),
            ("ASSET_ADDRESS", "0x036CbD53842c5426634e7929541eC2318f3dCF7e"),
            ("ASSET_NAME", "USDC"),
            ("ASSET_VERSION", "2"),
        ];
        Env::of(required.iter().chain(change).map(|(name, value)| (*name, *value)))
    }

    #[test]
    fn a_variable_that_is_not_set_has_a_default() {
        let config = Config::from_env(&env(&[])).unwrap();
        assert_eq!(config.addr.to_string(), "127.0.0.1:4021");
        assert_eq!((config.settings.payment_validity_s, config.settings.payment_margin_s), (900, 120));
        assert_eq!((config.body_timeout.as_secs(), config.append_timeout.as_secs()), (10, 10));
        assert_eq!(config.network.v1_name, Some("base-sepolia"));
        assert!(config.public_url.is_none() && config.cors_origins.is_empty());
    }

    #[test]
    fn a_value_that_cannot_work_is_refused_by_name() {
        let cases = [
            ("API_ADDR", "4021"),
            ("PUBLIC_URL", "mint.example.com"),
            ("ASSET_ADDRESS", "0x036C"),
            ("CORS_ORIGINS", "localhost"),
            ("MAX_TIMEOUT_S", "86401"),
            ("MIN_WINDOW_S", "900"),
            ("TRUSTED_PROXY_HOPS", "-1"),
            ("MAX_CONNECTIONS", "0"),
            ("HEADERS_TIMEOUT_MS", "0"),
            ("RATE_TOTAL", "many"),
            ("OPERATOR_TOKEN", "too-short"),
            ("BODY_TIMEOUT_MS", "0"),
            ("SETTLE_RATE", "0"),
        ];
        for (variable, value) in cases {
            let error = Config::from_env(&env(&[(variable, value)])).unwrap_err().to_string();
            assert!(error.starts_with(variable), "{error}");
        }
    }

    #[test]
    fn a_slash_at_the_end_of_a_url_means_nothing() {
        let set =
            [("PUBLIC_URL", "https://mint.example.com/"), ("CORS_ORIGINS", "https://a.example/, http://b.example")];
        let config = Config::from_env(&env(&set)).unwrap();
        assert_eq!(config.public_url.unwrap(), "https://mint.example.com");
        assert_eq!(config.cors_origins, ["https://a.example", "http://b.example"]);
    }
}
