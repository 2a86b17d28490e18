//! A worker's memory of its lane's transactions between two looks at the chain. A restarted worker loses it and finds
//! everything out again.

use chain::{B256, Broadcast, Head};
use domain::lane::STUCK_BLOCKS;
use domain::{BlockRef, Lane};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// Pause between two requests for the head. Shorter than the block time of any chain that Paymint is built for.
const ASK_INTERVAL: Duration = Duration::from_millis(250);

/// Pause between two looks while the head stays the same: a pool can lose a transaction without a new block.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Like [`LOOK_INTERVAL`], while the node has not accepted one of the transactions.
const RESEND_INTERVAL: Duration = Duration::from_millis(500);

/// A transaction that the node took and does not show is sent again after this time at the latest, which does no harm. It may
/// have been in a block that fell out of the chain before this worker looked.
const HIDDEN_MAX: Duration = Duration::from_secs(20);

/// The memory of one lane, see the module.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    asked: Option<Instant>,
    /// Hash of the head at the last look, and the time of that look.
    looked: Option<(B256, Instant)>,
    /// For each transaction hash, the height of the head when the transaction was first seen waiting.
    waiting: BTreeMap<B256, u64>,
    /// Transactions that were broadcast and that the node did not acknowledge.
    not_taken: BTreeSet<B256>,
    /// Transactions that were broadcast and refused, with the reason.
    refused: BTreeMap<B256, NotTaken>,
    /// Transactions that the node took.
    taken: BTreeMap<B256, Taken>,
    /// Transactions that the node has shown, in its pool or in a block.
    shown: BTreeSet<B256>,
    /// Height of the head at the last look.
    height: u64,
    /// The account's nonce, read while a nonce was used that we did not use.
    foreign: Option<ForeignUse>,
}

/// A transaction that the node took: the heights of the head when it did so first and last, and the time of the last.
#[derive(Clone, Copy, Debug)]
struct Taken {
    first: u64,
    last: u64,
    at: Instant,
}

/// The reason why a node does not take a transaction, if it is one that the lane can do something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    Underpriced,
    TooDear,
    Funds,
}

/// The nonce of the account after a block, and the open nonces below it of which the node has had no transaction of ours since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ForeignUse {
    pub(crate) block: BlockRef,
    pub(crate) nonce: u64,
    pub(crate) absent: BTreeSet<u64>,
}

impl Watch {
    /// Records the node's answer to a broadcast.
    pub(crate) fn answered(&mut self, hash: B256, answer: &Broadcast) {
        self.not_taken.remove(&hash);
        self.refused.remove(&hash);
        let refusal = match answer {
            Broadcast::Accepted | Broadcast::Known => {
                let first = self.taken.get(&hash).map_or(self.height, |taken| taken.first);
                self.taken.insert(hash, Taken { first, last: self.height, at: Instant::now() });
                self.shown.remove(&hash);
                return;
            }
            // Most likely it is mined, which the next look shows.
            Broadcast::NonceTooLow => return,
            Broadcast::Underpriced => Some(NotTaken::Underpriced),
            Broadcast::TooDear => Some(NotTaken::TooDear),
            Broadcast::Funds => Some(NotTaken::Funds),
            Broadcast::Transient(_) | Broadcast::Unknown(_) => None,
        };
        self.not_taken.insert(hash);
        self.refused.extend(refusal.map(|why| (hash, why)));
    }

    /// Records that the node shows a transaction, in its pool or in a block.
    pub(crate) fn shows(&mut self, hash: B256) {
        self.shown.insert(hash);
    }

    /// Number of blocks for which a transaction may have waited in a pool that does not show it, such as that of a sequencer.
    /// `None` if it may be lost: the node never took it, or took it many blocks or some time ago, or has shown it before.
    pub(crate) fn hidden(&self, hash: B256) -> Option<u64> {
        let taken = self.taken.get(&hash).filter(|_| !self.shown.contains(&hash))?;
        let age = |since: u64| self.height.saturating_sub(since);
        if age(taken.last) < STUCK_BLOCKS {
            (taken.at.elapsed() < HIDDEN_MAX).then_some(0)
        } else {
            // Taken again after it seemed to be lost, and still in no block. It offers too little.
            Some(age(taken.first)).filter(|age| *age >= 2 * STUCK_BLOCKS)
        }
    }

    /// Returns whether the node has trouble with the transaction: it refused it, or took it and lost it.
    pub(crate) fn is_trouble(&self, hash: B256) -> bool {
        let is_lost = |taken: &Taken| self.height.saturating_sub(taken.last) >= STUCK_BLOCKS;
        self.not_taken.contains(&hash) || (self.taken.get(&hash).is_some_and(is_lost) && !self.shown.contains(&hash))
    }

    /// Returns whether the node had the transaction.
    pub(crate) fn was_taken(&self, hash: B256) -> bool {
        self.taken.contains_key(&hash) || self.shown.contains(&hash)
    }

    pub(crate) fn refusal(&self, hash: B256) -> Option<NotTaken> {
        self.refused.get(&hash).copied()
    }

    /// True if the node says that the account cannot pay for one of the transactions.
    pub(crate) fn is_short_of_funds(&self) -> bool {
        self.refused.values().any(|why| *why == NotTaken::Funds)
    }

    /// Returns the reading of the account's nonce, and keeps those of its nonces that are still absent.
    pub(crate) fn still_absent(&mut self, absent: &BTreeSet<u64>) -> Option<&ForeignUse> {
        if let Some(foreign) = &mut self.foreign {
            foreign.absent.retain(|nonce| absent.contains(nonce));
        }
        self.foreign.as_ref()
    }

    /// Keeps or forgets a reading of the account's nonce.
    pub(crate) fn read_nonce(&mut self, foreign: Option<ForeignUse>) {
        self.foreign = foreign;
    }

