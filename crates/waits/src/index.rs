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

/// A waiting order that has come due. The index does not give it out again until [`Index::again`] or [`Index::done`] is
/// called with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueOrder {
    /// The order.
    pub id: PaymentId,
    /// Keys of the order in the fair queue.
    pub party: Party,
    /// Number of tries so far.
    pub tries: u32,
    /// Sequence of the event with which the order began to wait, as far as is known.
    pub seq: u64,
    generation: u64,
}

/// Waiting orders of one process, by due time. `T` is a point in time.
#[derive(Debug)]
pub struct Index<T> {
    entries: HashMap<PaymentId, Entry<T>>,
    sleeping: BTreeSet<(T, PaymentId)>,
    /// Orders that are ripe or taken, by the time at which they came due.
    overdue: BTreeSet<(T, PaymentId)>,
    /// Orders that are due and that nobody has taken, each with its generation.
    ripe: FairQueue<Address, Address, (PaymentId, u64)>,
    generation: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry<T> {
    party: Party,
    tries: u32,
    seq: u64,
    /// Grows with each change of the entry, so that a late answer about an earlier state changes nothing.
    generation: u64,
    /// When the order is due, or came due.
    due: T,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        let (sleeping, overdue) = (BTreeSet::new(), BTreeSet::new());
        Self { entries: HashMap::new(), sleeping, overdue, ripe: FairQueue::default(), generation: 0 }
    }
}

impl<T: Copy + Ord> Index<T> {
    /// Records that the order waits until `due`. Replaces what was recorded before.
    pub fn put(&mut self, id: PaymentId, party: Party, tries: u32, seq: u64, due: T) {
        self.generation += 1;
        let entry = Entry { party, tries, seq, generation: self.generation, due };
        if let Some(Entry { due: before, .. }) = self.entries.insert(id, entry) {
            self.sleeping.remove(&(before, id));
            self.overdue.remove(&(before, id));
        }
        self.sleeping.insert((due, id));
    }

    /// Like [`Index::put`], for an order that was found elsewhere. Does nothing if the index has the order in any
    /// state. Returns true if it was new.
    pub fn adopt(&mut self, id: PaymentId, party: Party, seq: u64, due: T) -> bool {
        let is_new = !self.entries.contains_key(&id);
        if is_new {
            self.put(id, party, 1, seq, due);
        }
        is_new
    }

    /// Takes at most `max` orders that are due at `now`, fairly over tokens and payers.
    pub fn take(&mut self, now: T, max: usize) -> Vec<DueOrder> {
        while let Some((due, id)) = self.sleeping.first().copied().filter(|(due, _)| *due <= now) {
            self.sleeping.remove(&(due, id));
            if let Some(entry) = self.entries.get(&id) {
                self.overdue.insert((due, id));
                self.ripe.push(entry.party.token, entry.party.payer, (id, entry.generation));
            }
        }
        let mut taken = Vec::new();
        while taken.len() < max {
            let Some((id, generation)) = self.ripe.pop() else { break };
            // An order that was put again in the meantime sleeps, or stands further behind in the queue.
            let Some(entry) = self.entries.get(&id).filter(|entry| entry.generation == generation) else { continue };
            let Entry { party, tries, seq, .. } = *entry;
            taken.push(DueOrder { id, party, tries, seq, generation });
        }
        taken
    }

    /// Records that a taken order waits again, until `due`.
    pub fn again(&mut self, order: &DueOrder, due: T) {
        if self.is_current(order) {
            self.put(order.id, order.party, order.tries.saturating_add(1), order.seq, due);
        }
    }

    /// Records that a taken order no longer waits.
    pub fn done(&mut self, order: &DueOrder) {
        if self.is_current(order)
            && let Some(entry) = self.entries.remove(&order.id)
        {
            self.overdue.remove(&(entry.due, order.id));
        }
    }

    /// The order that came due first and is not answered, with the time at which it came due.
    pub fn most_overdue(&self) -> Option<(T, PaymentId)> {
        self.overdue.first().copied()
    }

    /// Number of orders that wait, are due, or are taken.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn is_current(&self, order: &DueOrder) -> bool {
        self.entries.get(&order.id).is_some_and(|entry| entry.generation == order.generation)
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

