//! A step of an order under way, and what is told and decided by it.

use crate::bought::{Bought, OrderFacts};
use chrono::{DateTime, Utc};
use std::time::Duration;
use store::UnitsHold;

/// The step of an order that is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrderStep {
    /// This process is appending it. The outcome is unknown.
    Reserved,
    /// Waits for a settlement transaction.
    Requested,
    /// The chain would refuse it now, so it is tried again later.
    Deferred,
    /// In a settlement transaction.
    Settling,
    /// Waits for a mint transaction.
    Paid,
    /// In a mint transaction.
    Minting,
    /// Its payment was parked, or its mint deferred or parked.
    Held,
    /// Its money is to go back. Nothing is minted for it any more.
    GoingBack,
}

/// An order that is not finished.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnderWay {
    pub(crate) bought: Bought,
    pub(crate) hold: UnitsHold,
    pub(crate) step: OrderStep,
    /// A message of it was set aside: it waits for a person, whatever its step is.
    pub(crate) is_held: bool,
    /// Sequence of the event that led to this step. It orders the line.
    pub(crate) seq: u64,
    /// Time of that event.
    pub(crate) since: DateTime<Utc>,
}

impl UnderWay {
    pub(crate) const fn facts(&self) -> OrderFacts {
        OrderFacts { bought: self.bought, hold: self.hold }
    }

    /// True if the order counts against the limit of its payer. A payer can do nothing about one that is held.
    pub(super) const fn is_unpaid(&self) -> bool {
        !self.is_held && self.step.is_unpaid()
    }
}

impl OrderStep {
    const fn is_unpaid(self) -> bool {
        matches!(self, Self::Reserved | Self::Requested | Self::Deferred | Self::Settling)
    }
}

/// The position of an order in its queue, as its payer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePosition {
    /// 1 is next, and 0 is in a transaction.
    pub position: u32,
    /// Seconds until the units are minted.
    pub wait_s: u32,
}

/// Predicted waits of a new order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// Until it is in a settlement transaction.
    pub settle: Duration,
    /// The part of it that stands for a line which does not move: the time since an order left it.
    pub stalled: Duration,
    /// Until it is minted.
    pub mint: Duration,
}

/// Limits of another order, beside those that are counted already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OrderLimits {
    /// Most unpaid orders of its payer.
    pub(crate) unpaid: usize,
    /// Most units of its token. `None` if nothing is to be refused because of them.
    pub(crate) units: Option<u64>,
}

/// The limit that an order exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    /// Its payer has too many unpaid orders.
    Unpaid,
    /// Its token has too few units left.
    Units,
}
