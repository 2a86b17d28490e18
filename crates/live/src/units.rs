//! The units of each token that are taken, so that no payer is asked to sign for units that another has.
//!
//! An order takes its units from the request on, until its payment fails or its payer has the money back. The count is of
//! this ledger: another instance may accept an order at the same moment, and anybody may pay the token around this
//! service. The contract decides; this count only spares most payers a payment that would wait and fail.

use crate::bought::Bought;
use alloy_primitives::Address;
use domain::OrderEvent;
use std::collections::{BTreeMap, HashMap};

/// Taken units by token.
#[derive(Debug)]
pub(crate) struct Units(HashMap<Address, u64>);

impl Units {
    /// Counts on from `taken`.
    pub fn new(taken: BTreeMap<Address, u64>) -> Self {
        Self(taken.into_iter().collect())
    }

    /// The units of `token` that are left of `max`.
    pub fn left(&self, token: Address, max: u64) -> u64 {
        max.saturating_sub(self.0.get(&token).copied().unwrap_or_default())
    }

    /// Counts an event of an order. The units of an order that `is_counted` already are not taken again at its request.
    /// Every other event that changes the count can only follow one that counted the other way.
    pub fn follow(&mut self, order: Bought, is_counted: bool, event: &OrderEvent) {
        match event {
            OrderEvent::PaymentRequested(_) if is_counted => {}
            OrderEvent::PaymentRequested(_) | OrderEvent::RefundReverted(..) => self.take(order),
            OrderEvent::PaymentFailed(_) | OrderEvent::RefundConfirmed(_) | OrderEvent::RefundRestored(..) => {
                self.give_back(order);
            }
            _ => {}
        }
    }

    /// Takes the units of `order`.
    pub fn take(&mut self, order: Bought) {
        let taken = self.0.entry(order.token).or_default();
        *taken = taken.saturating_add(u64::from(order.quantity.get()));
    }

    /// Gives the units of `order` back.
    pub fn give_back(&mut self, order: Bought) {
        let taken = self.0.entry(order.token).or_default();
        *taken = taken.saturating_sub(u64::from(order.quantity.get()));
    }
}
