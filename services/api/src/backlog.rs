//! What is under way, in memory: who waits where, how fast it goes, and so how long it will take.
//!
//! Folded from the ledger's events. Only predictions and courtesies come from here: money never depends on it. An order
//! that is not known here has no place, and nothing else follows from that.

use crate::line::{Line, Mean, whole_seconds};
use alloy_primitives::Address;
use chrono::{DateTime, Utc};
use domain::{OrderEvent, PaymentId};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Before anything has been seen: an order in a transaction is minted after so long, more or less.
const GUESS: Duration = Duration::from_secs(10);

/// Orders that are done and whose parties are still known, 100 bytes each: those of a minute at full load.
const DONE_KEPT: usize = 65_536;

/// Where an order stands that is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Being appended by this process; whether it will be written is not known.
    Reserved,
    /// Waits for a settlement transaction.
    Requested,
    /// The chain would refuse it now.
    Deferred,
    /// In a settlement transaction.
    Settling,
    /// Waits for a mint transaction.
    Paid,
    /// In a mint transaction.
    Minting,
    /// Its mint waits for something, or for a person.
    Held,
}

/// An order that is not done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    pub(crate) payer: Address,
    pub(crate) token: Address,
    pub(crate) step: Step,
    /// Its place in the line of this step: the sequence of the event that put it there.
    pub(crate) seq: u64,
    /// When that was.
    pub(crate) since: DateTime<Utc>,
}

/// A place in a line, as its payer is told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// 1 is next. Of an order that is in a transaction, 0.
    pub(crate) position: u32,
    /// Seconds until the units are minted.
    pub(crate) wait_s: u32,
}

/// What a newcomer can expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forecast {
    /// Until it is in a settlement transaction.
    pub(crate) settle: Duration,
    /// Until it is minted.
    pub(crate) mint: Duration,
}

/// The payer has too many payments under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

pub(crate) struct Backlog {
    /// Last sequence that was folded.
    position: u64,
    orders: HashMap<PaymentId, Open>,
    /// The latest that are done, oldest first, and who paid for which token. A reorganisation tells of many of them again.
    done: VecDeque<PaymentId>,
    done_parties: HashMap<PaymentId, (Address, Address)>,
    /// Unpaid orders by payer.
    payers: HashMap<Address, usize>,
    settle: Line,
    mint: Line,
    settling_to_paid: Mean,
    paid_to_minted: Mean,
}

impl Backlog {
    /// Nothing under way; settlement is taken to do `settle_rate` orders a second until more is known.
    pub(crate) fn new(settle_rate: u32) -> Self {
        Self {
            position: 0,
            orders: HashMap::new(),
            done: VecDeque::new(),
            done_parties: HashMap::new(),
            payers: HashMap::new(),
            settle: Line::new(settle_rate),
            mint: Line::new(settle_rate),
            settling_to_paid: Mean::new(GUESS),
            paid_to_minted: Mean::new(GUESS),
        }
    }

    /// Starts anew from what was under way at sequence `position`. What was learnt about the pace is kept.
    pub(crate) fn reset(&mut self, position: u64, open: impl IntoIterator<Item = (PaymentId, Open)>) {
        self.orders.retain(|_, order| order.step == Step::Reserved);
        self.payers.clear();
        for order in self.orders.values() {
            *self.payers.entry(order.payer).or_default() += 1;
        }
        self.settle.clear();
        self.mint.clear();
        self.position = position;
        let mut open: Vec<_> = open.into_iter().collect();
        open.sort_by_key(|(_, order)| order.seq);
        for (id, order) in open {
            self.forget(id, order.since);
            self.put(id, order);
        }
    }

    /// Who pays for which token, if the order is known here.
    pub(crate) fn known(&self, id: PaymentId) -> Option<(Address, Address)> {
        let open = self.orders.get(&id).filter(|order| order.step != Step::Reserved);
        open.map(|order| (order.payer, order.token)).or_else(|| self.done_parties.get(&id).copied())
    }

    /// Folds one event of an order of `payer`.
    pub(crate) fn apply(
        &mut self,
        (seq, at): (u64, DateTime<Utc>),
        (id, event): (PaymentId, &OrderEvent),
        (payer, token): (Address, Address),
    ) {
        if seq <= self.position {
            // The rows have it already. Whose it is would have to be asked for, at each event of an order that they call done.
            if !self.orders.contains_key(&id) {
                self.finish(id, (payer, token));
            }
            return;
        }
        self.position = seq;
        let before = self.forget(id, at);
        let step = match event {
            OrderEvent::PaymentRequested(_) => Step::Requested,
            OrderEvent::PaymentDeferred(..) => Step::Deferred,
            OrderEvent::PaymentSubmitted(..) => Step::Settling,
            // Its mint was there already, and may go its own way: to its payer it is done, as before.
            OrderEvent::PaymentReverted(..) | OrderEvent::PaymentRestored(..) if before.is_none() => {
                return self.finish(id, (payer, token));
            }
            OrderEvent::PaymentReverted(..) => Step::Settling,
            OrderEvent::PaymentConfirmed(_) | OrderEvent::PaymentRestored(..) => Step::Paid,
            OrderEvent::MintSubmitted(..) | OrderEvent::MintReverted(..) => Step::Minting,
            OrderEvent::MintDeferred(..) | OrderEvent::MintParked(..) => Step::Held,
            OrderEvent::PaymentFailed(_) => return self.finish(id, (payer, token)),
            OrderEvent::MintConfirmed(_) | OrderEvent::MintRestored(..) => {
                self.finish(id, (payer, token));
                if let Some(before) = before.filter(|before| before.step == Step::Minting) {
                    self.paid_to_minted.saw(at - before.since);
                }
                return;
            }
        };
        // Minting counts from the payment on, so that the wait for the transaction is part of it.
        let since = match (step, before) {
            (Step::Minting, Some(before)) => before.since,
            _ => at,
        };
        if let (Step::Paid, Some(before)) = (step, before)
            && before.step == Step::Settling
        {
            self.settling_to_paid.saw(at - before.since);
        }
        self.put(id, Open { payer, token, step, seq, since });
    }

