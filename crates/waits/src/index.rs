//! The index of waiting orders: sorted by due time, with one entry for each order. Pure: the caller passes the time.

use crate::fair::FairQueue;
use crate::watched::Watched;
use alloy_primitives::Address;
use domain::{PaymentId, PaymentRequest, Purchase};
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Unbounded};

/// The keys of an order in the fair queue, and its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    /// The token that is bought.
    pub token: Address,
    /// The account that pays.
    pub payer: Address,
    /// Unix seconds before which the order must be handled; `u64::MAX` if there is no such time.
    pub deadline: u64,
}

impl Default for Party {
    fn default() -> Self {
        Self { token: Address::ZERO, payer: Address::ZERO, deadline: u64::MAX }
    }
}

impl Party {
    /// The keys of an order.
    pub fn of(request: &PaymentRequest) -> Self {
        let Purchase::Mint { token, .. } = request.purchase;
        Self { token, payer: request.payer(), deadline: request.authorization.valid_before }
    }
}

/// An order that cannot be handled now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The order.
    pub id: PaymentId,
    /// Keys of the order in the fair queue.
    pub party: Party,
    /// Sequence of the event with which the order began to wait, as far as is known.
    pub seq: u64,
    /// True if nothing speaks against the order: its last event is the one that made it owed.
    pub is_new: bool,
    /// The authorization, if the order waits for news about it.
    pub watched: Option<Watched>,
}

/// A waiting order that has come due. The index does not give it out again until [`Index::again`] or [`Index::done`] is
/// called with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueOrder {
    /// The order.
    pub waiting: Waiting,
    /// Number of tries so far.
    pub tries: u32,
    /// True if it comes because of news.
    has_news: bool,
    generation: u64,
}

/// A new order that was tried so often in vain stands in line with those that something speaks against.
const NEW_TRIES: u32 = 3;

impl DueOrder {
    /// True if the order needs no place in the pace of looks: there is no sign yet that the look is in vain.
    pub const fn is_fresh(&self) -> bool {
        self.has_news || (self.waiting.is_new && self.tries < NEW_TRIES)
    }
}

type Ripe = FairQueue<Address, Address, (PaymentId, u64)>;

/// Waiting orders of one process, by due time. `T` is a point in time.
#[derive(Debug)]
pub struct Index<T> {
    entries: HashMap<PaymentId, Entry<T>>,
    sleeping: BTreeSet<(T, PaymentId)>,
    /// Orders that are ripe or taken, by the time at which they came due.
    overdue: BTreeSet<(T, PaymentId)>,
    /// Fresh orders that are due and that nobody has taken, each with its generation.
    fresh: Ripe,
    /// All other orders that are due and that nobody has taken.
    paced: Ripe,
    /// Number of new orders.
    new: usize,
    /// Orders that sleep and are watched.
    watched: BTreeSet<PaymentId>,
    /// True if there is no watch now: each order comes back at its time.
    is_blind: bool,
    generation: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry<T> {
    waiting: Waiting,
    tries: u32,
    /// Grows with each change of the entry, so that a late answer about an earlier state changes nothing.
    generation: u64,
    /// When the order is due, or came due.
    due: T,
    /// When a watched order is due without any news.
    until: Option<T>,
    /// Its pause is over, so it may come back at any time.
    is_rested: bool,
    /// The watch saw at least once that there is no news.
    was_quiet: bool,
    has_news: bool,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        let (sleeping, overdue) = (BTreeSet::new(), BTreeSet::new());
        let (fresh, paced) = (Ripe::default(), Ripe::default());
        let (entries, watched) = (HashMap::new(), BTreeSet::new());
        Self { entries, sleeping, overdue, fresh, paced, new: 0, watched, is_blind: false, generation: 0 }
    }
}

impl<T: Copy + Ord> Index<T> {
    /// Records that the order waits until `due`. Replaces what was recorded before.
    pub fn put(&mut self, waiting: Waiting, tries: u32, due: T) {
        self.put_watched(waiting, tries, due, None);
    }

    /// Records that the order rests until `due`. Then it comes at the first news, or at `until`. Replaces what was recorded
    /// before.
    pub fn put_watched(&mut self, waiting: Waiting, tries: u32, due: T, until: Option<T>) {
        self.generation += 1;
        let id = waiting.id;
        let generation = self.generation;
        let (is_rested, was_quiet, has_news) = (false, false, false);
        let entry = Entry { waiting, tries, generation, due, until, is_rested, was_quiet, has_news };
        self.new += usize::from(waiting.is_new);
        if let Some(before) = self.entries.insert(id, entry) {
            self.new -= usize::from(before.waiting.is_new);
            self.sleeping.remove(&(before.due, id));
            self.overdue.remove(&(before.due, id));
        }
        self.sleeping.insert((due, id));
        if until.is_some() {
            self.watched.insert(id);
        } else {
            self.watched.remove(&id);
        }
    }

    /// Like [`Index::put`], for an order that is due already, at `now`.
    pub fn put_due(&mut self, waiting: Waiting, tries: u32, now: T) {
        self.put(waiting, tries, now);
        self.ripen(now, waiting.id);
    }

    /// Like [`Index::put_watched`], for an order that was found elsewhere. Does nothing if the index has the order in any
    /// state. Returns true if it was new.
    pub fn adopt(&mut self, waiting: Waiting, due: T, until: Option<T>) -> bool {
        let is_unknown = !self.entries.contains_key(&waiting.id);
        if is_unknown {
            self.put_watched(waiting, 1, due, until);
        }
        is_unknown
    }

