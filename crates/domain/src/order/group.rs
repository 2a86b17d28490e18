//! Groups of orders that are minted together. A batch that fails as a whole is divided until the failing item stands
//! alone.

use super::Order;

/// The depth at which a group cannot be divided further. No two orders have keys that share so many bits.
const DEPTH_MAX: u32 = 64;

/// Orders of one token that may share a mint transaction. All orders whose mint was never set back are one group. Each
/// time that a mint is set back, it moves to one of the two halves of its group, by the next bit of its payment key.
/// The halves are disjoint, every process divides in the same way, and only the number of setbacks must be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MintGroup {
    depth: u32,
    bits: u64,
}

impl Order {
    /// The group in which this order's mint is tried next.
    pub fn mint_group(&self) -> MintGroup {
        let depth = self.mint.counts().deferred.min(DEPTH_MAX);
        let mut first = [0; 8];
        first.copy_from_slice(&self.request.payment_key.0[..8]);
        let bits = u64::from_be_bytes(first).checked_shr(u64::BITS - depth).unwrap_or(0);
        MintGroup { depth, bits }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::examples;
    use crate::order::{Counts, LegProgress, LegState, Order};
    use crate::{PaymentKey, PaymentRequest};
    use alloy_primitives::B256;
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::LazyLock;

    /// Requests by the first byte of their keys.
    static REQUESTS: LazyLock<BTreeMap<u8, PaymentRequest>> = LazyLock::new(|| {
        let mut requests = BTreeMap::new();
        for number in 0_u64.. {
            let mut fields = examples::request().into_fields();
            let nonce = B256::left_padding_from(&number.to_be_bytes());
            fields.authorization.nonce = nonce;
            fields.payment_key = PaymentKey::new(fields.chain_id, fields.asset, fields.authorization.from, nonce);
            requests.insert(fields.payment_key.0[0], PaymentRequest::new(fields).unwrap());
            if requests.len() == 256 {
                break;
            }
        }
        requests
    });

    fn order(first: u8, mint_deferred: u32) -> Order {
        let mut order = Order::requested(REQUESTS[&first].clone());
        let counts = Counts { deferred: mint_deferred, ..Counts::default() };
        order.mint.follow(LegProgress { state: LegState::Owed, counts }, None);
        order
    }

    #[test]
    fn c19_c20_a_group_is_divided_into_disjoint_halves_until_each_stands_alone() {
        for depth in 0..=8 {
            let groups: BTreeSet<_> = (0..=u8::MAX).map(|first| order(first, depth).mint_group()).collect();
            assert_eq!(groups.len(), 1 << depth);
            for first in (0..=u8::MAX).filter(|_| depth < 8) {
                let halves = [order(first, depth + 1), order(first ^ (0x80 >> depth), depth + 1)]
                    .map(|order| order.mint_group());
                assert_eq!(order(first, depth).mint_group(), order(first ^ (0x80 >> depth), depth).mint_group());
                assert_ne!(halves[0], halves[1]);
            }
        }
        assert_ne!(order(0, 1).mint_group(), order(0, 2).mint_group(), "never beside one that failed less often");
        assert_eq!(order(1, 64).mint_group(), order(1, u32::MAX).mint_group());
    }
}
