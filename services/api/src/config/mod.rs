//! What the environment says. Every variable that this service reads is here.

mod edge;

pub use edge::Edge;

use alloy_primitives::Address;
use axum::http::HeaderValue;
use ledger::LedgerConfig;
use runtime::{ConfigError, Env};
use std::net::SocketAddr;
use x402::Network;

/// The variable that changes the address; named in the error when the port is taken.
pub(crate) const ADDR_VARIABLE: &str = "API_ADDR";
/// Where the earlier system listened.
const ADDR_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4021);
/// Lifetime of the signatures that clients make, seconds: queue and settlement.
const MAX_TIMEOUT_DEFAULT_S: u64 = 900;
/// What settlement may need, seconds: a payment with less left is not taken (D14).
const MIN_WINDOW_DEFAULT_S: u64 = 120;
/// Orders that may wait (L5).
const LAG_MAX_DEFAULT: u64 = 20_000;
/// Unpaid orders of one payer (L6).
const PAYER_DEFAULT: usize = 16;
/// Settlements a second before any has been seen: half a full transaction every second.
const SETTLE_RATE_DEFAULT: u32 = 50;
/// A payment that stays valid for longer than a day is not taken: an archived id can never become payable again (D2).
pub(crate) const MAX_WINDOW_S: u64 = 86_400;

/// Configuration of the api.
#[derive(Clone, Debug)]
pub struct Config {
    /// `API_ADDR`: where to listen. Port 0 takes a free one, see [`crate::Server::address`].
    pub addr: SocketAddr,
    /// `PUBLIC_URL`: how clients reach this service, without a slash at the end; `http://` and the address when `None`.
    pub public_url: Option<String>,
    /// `NATS_URL`, `NATS_MONITOR_URL`.
    pub ledger: LedgerConfig,
    /// `DATABASE_URL`: the read models. The service starts and works without an answer from there.
    pub database_url: String,
    /// `CHAIN_ID`: the chain that is paid on.
    pub network: Network,
    /// `ASSET_ADDRESS`: the USDC contract there.
    pub asset: Address,
    /// `ASSET_NAME`: its EIP-712 name; one letter off and no signature fits.
    pub asset_name: String,
    /// `ASSET_VERSION`: its EIP-712 version.
    pub asset_version: String,
    /// `MAX_TIMEOUT_S`: lifetime of the signatures that clients are asked for, seconds.
    pub max_timeout_s: u64,
    /// `MIN_WINDOW_S`: a payment must stay valid for this long when it arrives, seconds.
    pub min_window_s: u64,
    /// `LAG_MAX`: orders that may wait for settlement; beyond it none is taken.
    pub lag_max: u64,
    /// `PAYER_IN_FLIGHT_MAX`: unpaid orders that one payer may have (B42).
    pub payer_in_flight_max: usize,
    /// `SETTLE_RATE`: settlements a second that are taken for granted until they have been measured.
    pub settle_rate: u32,
    /// `OPERATOR_TOKEN`: the bearer token of those who may follow everything; without it nobody may.
    pub operator_token: Option<OperatorToken>,
    /// `CORS_ORIGINS`: origins of browser applications, separated by commas; empty for any (`*`).
    pub cors_origins: Vec<HeaderValue>,
    /// Limits on connections, requests and streams.
    pub edge: Edge,
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// [`ConfigError`] names the variable and what it looks like.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let config = Self {
            addr: env.parse_or(ADDR_VARIABLE, "127.0.0.1:4021", ADDR_DEFAULT)?,
            public_url: public_url(env)?,
            ledger: LedgerConfig {
                url: env.text("NATS_URL", "nats://127.0.0.1:4222")?,
                monitor_url: env.text("NATS_MONITOR_URL", "http://127.0.0.1:8222")?,
            },
            database_url: env.text("DATABASE_URL", "postgres://user:password@127.0.0.1:5432/paymint")?,
            network: Network::from_chain_id(env.parse("CHAIN_ID", "84532")?),
            asset: env.parse("ASSET_ADDRESS", "0x036CbD53842c5426634e7929541eC2318f3dCF7e")?,
            asset_name: env.text("ASSET_NAME", "USDC")?,
            asset_version: env.text("ASSET_VERSION", "2")?,
            max_timeout_s: env.parse_or("MAX_TIMEOUT_S", "a number of seconds such as 900", MAX_TIMEOUT_DEFAULT_S)?,
            min_window_s: env.parse_or("MIN_WINDOW_S", "a number of seconds such as 120", MIN_WINDOW_DEFAULT_S)?,
            lag_max: env.parse_or("LAG_MAX", "a number of orders such as 20000", LAG_MAX_DEFAULT)?,
            payer_in_flight_max: env.parse_or("PAYER_IN_FLIGHT_MAX", "a number of orders such as 16", PAYER_DEFAULT)?,
            settle_rate: env.parse_or("SETTLE_RATE", "orders a second such as 50", SETTLE_RATE_DEFAULT)?,
            operator_token: OperatorToken::from_env(env)?,
            cors_origins: cors_origins(env)?,
            edge: Edge::from_env(env)?,
        };
        for (variable, zero) in [
            ("LAG_MAX", config.lag_max == 0),
            ("PAYER_IN_FLIGHT_MAX", config.payer_in_flight_max == 0),
            ("SETTLE_RATE", config.settle_rate == 0),
        ] {
            if zero {
                return Err(invalid(variable, "a number from 1 on", "with 0 no order would ever be taken".to_owned()));
            }
        }
        if config.max_timeout_s > MAX_WINDOW_S {
            let why = format!("payments may stay valid for {MAX_WINDOW_S} s at most");
            return Err(invalid("MAX_TIMEOUT_S", "900", why));
        }
        if config.min_window_s >= config.max_timeout_s {
            let why = format!("no payment could be in time: clients sign for {} s", config.max_timeout_s);
            return Err(invalid("MIN_WINDOW_S", "120", why));
        }
        Ok(config)
    }
}

