//! How far the search for records without an order is, token by token, and how many blocks one request covers. Pure.
//!
//! A page that a node cannot answer is halved down to one block, and then by its tokens. Blocks come first: a node's limit
//! of blocks concerns all tokens, and one failed request finds half of it. A token whose blocks are full keeps short pages,
//! and so leaves the pages of the others.

use chain::Address;
use chain::token::TRACED_TOKENS_MAX;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

/// Blocks in one page, at most. Providers limit the range, and a node the size of its answer.
const PAGE_MAX: u64 = 1_000;

/// Number of full pages that must succeed before a page gets twice as long. After each single one, every second search of a
/// busy token would fail.
const GOOD_PAGES: u8 = 4;

/// How far one token is searched.
#[derive(Clone, Copy, Debug)]
struct Reached {
    /// The next block to search.
    next: u64,
    /// Blocks in its next page.
    page: u64,
    /// Full pages of this length that succeeded one after the other.
    good: u8,
}

/// How far each token is searched.
#[derive(Debug, Default)]
pub struct Reach(BTreeMap<Address, Reached>);

/// Tokens and blocks that are searched together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchPage {
    /// The tokens, at least one.
    pub tokens: Vec<Address>,
    /// The first block.
    pub first: u64,
    /// The last block.
    pub end: u64,
}

impl SearchPage {
    /// The blocks.
    pub const fn blocks(&self) -> RangeInclusive<u64> {
        self.first..=self.end
    }

    /// The token, if the page cannot be divided any more.
    pub fn single(&self) -> Option<Address> {
        match self.tokens[..] {
            [token] if self.first == self.end => Some(token),
            _ => None,
        }
    }

    const fn length(&self) -> u64 {
        (self.end - self.first).saturating_add(1)
    }
}

impl fmt::Display for SearchPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tokens[..] {
            [token] => write!(f, "blocks {} to {} of {token}", self.first, self.end),
            _ => write!(f, "blocks {} to {} of {} tokens", self.first, self.end, self.tokens.len()),
        }
    }
}

impl Reach {
    /// Adds a token that is to be searched from block `first` on. One that is known stays as it is.
    pub fn add(&mut self, token: Address, first: u64) {
        self.0.entry(token).or_insert(Reached { next: first, page: PAGE_MAX, good: 0 });
    }

    /// The next page of each token up to block `last`, for the tokens that `may` be searched. Tokens that are equally far
    /// are together. Long pages come first, so that tokens with full blocks hold up no other.
    pub fn pages(&self, last: u64, may: impl Fn(Address) -> bool) -> Vec<SearchPage> {
        let mut groups: BTreeMap<(Reverse<u64>, u64), Vec<Address>> = BTreeMap::new();
        for (token, Reached { next, page, .. }) in self.0.iter().filter(|(_, reached)| reached.next <= last) {
            if may(*token) {
                groups.entry((Reverse(*page), *next)).or_default().push(*token);
            }
        }
        let page = |((Reverse(page), first), tokens): ((Reverse<u64>, u64), Vec<Address>)| {
            let end = first.saturating_add(page - 1).min(last);
            let some = tokens.chunks(TRACED_TOKENS_MAX).map(|some| SearchPage { tokens: some.to_vec(), first, end });
            some.collect::<Vec<_>>()
        };
        groups.into_iter().flat_map(page).collect()
    }

    /// Divides a page that could not be searched, and remembers its shorter length. Returns the parts that are to be
    /// searched now; none if the page is one block of one token.
    pub fn divided(&mut self, page: &SearchPage) -> Vec<SearchPage> {
        let SearchPage { tokens, first, end } = page;
        if first < end {
            let half = page.length() / 2;
            for token in tokens {
                if let Some(reached) = self.0.get_mut(token) {
                    (reached.page, reached.good) = (half, 0);
                }
            }
            return vec![SearchPage { end: first + (half - 1), ..page.clone() }];
        }
        let halves = tokens.split_at(tokens.len() / 2);
        let halves = if halves.0.is_empty() { Vec::new() } else { vec![halves.0, halves.1] };
        halves.into_iter().map(|half| SearchPage { tokens: half.to_vec(), first: *first, end: *end }).collect()
    }

    /// Moves a token of `page` behind it. If the page was answered as a whole, the next ones may grow.
    pub fn pass(&mut self, page: &SearchPage, token: Address, as_a_whole: bool) {
        let Some(reached) = self.0.get_mut(&token) else { return };
        reached.next = page.end.saturating_add(1);
        if !as_a_whole {
            reached.good = 0;
        } else if page.length() >= reached.page {
            reached.good += 1;
            if reached.good >= GOOD_PAGES {
                (reached.page, reached.good) = (reached.page.saturating_mul(2).min(PAGE_MAX), 0);
            }
        }
    }

