//! The index of waiting orders: sorted by due time, with one entry for each order. Pure: the caller passes the time.

use crate::fair::FairQueue;
use alloy_primitives::Address;
use domain::PaymentId;
use std::collections::{BTreeSet, HashMap};

/// The keys of an order in the fair queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Party {
    /// The token that is bought.
    pub token: Address,
    /// The account that pays.
    pub payer: Address,
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
}

/// A waiting order that has come due. The index does not give it out again until [`Index::again`] or [`Index::done`] is
/// called with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueOrder {
    /// The order.
    pub waiting: Waiting,
    /// Number of tries so far.
    pub tries: u32,
    generation: u64,
}

/// A new order that was tried so often in vain stands in line with those that something speaks against.
const NEW_TRIES: u32 = 3;

impl DueOrder {
    /// True if the order needs no place in the pace of looks: there is no sign yet that the look is in vain.
    pub const fn is_fresh(&self) -> bool {
        is_fresh(&self.waiting, self.tries)
    }
}

const fn is_fresh(waiting: &Waiting, tries: u32) -> bool {
    waiting.is_new && tries < NEW_TRIES
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
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        let (sleeping, overdue) = (BTreeSet::new(), BTreeSet::new());
        let (fresh, paced) = (Ripe::default(), Ripe::default());
        Self { entries: HashMap::new(), sleeping, overdue, fresh, paced, new: 0, generation: 0 }
    }
}

impl<T: Copy + Ord> Index<T> {
    /// Records that the order waits until `due`. Replaces what was recorded before.
    pub fn put(&mut self, waiting: Waiting, tries: u32, due: T) {
        self.generation += 1;
        let id = waiting.id;
        let entry = Entry { waiting, tries, generation: self.generation, due };
        self.new += usize::from(waiting.is_new);
        if let Some(before) = self.entries.insert(id, entry) {
            self.new -= usize::from(before.waiting.is_new);
            self.sleeping.remove(&(before.due, id));
            self.overdue.remove(&(before.due, id));
        }
        self.sleeping.insert((due, id));
    }

    /// Like [`Index::put`], for an order that is due already, at `now`.
    pub fn put_due(&mut self, waiting: Waiting, tries: u32, now: T) {
        self.put(waiting, tries, now);
        self.ripen(now, waiting.id);
    }

    /// Like [`Index::put`], for an order that was found elsewhere. Does nothing if the index has the order in any
    /// state. Returns true if it was new.
    pub fn adopt(&mut self, waiting: Waiting, due: T) -> bool {
        let is_unknown = !self.entries.contains_key(&waiting.id);
        if is_unknown {
            self.put(waiting, 1, due);
        }
        is_unknown
    }

    /// Takes orders that are due at `now`, fairly over tokens and payers: at most `fresh` fresh ones and at most `paced`
    /// others.
    pub fn take(&mut self, now: T, fresh: usize, paced: usize) -> Vec<DueOrder> {
        while let Some((due, id)) = self.sleeping.first().copied().filter(|(due, _)| *due <= now) {
            self.ripen(due, id);
        }
        let mut taken = Vec::new();
        for (ripe, max) in [(&mut self.fresh, fresh), (&mut self.paced, paced)] {
            let end = taken.len() + max;
            while taken.len() < end {
                let Some((id, generation)) = ripe.pop() else { break };
                // An order that was put again in the meantime sleeps, or stands further behind in the queue.
                if let Some(entry) = self.entries.get(&id).filter(|entry| entry.generation == generation) {
                    taken.push(DueOrder { waiting: entry.waiting, tries: entry.tries, generation });
                }
            }
        }
        taken
    }

