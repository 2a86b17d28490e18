//! Places in a line that is served in turns, as the lanes serve it: tokens take turns, and so do the payers of a token.

use alloy_primitives::Address;
use std::collections::{HashMap, VecDeque};

/// Orders that wait for their turn, by token and payer, each by the sequence of the event that put it in line.
#[derive(Debug)]
pub(crate) struct Turns {
    tokens: HashMap<Address, TokenLine>,
    /// Number of orders that a token has served in one turn. A payer has one.
    per_turn: usize,
    /// Tickets that were given out. Who was served gets a new one, behind all others.
    tickets: u64,
    len: usize,
}

#[derive(Debug)]
struct TokenLine {
    ticket: u64,
    len: usize,
    payers: HashMap<Address, PayerLine>,
}

#[derive(Debug)]
struct PayerLine {
    ticket: u64,
    orders: VecDeque<u64>,
}

impl Turns {
    /// An empty line in which a token has `per_turn` orders served in one turn.
    pub fn new(per_turn: usize) -> Self {
        Self { tokens: HashMap::new(), per_turn, tickets: 0, len: 0 }
    }

    /// An empty line of the same kind.
    pub fn emptied(&self) -> Self {
        Self::new(self.per_turn)
    }

    /// Number of orders.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Appends `seq`, which is greater than those before it.
    pub fn enter(&mut self, token: Address, payer: Address, seq: u64) {
        self.tickets += 1;
        let ticket = self.tickets;
        let line = self.tokens.entry(token).or_insert_with(|| TokenLine { ticket, len: 0, payers: HashMap::new() });
        let own = line.payers.entry(payer).or_insert_with(|| PayerLine { ticket, orders: VecDeque::new() });
        own.orders.push_back(seq);
        line.len += 1;
        self.len += 1;
    }

    /// Removes `seq`, which was served. Returns false if it is not in line.
    pub fn leave(&mut self, token: Address, payer: Address, seq: u64) -> bool {
        let Some(line) = self.tokens.get_mut(&token) else { return false };
        let Some(own) = line.payers.get_mut(&payer) else { return false };
        let Ok(index) = own.orders.binary_search(&seq) else { return false };
        own.orders.remove(index);
        self.tickets += 1;
        own.ticket = self.tickets;
        if own.orders.is_empty() {
            line.payers.remove(&payer);
        }
        line.ticket = self.tickets;
        line.len -= 1;
        if line.len == 0 {
            self.tokens.remove(&token);
        }
        self.len -= 1;
        true
    }

    /// Position of `seq`; 1 is next. `None` if it is not in line. Looks at each token, and at each payer of its token.
    pub fn position(&self, token: Address, payer: Address, seq: u64) -> Option<usize> {
        let own = self.tokens.get(&token)?.payers.get(&payer)?;
        Some(self.place(token, payer, own.orders.binary_search(&seq).ok()? + 1))
    }

    /// Position that an order would have that arrives now, of a payer without any if that is `None`.
    pub fn next(&self, token: Address, payer: Option<Address>) -> usize {
        let payer = payer.unwrap_or_default();
        let own = self.tokens.get(&token).and_then(|line| line.payers.get(&payer));
        self.place(token, payer, own.map_or(0, |own| own.orders.len()) + 1)
    }

    /// The last position that an order would have that arrives now, of a payer without any: at the token with the longest line.
    pub fn last(&self) -> usize {
        let longest = self.tokens.iter().max_by_key(|(_, line)| line.len);
        longest.map_or(1, |(token, _)| self.next(*token, None))
    }

