//! The units of each token that are taken, so that no payer is asked to sign for units that another has.
//!
//! An order holds its units as [`store::UnitsHold`] says. If the token has a record of the payment that the order does not
//! stand for, the record takes its units instead, until the money is back. The count is of this ledger: another instance may
//! accept an order at the same moment, and anybody may pay the token around this service. The contract decides; this count
//! only spares most payers a payment that would wait and fail.

use crate::bought::Bought;
use alloy_primitives::Address;
use domain::{PaymentId, Quantity, RecordEvent};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Taken units by token.
#[derive(Debug)]
pub(crate) struct Units {
    taken: HashMap<Address, u64>,
    /// Payments with a record that was found. Their orders take nothing.
    found: HashSet<PaymentId>,
}

impl Units {
    /// Counts on from `taken`, with the records that were `found` until then.
    pub fn new(taken: BTreeMap<Address, u64>, found: impl IntoIterator<Item = PaymentId>) -> Self {
        Self { taken: taken.into_iter().collect(), found: found.into_iter().collect() }
    }

    /// Returns whether a record of the payment was found.
    pub fn is_found(&self, id: PaymentId) -> bool {
        self.found.contains(&id)
    }

    /// The units of `token` that are left of `max`.
    pub fn left(&self, token: Address, max: u64) -> u64 {
        max.saturating_sub(self.taken.get(&token).copied().unwrap_or_default())
    }

    /// Counts a step of an order, which held its units before or not, and `holds` them now or not.
    pub fn follow(&mut self, id: PaymentId, order: Bought, held: bool, holds: bool) {
        match (held, holds) {
            (false, true) => self.take(id, order),
            (true, false) => self.give_back(id, order),
            (true, true) | (false, false) => {}
        }
    }

    /// Counts an event of a record. `order` is the order with its id, if it holds its units.
    pub fn follow_record(&mut self, id: PaymentId, order: Option<Bought>, event: &RecordEvent) {
        match event {
            RecordEvent::Found(found) => {
                if let Some(order) = order {
                    self.give_back(id, order);
                }
                if self.found.insert(id) {
                    self.add(found.token, found.quantity);
                }
            }
            RecordEvent::Minted(_) => {}
            RecordEvent::Returned(end) => self.subtract(end.token, end.quantity),
        }
    }

    /// Takes the units of `order`.
    pub fn take(&mut self, id: PaymentId, order: Bought) {
        if !self.is_found(id) {
            self.add(order.token, order.quantity);
        }
    }

    /// Gives the units of `order` back.
    pub fn give_back(&mut self, id: PaymentId, order: Bought) {
        if !self.is_found(id) {
            self.subtract(order.token, order.quantity);
        }
    }

    fn add(&mut self, token: Address, quantity: Quantity) {
        let taken = self.taken.entry(token).or_default();
        *taken = taken.saturating_add(u64::from(quantity.get()));
    }

    fn subtract(&mut self, token: Address, quantity: Quantity) {
        let taken = self.taken.entry(token).or_default();
        *taken = taken.saturating_sub(u64::from(quantity.get()));
    }
}