    /// Records that a taken order waits again, until `due`. `is_try`: it was tried.
    pub fn again(&mut self, order: &DueOrder, is_try: bool, due: T) {
        if self.is_current(order) {
            self.put(order.waiting, order.tries.saturating_add(u32::from(is_try)), due);
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
        let Some(entry) = self.entries.get(&id) else { return };
        self.overdue.insert((due, id));
        let Party { token, payer } = entry.waiting.party;
        let ripe = if is_fresh(&entry.waiting, entry.tries) { &mut self.fresh } else { &mut self.paced };
        ripe.push(token, payer, (id, entry.generation));
    }

    fn is_current(&self, order: &DueOrder) -> bool {
        self.entries.get(&order.waiting.id).is_some_and(|entry| entry.generation == order.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;
    use domain::PaymentKey;

    fn id(n: u64) -> PaymentId {
        PaymentId::of(PaymentKey(B256::left_padding_from(&n.to_be_bytes())))
    }

    fn party(token: u8, payer: u8) -> Party {
        Party { token: Address::repeat_byte(token), payer: Address::repeat_byte(payer) }
    }

    /// An order against which something speaks.
    fn waiting(n: u64, party: Party) -> Waiting {
        Waiting { id: id(n), party, seq: n, is_new: false }
    }

    fn ids(taken: &[DueOrder]) -> Vec<PaymentId> {
        taken.iter().map(|order| order.waiting.id).collect()
    }

    #[test]
    fn orders_come_by_due_time_and_none_before_it() {
        let mut index = Index::default();
        for (n, due) in [(1, 30), (2, 10), (3, 20)] {
            index.put(waiting(n, party(1, 1)), 0, due);
        }
        let table = [(9, vec![]), (10, vec![id(2)]), (10, vec![]), (40, vec![id(3), id(1)]), (99, vec![])];
        for (now, expected) in table {
            assert_eq!(ids(&index.take(now, 0, 10)), expected, "at {now}");
        }
        assert_eq!(index.len(), 3, "taken, and not answered");
    }

    #[test]
    fn what_is_due_is_taken_fairly_and_no_more_than_asked_for() {
        let mut index = Index::default();
        (0..100).for_each(|n| index.put(waiting(n, party(1, 1)), 0, n));
        index.put(waiting(200, party(1, 2)), 0, 200);
        index.put_due(waiting(300, party(2, 1)), 0, 0);
        assert_eq!(ids(&index.take(300, 0, 3)), [id(300), id(0), id(200)]);
    }

    #[test]
    fn a_new_order_takes_no_share_of_the_pace_until_it_was_tried_three_times_in_vain() {
        let new = |n| Waiting { is_new: true, ..waiting(n, party(1, 1)) };
        let mut index = Index::default();
        (0..9).for_each(|n| index.put_due(waiting(n, party(1, 1)), 0, 0));
        index.put_due(new(10), 0, 0);
        index.put_due(new(11), 0, 0);
        assert_eq!(index.fresh(), 2);
        assert_eq!(ids(&index.take(0, 1, 1)), [id(10), id(0)]);
        assert_eq!(index.take(0, 0, 99).len(), 8, "the others are out of the way");
        let mut taken = index.take(0, 1, 0)[0];
        for tries in 1..4 {
            index.again(&taken, false, tries);
            assert!(index.take(tries - 1, 1, 0).is_empty(), "not due");
            taken = index.take(tries, 1, 0)[0];
            assert_eq!((taken.waiting.id, taken.tries), (id(11), tries - 1), "handed back, which is no try");
            index.again(&taken, true, tries);
            taken = index.take(tries, 1, 9).pop().unwrap();
        }
        assert_eq!((taken.waiting.id, taken.is_fresh(), index.fresh()), (id(11), false, 0));
        index.put(new(11), 0, 9);
        assert_eq!((index.len(), index.new_orders()), (11, 2));
        index.put(waiting(10, party(1, 1)), 0, 9);
        let taken = index.take(9, 1, 0)[0];
        index.done(&taken);
        assert_eq!(
            (index.len(), index.new_orders()),
            (10, 0),
            "one is answered, and something speaks against the other"
        );
    }

    #[test]
    fn a_taken_order_is_out_until_it_is_answered_and_a_late_answer_changes_nothing() {
        let mut index = Index::default();
        let order = waiting(1, party(1, 1));
        index.put(order, 2, 5);
        let taken = index.take(5, 0, 10)[0];
        assert_eq!((taken.tries, taken.waiting), (2, order));
        assert!(!index.adopt(order, 0), "it is known, although it is out");
        assert!(index.take(100, 0, 10).is_empty());
        index.again(&taken, true, 20);
        index.done(&taken);
        assert_eq!(index.len(), 1, "an answer is taken once");
        let taken = index.take(20, 0, 10)[0];
        assert_eq!(taken.tries, 3);
        // A message says that it waits anew while the answer about its earlier try is still on its way.
        index.put(order, 0, 30);
        index.done(&taken);
        assert_eq!(ids(&index.take(30, 0, 10)), [id(1)]);
    }

    #[test]
    fn the_order_that_came_due_first_is_overdue_until_it_is_answered() {
        let mut index = Index::default();
        (1..=3).for_each(|n| index.put(waiting(n, party(1, 1)), 0, n));
        assert_eq!(index.most_overdue(), None, "it is looked for");
        let taken = index.take(2, 0, 1)[0];
        assert_eq!(index.most_overdue(), Some((1, id(1))), "it is taken, and not answered");
        index.again(&taken, true, 9);
        assert_eq!(index.most_overdue(), Some((2, id(2))));
        let taken = index.take(3, 0, 1)[0];
        index.done(&taken);
        assert_eq!(index.most_overdue(), Some((3, id(3))));
        index.put(waiting(3, party(1, 1)), 0, 9);
        assert_eq!(index.most_overdue(), None);
    }

    #[test]
    fn an_order_that_is_put_again_has_its_last_due_time_only() {
        let mut index = Index::default();
        let [one, two, three] = [1, 2, 3].map(|n| waiting(n, party(1, 1)));
        index.put(one, 0, 10);
        index.put(one, 0, 30);
        assert!(index.take(29, 0, 10).is_empty());
        assert_eq!(index.take(30, 0, 10).len(), 1);
        // Due twice, and put between: taken once.
        index.put(two, 0, 29);
        index.put(three, 0, 30);
        assert_eq!(index.take(30, 0, 1).len(), 1);
        index.put(three, 0, 31);
        assert_eq!(index.take(31, 0, 10).len(), 1);
    }

    #[test]
    fn fifty_thousand_orders_wait_and_a_new_one_is_taken_in_the_next_round() {
        let mut index = Index::default();
        for n in 0..50_000_u64 {
            let payer = Address::left_padding_from(&(n / 16).to_be_bytes());
            index.put(waiting(n, Party { token: Address::repeat_byte(1), payer }), 0, n % 10);
        }
        assert_eq!(index.take(10, 0, 20).len(), 20);
        index.put(waiting(99_999, party(2, 9)), 0, 10);
        assert!(ids(&index.take(10, 0, 20)).contains(&id(99_999)), "another token has its turn");
        assert_eq!(index.len(), 50_001);
    }
}
