//! The fair queue: round robin over its outer keys, and for each of them round robin over its inner keys. Items of the
//! same inner key keep their order of arrival. Of the items whose deadline is near, the earliest comes first: inside its
//! outer key, and every second time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;

/// Items by an outer and an inner key, for example by token and payer. A key with a thousand items delays a key with one
/// item by one item, not by a thousand.
#[derive(Clone, Debug)]
pub struct FairQueue<O, I, T> {
    /// Outer keys with items, the next one at the front.
    turns: VecDeque<O>,
    shelves: HashMap<O, Shelf<I, T>>,
    /// Number of items that were ever added, which is the place of the next one.
    added: u64,
    len: usize,
}

/// The items of one outer key.
#[derive(Clone, Debug)]
struct Shelf<I, T> {
    turns: VecDeque<I>,
    /// Items in the order of their places.
    lines: HashMap<I, VecDeque<Placed<T>>>,
    /// Inner keys by deadline and place.
    deadlines: BTreeMap<(u64, u64), I>,
    /// True if the item before was taken because of its deadline.
    was_urgent: bool,
}

#[derive(Clone, Debug)]
struct Placed<T> {
    place: u64,
    deadline: u64,
    item: T,
}

impl<I, T> Default for Shelf<I, T> {
    fn default() -> Self {
        Self { turns: VecDeque::new(), lines: HashMap::new(), deadlines: BTreeMap::new(), was_urgent: false }
    }
}

impl<O, I, T> Default for FairQueue<O, I, T> {
    fn default() -> Self {
        Self { turns: VecDeque::new(), shelves: HashMap::new(), added: 0, len: 0 }
    }
}

impl<O: Copy + Eq + Hash, I: Copy + Eq + Hash, T> FairQueue<O, I, T> {
    /// Adds `item` behind the others of its keys. `u64::MAX`: it has no deadline.
    pub fn push(&mut self, outer: O, inner: I, deadline: u64, item: T) {
        let shelf = self.shelves.entry(outer).or_insert_with(|| {
            self.turns.push_back(outer);
            Shelf::default()
        });
        let line = shelf.lines.entry(inner).or_insert_with(|| {
            shelf.turns.push_back(inner);
            VecDeque::new()
        });
        let place = self.added;
        line.push_back(Placed { place, deadline, item });
        shelf.deadlines.insert((deadline, place), inner);
        self.added += 1;
        self.len += 1;
    }

    /// Takes the next item. Deadlines up to `near` are near.
    pub fn pop(&mut self, near: u64) -> Option<T> {
        let outer = *self.turns.front()?;
        let item = self.pop_of(outer, near);
        if self.shelves.contains_key(&outer) {
            self.turns.rotate_left(1);
        }
        item
    }

    /// Takes at most `max` items of at most `outers` outer keys. Afterwards these stand behind the others. Deadlines up to
    /// `near` are near.
    pub fn take(&mut self, max: usize, outers: usize, near: u64) -> Vec<T> {
        let mut chosen: VecDeque<O> = self.turns.iter().take(outers).copied().collect();
        let mut taken = Vec::new();
        while let Some(outer) = chosen.front().copied().filter(|_| taken.len() < max) {
            taken.extend(self.pop_of(outer, near));
            if self.shelves.contains_key(&outer) {
                chosen.rotate_left(1);
            } else {
                chosen.pop_front();
            }
        }
        self.turns.retain(|outer| !chosen.contains(outer));
        self.turns.extend(chosen);
        taken
    }

    /// Takes at most `max` items of one outer key, whatever their deadlines. Afterwards this key stands behind the other outer keys.
    pub fn take_of(&mut self, outer: O, max: usize) -> Vec<T> {
        let taken = (0..max).map_while(|_| self.pop_of(outer, 0)).collect();
        if self.shelves.contains_key(&outer) {
            self.turns.retain(|other| *other != outer);
            self.turns.push_back(outer);
        }
        taken
    }

    /// Outer keys with items, in the order of their turns.
    pub fn turns(&self) -> impl Iterator<Item = O> {
        self.turns.iter().copied()
    }