/// Absolute, because v1 clients throw on a relative resource.
fn public_url(env: &Env) -> Result<Option<String>, ConfigError> {
    const SHAPE: &str = "https://mint.example.com";
    match env.text("PUBLIC_URL", SHAPE) {
        Err(_) => Ok(None),
        Ok(url) if url.starts_with("http://") || url.starts_with("https://") => {
            Ok(Some(url.trim_end_matches('/').to_owned()))
        }
        Ok(_) => Err(invalid("PUBLIC_URL", SHAPE, "it starts with neither http:// nor https://".to_owned())),
    }
}

fn cors_origins(env: &Env) -> Result<Vec<HeaderValue>, ConfigError> {
    let text = env.text_or("CORS_ORIGINS", "*");
    if text == "*" {
        return Ok(vec![]);
    }
    let origin = |one: &str| {
        let one = one.trim().trim_end_matches('/');
        HeaderValue::from_str(one)
            .ok()
            .filter(|_| one.starts_with("http://") || one.starts_with("https://"))
            .ok_or_else(|| {
                invalid("CORS_ORIGINS", "https://app.example.com,http://localhost:3000", "no origin".to_owned())
            })
    };
    text.split(',').map(origin).collect()
}

/// What operators send as `Authorization: Bearer …`. Never printed.
#[derive(Clone)]
pub struct OperatorToken(String);

impl OperatorToken {
    /// Shorter ones can be guessed.
    const LENGTH_MIN: usize = 16;

    fn from_env(env: &Env) -> Result<Option<Self>, ConfigError> {
        let text = env.text_or("OPERATOR_TOKEN", "");
        let plain = text.bytes().all(|b| b.is_ascii_graphic());
        match text.len() {
            0 => Ok(None),
            Self::LENGTH_MIN.. if plain => Ok(Some(Self(text))),
            _ => {
                let shape = "16 or more visible ASCII characters";
                Err(invalid("OPERATOR_TOKEN", shape, "it is too short, or has other characters".to_owned()))
            }
        }
    }

    /// In constant time: as long for a wrong first letter as for a wrong last one.
    fn is(&self, sent: &[u8]) -> bool {
        let differs = |(ours, sent): (&u8, &u8)| ours ^ sent;
        self.0.len() == sent.len() && self.0.as_bytes().iter().zip(sent).map(differs).fold(0, |all, one| all | one) == 0
    }
}

impl std::fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Config {
    /// Whether a request with this `Authorization` comes from an operator.
    pub(crate) fn is_operator(&self, authorization: Option<&HeaderValue>) -> bool {
        let sent = authorization.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        self.operator_token.as_ref().zip(sent).is_some_and(|(token, sent)| token.is(sent))
    }
}

fn invalid(variable: &str, shape: &str, why: String) -> ConfigError {
    ConfigError::Invalid { variable: variable.to_owned(), shape: shape.to_owned(), why }
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
    fn what_is_not_said_has_a_default() {
        let config = Config::from_env(&env(&[])).unwrap();
        assert_eq!(config.addr.to_string(), "127.0.0.1:4021");
        assert_eq!((config.max_timeout_s, config.min_window_s), (900, 120));
        assert_eq!(config.network.v1_name, Some("base-sepolia"));
        assert!(config.public_url.is_none() && config.cors_origins.is_empty());
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
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
