//! One poller of the head for the whole process; all other tasks wait for its news. It follows the chain by parent
//! hashes, so it notices a reorg with the first head behind it, and knows its depth.

use chain::{Chain, ChainError, Head};
use domain::BlockRef;
use runtime::{CancellationToken, Health, causes};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::watch;

/// Number of heads that are remembered, which is the greatest depth of a reorg that can be measured. Ten minutes at one
/// block every two seconds.
const TRAIL_MAX: usize = 300;

/// News of the head; `None` before the first answer.
pub type HeadReceiver = watch::Receiver<Option<Head>>;

/// The heads that were seen, with the latest at the back. Every one of them is an ancestor of the latest.
#[derive(Debug, Default)]
struct Trail(VecDeque<BlockRef>);

/// Creates the channel of the news.
pub fn news() -> (watch::Sender<Option<Head>>, HeadReceiver) {
    watch::channel(None)
}

/// Polls the head until `stop`. While the node does not answer there are no news, and nothing is decided.
pub async fn watch(
    chain: Chain,
    every: Duration,
    news: watch::Sender<Option<Head>>,
    health: Health,
    stop: CancellationToken,
) {
    let mut trail = Trail::default();
    while !stop.is_cancelled() {
        runtime::turn("confirmer.heads");
        match follow(&chain, &mut trail).await {
            Ok(head) => {
                health.good("chain");
                news.send_if_modified(|last| {
                    let new = last.is_none_or(|last| last.block.hash != head.block.hash);
                    *last = Some(head);
                    new
                });
            }
            Err(error) => health.bad("chain", causes(&error).to_string()),
        }
        tokio::time::sleep(every).await;
    }
}

/// Asks for the head. If it does not extend the trail, removes the blocks that are gone, and logs the reorg.
async fn follow(chain: &Chain, trail: &mut Trail) -> Result<Head, ChainError> {
    let head = chain.head().await?;
    let seen = trail.0.back().copied();
    let extends = seen.is_none_or(|seen| seen.hash == head.block.hash || seen.hash == head.parent);
    if !extends {
        let mut gone = 0_u64;
        // If the node has no block at this height it may lag, so nothing is removed.
        while let Some(last) = trail.0.back().copied()
            && last.number <= head.block.number
            && chain.block_at(last.number).await?.is_some_and(|block| block.block.hash != last.hash)
        {
            trail.0.pop_back();
            gone = seen.map_or(0, |seen| seen.number.saturating_sub(last.number)) + 1;
        }
        let confirmations = chain.config().confirmations;
        match gone {
            0 => {}
            depth if depth < confirmations => {
                tracing::warn!(head = head.block.number, depth, "the chain was reorganised")
            }
            depth => tracing::error!(
                head = head.block.number,
                depth,
                confirmations,
                "the chain was reorganised deeper than is counted on"
            ),
        }
    }
    if trail.0.back().is_none_or(|last| last.number < head.block.number) {
        trail.0.push_back(head.block);
        if trail.0.len() > TRAIL_MAX {
            trail.0.pop_front();
        }
    }
    Ok(head)
}
