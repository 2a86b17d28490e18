//! The typical duration of a step of an order.

use alloy_primitives::B256;
use chrono::TimeDelta;
use std::collections::VecDeque;
use std::time::Duration;

/// Number of transactions that are remembered.
const REMEMBERED: usize = 7;

/// The median of what the last transactions took.
///
/// All orders of a transaction wait for the same block, so together they are one observation: their mean. The median keeps
/// one slow transaction, which may carry a hundred orders, from changing the prediction.
pub(crate) struct Typical {
    guess: Duration,
    seen: VecDeque<Observation>,
}

/// One transaction.
struct Observation {
    tx: B256,
    orders: u64,
    /// Sum over its orders.
    total_ms: u64,
}

impl Typical {
    /// Nothing was observed yet, so `guess` is told.
    pub fn new(guess: Duration) -> Self {
        Self { guess, seen: VecDeque::new() }
    }

    /// Notes that an order took so long in this transaction.
    pub fn saw(&mut self, tx: B256, took: TimeDelta) {
        let ms = u64::try_from(took.num_milliseconds()).unwrap_or_default();
        // Two lanes write at the same time, so orders of several transactions alternate.
        if let Some(seen) = self.seen.iter_mut().find(|seen| seen.tx == tx) {
            seen.orders += 1;
            seen.total_ms = seen.total_ms.saturating_add(ms);
            return;
        }
        if self.seen.len() == REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back(Observation { tx, orders: 1, total_ms: ms });
    }

    /// The median, or the mean of the two in the middle.
    pub fn get(&self) -> Duration {
        let mut means: Vec<u64> = self.seen.iter().map(|seen| seen.total_ms / seen.orders).collect();
        means.sort_unstable();
        let (lower, upper) = (means.len().saturating_sub(1) / 2, means.len() / 2);
        match (means.get(lower), means.get(upper)) {
            (Some(lower), Some(upper)) => Duration::from_millis(u64::midpoint(*lower, *upper)),
            _ => self.guess,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_one_observation_however_many_orders_it_carries() {
        let mut typical = Typical::new(Duration::from_secs(10));
        assert_eq!(typical.get(), Duration::from_secs(10));
        for (tx, orders, ms) in [(1, 1, 3_000), (2, 2, 4_000), (3, 100, 20_000)] {
            for _ in 0..orders {
                typical.saw(B256::repeat_byte(tx), TimeDelta::milliseconds(ms));
            }
        }
        assert_eq!(typical.get(), Duration::from_secs(4), "one slow transaction of a hundred orders is one of three");
        typical.saw(B256::repeat_byte(2), TimeDelta::milliseconds(7_000));
        assert_eq!(typical.get(), Duration::from_secs(5), "the mean of its three orders");
        typical.saw(B256::repeat_byte(4), TimeDelta::milliseconds(9_000));
        assert_eq!(typical.get(), Duration::from_secs(7), "of an even number, the mean of the two in the middle");
    }

    #[test]
    fn a_chain_that_became_slower_is_believed_after_a_few_transactions() {
        let mut typical = Typical::new(Duration::from_secs(10));
        for tx in 0..20 {
            typical.saw(B256::repeat_byte(tx), TimeDelta::seconds(2));
        }
        for tx in 20..24 {
            assert_eq!(typical.get(), Duration::from_secs(2));
            typical.saw(B256::repeat_byte(tx), TimeDelta::seconds(30));
        }
        assert_eq!(typical.get(), Duration::from_secs(30));
    }
}
