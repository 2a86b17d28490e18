//! One poller of the head for the whole process; everybody else waits for its news.

use chain::{Chain, Head};
use runtime::{CancellationToken, Health};
use std::time::Duration;
use tokio::sync::watch;

/// News of the head; none before the first answer.
pub type Heads = watch::Receiver<Option<Head>>;

/// Polls until `stop`. A node that does not answer stops the news and decides nothing (F28).
pub fn watch(chain: Chain, every: Duration, health: Health, stop: CancellationToken) -> Heads {
    let (news, heads) = watch::channel(None::<Head>);
    tokio::spawn(async move {
        while !stop.is_cancelled() {
            match chain.head().await {
                Ok(head) => {
                    health.good("chain");
                    news.send_if_modified(|last| {
                        let new = last.is_none_or(|last| last.block.hash != head.block.hash);
                        *last = Some(head);
                        new
                    });
                }
                Err(error) => health.bad("chain", error.to_string()),
            }
            tokio::time::sleep(every).await;
        }
    });
    heads
}
