//! Who waits for news of which payment. One stream of the ledger per process wakes them all.
//!
//! It says only that there may be news, never what they are: who is woken reads the order's history, so that a message
//! lost or seen twice here cannot become a gap or a duplicate there.

use domain::PaymentId;
use futures_util::StreamExt;
use ledger::{Ledger, Recorded};
use runtime::CancellationToken;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Every event of every order.
const ORDERS: &str = "orders.>";
/// A stream that has been silent for this long is held against the ledger's last sequence. The client itself notices a
/// dead consumer by missing heartbeats, after 15 s.
const SILENCE: Duration = Duration::from_secs(2);
/// After a broken stream.
const PAUSE: Duration = Duration::from_millis(500);

type Waiting = HashMap<PaymentId, watch::Sender<u64>>;

/// The waiting, by payment.
#[derive(Default)]
pub(crate) struct Notifier(Mutex<Waiting>);

/// One who waits; gone when dropped.
pub(crate) struct Subscription {
    notifier: Arc<Notifier>,
    id: PaymentId,
    latest: watch::Receiver<u64>,
}

impl Notifier {
    /// Subscribe first, read the history then: what is written in between wakes the subscriber.
    pub(crate) fn subscribe(self: &Arc<Self>, id: PaymentId) -> Subscription {
        let latest = self.waiting(|waiting| waiting.entry(id).or_default().subscribe());
        Subscription { notifier: Arc::clone(self), id, latest }
    }

    /// Wakes whom it concerns until `stop`. Whenever the stream is opened anew, everybody is woken: nobody knows what
    /// was missed.
    pub(crate) async fn follow(&self, ledger: Ledger, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! { () = self.read(&ledger) => {}, () = stop.cancelled() => return }
            tokio::select! { () = tokio::time::sleep(PAUSE) => {}, () = stop.cancelled() => return }
        }
    }

    async fn read(&self, ledger: &Ledger) {
        let mut news = match ledger.follow(vec![ORDERS.to_owned()], true).await {
            Ok(stream) => stream,
            Err(e) => return tracing::warn!(error = %e, "the orders cannot be followed"),
        };
        self.waiting(|waiting| waiting.values().for_each(|latest| latest.send_modify(|_| {})));
        let Ok((_, mut last)) = ledger.state().await else { return };
        loop {
            match tokio::time::timeout(SILENCE, news.next()).await {
                Ok(Some(Ok(recorded))) => {
                    last = recorded.seq;
                    self.wake(&recorded);
                }
                Ok(Some(Err(e))) => return tracing::warn!(error = %e, "following the orders broke off"),
                Ok(None) => return,
                // Where what was written is no order's event this costs a new consumer, once.
                Err(_) => match ledger.state().await {
                    Ok((_, now)) if now == last => {}
                    _ => return,
                },
            }
        }
    }

    /// By the subject, readable or not: `orders.<shard>.<id>.…`.
    fn wake(&self, recorded: &Recorded) {
        let Some(id) = recorded.subject.split('.').nth(2).and_then(|id| id.parse().ok()) else { return };
        self.waiting(|waiting| {
            if let Some(latest) = waiting.get(&id) {
                latest.send_modify(|seq| *seq = recorded.seq.max(*seq));
            }
        });
    }

    fn waiting<T>(&self, look: impl FnOnce(&mut Waiting) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Subscription {
    /// Returns when there may be news. Cancel safe.
    pub(crate) async fn woken(&mut self) {
        // The sender lives in the notifier, which this subscription holds.
        let _ = self.latest.changed().await;
    }

    /// The last sequence that was announced; 0 before any.
    pub(crate) fn announced(&self) -> u64 {
        *self.latest.borrow()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.notifier.waiting(|waiting| {
            // Ours is the last: it is dropped after this body.
            if waiting.get(&self.id).is_some_and(|latest| latest.receiver_count() <= 1) {
                waiting.remove(&self.id);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::examples;

    #[tokio::test]
    async fn who_leaves_is_forgotten_and_others_stay() {
        let notifier = Arc::new(Notifier::default());
        let id = examples::request().id();
        let (first, second) = (notifier.subscribe(id), notifier.subscribe(id));
        drop(first);
        assert_eq!(notifier.waiting(|waiting| waiting.len()), 1);
        drop(second);
        assert_eq!(notifier.waiting(|waiting| waiting.len()), 0);
    }
}