    fn ids(taken: &[DueOrder]) -> Vec<PaymentId> {
        taken.iter().map(|order| order.id).collect()
    }

    #[test]
    fn orders_come_by_due_time_and_none_before_it() {
        let mut index = Index::default();
        for (n, due) in [(1, 30), (2, 10), (3, 20)] {
            index.put(id(n), party(1, 1), 0, n, due);
        }
        let table = [(9, vec![]), (10, vec![id(2)]), (10, vec![]), (40, vec![id(3), id(1)]), (99, vec![])];
        for (now, expected) in table {
            assert_eq!(ids(&index.take(now, 10)), expected, "at {now}");
        }
        assert_eq!(index.len(), 3, "taken, and not answered");
    }

    #[test]
    fn what_is_due_is_taken_fairly_and_no_more_than_asked_for() {
        let mut index = Index::default();
        (0..100).for_each(|n| index.put(id(n), party(1, 1), 0, n, n));
        index.put(id(200), party(1, 2), 0, 200, 200);
        index.put(id(300), party(2, 1), 0, 300, 300);
        assert_eq!(ids(&index.take(300, 3)), [id(0), id(300), id(200)]);
    }

    #[test]
    fn a_taken_order_is_out_until_it_is_answered_and_a_late_answer_changes_nothing() {
        let mut index = Index::default();
        index.put(id(1), party(1, 1), 2, 7, 5);
        let taken = index.take(5, 10)[0];
        assert_eq!((taken.tries, taken.seq), (2, 7));
        assert!(!index.adopt(id(1), party(1, 1), 7, 0), "it is known, although it is out");
        assert!(index.take(100, 10).is_empty());
        index.again(&taken, 20);
        index.done(&taken);
        assert_eq!(index.len(), 1, "an answer is taken once");
        let taken = index.take(20, 10)[0];
        assert_eq!(taken.tries, 3);
        // A message says that it waits anew while the answer about its earlier try is still on its way.
        index.put(id(1), party(1, 1), 0, 9, 30);
        index.done(&taken);
        assert_eq!(ids(&index.take(30, 10)), [id(1)]);
    }

    #[test]
    fn the_order_that_came_due_first_is_overdue_until_it_is_answered() {
        let mut index = Index::default();
        (1..=3).for_each(|n| index.put(id(n), party(1, 1), 0, n, n));
        assert_eq!(index.most_overdue(), None, "it is looked for");
        let taken = index.take(2, 1)[0];
        assert_eq!(index.most_overdue(), Some((1, id(1))), "it is taken, and not answered");
        index.again(&taken, 9);
        assert_eq!(index.most_overdue(), Some((2, id(2))));
        let taken = index.take(3, 1)[0];
        index.done(&taken);
        assert_eq!(index.most_overdue(), Some((3, id(3))));
        index.put(id(3), party(1, 1), 0, 3, 9);
        assert_eq!(index.most_overdue(), None);
    }

    #[test]
    fn an_order_that_is_put_again_has_its_last_due_time_only() {
        let mut index = Index::default();
        index.put(id(1), party(1, 1), 0, 1, 10);
        index.put(id(1), party(1, 1), 0, 2, 30);
        assert!(index.take(29, 10).is_empty());
        assert_eq!(index.take(30, 10).len(), 1);
        // Due twice, and put between: taken once.
        index.put(id(2), party(1, 1), 0, 1, 29);
        index.put(id(3), party(1, 1), 0, 1, 30);
        assert_eq!(index.take(30, 1).len(), 1);
        index.put(id(3), party(1, 1), 0, 1, 31);
        assert_eq!(index.take(31, 10).len(), 1);
    }

    #[test]
    fn fifty_thousand_orders_wait_and_a_new_one_is_taken_in_the_next_round() {
        let mut index = Index::default();
        for n in 0..50_000_u64 {
            let payer = Address::left_padding_from(&(n / 16).to_be_bytes());
            index.put(id(n), Party { token: Address::repeat_byte(1), payer }, 0, n, n % 10);
        }
        assert_eq!(index.take(10, 20).len(), 20);
        index.put(id(99_999), party(2, 9), 0, 1, 10);
        assert!(ids(&index.take(10, 20)).contains(&id(99_999)), "another token has its turn");
        assert_eq!(index.len(), 50_001);
    }
}
