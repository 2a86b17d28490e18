//! The gas that the orders and records of each token have cost lately. A token that uses up its budget of a day is not offered
//! until it has gained some back, so a creator who buys from himself spends no more than that.
//!
//! Each transaction that a payment is put in counts as a whole purchase, whatever comes of it.

use alloy_primitives::Address;
use chrono::{DateTime, TimeDelta, Utc};
use domain::OrderEvent;
use runtime::DailyBudgets;
use std::time::Duration;
use store::TokenLoad;

/// Gas of a payment and its mint. Measured: 97,264 at 100 new holders in one transaction (`contracts/gas`).
pub(crate) const GAS_PER_PURCHASE: u64 = 100_000;
/// Gas of the mint of a record without an order. Measured: 31,000 at 100 new holders.
const GAS_PER_RECORD: u64 = 40_000;
/// Number of tokens that are remembered, 100 bytes each. Each costs its creator a deployment.
const REMEMBERED: usize = 65_536;

/// The gas of all tokens.
#[derive(Debug)]
pub(crate) struct TokenGas(DailyBudgets<Address>);

impl Default for TokenGas {
    fn default() -> Self {
        Self(DailyBudgets::new(REMEMBERED))
    }
}

impl TokenGas {
    /// The gas of the hours in `loads`, the oldest first, at `now`. It counts at the end of its hour, so a restart gives back
    /// none of it.
    pub fn of(loads: &[TokenLoad], per_day: u64, now: DateTime<Utc>) -> Self {
        let mut gas = Self::default();
        for load in loads {
            let amount = load.submitted.saturating_mul(GAS_PER_PURCHASE);
            let amount = amount.saturating_add(load.found.saturating_mul(GAS_PER_RECORD));
            let at = (load.begins_at + TimeDelta::hours(1)).min(now);
            gas.0.spend(load.token, amount, per_day, at);
        }
        gas
    }

    /// Counts an event of an order for `token`.
    pub fn follow(&mut self, token: Address, event: &OrderEvent, per_day: u64, at: DateTime<Utc>) {
        if let OrderEvent::PaymentSubmitted(..) = event {
            self.0.spend(token, GAS_PER_PURCHASE, per_day, at);
        }
    }

    /// Counts a record of `token` that was found.
    pub fn found(&mut self, token: Address, per_day: u64, at: DateTime<Utc>) {
        self.0.spend(token, GAS_PER_RECORD, per_day, at);
    }

    /// Time until `token` has the gas of a purchase; `None` if it has it.
    pub fn wait(&self, token: Address, per_day: u64, now: DateTime<Utc>) -> Option<Duration> {
        self.0.wait(token, GAS_PER_PURCHASE, per_day, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::examples;

    const DAY: u64 = 24 * GAS_PER_PURCHASE;

    fn hours(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(hours)
    }

    #[test]
    fn a_token_that_has_used_up_its_gas_is_offered_again_when_it_has_the_gas_of_a_purchase() {
        let [one, other] = [1, 2].map(Address::repeat_byte);
        let mut gas = TokenGas::default();
        let submitted = OrderEvent::PaymentSubmitted(1, examples::submission(7));
        for _ in 0..24 {
            assert_eq!(gas.wait(one, DAY, hours(0)), None);
            gas.follow(one, &OrderEvent::PaymentDeferred(1, examples::deferral()), DAY, hours(0));
            gas.follow(one, &submitted, DAY, hours(0));
        }
        assert_eq!(gas.wait(one, DAY, hours(0)), Some(Duration::from_secs(3_600)));
        assert_eq!((gas.wait(other, DAY, hours(0)), gas.wait(one, 0, hours(0))), (None, None));
        assert_eq!(gas.wait(one, DAY, hours(1)), None, "the refill lets one through");
        gas.found(one, DAY, hours(1));
        assert_eq!(gas.wait(one, DAY, hours(1)), Some(Duration::from_secs(1_440)), "records count, too");
    }

    #[test]
    fn a_restart_gives_no_fresh_day() {
        let token = Address::repeat_byte(1);
        let load = |hour, submitted, found| TokenLoad { token, begins_at: hours(hour), submitted, found };
        let gas = TokenGas::of(&[load(0, 24, 0), load(12, 10, 0)], DAY, hours(13));
        assert_eq!(gas.wait(token, DAY, hours(13)), None, "12 hours were gained back");
        let gas = TokenGas::of(&[load(0, 24, 0), load(12, 12, 5)], DAY, hours(12) + TimeDelta::minutes(30));
        assert_eq!(gas.wait(token, DAY, hours(13)), Some(Duration::from_secs(3 * 3_600)));
    }
}
