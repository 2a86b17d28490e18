//! The orders under way, in memory: the step of each, the pace of each step, and so a prediction of the wait; and the
//! units that are taken.
//!
//! Folded from the events of the ledger. It serves predictions and limits only; money never depends on it. An order that
//! is unknown here has no position in a queue, and nothing else follows from that.

mod step;

pub(crate) use step::{Excess, OrderLimits, OrderStep, UnderWay};
pub use step::{Forecast, QueuePosition};

use crate::bought::{Bought, OrderFacts};
use crate::line::{Line, Newcomer, whole_seconds};
use crate::typical::Typical;
use crate::units::Units;
use alloy_primitives::Address;
use chrono::{DateTime, Utc};
use domain::{OrderEvent, PaymentId, RecordEvent, Stage};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;
use store::UnitsHold;

/// Assumed time from a transaction to the mint, before one has been observed.
const GUESS: Duration = Duration::from_secs(10);

/// Mints of one token in a transaction. Tokens take turns by transactions.
const MINTED_PER_TURN: usize = 100;

/// Number of finished orders whose facts are kept, 100 bytes each: those of a minute at full load.
const DONE_KEPT: usize = 65_536;

/// The orders under way.
pub(crate) struct Backlog {
    /// Last sequence that was folded.
    position: u64,
    orders: HashMap<PaymentId, UnderWay>,
    /// The latest finished orders, oldest first, with their facts. After a reorganisation many of them change again.
    done: VecDeque<PaymentId>,
    done_facts: HashMap<PaymentId, OrderFacts>,
    /// Unpaid orders by payer.
    payers: HashMap<Address, usize>,
    /// `None` until the read models have told how many were taken.
    units: Option<Units>,
    settle: Line,
    mint: Line,
    settling_to_paid: Typical,
    paid_to_minted: Typical,
}

impl Backlog {
    /// An empty backlog. Settlement is assumed to do `settle_rate` orders a second until that has been measured.
    pub fn new(settle_rate: u32) -> Self {
        Self {
            position: 0,
            orders: HashMap::new(),
            done: VecDeque::new(),
            done_facts: HashMap::new(),
            payers: HashMap::new(),
            units: None,
            settle: Line::new(settle_rate, 1),
            mint: Line::new(settle_rate, MINTED_PER_TURN),
            settling_to_paid: Typical::new(GUESS),
            paid_to_minted: Typical::new(GUESS),
        }
    }

    /// Starts again from nothing but the reservations, behind sequence `position`. Keeps the measured pace.
    pub fn clear(&mut self, position: u64) {
        self.units = None;
        self.orders.retain(|_, order| order.step == OrderStep::Reserved);
        self.payers.clear();
        for order in self.orders.values() {
            *self.payers.entry(order.bought.payer).or_default() += 1;
        }
        self.settle.clear();
        self.mint.clear();
        self.position = position;
    }

    /// Starts again from the orders under way, the units that were taken, and the records that were found, at sequence
    /// `position`.
    pub fn reset(
        &mut self,
        position: u64,
        open: impl IntoIterator<Item = (PaymentId, UnderWay)>,
        units_taken: BTreeMap<Address, u64>,
        found: impl IntoIterator<Item = PaymentId>,
    ) {
        self.clear(position);
        let mut open: Vec<_> = open.into_iter().collect();
        open.sort_by_key(|(_, order)| order.seq);
        for (id, order) in open {
            self.remove(id, order.since);
            self.put(id, order);
        }
        let mut units = Units::new(units_taken, found);
        for (id, order) in self.orders.iter().filter(|(_, order)| order.step == OrderStep::Reserved) {
            units.take(*id, order.bought);
        }
        self.units = Some(units);
    }

    /// The order that has been in its step for the longest time, among those that wait for a service, with that time.
    pub fn oldest(&self) -> Option<(PaymentId, &UnderWay)> {
        use OrderStep::{Minting, Paid, Requested, Settling};
        let waiting = self
            .orders
            .iter()
            .filter(|(_, it)| !it.is_held && matches!(it.step, Requested | Settling | Paid | Minting));
        waiting.min_by_key(|(_, it)| it.since).map(|(id, it)| (*id, it))
    }

