//! One client's stream of server-sent events.

use crate::events::position;
use crate::hub::Ear;
use crate::news::News;
use axum::body::Bytes;
use futures_util::{Stream, stream};
use runtime::CancellationToken;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::Instant;

/// Between signs of life, for proxies and clients; each carries the position.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A stream lives no longer; its client comes back, perhaps to another instance (S18).
const LIFETIME: Duration = Duration::from_secs(30 * 60);
/// How long a client shall wait before it comes back, milliseconds.
const RECONNECT_MS: u32 = 2_000;

pub(crate) struct Feed {
    ear: Ear,
    stop: CancellationToken,
    /// Last sequence that the client has, or will have once `ready` is sent.
    seen: u64,
    ready: VecDeque<Bytes>,
    ended: bool,
    until: Instant,
}

impl Feed {
    /// Of what `ear` hears after sequence `seen`.
    pub(crate) fn new(ear: Ear, stop: CancellationToken, seen: u64) -> Self {
        let ready = VecDeque::from([Bytes::from(format!("retry: {RECONNECT_MS}\n\n"))]);
        Self { ear, stop, seen, ready, ended: false, until: Instant::now() + LIFETIME }
    }

    pub(crate) fn push(&mut self, chunk: Bytes) {
        self.ready.push_back(chunk);
    }

    /// Each once, in order: what the client has is left out.
    pub(crate) fn take(&mut self, news: &News) {
        if news.seq <= self.seen {
            return;
        }
        self.seen = news.seq;
        self.push(news.frame.clone());
        // A token or a payer has other orders.
        if news.last && self.ear.is_of_payment() {
            self.ended = true;
            self.push(Bytes::from_static(b": the last event of this payment; close\n\n"));
        }
    }

    pub(crate) fn chunks(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        stream::unfold(self, |mut feed| async move {
            let chunk = feed.next().await?;
            Some((Ok(chunk), feed))
        })
    }

    /// The next piece; none at the end: of the payment, of this stream's life, of the process, or of the hub's patience.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Some(chunk);
            }
            if self.ended {
                return None;
            }
            // Read before it is known that nothing waits: whatever stands up to here was sent.
            let heard = self.ear.hub_last();
            tokio::select! {
                biased;
                news = self.ear.queue.recv() => self.take(&*news?),
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep_until(self.until) => return None,
                () = tokio::time::sleep(HEARTBEAT) => {
                    self.seen = self.seen.max(heard);
                    return Some(position(self.seen));
                }
            }
        }
    }
}
