//! The facts of an order that its first event tells and nothing changes.

use alloy_primitives::Address;
use domain::{Event, OrderEvent, Purchase, Quantity, Recorded, RequestFields};

/// A payer, and the units of a token that are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bought {
    /// The payer.
    pub payer: Address,
    /// The token.
    pub token: Address,
    /// Its units.
    pub quantity: Quantity,
}

impl Bought {
    /// The facts of the order that `request` makes.
    pub fn by(request: &RequestFields) -> Self {
        let Purchase::Mint { token, quantity, .. } = request.purchase;
        Self { payer: request.payer(), token, quantity }
    }

    /// The facts of an order, from its history. `None` without its first event.
    pub(crate) fn in_history(history: &[Recorded]) -> Option<Self> {
        history.iter().find_map(|recorded| match &recorded.event {
            Ok(Event::Order(_, OrderEvent::PaymentRequested(request))) => Some(Self::by(request)),
            _ => None,
        })
    }
}