    /// The last block up to which every token is searched. `None` without a token.
    pub fn searched(&self) -> Option<u64> {
        self.0.values().map(|reached| reached.next.saturating_sub(1)).min()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn token(n: u64) -> Address {
        Address::from_word(chain::B256::from(chain::U256::from(n)))
    }

    fn reach(tokens: u64) -> Reach {
        let mut reach = Reach::default();
        (1..=tokens).for_each(|n| reach.add(token(n), 0));
        reach
    }

    /// Searches up to `last` at a node that cannot answer some pages. Returns the requests that it could not answer, and the
    /// blocks that each token had to be searched in by itself.
    fn search(reach: &mut Reach, last: u64, fails: impl Fn(&SearchPage) -> bool) -> (usize, BTreeSet<(Address, u64)>) {
        let (mut failed, mut alone) = (0, BTreeSet::new());
        loop {
            let mut pages: std::collections::VecDeque<SearchPage> = reach.pages(last, |_| true).into();
            if pages.is_empty() {
                return (failed, alone);
            }
            while let Some(page) = pages.pop_front() {
                let is_whole = !fails(&page);
                failed += usize::from(!is_whole);
                let parts = if is_whole { Vec::new() } else { reach.divided(&page) };
                if parts.is_empty() {
                    alone.extend(page.single().filter(|_| !is_whole).map(|token| (token, page.first)));
                    page.tokens.iter().for_each(|token| reach.pass(&page, *token, is_whole));
                }
                pages.extend(parts);
            }
        }
    }

    #[test]
    fn tokens_that_are_equally_far_share_pages_and_each_has_its_own_place() {
        let mut reach = reach(150);
        reach.add(token(7), 400);
        reach.add(token(200), 400);
        reach.add(token(201), 5_001);
        let pages = reach.pages(5_000, |one| one != token(1));
        let shapes: Vec<_> = pages.iter().map(|page| (page.tokens.len(), page.first, page.end)).collect();
        assert_eq!(shapes, [(100, 0, 999), (49, 0, 999), (1, 400, 1_399)]);
        reach.pass(&pages[0], token(2), true);
        assert_eq!(reach.searched(), Some(0), "the others are not searched yet");
        assert_eq!(Reach::default().searched(), None);
    }

    #[test]
    fn one_full_block_of_one_token_costs_few_requests_and_every_token_gets_past_it() {
        let mut reach = reach(300);
        let is_full = |page: &SearchPage| page.blocks().contains(&777) && page.tokens.contains(&token(42));
        let (failed, alone) = search(&mut reach, 5_000, is_full);
        assert_eq!(alone, [(token(42), 777)].into());
        assert!(failed <= 9 + 7 + 1, "{failed} requests failed");
        assert_eq!(reach.searched(), Some(5_000));
    }

    #[test]
    fn a_token_whose_every_block_is_full_leaves_the_pages_of_the_others() {
        let mut reach = reach(100);
        let (failed, alone) = search(&mut reach, 500, |page| page.tokens.contains(&token(42)));
        assert_eq!(alone.len(), 501);
        assert!(failed <= 501 + 60, "{failed} requests failed");
    }

    #[test]
    fn a_limit_of_blocks_is_found_once_and_tried_again_only_now_and_then() {
        let mut reach = reach(100);
        let (failed, alone) = search(&mut reach, 9_999, |page| page.length() > 100);
        assert_eq!(alone, BTreeSet::new());
        assert!(failed <= 10_000 / 62 / usize::from(GOOD_PAGES) + 10, "{failed} requests failed");
    }

    #[test]
    fn a_page_grows_again_after_some_full_ones() {
        let mut reach = reach(1);
        let lengths = |reach: &mut Reach| {
            let page = reach.pages(u64::MAX, |_| true).remove(0);
            reach.pass(&page, token(1), true);
            page.length()
        };
        let page = reach.pages(u64::MAX, |_| true).remove(0);
        assert_eq!(reach.divided(&page)[0].blocks(), 0..=499);
        let grown: Vec<u64> = (0..6).map(|_| lengths(&mut reach)).collect();
        assert_eq!(grown, [500, 500, 500, 500, 1_000, 1_000]);
        let short = SearchPage { tokens: vec![token(1)], first: 10_000, end: 10_001 };
        let before = reach.0[&token(1)].good;
        reach.pass(&short, token(1), true);
        assert_eq!(reach.0[&token(1)].good, before, "a short page at the head says nothing about a long one");
    }
}
