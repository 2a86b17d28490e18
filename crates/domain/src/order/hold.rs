//! Messages of an order that were set aside.
//!
//! A service that can never handle a message gives it up, and the order is held. The legs stay what they were. A hold ends
//! with the next step of any leg, or when a person has the message handled once more.

use crate::event::{OrderEvent, OrderHold, Redrive};

/// The part of the holds that decides which event may follow. A row of the read models stores exactly this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HoldProgress {
    /// Number of holds so far.
    pub count: u32,
    /// True if the order is held.
    pub is_held: bool,
}

/// The holds of an order, with the present one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Holds {
    count: u32,
    present: Option<OrderHold>,
}

impl HoldProgress {
    /// An order that was never held.
    pub const NONE: Self = Self { count: 0, is_held: false };

    /// Folds one event of the order. Returns `None` if [`Holds`] could not have written it: the number does not fit, or
    /// nothing is held.
    pub(super) fn after(self, event: &OrderEvent) -> Option<Self> {
        match event {
            OrderEvent::OrderHeld(n, _) if self.count.checked_add(1) == Some(*n) => {
                Some(Self { count: *n, is_held: true })
            }
            OrderEvent::OrderReleased(n, _) if self.is_held && *n == self.count => {
                Some(Self { is_held: false, ..self })
            }
            OrderEvent::OrderHeld(..) | OrderEvent::OrderReleased(..) => None,
            _ => Some(Self { is_held: false, ..self }),
        }
    }
}

impl Holds {
    /// The holds after `events` of one order, in order. An event that does not fit is left out, so this answers for a
    /// history that [`evolve`](super::evolve) refuses.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a OrderEvent>) -> Self {
        events.into_iter().fold(Self::default(), |mut holds, event| {
            if let Some(progress) = holds.progress().after(event) {
                holds.follow(progress, event);
            }
            holds
        })
    }

    /// The part that decides which event may follow.
    pub const fn progress(&self) -> HoldProgress {
        HoldProgress { count: self.count, is_held: self.present.is_some() }
    }

    /// The present hold; `None` if the order is not held.
    pub const fn present(&self) -> Option<&OrderHold> {
        self.present.as_ref()
    }

    /// The event that holds the order; `None` if the same consumer holds it already.
    pub fn hold(&self, hold: OrderHold) -> Option<OrderEvent> {
        let is_so = self.present.as_ref().is_some_and(|present| present.consumer == hold.consumer);
        (!is_so).then(|| OrderEvent::OrderHeld(self.count.saturating_add(1), hold))
    }

    /// The event that releases the order; `None` if it is not held.
    pub fn release(&self, redrive: Redrive) -> Option<OrderEvent> {
        self.present.as_ref().map(|_| OrderEvent::OrderReleased(self.count, redrive))
    }

    /// Moves on to `progress`, by `event`.
    pub(super) fn follow(&mut self, progress: HoldProgress, event: &OrderEvent) {
        self.count = progress.count;
        self.present = match event {
            OrderEvent::OrderHeld(_, hold) => Some(hold.clone()),
            _ => None,
        };
    }
}
