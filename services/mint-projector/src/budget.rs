//! The gas that records without an order may cost, for each token. Whoever makes such records pays for their units, but not
//! for their mints. Pure: the caller passes the time.

use chain::Address;
use std::collections::HashMap;
use tokio::time::Instant;

const DAY_S: u128 = 86_400;

/// The gas that is left for each token. A token that is new here has that of a whole day. Lost with the process.
#[derive(Debug, Default)]
pub struct GasBudget(HashMap<Address, (u64, Instant)>);

impl GasBudget {
    /// The gas that `token` may cost at `now`, if it gains `per_day` in a day, and never has more.
    pub fn left(&self, token: Address, per_day: u64, now: Instant) -> u64 {
        let Some((left, since)) = self.0.get(&token) else { return per_day };
        let gained = u128::from(per_day) * now.saturating_duration_since(*since).as_millis() / (DAY_S * 1_000);
        left.saturating_add(u64::try_from(gained).unwrap_or(u64::MAX)).min(per_day)
    }

    /// Takes `gas` from what is left for `token`, or all of it if that is less.
    pub fn spend(&mut self, token: Address, gas: u64, per_day: u64, now: Instant) {
        let left = self.left(token, per_day, now).saturating_sub(gas);
        self.0.insert(token, (left, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_token_has_the_gas_of_a_day_and_gains_it_back_in_a_day() {
        let (mut budget, begin) = (GasBudget::default(), Instant::now());
        let [one, other] = [1, 2].map(Address::repeat_byte);
        let hours = |hours: u64| begin + Duration::from_secs(hours * 3_600);
        budget.spend(one, 200, 240, begin);
        assert_eq!([budget.left(one, 240, begin), budget.left(other, 240, begin)], [40, 240], "each token has its own");
        assert_eq!(budget.left(one, 240, hours(1)), 50);
        budget.spend(one, 50, 240, hours(1));
        assert_eq!(budget.left(one, 240, hours(2)), 10);
        budget.spend(one, 50, 240, hours(2));
        assert_eq!(budget.left(one, 240, hours(2)), 0, "no debt");
        assert_eq!(budget.left(one, 240, hours(999)), 240, "no more than a day's");
        assert_eq!([budget.left(one, 0, hours(999)), budget.left(Address::ZERO, 0, begin)], [0, 0]);
    }
}