    /// Counts a payment that is about to be appended. Of an order that is known this changes nothing.
    ///
    /// # Errors
    /// [`TooMany`] where the payer has `max` unpaid orders already.
    pub(crate) fn reserve(
        &mut self,
        id: PaymentId,
        (payer, token): (Address, Address),
        max: usize,
        now: DateTime<Utc>,
    ) -> Result<(), TooMany> {
        if self.orders.contains_key(&id) {
            return Ok(());
        }
        if self.payers.get(&payer).copied().unwrap_or_default() >= max {
            return Err(TooMany);
        }
        self.put(id, Open { payer, token, step: Step::Reserved, seq: 0, since: now });
        Ok(())
    }

    /// The payment was not appended.
    pub(crate) fn release(&mut self, id: PaymentId) {
        if self.orders.get(&id).is_some_and(|order| order.step == Step::Reserved) {
            self.forget(id, DateTime::UNIX_EPOCH);
        }
    }

    /// Forgets reservations that have not become orders since `before`: nobody will know.
    pub(crate) fn expire(&mut self, before: DateTime<Utc>) {
        let stale = |order: &Open| order.step == Step::Reserved && order.since < before;
        let stale: Vec<_> = self.orders.iter().filter(|(_, order)| stale(order)).map(|(id, _)| *id).collect();
        for id in stale {
            self.release(id);
        }
    }

    /// Where the order stands in line; none where it is not known, done, or waits for something else than its turn.
    pub(crate) fn place(&self, id: PaymentId, now: DateTime<Utc>) -> Option<Place> {
        let order = self.orders.get(&id)?;
        let (settle, mint) = (self.settling_to_paid.get(), self.paid_to_minted.get());
        let elapsed = (now - order.since).to_std().unwrap_or_default();
        let (position, wait) = match order.step {
            Step::Requested => {
                let position = self.settle.position(order.seq)?;
                (position, self.settle.wait(position, now) + settle + mint)
            }
            Step::Settling => (0, settle.saturating_sub(elapsed) + mint),
            Step::Paid => {
                let position = self.mint.position(order.seq)?;
                (position, self.mint.wait(position, now).max(mint.saturating_sub(elapsed)))
            }
            Step::Minting => (0, mint.saturating_sub(elapsed)),
            Step::Reserved | Step::Deferred | Step::Held => return None,
        };
        Some(Place { position: u32::try_from(position).unwrap_or(u32::MAX), wait_s: whole_seconds(wait).max(1) })
    }

    /// What a payment that comes now can expect, where `waiting` are before it: as the consumer says, who knows best.
    pub(crate) fn forecast(&self, waiting: Option<usize>, now: DateTime<Utc>) -> Forecast {
        let position = waiting.unwrap_or_else(|| self.settle.len()) + 1;
        let settle = self.settle.wait(position, now);
        Forecast { settle, mint: settle + self.settling_to_paid.get() + self.paid_to_minted.get() }
    }

    /// Whether the order is, or lately was, in the ledger. False says nothing: it may have been done long ago.
    pub(crate) fn has_seen(&self, id: PaymentId) -> bool {
        self.orders.get(&id).is_some_and(|order| order.step != Step::Reserved) || self.done_parties.contains_key(&id)
    }

    fn finish(&mut self, id: PaymentId, parties: (Address, Address)) {
        if self.done_parties.insert(id, parties).is_some() {
            return;
        }
        if self.done.len() == DONE_KEPT
            && let Some(oldest) = self.done.pop_front()
        {
            self.done_parties.remove(&oldest);
        }
        self.done.push_back(id);
    }

    fn put(&mut self, id: PaymentId, order: Open) {
        match order.step {
            Step::Requested => self.settle.enter(order.seq, order.since),
            Step::Paid => self.mint.enter(order.seq, order.since),
            _ => {}
        }
        if order.step.is_unpaid() {
            *self.payers.entry(order.payer).or_default() += 1;
        }
        self.orders.insert(id, order);
    }

    fn forget(&mut self, id: PaymentId, at: DateTime<Utc>) -> Option<Open> {
        let order = self.orders.remove(&id)?;
        match order.step {
            Step::Requested => self.settle.leave(order.seq, at),
            Step::Paid => self.mint.leave(order.seq, at),
            _ => {}
        }
        if order.step.is_unpaid()
            && let Some(count) = self.payers.get_mut(&order.payer)
        {
            *count -= 1;
            if *count == 0 {
                self.payers.remove(&order.payer);
            }
        }
        Some(order)
    }
}

impl Step {
    const fn is_unpaid(self) -> bool {
        matches!(self, Self::Reserved | Self::Requested | Self::Deferred | Self::Settling)
    }
}

#[cfg(test)]
mod tests;