    /// Number of items of one outer key.
    pub fn len_of(&self, outer: O) -> usize {
        self.shelves.get(&outer).map_or(0, |shelf| shelf.deadlines.len())
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there is no item.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the next item of one outer key. An outer key without items has no turn.
    fn pop_of(&mut self, outer: O, near: u64) -> Option<T> {
        let shelf = self.shelves.get_mut(&outer)?;
        let item = shelf.pop(near)?;
        self.len -= 1;
        if shelf.deadlines.is_empty() {
            self.shelves.remove(&outer);
            self.turns.retain(|other| *other != outer);
        }
        Some(item)
    }
}

impl<I: Copy + Eq + Hash, T> Shelf<I, T> {
    /// Takes the item with the earliest deadline if that is near, but only every second time: short windows cost their
    /// signers nothing, and would otherwise keep everybody else waiting.
    fn pop(&mut self, near: u64) -> Option<T> {
        let urgent = self.deadlines.first_key_value().map(|((deadline, place), inner)| (*deadline, *place, *inner));
        let urgent = urgent.filter(|(deadline, ..)| *deadline <= near && !self.was_urgent);
        self.was_urgent = urgent.is_some();
        let (inner, nth) = match urgent {
            Some((_, place, inner)) => {
                self.turns.retain(|other| *other != inner);
                (inner, self.lines.get(&inner)?.iter().position(|placed| placed.place == place)?)
            }
            None => (self.turns.pop_front()?, 0),
        };
        let line = self.lines.get_mut(&inner)?;
        let Placed { place, deadline, item } = line.remove(nth)?;
        if line.is_empty() {
            self.lines.remove(&inner);
        } else {
            self.turns.push_back(inner);
        }
        self.deadlines.remove(&(deadline, place));
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes words such as `A1x`: token A, payer 1, item x.
    fn queue(words: &str) -> FairQueue<char, char, String> {
        let mut queue = FairQueue::default();
        for word in words.split_whitespace() {
            let mut keys = word.chars();
            let (outer, inner) = (keys.next().unwrap_or_default(), keys.next().unwrap_or_default());
            queue.push(outer, inner, u64::MAX, word.to_owned());
        }
        queue
    }

    #[test]
    fn what_is_ready_is_taken_round_robin_over_tokens_and_inside_a_token_over_payers() {
        let table = [
            ("nothing", "", ""),
            ("one line keeps its order", "A1a A1b A1c", "A1a A1b A1c"),
            ("payers in turn", "A1a A1b A1c A2a A3a", "A1a A2a A3a A1b A1c"),
            ("tokens in turn", "A1a A1b A1c B1a", "A1a B1a A1b A1c"),
            ("a token with many payers gets no more turns", "A1a A2a A3a A4a B1a B1b", "A1a B1a A2a B1b A3a A4a"),
            ("a payer of two tokens has a line in each", "A1a A1b B1a B1b A2a", "A1a B1a A2a B1b A1b"),
        ];
        for (name, pushed, expected) in table {
            let mut queue = queue(pushed);
            assert_eq!(queue.len(), pushed.split_whitespace().count(), "{name}");
            assert_eq!(queue.take(100, 9, 0).join(" "), expected, "{name}");
            assert!(queue.is_empty() && queue.turns().next().is_none(), "{name}");
        }
    }

    #[test]
    fn a_thousand_items_of_one_payer_delay_a_newcomer_by_one_item() {
        let mut queue = FairQueue::default();
        (0..1_000).for_each(|n| queue.push('A', '1', u64::MAX, n));
        queue.pop(0);
        queue.push('A', '2', u64::MAX, 7_000);
        queue.push('B', '1', u64::MAX, 8_000);
        assert_eq!(queue.take(4, 9, 0), [1, 8_000, 7_000, 2]);
    }

    #[test]
    fn a_batch_of_few_tokens_leaves_the_next_turn_to_the_others() {
        let mut queue = queue("A1a A1b A1c B1a B1b C1a D1a");
        assert_eq!(queue.take(3, 2, 0).join(" "), "A1a B1a A1b");
        assert_eq!(queue.turns().collect::<String>(), "CDBA");
        assert_eq!(queue.take(9, 2, 0).join(" "), "C1a D1a");
        assert_eq!(queue.take(9, 2, 0).join(" "), "B1b A1c");
        assert!(queue.take(9, 2, 0).is_empty());
    }

    #[test]
    fn a_batch_of_one_token_ends_the_turn_of_that_token() {
        let mut queue = queue("A1a A1b A2a A3a B1a C1a");
        assert_eq!(queue.take_of('A', 3).join(" "), "A1a A2a A3a");
        assert_eq!(queue.turns().collect::<String>(), "BCA");
        assert_eq!((queue.len_of('A'), queue.len_of('Z'), queue.len()), (1, 0, 3));
        assert_eq!(queue.take_of('A', 3).join(" "), "A1b");
        assert_eq!(queue.turns().collect::<String>(), "BC");
        assert!(queue.take_of('A', 3).is_empty());
        queue.push('A', '1', u64::MAX, "A1z".to_owned());
        assert_eq!(queue.turns().collect::<String>(), "BCA");
    }

    #[test]
    fn an_item_that_would_miss_its_deadline_comes_first_in_its_token_and_every_second_time() {
        let mut queue = FairQueue::default();
        for (outer, inner, deadline, item) in [
            ('A', '1', 900, "A1a"),
            ('A', '1', 80, "A1b"),
            ('A', '2', 900, "A2a"),
            ('A', '3', 70, "A3a"),
            ('A', '4', 90, "A4a"),
            ('B', '1', 900, "B1a"),
            ('B', '2', 101, "B2a"),
        ] {
            queue.push(outer, inner, deadline, item);
        }
        assert_eq!(queue.clone().take(9, 9, 0).join(" "), "A1a B1a A2a B2a A3a A4a A1b", "none is near");
        assert_eq!(queue.take(9, 9, 100).join(" "), "A3a B1a A1a B2a A1b A2a A4a");
        assert!(queue.is_empty() && queue.turns().next().is_none());
    }
}
