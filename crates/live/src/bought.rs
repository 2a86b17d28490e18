//! The facts of an order that its first event tells and nothing changes, and how its units stand.

use alloy_primitives::Address;
use domain::{Event, OrderEvent, Purchase, Quantity, Recorded, RequestFields};
use store::UnitsHold;

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
        events(history).find_map(|(_, event)| match event {
            OrderEvent::PaymentRequested(request) => Some(Self::by(request)),
            _ => None,
        })
    }
}

/// An order before one of its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OrderFacts {
    pub(crate) bought: Bought,
    pub(crate) hold: UnitsHold,
}

impl OrderFacts {
    /// An order that `request` is about to make.
    pub(crate) fn new(request: &RequestFields) -> Self {
        Self { bought: Bought::by(request), hold: UnitsHold::NONE }
    }

    /// The order as it was before sequence `seq`, from its history. `None` without its first event.
    pub(crate) fn before(seq: u64, history: &[Recorded]) -> Option<Self> {
        let earlier = events(history).filter(|(at, _)| *at < seq);
        let hold = earlier.fold(UnitsHold::NONE, |hold, (_, event)| hold.after(event));
        Some(Self { bought: Bought::in_history(history)?, hold })
    }

    /// The order after the event.
    pub(crate) fn after(self, event: &OrderEvent) -> Self {
        Self { hold: self.hold.after(event), ..self }
    }
}

/// The events that can be read, with their sequences.
fn events(history: &[Recorded]) -> impl Iterator<Item = (u64, &OrderEvent)> {
    history.iter().filter_map(|recorded| match &recorded.event {
        Ok(Event::Order(_, event)) => Some((recorded.seq, event)),
        _ => None,
    })
}
