//! What a worker remembers of its lane's transactions between two looks: lost with it, and found out again.

use chain::{B256, Broadcast, Head};
use domain::Lane;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// Between two questions for the head. Below the block time of any chain that is meant.
const ASK_INTERVAL: Duration = Duration::from_millis(250);

/// Between two looks while the chain does not move: a pool may lose something all the same.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The same while the node has not taken something.
const RESEND_INTERVAL: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    asked: Option<Instant>,
    /// The head of the last look, and when that was.
    looked: Option<(B256, Instant)>,
    /// By hash: the height at which it was first seen waiting.
    waiting: BTreeMap<B256, u64>,
    /// Broadcast, and the node did not say that it has them.
    not_taken: BTreeSet<B256>,
    /// Broadcast, and refused for their fees.
    underpriced: BTreeSet<B256>,
}

impl Watch {
    /// The node's word on a broadcast.
    pub(crate) fn answered(&mut self, hash: B256, answer: &Broadcast) {
        self.not_taken.remove(&hash);
        self.underpriced.remove(&hash);
        match answer {
            // Too low: it is mined, most likely, and a look says so.
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

    /// Whether to ask for the head again.
    pub(crate) fn is_time(&mut self) -> bool {
        let is_time = self.asked.is_none_or(|at| at.elapsed() >= ASK_INTERVAL);
        if is_time {
            self.asked = Some(Instant::now());
        }
        is_time
    }

    /// Whether there can be news: another head, or time has passed.
    pub(crate) fn has_news(&self, head: Head) -> bool {
        let interval = if self.not_taken.is_empty() { LOOK_INTERVAL } else { RESEND_INTERVAL };
        self.looked.is_none_or(|(hash, at)| hash != head.block.hash || at.elapsed() >= interval)
    }

    pub(crate) fn looked(&mut self, head: Head) {
        self.looked = Some((head.block.hash, Instant::now()));
    }

    /// Blocks for which the transaction has been seen waiting.
    pub(crate) fn waits(&mut self, hash: B256, head: Head) -> u64 {
        let since = *self.waiting.entry(hash).or_insert(head.block.number);
        head.block.number.saturating_sub(since)
    }

    pub(crate) fn is_underpriced(&self, hash: B256) -> bool {
        self.underpriced.contains(&hash)
    }

    /// Forgets what is no longer open.
    pub(crate) fn keep(&mut self, lane: &Lane) {
        let open: BTreeSet<B256> = lane.open.values().flat_map(|open| open.attempts().map(|tx| tx.tx_hash)).collect();
        self.waiting.retain(|hash, _| open.contains(hash));
        self.not_taken.retain(|hash| open.contains(hash));
        self.underpriced.retain(|hash| open.contains(hash));
    }
}