    /// Takes orders that are due at `now`, fairly over tokens and payers: at most `fresh` fresh ones, for which deadlines up
    /// to `near` are near, and at most `paced` others.
    pub fn take(&mut self, now: T, near: u64, fresh: usize, paced: usize) -> Vec<DueOrder> {
        while let Some((due, id)) = self.sleeping.first().copied().filter(|(due, _)| *due <= now) {
            if self.is_blind || !self.rest(due, id) {
                self.ripen(due, id);
            }
        }
        let mut taken = Vec::new();
        // The window of a hopeless payment costs its signer nothing, so it gets no turn of another.
        for (ripe, near, max) in [(&mut self.fresh, near, fresh), (&mut self.paced, 0, paced)] {
            let end = taken.len() + max;
            while taken.len() < end {
                let Some((id, generation)) = ripe.pop(near) else { break };
                // An order that was put again in the meantime sleeps, or stands further behind in the queue.
                if let Some(entry) = self.entries.get(&id).filter(|entry| entry.generation == generation) {
                    let Entry { waiting, tries, has_news, .. } = *entry;
                    taken.push(DueOrder { waiting, tries, has_news, generation });
                }
            }
        }
        taken
    }

    /// Records that a taken order waits again, until `due`. `is_try`: it was tried.
    pub fn again(&mut self, order: &DueOrder, is_try: bool, due: T) {
        if let Some(entry) = self.entries.get(&order.waiting.id).filter(|entry| entry.generation == order.generation) {
            let until = entry.until;
            self.put_watched(order.waiting, order.tries.saturating_add(u32::from(is_try)), due, until);
        }
    }

    /// Records that a taken order no longer waits.
    pub fn done(&mut self, order: &DueOrder) {
        if self.is_current(order)
            && let Some(entry) = self.entries.remove(&order.waiting.id)
        {
            self.overdue.remove(&(entry.due, order.waiting.id));
            self.new -= usize::from(order.waiting.is_new);
        }
    }

    /// At most `max` watched orders that sleep, in the order of their ids: those behind `after`.
    pub fn watched(&self, after: Option<PaymentId>, max: usize) -> Vec<Waiting> {
        let behind = self.watched.range((after.map_or(Unbounded, Excluded), Unbounded));
        behind.take(max).filter_map(|id| self.entries.get(id)).map(|entry| entry.waiting).collect()
    }

    /// Records what the watch saw of an order at `now`. News that was there from the beginning is no sign that a try would
    /// succeed, so such an order comes at the pace of the others.
    pub fn saw(&mut self, id: PaymentId, is_news: bool, now: T) {
        let Some(entry) = self.entries.get_mut(&id).filter(|_| self.watched.contains(&id)) else { return };
        if !is_news {
            entry.was_quiet = true;
        } else if entry.is_rested {
            let due = std::mem::replace(&mut entry.due, now);
            entry.has_news = entry.was_quiet;
            self.sleeping.remove(&(due, id));
            self.ripen(now, id);
        }
    }

    /// Records that there is a watch, or that there is none. Without one all watched orders come back at their time, which for
    /// those that rested is `now`.
    pub fn watch(&mut self, is_there: bool, now: T) {
        self.is_blind = !is_there;
        let rested =
            |id: &PaymentId| self.entries.get(id).filter(|entry| entry.is_rested).map(|entry| (entry.due, *id));
        let rested: Vec<_> = if self.is_blind { self.watched.iter().filter_map(rested).collect() } else { Vec::new() };
        for (due, id) in rested {
            self.sleeping.remove(&(due, id));
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.due = now;
            }
            self.ripen(now, id);
        }
    }

    /// The order that came due first and is not answered, with the time at which it came due.
    pub fn most_overdue(&self) -> Option<(T, PaymentId)> {
        self.overdue.first().copied()
    }

    /// Number of fresh orders that are due and that nobody has taken.
    pub fn fresh(&self) -> usize {
        self.fresh.len()
    }

    /// Number of orders that wait, are due, or are taken.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Number of new orders among them.
    pub fn new_orders(&self) -> usize {
        self.new
    }

    /// True if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Puts a sleeping order that came due at `due` into its queue.
    fn ripen(&mut self, due: T, id: PaymentId) {
        self.sleeping.remove(&(due, id));
        self.watched.remove(&id);
        let Some(entry) = self.entries.get(&id) else { return };
        self.overdue.insert((due, id));
        let Entry { waiting, tries, has_news, generation, .. } = *entry;
        let Party { token, payer, deadline } = waiting.party;
        let is_fresh = DueOrder { waiting, tries, has_news, generation }.is_fresh();
        let ripe = if is_fresh { &mut self.fresh } else { &mut self.paced };
        ripe.push(token, payer, deadline, (id, generation));
    }

    /// Lets an order whose pause is over at `due` sleep on until there is news. Returns false if it is not watched, or is due
    /// without news.
    fn rest(&mut self, due: T, id: PaymentId) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        let Some(until) = entry.until.filter(|until| due < *until) else { return false };
        (entry.due, entry.is_rested) = (until, true);
        self.sleeping.remove(&(due, id));
        self.sleeping.insert((until, id));
        true
    }

    fn is_current(&self, order: &DueOrder) -> bool {
        self.entries.get(&order.waiting.id).is_some_and(|entry| entry.generation == order.generation)
    }
}

#[cfg(test)]
mod tests;
