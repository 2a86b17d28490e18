//! The units of each token that are taken, so that no payer is asked to sign for units that another has.
//!
//! An order takes its units from the request on, until its payment fails or its payer has the money back. The count is of
//! this ledger: another instance may accept an order at the same moment, and anybody may pay the token around this
//! service. The contract decides; this count only spares most payers a payment that would wait and fail.

use crate::bought::Bought;
use alloy_primitives::Address;
use domain::OrderEvent;
use domain::event::ParkReason;
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

    /// Counts an event of an order that `took` units before. `None`: the order was not under way, so it is new or
    /// finished.
    pub fn follow(&mut self, order: Bought, took: Option<bool>, event: &OrderEvent) {
        let took = took.unwrap_or(!matches!(event, OrderEvent::PaymentRequested(_)));
        let takes = match event {
            OrderEvent::PaymentFailed(_) => false,
            OrderEvent::MintParked(_, why) => why.reason != ParkReason::MoneyBack,
            _ => true,
        };
        self.count(order, took, takes);
    }

    /// Counts an order that `took` units, and `takes` them or does not from now on.
    pub fn count(&mut self, order: Bought, took: bool, takes: bool) {
        let (taken, quantity) = (self.0.entry(order.token).or_default(), u64::from(order.quantity.get()));
        match (took, takes) {
            (false, true) => *taken = taken.saturating_add(quantity),
            (true, false) => *taken = taken.saturating_sub(quantity),
            _ => {}
        }
    }
}