    /// Position of the order that is the `rank`th of its payer; 1 is the first.
    fn place(&self, token: Address, payer: Address, rank: usize) -> usize {
        let own = self.tokens.get(&token);
        let ticket = own.and_then(|line| line.payers.get(&payer)).map_or(u64::MAX, |own| own.ticket);
        // Others of the token that come first: of each payer as many as turns come before this one.
        let before: usize = own
            .into_iter()
            .flat_map(|line| &line.payers)
            .filter(|(other, _)| **other != payer)
            .fold(0, |sum, (_, other)| sum + other.orders.len().min(rank - usize::from(other.ticket > ticket)));
        let in_token = rank + before;
        let (turn, ticket) = (in_token.div_ceil(self.per_turn), own.map_or(u64::MAX, |line| line.ticket));
        let others = self.tokens.iter().filter(|(other, _)| **other != token);
        others.fold(in_token, |sum, (_, other)| {
            let turns = turn - usize::from(other.ticket > ticket);
            sum + other.len.min(turns.saturating_mul(self.per_turn))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use waits::FairQueue;

    fn account(n: u64) -> Address {
        Address::left_padding_from(&n.to_be_bytes())
    }

    /// An order as the lanes' own queue has it.
    type Queued = (Address, Address, u64);

    fn crowd() -> Vec<Queued> {
        let mut seq = 0;
        let mut of = |token: u64, payers: std::ops::Range<u64>, each: usize| {
            let pairs = payers.flat_map(move |payer| std::iter::repeat_n((account(token), account(payer)), each));
            pairs.map(|(token, payer)| (seq += 1, (token, payer, seq)).1).collect::<Vec<_>>()
        };
        // One token with a crowd, one with one eager payer, some with one order each.
        let small: Vec<_> = (10..30).flat_map(|token| of(token, 7..8, 1)).collect();
        let mut all = [of(1, 0..150, 4), of(2, 0..1, 60), of(2, 500..510, 1), small, of(1, 900..903, 1)].concat();
        all.sort_by_key(|(_, payer, seq)| (seq % 4, *payer, *seq));
        let seqs = 1..=all.len() as u64;
        all.iter().zip(seqs).map(|((token, payer, _), seq)| (*token, *payer, seq)).collect()
    }

    /// Serves `crowd` by the queue of the lanes, `per_turn` orders of a token in a turn. Each order is told its position when
    /// it arrives, a part of the others having been served, and is told it again before each turn.
    fn serve(per_turn: usize, arrive_at_once: usize) -> usize {
        let (mut turns, mut queue) = (Turns::new(per_turn), FairQueue::default());
        let mut arriving = crowd().into_iter().peekable();
        let (mut served, mut asked) = (0, 0);
        while arriving.peek().is_some() || !queue.is_empty() {
            for (token, payer, seq) in arriving.by_ref().take(arrive_at_once) {
                let next = turns.next(token, Some(payer));
                turns.enter(token, payer, seq);
                assert_eq!(turns.position(token, payer, seq), Some(next));
                queue.push(token, payer, u64::MAX, (token, payer, seq));
            }
            let token = queue.turns().next().unwrap();
            // With nobody else arriving, everybody would be served exactly as told.
            let (mut rest, mut nth) = (queue.clone(), 0);
            while !rest.is_empty() {
                let next = rest.turns().next().unwrap();
                for (token, payer, seq) in rest.take_of(next, per_turn) {
                    nth += 1;
                    asked += 1;
                    assert_eq!(turns.position(token, payer, seq), Some(nth), "order {seq} after {served}");
                }
            }
            for (token, payer, seq) in queue.take_of(token, per_turn) {
                served += 1;
                assert!(turns.leave(token, payer, seq));
                assert!(!turns.leave(token, payer, seq), "once");
            }
        }
        assert_eq!((turns.len(), turns.last(), turns.tokens.len()), (0, 1, 0));
        asked
    }

    #[test]
    fn positions_are_those_of_the_queue_that_the_lanes_use() {
        for (per_turn, arrive_at_once) in [(1, 1_000), (1, 7), (100, 1_000), (30, 40)] {
            assert!(serve(per_turn, arrive_at_once) > 1_000);
        }
    }

    #[test]
    fn a_crowd_of_one_token_or_of_one_payer_is_no_wait_for_others() {
        let mut turns = Turns::new(1);
        (0..10_000).for_each(|seq| turns.enter(account(1), account(seq), seq));
        assert_eq!((turns.next(account(1), None), turns.next(account(2), None), turns.last()), (10_001, 2, 10_001));
        let mut turns = Turns::new(1);
        (0..10_000).for_each(|seq| turns.enter(account(1), account(1), seq));
        assert_eq!((turns.next(account(1), None), turns.next(account(1), Some(account(1)))), (2, 10_001));
    }
}
