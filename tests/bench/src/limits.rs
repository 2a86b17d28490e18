//! Limits of the api while it is measured.
//!
//! The limiters stay in the path, because every request of a real installation passes them. They are so wide that they
//! refuse nothing. The overload narrows one of them, and abuse meets them as an installation has them.

/// More than any phase sends, a second or at once; longer than any takes.
const WIDE: &str = "1000000";

/// Longest time from a connection to its first byte.
const FIRST_BYTE: &str = "FIRST_BYTE_TIMEOUT_MS";

/// Every limit of the api, by its variable, and what they count.
const VARIABLES: [&str; 10] = [
    "MAX_CONNECTIONS",
    "MAX_CONNECTIONS_PER_IP",
    FIRST_BYTE,            // a connection of a paced load waits for its turn
    "RATE_PER_IP",         // requests a second
    "RATE_TOTAL",          // requests a second
    "SSE_PER_IP",          // event streams
    "SSE_MAX",             // event streams
    "PAYER_IN_FLIGHT_MAX", // payments that are accepted and not yet charged, of one payer
    "LAG_MAX",             // the same of all payers
    "SETTLE_RATE",         // settlements a second, assumed until they are measured
];

/// The budgets of a day, by their variables. With 0 there is none.
const BUDGETS: [&str; 3] = ["WRITE_BYTES_PER_IP", "WRITE_BYTES_PER_PAYER", "TOKEN_GAS_PER_DAY"];

/// The limits of one start of the api.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `LAG_MAX`; wide when `None`.
    pub lag_max: Option<usize>,
    /// Everything is as it is without settings.
    pub are_defaults: bool,
}

impl Limits {
    /// Nothing is refused.
    pub const NONE: Self = Self { lag_max: None, are_defaults: false };

    /// Those of an installation that sets none. A connection may still wait for its turn.
    pub const DEFAULTS: Self = Self { lag_max: None, are_defaults: true };

    /// Nothing is refused but orders above `lag_max`.
    pub const fn lag(lag_max: usize) -> Self {
        Self { lag_max: Some(lag_max), ..Self::NONE }
    }

    /// The environment that says so.
    pub fn variables(self) -> impl Iterator<Item = (&'static str, String)> {
        let is_set = move |name: &&str| !self.are_defaults || *name == FIRST_BYTE;
        let limits = VARIABLES.into_iter().filter(is_set).map(move |name| match (name, self.lag_max) {
            ("LAG_MAX", Some(lag_max)) => (name, lag_max.to_string()),
            _ => (name, WIDE.to_owned()),
        });
        let budgets = BUDGETS.into_iter().filter(move |_| !self.are_defaults);
        limits.chain(budgets.map(|name| (name, "0".to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lag_is_ever_narrow() {
        let is_narrow = |value: &str| value != WIDE && value != "0";
        let narrow: Vec<_> = Limits::lag(900).variables().filter(|(_, value)| is_narrow(value)).collect();
        assert_eq!(narrow, [("LAG_MAX", "900".to_owned())]);
        assert!(Limits::NONE.variables().all(|(_, value)| !is_narrow(&value)));
        assert_eq!(Limits::DEFAULTS.variables().map(|(name, _)| name).collect::<Vec<_>>(), [FIRST_BYTE]);
    }
}
