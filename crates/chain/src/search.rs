//! The search for the log of a used nonce: backwards, in pages as long as the provider answers them, and with bounded work.
//!
//! Each provider has a page length of its own, and each nonce a place per provider at which its search goes on. Both are in
//! memory only: a new process learns the length again, and begins at the top.

use crate::error::ChainError;
use crate::refusals::RefusalKind;
use crate::rpc::Node;
use alloy::primitives::{Address, B256};
use alloy::rpc::types::{Filter, Log};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The longest page, in blocks. Providers that limit the range mostly allow this much or only 5 to 100 blocks.
const PAGE_MAX: u64 = 1_000;

/// Full pages after which a longer one is tried. So a provider refuses one request in seventeen at most.
const GOOD_PAGES: u32 = 16;

/// Requests in one look, so that a nonce which was used long ago holds up no other order.
const REQUESTS_MAX: usize = 16;

/// The longest time of one look. A request that was sent before is waited for.
const LOOK_MAX: Duration = Duration::from_secs(2);

/// Places that are kept for each provider, twice. A forgotten search begins at the top again.
const PLACES_MAX: usize = 4_096;

/// The payer and the nonce of an authorization.
pub(crate) type SoughtNonce = (Address, B256);

/// All searches of one process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogSearches(Arc<Mutex<HashMap<usize, SearchedProvider>>>);

impl LogSearches {
    /// Searches `range` from its end down for a log that `filter` matches, at most [`REQUESTS_MAX`] pages, and goes on where
    /// the last look for `nonce` stopped. `None`: not found yet, or not at all. A search that has found nothing in the whole
    /// range begins at the top again, because a node that lags answers for blocks that it does not have.
    ///
    /// # Errors
    /// `Transient`, or `Refused` if the node refuses even one block. The next look goes on at the same place.
    pub(crate) async fn newest(
        &self,
        node: &Node,
        filter: &Filter,
        nonce: SoughtNonce,
        range: RangeInclusive<u64>,
    ) -> Result<Option<Log>, ChainError> {
        let until = Instant::now() + LOOK_MAX;
        let mut end =
            self.of(node, |provider| provider.places.get(nonce)).map_or(*range.end(), |end| end.min(*range.end()));
        // Set while a page is divided: its length, and whether the provider limits the range.
        let mut divided: Option<(u64, bool)> = None;
        for _ in 0..REQUESTS_MAX {
            if Instant::now() >= until || end < *range.start() {
                break;
            }
            let page = divided.map_or_else(|| self.of(node, |provider| provider.page.blocks), |(blocks, _)| blocks);
            let first = end.saturating_sub(page.saturating_sub(1)).max(*range.start());
            let blocks = end - first + 1;
            match node.logs(&filter.clone().from_block(first).to_block(end)).await {
                Ok(logs) => {
                    self.of(node, |provider| provider.page.answered(blocks, divided.take()));
                    if let Some(log) = logs.into_iter().next() {
                        // The next look finds it immediately.
                        self.of(node, |provider| provider.places.set(nonce, log.block_number.or(Some(end))));
                        return Ok(Some(log));
                    }
                    let next = first.checked_sub(1).filter(|next| next >= range.start());
                    self.of(node, |provider| provider.places.set(nonce, next));
                    let Some(next) = next else {
                        tracing::warn!(payer = %nonce.0, nonce = %nonce.1, "a used nonce has no log from START_BLOCK on");
                        break;
                    };
                    end = next;
                }
                Err(refused) => match refused.refusal_kind() {
                    // Words that are not known may speak of a range: whatever is answered at last tells the length.
                    Some(kind) if blocks > 1 && kind != RefusalKind::FailedCall => {
                        let is_limited = divided.is_some_and(|(_, limited)| limited) || kind != RefusalKind::Size;
                        divided = Some((blocks / 2, is_limited));
                    }
                    _ => return Err(refused),
                },
            }
        }
        Ok(None)
    }

    /// Reads or changes the knowledge about the node's provider. Poisoning is ignored: no holder panics.
    fn of<T>(&self, node: &Node, change: impl FnOnce(&mut SearchedProvider) -> T) -> T {
        let mut providers: MutexGuard<'_, _> = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(providers.entry(node.index()).or_default())
    }
}

/// Knowledge about the searches at one provider.
#[derive(Debug, Default)]
struct SearchedProvider {
    page: PageLength,
    places: SearchPlaces,
}

/// Length of the pages that a provider answers.
#[derive(Debug)]
struct PageLength {
    blocks: u64,
    /// Full pages that were answered since the length changed.
    good: u32,
}

impl Default for PageLength {
    fn default() -> Self {
        Self { blocks: PAGE_MAX, good: 0 }
    }
}

impl PageLength {
    /// A page of so many blocks was answered. `divided`: after longer ones were refused, and whether for their range.
    fn answered(&mut self, blocks: u64, divided: Option<(u64, bool)>) {
        match divided {
            Some((_, true)) => (self.blocks, self.good) = (blocks, 0),
            Some((_, false)) => {}
            None if blocks < self.blocks => {}
            None => {
                self.good += 1;
                if self.good >= GOOD_PAGES {
                    (self.blocks, self.good) = (self.blocks.saturating_mul(2).min(PAGE_MAX), 0);
                }
            }
        }
    }
}

/// The block at which the search for each nonce goes on. Holds the newest [`PLACES_MAX`] to twice as many.
#[derive(Debug, Default)]
struct SearchPlaces {
    young: HashMap<SoughtNonce, u64>,
    old: HashMap<SoughtNonce, u64>,
}

impl SearchPlaces {
    fn get(&self, nonce: SoughtNonce) -> Option<u64> {
        self.young.get(&nonce).or_else(|| self.old.get(&nonce)).copied()
    }

    fn set(&mut self, nonce: SoughtNonce, place: Option<u64>) {
        let Some(place) = place else {
            self.young.remove(&nonce);
            self.old.remove(&nonce);
            return;
        };
        if self.young.len() >= PLACES_MAX && !self.young.contains_key(&nonce) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(nonce, place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_the_range_is_remembered_and_tried_again_now_and_then_and_a_size_is_not() {
        let mut page = PageLength::default();
        page.answered(250, Some((250, false)));
        assert_eq!(page.blocks, PAGE_MAX, "other blocks hold less");
        page.answered(7, Some((7, true)));
        assert_eq!(page.blocks, 7);
        for _ in 0..GOOD_PAGES - 1 {
            page.answered(7, None);
            page.answered(3, None);
        }
        assert_eq!(page.blocks, 7, "the last page of a range says nothing about a long one");
        page.answered(7, None);
        assert_eq!(page.blocks, 14);
        for _ in 0..1_000 {
            page.answered(page.blocks, None);
        }
        assert_eq!(page.blocks, PAGE_MAX);
    }

    #[test]
    fn places_are_bounded_and_those_that_are_used_stay() {
        let nonce = |n: usize| (Address::ZERO, B256::from(alloy::primitives::U256::from(n)));
        let mut places = SearchPlaces::default();
        places.set(nonce(0), Some(9));
        for n in 1..=10 * PLACES_MAX {
            places.set(nonce(n), Some(1));
            let used = places.get(nonce(0));
            places.set(nonce(0), used);
        }
        assert_eq!(places.get(nonce(0)), Some(9));
        assert_eq!(places.get(nonce(1)), None);
        assert!(places.young.len() + places.old.len() <= 2 * PLACES_MAX);
        places.set(nonce(0), None);
        assert_eq!(places.get(nonce(0)), None);
    }
}
