//! Orders whose payments this process has decided lately. When their mints are decided, only the events since then are
//! read. An order that is not here is read from its beginning.

use domain::{Order, PaymentId};
use ledger::Loaded;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Maximum number of orders, 12 MB: the payments of ten seconds at full load, which is longer than a mint takes.
const KEPT_MAX: usize = 8_192;

/// The orders, each at a version that it had. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recent(Arc<Mutex<HashMap<PaymentId, Loaded<Order>>>>);

impl Recent {
    /// Keeps orders at the version that they have now. If there are too many, all earlier ones are forgotten.
    pub(crate) fn keep(&self, orders: Vec<(PaymentId, Loaded<Order>)>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() + orders.len() > KEPT_MAX {
            kept.clear();
        }
        kept.extend(orders);
    }

    /// Takes orders out, each as it is known here.
    pub(crate) fn take(&self, ids: &[PaymentId]) -> Vec<(PaymentId, Loaded<Order>)> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ids.iter().map(|id| (*id, kept.remove(id).unwrap_or_default())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{PaymentKey, examples};

    fn id(n: usize) -> PaymentId {
        let mut key = [0; 32];
        key[24..].copy_from_slice(&n.to_be_bytes());
        PaymentId::of(PaymentKey(key.into()))
    }

    fn paid(n: usize) -> (PaymentId, Loaded<Order>) {
        let state = Some(Order::requested(examples::request()));
        (id(n), Loaded { state, version: 7, ..Loaded::default() })
    }

    #[test]
    fn an_order_is_known_once_and_too_many_push_out_all_earlier_ones() {
        let recent = Recent::default();
        let known = |ids: &[usize]| {
            let taken = recent.take(&ids.iter().map(|n| id(*n)).collect::<Vec<_>>());
            assert!(
                taken.iter().zip(ids).all(|((taken, _), asked)| *taken == id(*asked)),
                "in the order of the question"
            );
            taken.iter().map(|(_, order)| order.version).collect::<Vec<_>>()
        };
        recent.keep(vec![paid(1), paid(2)]);
        assert_eq!(known(&[3, 1]), [0, 7]);
        assert_eq!(known(&[1, 2]), [0, 7], "taken before");
        recent.keep((0..KEPT_MAX).map(paid).collect());
        recent.keep(vec![paid(KEPT_MAX)]);
        assert_eq!(known(&[0, KEPT_MAX]), [0, 7]);
    }
}
