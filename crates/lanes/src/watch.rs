//! A worker's memory of its lane's transactions between two looks at the chain. A restarted worker loses it and finds
//! everything out again.

use chain::{B256, Broadcast, Head};
use domain::Lane;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// Pause between two requests for the head. Shorter than the block time of any chain that Paymint is built for.
const ASK_INTERVAL: Duration = Duration::from_millis(250);

/// Pause between two looks while the head stays the same: a pool can lose a transaction without a new block.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Like [`LOOK_INTERVAL`], while the node has not accepted one of the transactions.
const RESEND_INTERVAL: Duration = Duration::from_millis(500);

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
    /// Transactions that were broadcast and refused for their fees.
    underpriced: BTreeSet<B256>,
}

impl Watch {
    /// Records the node's answer to a broadcast.
    pub(crate) fn answered(&mut self, hash: B256, answer: &Broadcast) {
        self.not_taken.remove(&hash);
        self.underpriced.remove(&hash);
        match answer {
            // "Nonce too low": most likely it is mined, which the next look shows.
            Broadcast::Accepted | Broadcast::Known | Broadcast::NonceTooLow => {}
            Broadcast::Underpriced => {
                self.underpriced.insert(hash);
                self.not_taken.insert(hash);
            }
            Broadcast::Funds | Broadcast::Transient(_) | Broadcast::Unknown(_) => {
                self.not_taken.insert(hash);
            }
        }
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

    pub(crate) fn looked(&mut self, head: Head) {
        self.looked = Some((head.block.hash, Instant::now()));
    }

    /// Number of blocks for which the transaction has been seen waiting.
    pub(crate) fn waits(&mut self, hash: B256, head: Head) -> u64 {
        let since = *self.waiting.entry(hash).or_insert(head.block.number);
        head.block.number.saturating_sub(since)
    }

    pub(crate) fn is_underpriced(&self, hash: B256) -> bool {
        self.underpriced.contains(&hash)
    }

    /// Forgets transactions that are no longer open.
    pub(crate) fn keep(&mut self, lane: &Lane) {
        let open: BTreeSet<B256> = lane.open.values().flat_map(|open| open.attempts().map(|tx| tx.tx_hash)).collect();
        self.waiting.retain(|hash, _| open.contains(hash));
        self.not_taken.retain(|hash| open.contains(hash));
        self.underpriced.retain(|hash| open.contains(hash));
    }
}
