//! The keys that name an order, so that no client binds as many to it as it likes.
//!
//! Each key of an order is an event, which is kept permanently. So an order takes a few keys only. The ledger cannot tell how
//! many an order has, because a key is found by its text and not by its order. This memory can, for the orders that it
//! remembers; others take no further key.

use domain::{IdempotencyKey, PaymentId};
use std::collections::{HashMap, VecDeque};

/// Maximum number of keys of one order. A client sends two at a time: a header, and a payment identifier.
const KEYS_PER_ORDER: usize = 4;
/// Number of orders that are remembered, 60 bytes each: as many as finished ones, so that no order is forgotten here first.
const REMEMBERED: usize = 2 * 65_536;

/// The first bytes of each key that is bound.
type KeyPrints = [Option<u64>; KEYS_PER_ORDER];

/// The keys of the latest orders that have any.
#[derive(Debug, Default)]
pub(crate) struct BoundKeys {
    by_order: HashMap<PaymentId, KeyPrints>,
    /// Oldest first.
    orders: VecDeque<PaymentId>,
}

impl BoundKeys {
    /// Notes keys that are about to be bound to the order, or were bound to it before.
    ///
    /// Returns false if it would have too many keys then. Nothing is noted in that case.
    pub fn add(&mut self, id: PaymentId, keys: &[IdempotencyKey]) -> bool {
        let is_new = !self.by_order.contains_key(&id);
        let mut prints = self.by_order.get(&id).copied().unwrap_or_default();
        for print in keys.iter().map(print) {
            if prints.contains(&Some(print)) {
                continue;
            }
            let Some(free) = prints.iter_mut().find(|slot| slot.is_none()) else { return false };
            *free = Some(print);
        }
        self.by_order.insert(id, prints);
        if is_new {
            self.remember(id);
        }
        true
    }

    pub fn clear(&mut self) {
        self.by_order.clear();
        self.orders.clear();
    }

    fn remember(&mut self, id: PaymentId) {
        if self.orders.len() == REMEMBERED
            && let Some(oldest) = self.orders.pop_front()
        {
            self.by_order.remove(&oldest);
        }
        self.orders.push_back(id);
    }
}

fn print(key: &IdempotencyKey) -> u64 {
    key.digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, B256};
    use domain::PaymentKey;

    fn key(n: u8) -> IdempotencyKey {
        IdempotencyKey { payer: Address::ZERO, digest: B256::repeat_byte(n) }
    }

    fn id(n: u64) -> PaymentId {
        PaymentId::of(PaymentKey(alloy_primitives::U256::from(n).into()))
    }

    #[test]
    fn an_order_takes_four_keys_and_the_same_key_again_is_no_other() {
        let mut keys = BoundKeys::default();
        assert!(keys.add(id(1), &[key(1), key(2)]) && keys.add(id(1), &[key(2), key(3)]));
        assert!(!keys.add(id(1), &[key(4), key(5)]), "there is room for one of the two");
        assert!(keys.add(id(1), &[key(5)]), "nothing was noted of what was refused");
        assert!(!keys.add(id(1), &[key(4)]) && keys.add(id(1), &[key(1), key(5)]));
        assert!(keys.add(id(2), &[key(4)]), "another order");
    }

    #[test]
    fn the_oldest_orders_are_forgotten() {
        let mut keys = BoundKeys::default();
        let last = u64::try_from(REMEMBERED).unwrap();
        for n in 0..=last {
            keys.add(id(n), &[key(1), key(2), key(3), key(4)]);
        }
        assert_eq!((keys.by_order.len(), keys.orders.len()), (REMEMBERED, REMEMBERED));
        assert!(!keys.add(id(last), &[key(5)]) && keys.add(id(0), &[key(5)]));
    }
}