    /// The order as it stands; `None` if it is unknown here.
    pub fn known(&self, id: PaymentId) -> Option<OrderFacts> {
        let open = self.orders.get(&id).filter(|order| order.step != OrderStep::Reserved);
        open.map(UnderWay::facts).or_else(|| self.done_facts.get(&id).copied())
    }

    /// Sequence of the event that put the order in its settlement transaction; `None` if it is in none.
    pub fn settling_since(&self, id: PaymentId) -> Option<u64> {
        self.orders.get(&id).filter(|order| order.step == OrderStep::Settling).map(|order| order.seq)
    }

    /// The units of `token` that are left of `max`; `None` if it is not known yet.
    pub fn units_left(&self, token: Address, max: u64) -> Option<u64> {
        self.units.as_ref().map(|units| units.left(token, max))
    }

    /// Folds one event of an order. `facts` is the order before it. An order under way is known better here.
    pub fn apply(&mut self, (seq, at): (u64, DateTime<Utc>), (id, event): (PaymentId, &OrderEvent), facts: OrderFacts) {
        if seq <= self.position {
            // The read models contain it. The facts are kept, so that later events of the order need no lookup.
            if !self.orders.contains_key(&id) {
                self.finish(id, facts.after(event));
            }
            return;
        }
        self.position = seq;
        let before = self.remove(id, at);
        let held = before.as_ref().map_or(facts, UnderWay::facts);
        let facts = held.after(event);
        let OrderFacts { bought, hold } = facts;
        if let Some(units) = &mut self.units {
            units.follow(id, bought, held.hold.holds(), hold.holds());
        }
        if let (OrderEvent::OrderHeld(..) | OrderEvent::OrderReleased(..), Some(before)) = (event, before) {
            let is_held = matches!(event, OrderEvent::OrderHeld(..));
            // An order that is released stands at the end of its line, which is sorted.
            let is_new = !is_held && matches!(before.step, OrderStep::Requested | OrderStep::Paid);
            let seq = if is_new { seq } else { before.seq };
            return self.put(id, UnderWay { is_held, seq, ..before });
        }
        let is_going_back = before.is_some_and(|order| order.step == OrderStep::GoingBack);
        let step = match event {
            // The mint stands, or the payer has the money: to the payer the order stays finished.
            _ if before.is_none() && self.was_finished(id, event) => return self.finish(id, facts),
            // An order that ended long ago.
            OrderEvent::OrderHeld(..) | OrderEvent::OrderReleased(..) => return self.finish(id, facts),
            OrderEvent::PaymentRequested(_) => OrderStep::Requested,
            OrderEvent::PaymentDeferred(..) => OrderStep::Deferred,
            OrderEvent::PaymentSubmitted(..) => OrderStep::Settling,
            OrderEvent::PaymentReverted(..) => OrderStep::Settling,
            OrderEvent::PaymentConfirmed(_) | OrderEvent::PaymentRestored(..) | OrderEvent::MintRedriven(..) => {
                OrderStep::Paid
            }
            OrderEvent::MintSubmitted(..) | OrderEvent::MintReverted(..) => OrderStep::Minting,
            OrderEvent::PaymentParked(..) | OrderEvent::MintDeferred(..) | OrderEvent::MintParked(..) => {
                OrderStep::Held
            }
            OrderEvent::RefundRequested(_)
            | OrderEvent::RefundSubmitted(..)
            | OrderEvent::RefundDeferred(..)
            | OrderEvent::RefundParked(..)
            | OrderEvent::RefundRedriven(..)
            | OrderEvent::RefundReverted(..) => OrderStep::GoingBack,
            OrderEvent::PaymentFailed(_) | OrderEvent::RefundConfirmed(_) | OrderEvent::RefundRestored(..) => {
                return self.finish(id, facts);
            }
            OrderEvent::MintConfirmed(minted) | OrderEvent::MintRestored(_, minted) => {
                self.finish(id, facts);
                if let Some(before) = before.filter(|before| before.step == OrderStep::Minting) {
                    self.paid_to_minted.saw(minted.tx_hash, at - before.since);
                }
                return;
            }
        };
        let step = if is_going_back { OrderStep::GoingBack } else { step };
        // The time of minting begins with the payment, so that it includes the wait for a transaction.
        let since = match (step, before) {
            (OrderStep::Minting, Some(before)) => before.since,
            _ => at,
        };
        if let (OrderEvent::PaymentConfirmed(proof) | OrderEvent::PaymentRestored(_, proof), Some(before)) =
            (event, before)
            && before.step == OrderStep::Settling
        {
            self.settling_to_paid.saw(proof.tx_hash, at - before.since);
        }
        self.put(id, UnderWay { bought, hold, step, is_held: false, seq, since });
    }