    /// True if the head should be asked for again. Starts the next interval.
    pub(crate) fn is_time(&mut self) -> bool {
        let is_time = self.asked.is_none_or(|at| at.elapsed() >= ASK_INTERVAL);
        if is_time {
            self.asked = Some(Instant::now());
        }
        is_time
    }

    /// True if there can be news: the head has changed, or enough time has passed.
    pub(crate) fn has_news(&self, head: Head) -> bool {
        let interval = if self.not_taken.is_empty() { LOOK_INTERVAL } else { RESEND_INTERVAL };
        self.looked.is_none_or(|(hash, at)| hash != head.block.hash || at.elapsed() >= interval)
    }

    /// Records the height of the head, before the transactions are looked at.
    pub(crate) fn begins(&mut self, head: Head) {
        self.height = head.block.number;
    }

    pub(crate) fn looked(&mut self, head: Head) {
        self.looked = Some((head.block.hash, Instant::now()));
    }

    /// Number of blocks for which the transaction has been seen waiting.
    pub(crate) fn waits(&mut self, hash: B256, head: Head) -> u64 {
        let since = *self.waiting.entry(hash).or_insert(head.block.number);
        head.block.number.saturating_sub(since)
    }

    /// Forgets transactions that are no longer open.
    pub(crate) fn keep(&mut self, lane: &Lane) {
        let open: BTreeSet<B256> = lane.open.values().flat_map(|open| open.attempts().map(|tx| tx.tx_hash)).collect();
        self.waiting.retain(|hash, _| open.contains(hash));
        self.not_taken.retain(|hash| open.contains(hash));
        self.refused.retain(|hash, _| open.contains(hash));
        self.taken.retain(|hash, _| open.contains(hash));
        self.shown.retain(|hash| open.contains(hash));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chain::Broadcast::{Accepted, Funds, Known, TooDear, Transient, Underpriced};

    const TX: B256 = B256::repeat_byte(1);

    fn head(number: u64) -> Head {
        let block = BlockRef { number, hash: B256::ZERO };
        Head { block, parent: B256::ZERO, time: 0, base_fee_wei: 0 }
    }

    fn at(height: u64) -> Watch {
        Watch { height, ..Watch::default() }
    }

    /// A sequencer has no public pool: what waits there is shown nowhere.
    #[tokio::test(start_paused = true)]
    async fn a_transaction_that_may_have_fallen_out_of_the_chain_is_sent_again_after_a_while() {
        let mut watch = at(100);
        watch.answered(TX, &Accepted);
        tokio::time::advance(HIDDEN_MAX).await;
        assert_eq!((watch.hidden(TX), watch.is_trouble(TX)), (None, false), "no block came meanwhile");
    }

    #[test]
    fn a_transaction_that_was_taken_and_is_not_shown_waits_is_sent_again_and_offers_more_at_last() {
        let mut watch = at(100);
        assert_eq!(
            (watch.hidden(TX), watch.was_taken(TX), watch.is_trouble(TX)),
            (None, false, false),
            "after a restart"
        );
        watch.answered(TX, &Accepted);
        for (height, hidden) in [(100, Some(0)), (100 + STUCK_BLOCKS - 1, Some(0)), (100 + STUCK_BLOCKS, None)] {
            watch.begins(head(height));
            assert_eq!(watch.hidden(TX), hidden, "at {height}");
        }
        assert!(watch.is_trouble(TX), "the node lost it");
        watch.answered(TX, &Known);
        watch.begins(head(100 + 2 * STUCK_BLOCKS - 1));
        assert_eq!(watch.hidden(TX), Some(0));
        watch.begins(head(100 + 2 * STUCK_BLOCKS));
        assert_eq!(watch.hidden(TX), Some(2 * STUCK_BLOCKS), "it is not lost, and offers too little");
    }

    #[test]
    fn a_transaction_that_was_shown_and_is_gone_is_sent_again_at_once_and_is_no_trouble_of_the_node() {
        let mut watch = at(100);
        watch.answered(TX, &Accepted);
        watch.shows(TX);
        assert_eq!((watch.hidden(TX), watch.was_taken(TX), watch.is_trouble(TX)), (None, true, false));
        watch.answered(TX, &Known);
        assert_eq!(watch.hidden(TX), Some(0));
    }

    #[test]
    fn the_last_answer_to_a_broadcast_says_what_can_be_done() {
        let mut watch = at(100);
        for (answer, refusal) in [
            (Underpriced, Some(NotTaken::Underpriced)),
            (TooDear, Some(NotTaken::TooDear)),
            (Funds, Some(NotTaken::Funds)),
            (Transient("full".to_owned()), None),
            (Accepted, None),
        ] {
            watch.answered(TX, &answer);
            assert_eq!((watch.refusal(TX), watch.is_short_of_funds()), (refusal, answer == Funds), "{answer:?}");
            assert_eq!(watch.is_trouble(TX), answer != Accepted, "{answer:?}");
        }
    }

    #[test]
    fn a_nonce_of_which_the_node_has_had_a_transaction_of_ours_meanwhile_is_not_proven_to_be_lost() {
        let mut watch = at(100);
        let absent = BTreeSet::from([5, 6]);
        watch.read_nonce(Some(ForeignUse { block: head(90).block, nonce: 7, absent: absent.clone() }));
        assert_eq!(watch.still_absent(&[6, 7].into()).map(|foreign| foreign.absent.clone()), Some([6].into()));
        assert_eq!(watch.still_absent(&absent).map(|foreign| foreign.absent.clone()), Some([6].into()));
        watch.read_nonce(None);
        assert_eq!(watch.still_absent(&absent), None);
    }
}
