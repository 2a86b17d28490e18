//! Settings: the limits that an operator may change while the services run.
//!
//! A loop borrows the current value once per turn and keeps no copy. Today the environment provides the values, at
//! the start of a process.

use crate::env::{ConfigError, Env};
use crate::variable::Variable;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Longest time that a payment may stay valid, seconds. An archived payment can so never become payable again.
pub const VALIDITY_MAX_S: u64 = 86_400;

/// Largest number that a setting of this type may have where nothing else bounds it.
const MANY: u64 = 1_000_000_000;

/// 100,000 purchases of one token in a day, or more than one a second throughout. Measured at 100 new holders, payment and mint
/// of one purchase take 97,264 gas (`contracts/gas`). At 0.01 gwei, the usual price on Base, this is 0.1 coins a day.
const TOKEN_GAS_PER_DAY: u64 = 100_000 * 100_000;

/// Each row is a field, its variable, its default, and its floor and ceiling.
macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $field:ident: $read:ident $kind:ty = $name:literal, $default:expr, $range:expr;)+) => {
        /// The current limits. All services share one set.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Settings {
            $($(#[doc = $doc])+ pub $field: $kind,)+
        }

        impl Default for Settings {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl Settings {
            fn read(env: &Env) -> Result<Self, ConfigError> {
                Ok(Self {
                    $($field: env.$read(&Variable::$read($name, $default, $range, concat!($($doc),+).trim_ascii()))?,)+
                })
            }
        }
    };
}

settings! {
    /// Maximum number of orders that may wait for settlement. Further orders are refused with `queue_full`.
    waiting_orders_max: number u64 = "LAG_MAX", 20_000, 1..=MANY;
    /// Maximum number of unpaid orders of one payer. Further orders are refused with `payer_busy`.
    unpaid_orders_per_payer_max: number usize = "PAYER_IN_FLIGHT_MAX", 16, 1..=MANY;
    /// Lifetime of the signatures that clients are asked for, in seconds.
    payment_validity_s: number u64 = "MAX_TIMEOUT_S", 900, 1..=VALIDITY_MAX_S;
    /// Time for which a payment must still be valid when it arrives, in seconds. It must be shorter than MAX_TIMEOUT_S.
    payment_margin_s: number u64 = "MIN_WINDOW_S", 120, 0..=VALIDITY_MAX_S;
    /// Requests per second of one client, and twice as many in a burst; 0 is no limit.
    requests_per_client_s: number u32 = "RATE_PER_IP", 100, 0..=1_000_000;
    /// Requests per second of all clients to paths that cost the ledger something; 0 is no limit. The default is above
    /// what the ledger accepts on the best disk.
    requests_total_s: number u32 = "RATE_TOTAL", 5_000, 0..=1_000_000;
    /// Bytes in a day that one address may write with its orders, 1,500 each and 1,000 for each name; 0 is no limit.
    bytes_per_client_day: number u64 = "WRITE_BYTES_PER_IP", 200_000_000, 0..=1_000_000_000_000;
    /// Bytes in a day that the orders of one payer may take; 0 is no limit.
    bytes_per_payer_day: number u64 = "WRITE_BYTES_PER_PAYER", 20_000_000, 0..=1_000_000_000_000;
    /// Time that the first payment of a settlement transaction waits for others.
    settlement_linger: millis Duration = "SENDER_LINGER_MS", Duration::from_millis(100), 0..=60_000;
    /// First pause before a payment that would fail, or failed on chain, is tried again. It doubles with each try.
    payment_retry: millis Duration = "PAYMENT_RETRY_MS", Duration::from_secs(2), 1..=3_600_000;
    /// Longest time that a paid order waits for others before its mint transaction is sent.
    mint_wait_max: millis Duration = "MINT_MAX_WAIT_MS", Duration::from_secs(2), 0..=3_600_000;
    /// First pause before a mint that cannot be made now is tried again. It doubles with each try.
    mint_retry: millis Duration = "MINT_RETRY_MS", Duration::from_secs(2), 1..=3_600_000;
    /// Lowest price of a unit that is sold, in millionths of a USDC. A purchase costs us 97,264 gas, whatever its price is.
    price_min: number u64 = "PRICE_MIN", 10_000, 0..=MANY;
    /// Gas in a day that the orders and records of each token may cost: 100,000 a purchase. Then it is not offered until it has
    /// gained some back; 0 is no limit.
    token_gas_per_day: number u64 = "TOKEN_GAS_PER_DAY", TOKEN_GAS_PER_DAY, 0..=1_000_000_000_000_000;
    /// Gas in a day that the payments of one payer may cost that fail on chain: 160,000 each, so ten. Then they wait until it
    /// is gained back; 0 is no limit.
    payer_gas_per_day: number u64 = "PAYER_GAS_PER_DAY", 1_600_000, 0..=MANY;
    /// Gas in a day that each token's records without an order may cost: 40,000 a mint. Records beyond it wait; 0 mints none.
    record_gas_per_day: number u64 = "RECORD_GAS_PER_DAY", 20_000_000, 0..=MANY;
}

impl Settings {
    /// Reads all settings.
    ///
    /// # Errors
    /// [`ConfigError`] names the variable and its bounds.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let settings = Self::read(env)?;
        if settings.payment_margin_s >= settings.payment_validity_s {
            let why = format!("no payment could be in time: clients sign for {} s", settings.payment_validity_s);
            return Err(ConfigError::invalid("MIN_WINDOW_S", "120", why));
        }
        Ok(settings)
    }
}

/// The settings of a process, shared by its tasks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SharedSettings(watch::Sender<Arc<Settings>>);

impl SharedSettings {
    /// Shares `settings`.
    pub fn new(settings: Settings) -> Self {
        Self(watch::Sender::new(Arc::new(settings)))
    }

    /// The current value. A loop asks once per turn.
    pub fn now(&self) -> Arc<Settings> {
        Arc::clone(&self.0.borrow())
    }

    /// Changes the value for all tasks, from their next turn on.
    pub fn change(&self, change: impl FnOnce(&mut Settings)) {
        self.0.send_modify(|settings| change(Arc::make_mut(settings)));
    }
}

impl Default for SharedSettings {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_environment_gives_the_defaults() {
        assert_eq!(Settings::from_env(&Env::default()), Ok(Settings::default()));
    }

    #[test]
    fn a_setting_below_its_floor_or_above_its_ceiling_is_refused_by_name() {
        for (variable, value) in [
            ("LAG_MAX", "0"),
            ("PAYER_IN_FLIGHT_MAX", "0"),
            ("MAX_TIMEOUT_S", "86401"),
            ("MIN_WINDOW_S", "900"),
            ("RATE_TOTAL", "many"),
            ("PAYMENT_RETRY_MS", "0"),
        ] {
            let said = Settings::from_env(&Env::of([(variable, value)])).map_err(|e| e.to_string());
            assert!(said.as_ref().is_err_and(|said| said.starts_with(variable)), "{variable}: {said:?}");
        }
    }

    #[test]
    fn a_change_is_seen_by_every_holder_from_its_next_look_on() {
        let shared = SharedSettings::default();
        let (other, before) = (shared.clone(), shared.now());
        shared.change(|settings| settings.waiting_orders_max = 7);
        assert_eq!((before.waiting_orders_max, other.now().waiting_orders_max), (20_000, 7));
    }
}