    /// Counts one event of a record without an order.
    pub fn apply_record(&mut self, seq: u64, id: PaymentId, event: &RecordEvent) {
        if seq <= self.position {
            return;
        }
        self.position = seq;
        // An order that has ended and still holds units is minted. No record is found beside it, because it is its own.
        let order = self.orders.get(&id).filter(|order| order.hold.holds()).map(|order| order.bought);
        if let Some(units) = &mut self.units {
            units.follow_record(id, order, event);
        }
    }

    /// Counts a payment that is about to be appended. An order that is known stays as it is.
    ///
    /// # Errors
    /// The limit that it exceeds.
    pub fn reserve(
        &mut self,
        id: PaymentId,
        bought: Bought,
        limits: OrderLimits,
        now: DateTime<Utc>,
    ) -> Result<(), Excess> {
        if self.orders.contains_key(&id) {
            return Ok(());
        }
        // The units of a record that was found are counted already, and are the payer's.
        let is_found = self.units.as_ref().is_some_and(|units| units.is_found(id));
        let left = limits.units.filter(|_| !is_found).and_then(|max| self.units_left(bought.token, max));
        if left.is_some_and(|left| left < u64::from(bought.quantity.get())) {
            return Err(Excess::Units);
        }
        if self.payers.get(&bought.payer).copied().unwrap_or_default() >= limits.unpaid {
            return Err(Excess::Unpaid);
        }
        let (step, hold) = (OrderStep::Reserved, UnitsHold::REQUESTED);
        self.put(id, UnderWay { bought, hold, step, is_held: false, seq: 0, since: now });
        if let Some(units) = &mut self.units {
            units.take(id, bought);
        }
        Ok(())
    }

    /// Removes a reservation whose payment was not appended.
    pub fn release(&mut self, id: PaymentId) {
        if self.orders.get(&id).is_some_and(|order| order.step == OrderStep::Reserved) {
            let order = self.remove(id, DateTime::UNIX_EPOCH);
            if let (Some(units), Some(order)) = (&mut self.units, order) {
                units.give_back(id, order.bought);
            }
        }
    }

    /// Removes reservations that are older than `before` and have not become orders.
    pub fn expire(&mut self, before: DateTime<Utc>) {
        let stale = |order: &UnderWay| order.step == OrderStep::Reserved && order.since < before;
        let stale: Vec<_> = self.orders.iter().filter(|(_, order)| stale(order)).map(|(id, _)| *id).collect();
        for id in stale {
            self.release(id);
        }
    }

