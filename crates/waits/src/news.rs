//! The rounds over the watched orders.

use crate::carrier::Carrier;
use crate::index::{Party, Waiting};
use crate::watched::{NewsWatch, Watched};
use domain::{Bill, Order};
use runtime::{CancellationToken, causes};
use std::time::Duration;
use tokio::time::Instant;

/// Time between two rounds over all watched orders, if there are few.
const ROUND: Duration = Duration::from_secs(2);

/// After so many questions without an answer there is no watch, and orders come back by time.
const FAILURES_MAX: u32 = 5;

impl Carrier {
    /// An order that waits, with what there is to watch.
    pub fn waiting_of(&self, order: &Order, seq: u64, is_new: bool) -> Waiting {
        let (id, party) = (order.request.id(), Party::of(&order.request));
        let reason = order.payment.deferral().map(|why| why.reason);
        let watched = self.is_watched(reason).then(|| Watched::of(&order.request));
        Waiting { id, party, seq, is_new, watched }
    }

    /// Asks about the watched orders until `stop`, page by page. `ask` tells for each order if there is news.
    pub async fn watch<E, F>(&self, stop: CancellationToken, ask: impl Fn(Vec<Waiting>) -> F)
    where
        E: std::error::Error + 'static,
        F: Future<Output = Result<Vec<bool>, E>>,
    {
        let Some(NewsWatch { page, pause, .. }) = self.kind else { return };
        let (mut after, mut failures, mut began) = (None, 0_u32, Instant::now());
        loop {
            let orders = self.index().watched(after, page);
            let wait = if orders.len() == page { pause } else { pause.max(ROUND.saturating_sub(began.elapsed())) };
            after = orders.last().map(|last| last.id).filter(|_| orders.len() == page);
            if !orders.is_empty() {
                let seen = tokio::select! { seen = ask(orders.clone()) => seen, () = stop.cancelled() => return };
                let mut index = self.index();
                let now = Instant::now();
                match seen {
                    Ok(seen) => {
                        if failures >= FAILURES_MAX {
                            index.watch(true, now);
                        }
                        failures = 0;
                        orders.iter().zip(seen).for_each(|(order, is_news)| index.saw(order.id, is_news, now));
                    }
                    Err(error) => {
                        failures = failures.saturating_add(1);
                        tracing::debug!(error = %causes(&error), "no news about waiting orders");
                        if failures == FAILURES_MAX {
                            tracing::warn!(error = %causes(&error), "no node tells about waiting orders: they come back by time");
                            index.watch(false, now);
                        }
                    }
                }
            }
            tokio::select! { () = tokio::time::sleep(wait) => {}, () = stop.cancelled() => return }
            if after.is_none() {
                began = Instant::now();
            }
        }
    }
}

/// The bills of watched orders.
pub fn bills(orders: &[Waiting]) -> Vec<Bill> {
    orders.iter().filter_map(|order| order.watched).map(|watched| watched.bill).collect()
}
