//! The oldest transaction of a lane that does not move, with the node's own words. A restarted worker loses this memory and
//! fills it again.

use chain::{B256, Broadcast};
use domain::Lane;
use domain::event::OpenTx;
use domain::lane::{NonceStatus, STUCK_BLOCKS};
use runtime::OldestWork;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::time::Instant;

/// A transaction stands still if its broadcasts were neither taken nor known for this long. They are repeated twice a
/// second, and a provider that fails rests for some seconds.
const NOT_TAKEN_MAX: Duration = Duration::from_secs(30);

/// [`NOT_TAKEN_MAX`], or what a test sets in milliseconds.
static TAKEN_WITHIN: LazyLock<Duration> = LazyLock::new(|| {
    let set = runtime::test_setting("PAYMINT_NOT_TAKEN_MAX_MS").and_then(|text| text.parse().ok());
    set.map_or(NOT_TAKEN_MAX, Duration::from_millis)
});

/// A transaction stands still if it is in no block for this long: four times the blocks after which it is replaced, at the
/// 12 s of Ethereum, the slowest chain that Paymint is built for.
const NOT_MINED_MAX: Duration = Duration::from_secs(4 * STUCK_BLOCKS * 12);

/// The transactions of a lane that are signed for and in no block, by nonce.
#[derive(Debug, Default)]
pub(crate) struct Unmined(BTreeMap<u64, UnminedTx>);

/// A nonce that is signed for and in no block.
#[derive(Debug)]
struct UnminedTx {
    tx: B256,
    /// When this worker first saw it.
    since: Instant,
    /// Since when the node neither took nor knew it; `None` if the last answer was that it did.
    not_taken: Option<Instant>,
    words: String,
}

impl Unmined {
    /// Records the node's answer to a broadcast.
    pub(crate) fn answered(&mut self, tx: &OpenTx, answer: &Broadcast) {
        let now = Instant::now();
        let it = self.entry(tx.nonce, tx.tx_hash, now);
        it.tx = tx.tx_hash;
        let (is_taken, words) = match answer {
            Broadcast::Accepted => (true, "the node accepted it".to_owned()),
            Broadcast::Known | Broadcast::NonceTooLow => (true, "the node knows it".to_owned()),
            Broadcast::Transient(why) | Broadcast::Unknown(why) => (false, why.clone()),
            refusal => (false, format!("the node refuses it: {refusal:?}")),
        };
        it.not_taken = if is_taken { None } else { it.not_taken.or(Some(now)) };
        it.words = words;
    }

    /// Records a look at the chain.
    pub(crate) fn looked(&mut self, lane: &Lane, seen: &BTreeMap<u64, NonceStatus>) {
        let now = Instant::now();
        for (nonce, open) in &lane.open {
            match seen.get(nonce) {
                Some(NonceStatus::Mined) => _ = self.0.remove(nonce),
                Some(NonceStatus::Pooled(_)) => self.entry(*nonce, open.latest().tx_hash, now).not_taken = None,
                Some(NonceStatus::Unknown | NonceStatus::Underpriced | NonceStatus::TooDear) | None => {
                    self.entry(*nonce, open.latest().tx_hash, now);
                }
            }
        }
        self.0.retain(|nonce, _| lane.open.contains_key(nonce));
    }

    /// The first transaction that the node does not take, or else the first that is in no block.
    pub(crate) fn oldest(&self) -> Option<OldestWork> {
        let refused = self.0.iter().find(|(_, it)| it.not_taken.is_some_and(|since| since.elapsed() >= *TAKEN_WITHIN));
        let (nonce, it) = refused.or_else(|| self.0.iter().next())?;
        let (since, limit) = it.not_taken.map_or((it.since, NOT_MINED_MAX), |since| (since, *TAKEN_WITHIN));
        let what = format!("nonce {nonce}, transaction {}", it.tx);
        Some(OldestWork { what, age: since.elapsed(), words: it.words.clone(), limit })
    }

    fn entry(&mut self, nonce: u64, tx: B256, since: Instant) -> &mut UnminedTx {
        let words = || "it is in no block".to_owned();
        self.0.entry(nonce).or_insert_with(|| UnminedTx { tx, since, not_taken: None, words: words() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use domain::event::Purpose;
    use domain::lane::{claim, evolve, resume};
    use domain::{SignerEvent, examples};

    fn lane(nonces: std::ops::Range<u64>) -> Lane {
        let claimed = resume(&claim(None, Purpose::Settle, 1, "test", nonces.start), []);
        nonces.fold(claimed, |lane, nonce| {
            evolve(Some(lane), &SignerEvent::Signed(examples::open_tx(nonce))).unwrap().unwrap()
        })
    }

    fn stands_still(unmined: &Unmined) -> Option<String> {
        unmined.oldest().filter(|work| work.age >= work.limit).map(|work| format!("{}: {}", work.what, work.words))
    }

    #[tokio::test(start_paused = true)]
    async fn a_transaction_that_no_node_takes_stands_still_after_half_a_minute_and_one_in_no_block_after_minutes() {
        let (mut unmined, lane) = (Unmined::default(), lane(7..9));
        let refusal = Broadcast::Unknown("tx pool is on holiday".into());
        unmined.answered(&examples::open_tx(7), &Broadcast::Accepted);
        unmined.answered(&examples::open_tx(8), &refusal);
        tokio::time::advance(NOT_TAKEN_MAX / 2).await;
        unmined.answered(&examples::open_tx(8), &refusal);
        assert_eq!(stands_still(&unmined), None);
        tokio::time::advance(NOT_TAKEN_MAX / 2).await;
        let said = stands_still(&unmined).unwrap();
        assert!(said.starts_with("nonce 8, ") && said.ends_with(": tx pool is on holiday"), "{said}");
        unmined.answered(&examples::open_tx(8), &Broadcast::Known);
        assert_eq!(stands_still(&unmined), None);
        tokio::time::advance(NOT_MINED_MAX).await;
        assert!(stands_still(&unmined).unwrap().starts_with("nonce 7, "));
        let seen = BTreeMap::from([(7, NonceStatus::Mined), (8, NonceStatus::Mined)]);
        unmined.looked(&lane, &seen);
        assert_eq!(unmined.oldest(), None);
    }
}