    /// Position of the order in its queue. Returns `None` if it is unknown, finished, or waits for something other than
    /// its turn. That is also so if only `stage`, at which it is shown, says so: an order is read beside this picture, and
    /// one of them may be behind the other.
    pub fn place(&self, id: PaymentId, stage: Stage, now: DateTime<Utc>) -> Option<QueuePosition> {
        if !matches!(stage, Stage::Requested | Stage::Settling | Stage::Reverted | Stage::Paid | Stage::Minting) {
            return None;
        }
        let order = self.orders.get(&id).filter(|order| !order.is_held)?;
        let (settle, mint) = (self.settling_to_paid.get(), self.paid_to_minted.get());
        let elapsed = (now - order.since).to_std().unwrap_or_default();
        let (position, wait) = match order.step {
            OrderStep::Requested => {
                let position = self.settle.position(order.bought, order.seq)?;
                (position, self.settle.wait(position, now) + settle + mint)
            }
            OrderStep::Settling => (0, settle.saturating_sub(elapsed) + mint),
            OrderStep::Paid => {
                let position = self.mint.position(order.bought, order.seq)?;
                (position, self.mint.wait(position, now).max(mint.saturating_sub(elapsed)))
            }
            OrderStep::Minting => (0, mint.saturating_sub(elapsed)),
            OrderStep::Reserved | OrderStep::Deferred | OrderStep::Held | OrderStep::GoingBack => return None,
        };
        Some(QueuePosition {
            position: u32::try_from(position).unwrap_or(u32::MAX),
            wait_s: whole_seconds(wait).max(1),
        })
    }

    /// Number of orders that wait for a settlement transaction.
    pub fn waiting(&self) -> usize {
        self.settle.len()
    }

    /// Predicted waits of an order that arrives now.
    pub fn forecast(&self, newcomer: Newcomer, now: DateTime<Utc>) -> Forecast {
        let position = self.settle.next(newcomer);
        let (settle, stalled) = (self.settle.wait(position, now), self.settle.stalled(now));
        Forecast { settle, stalled, mint: settle + self.settling_to_paid.get() + self.paid_to_minted.get() }
    }

    /// Returns true if the order is known to be in the ledger. False says nothing: it may have been finished long ago.
    pub fn has_seen(&self, id: PaymentId) -> bool {
        self.orders.get(&id).is_some_and(|order| order.step != OrderStep::Reserved) || self.done_facts.contains_key(&id)
    }

    /// Returns whether the order is one of the latest: under way, among those that ended last, or perhaps being written.
    pub fn is_recent(&self, id: PaymentId) -> bool {
        self.orders.contains_key(&id) || self.done_facts.contains_key(&id)
    }

    /// Returns whether an order that is not under way stays finished after `event`. An unknown order whose payment is
    /// reverted or restored was paid once, so it is taken for a finished one that is too old to be remembered.
    fn was_finished(&self, id: PaymentId, event: &OrderEvent) -> bool {
        match event {
            OrderEvent::PaymentReverted(..) | OrderEvent::PaymentRestored(..) => true,
            OrderEvent::MintReverted(..) | OrderEvent::RefundReverted(..) => false,
            _ => self.done_facts.contains_key(&id),
        }
    }

    fn finish(&mut self, id: PaymentId, facts: OrderFacts) {
        if self.done_facts.insert(id, facts).is_some() {
            return;
        }
        if self.done.len() == DONE_KEPT
            && let Some(oldest) = self.done.pop_front()
        {
            self.done_facts.remove(&oldest);
        }
        self.done.push_back(id);
    }

    fn put(&mut self, id: PaymentId, order: UnderWay) {
        match order.step {
            _ if order.is_held => {}
            OrderStep::Requested => self.settle.enter(order.bought, order.seq, order.since),
            OrderStep::Paid => self.mint.enter(order.bought, order.seq, order.since),
            _ => {}
        }
        if order.is_unpaid() {
            *self.payers.entry(order.bought.payer).or_default() += 1;
        }
        self.orders.insert(id, order);
    }

    /// Takes the order out of everything but the units.
    fn remove(&mut self, id: PaymentId, at: DateTime<Utc>) -> Option<UnderWay> {
        let order = self.orders.remove(&id)?;
        match order.step {
            _ if order.is_held => {}
            OrderStep::Requested => self.settle.leave(order.bought, order.seq, at),
            OrderStep::Paid => self.mint.leave(order.bought, order.seq, at),
            _ => {}
        }
        if order.is_unpaid()
            && let Some(count) = self.payers.get_mut(&order.bought.payer)
        {
            *count -= 1;
            if *count == 0 {
                self.payers.remove(&order.bought.payer);
            }
        }
        Some(order)
    }
}

#[cfg(test)]
mod tests;
