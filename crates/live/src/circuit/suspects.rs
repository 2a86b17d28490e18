//! Payers whose payments could not be settled lately.
//!
//! Each counts in one run of failures at most, and none is let through a closed door. Both keep a few accounts from closing
//! doors again and again. A payer is suspected no longer when a payment of theirs is confirmed.

use alloy_primitives::Address;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{HashMap, VecDeque};

/// Time for which a payer is remembered.
pub(super) const REMEMBERED_FOR: TimeDelta = TimeDelta::hours(1);
/// Number of payers that are remembered, 100 bytes each.
const REMEMBERED: usize = 65_536;

/// The latest payers.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    failed: HashMap<Address, DateTime<Utc>>,
    /// Oldest first. Has payers that are suspected no longer, too.
    order: VecDeque<Address>,
}

impl Suspects {
    /// Notes a payer at `at`. Returns false if the payer is suspected already.
    pub fn add(&mut self, payer: Address, at: DateTime<Utc>) -> bool {
        let was = self.contains(payer, at);
        if self.failed.insert(payer, at).is_none() {
            if self.order.len() == REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.failed.remove(&oldest);
            }
            self.order.push_back(payer);
        }
        !was
    }

    pub fn contains(&self, payer: Address, now: DateTime<Utc>) -> bool {
        self.failed.get(&payer).is_some_and(|at| now - *at < REMEMBERED_FOR)
    }

    pub fn remove(&mut self, payer: Address) {
        self.failed.remove(&payer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payer(n: usize) -> Address {
        Address::left_padding_from(&n.to_be_bytes())
    }

    #[test]
    fn a_payer_is_new_once_in_an_hour_and_the_oldest_are_forgotten() {
        let (mut suspects, at) = (Suspects::default(), DateTime::UNIX_EPOCH);
        assert_eq!((suspects.add(payer(0), at), suspects.add(payer(0), at)), (true, false));
        let later = at + REMEMBERED_FOR;
        assert!(suspects.contains(payer(0), later - TimeDelta::seconds(1)) && !suspects.contains(payer(0), later));
        suspects.remove(payer(0));
        assert!(suspects.add(payer(0), at), "a payment of theirs was charged");
        for n in 1..=2 * REMEMBERED {
            suspects.add(payer(n), at);
        }
        assert!(suspects.failed.len() <= REMEMBERED && suspects.order.len() == REMEMBERED);
        assert!(!suspects.contains(payer(0), at) && suspects.contains(payer(2 * REMEMBERED), at));
    }
}
