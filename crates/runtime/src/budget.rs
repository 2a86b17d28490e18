//! Daily budgets: an amount that each key may use up in a day, and that it gains back continuously. Pure: the caller passes
//! the time.

use chrono::{DateTime, Utc};
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

const DAY_MS: u128 = 86_400_000;

/// The part of the daily budget that each key has used up. A key that is new here has used nothing.
///
/// Amounts may exceed the budget. Then the key owes the excess, and gains it back first.
#[derive(Debug)]
pub struct DailyBudgets<K> {
    spent: HashMap<K, Spent>,
    /// Keys, oldest first.
    order: VecDeque<K>,
    remembered: usize,
}

#[derive(Clone, Copy, Debug)]
struct Spent {
    /// Amount times [`DAY_MS`], so that nothing is lost by rounding.
    scaled: u128,
    at: DateTime<Utc>,
}

impl<K: Copy + Eq + Hash> DailyBudgets<K> {
    /// Budgets of at most `remembered` keys. With one more, the oldest is forgotten, so it has its whole budget again.
    pub fn new(remembered: usize) -> Self {
        Self { spent: HashMap::new(), order: VecDeque::new(), remembered }
    }

    /// Uses up `amount` of the budget of `key`, which gains `per_day` in a day.
    pub fn spend(&mut self, key: K, amount: u64, per_day: u64, at: DateTime<Utc>) {
        let before = self.scaled(key, per_day, at);
        let at = self.spent.get(&key).map_or(at, |spent| spent.at.max(at));
        let scaled = before.saturating_add(u128::from(amount).saturating_mul(DAY_MS));
        if self.spent.insert(key, Spent { scaled, at }).is_some() {
            return;
        }
        if self.order.len() == self.remembered
            && let Some(oldest) = self.order.pop_front()
        {
            self.spent.remove(&oldest);
        }
        self.order.push_back(key);
    }

    /// Time until `key` has `amount`, or its whole budget if that is less; `None` if it has it now. With a budget of 0 it always
    /// has.
    pub fn wait(&self, key: K, amount: u64, per_day: u64, now: DateTime<Utc>) -> Option<Duration> {
        if per_day == 0 {
            return None;
        }
        let allowed = u128::from(per_day.saturating_sub(amount)).saturating_mul(DAY_MS);
        let excess = self.scaled(key, per_day, now).saturating_sub(allowed);
        let ms = excess.div_ceil(u128::from(per_day));
        (ms > 0).then(|| Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX)))
    }

    /// Returns whether `key` has not gained everything back.
    pub fn owes(&self, key: K, per_day: u64, now: DateTime<Utc>) -> bool {
        self.scaled(key, per_day, now) > 0
    }

    /// The part that is used up at `now`, times [`DAY_MS`].
    fn scaled(&self, key: K, per_day: u64, now: DateTime<Utc>) -> u128 {
        let Some(spent) = self.spent.get(&key) else { return 0 };
        let elapsed = u128::try_from((now - spent.at).num_milliseconds()).unwrap_or(0);
        spent.scaled.saturating_sub(elapsed.saturating_mul(u128::from(per_day)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn hours(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(hours)
    }

    #[test]
    fn a_key_has_the_amount_of_a_day_and_gains_it_back_in_a_day() {
        let mut budgets = DailyBudgets::new(9);
        assert_eq!(budgets.wait(1, 240, 240, hours(0)), None);
        budgets.spend(1, 200, 240, hours(0));
        assert_eq!((budgets.wait(1, 40, 240, hours(0)), budgets.wait(2, 240, 240, hours(0))), (None, None));
        assert_eq!(budgets.wait(1, 41, 240, hours(0)), Some(Duration::from_secs(360)));
        assert_eq!(budgets.wait(1, 50, 240, hours(1)), None);
        assert!(budgets.owes(1, 240, hours(19)) && !budgets.owes(1, 240, hours(20)) && !budgets.owes(2, 240, hours(0)));
    }

    #[test]
    fn what_exceeds_the_budget_is_gained_back_first() {
        let mut budgets = DailyBudgets::new(9);
        budgets.spend(1, 480, 240, hours(0));
        assert_eq!(budgets.wait(1, 10, 240, hours(0)), Some(Duration::from_secs(25 * 3_600)));
        assert_eq!(budgets.wait(1, 10, 240, hours(25)), None);
        assert_eq!(budgets.wait(1, 999, 240, hours(47)), Some(Duration::from_secs(3_600)), "more than a day's");
        assert_eq!(budgets.wait(1, 999, 240, hours(48)), None);
        assert_eq!(budgets.wait(1, 999, 0, hours(0)), None, "0 is no limit");
    }

    #[test]
    fn small_amounts_in_a_row_are_gained_back_and_a_clock_that_goes_back_gives_nothing() {
        let mut budgets = DailyBudgets::new(9);
        for ms in 0..86_400 {
            budgets.spend(1, 1, 1_000, DateTime::UNIX_EPOCH + TimeDelta::milliseconds(ms));
        }
        let at = DateTime::UNIX_EPOCH + TimeDelta::milliseconds(86_399);
        assert_eq!(budgets.wait(1, 1_000, 1_000, at).map(|wait| wait.as_millis()), Some(86_400_u128 * 86_400 - 86_399));
        budgets.spend(2, 240, 240, hours(2));
        budgets.spend(2, 0, 240, hours(0));
        assert_eq!(budgets.wait(2, 240, 240, hours(2)), Some(Duration::from_secs(86_400)));
    }

    #[test]
    fn the_oldest_keys_are_forgotten() {
        let mut budgets = DailyBudgets::new(2);
        for key in [1, 2, 1, 3] {
            budgets.spend(key, 240, 240, hours(0));
        }
        assert_eq!([1, 2, 3].map(|key| budgets.owes(key, 240, hours(0))), [false, true, true]);
        assert_eq!((budgets.spent.len(), budgets.order.len()), (2, 2));
    }
}
