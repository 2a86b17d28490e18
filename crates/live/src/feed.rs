//! The stream of server-sent events of one client.

use crate::hub::Ear;
use crate::news::News;
use bytes::Bytes;
use futures_util::{Stream, stream};
use runtime::CancellationToken;
use serde_json::json;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::Instant;

/// Time between signs of life, for proxies and clients. Each carries the position.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Longest life of a stream. Its client reconnects, perhaps to another instance.
const LIFETIME: Duration = Duration::from_secs(30 * 60);
/// Pause of a client before it reconnects, milliseconds.
const RECONNECT_MS: u32 = 2_000;

/// A stream in progress.
pub struct Feed {
    ear: Ear,
    stop: CancellationToken,
    /// Last sequence that the client has once `ready` is sent.
    seen: u64,
    ready: VecDeque<Bytes>,
    ended: bool,
    until: Instant,
}

impl Feed {
    /// A stream of the news that `ear` receives after sequence `seen`, until `stop`.
    pub fn new(ear: Ear, stop: CancellationToken, seen: u64) -> Self {
        let ready = VecDeque::from([Bytes::from(format!("retry: {RECONNECT_MS}\n\n"))]);
        Self { ear, stop, seen, ready, ended: false, until: Instant::now() + LIFETIME }
    }

    /// Sends a frame.
    pub fn push(&mut self, chunk: Bytes) {
        self.ready.push_back(chunk);
    }

    /// Sends an event, unless the client has it. Call it in the order of sequences.
    pub fn take(&mut self, news: &News) {
        if news.seq <= self.seen {
            // It came back with the last event, before this process had read that event.
            self.ended |= news.last && news.seq == self.seen && self.ear.is_of_payment();
            return;
        }
        self.seen = news.seq;
        self.push(news.frame.clone());
        // The stream of a token or payer goes on with other orders.
        if news.last && self.ear.is_of_payment() {
            self.ended = true;
            self.push(Bytes::from_static(b": the last event of this payment; close\n\n"));
        }
    }

    /// The frames, as the body of an answer.
    pub fn chunks(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        stream::unfold(self, |mut feed| async move {
            let chunk = feed.next().await?;
            Some((Ok(chunk), feed))
        })
    }

    /// The next frame. Returns `None` at the end of the payment, of this stream's life or of the process, and when the
    /// client reads too slowly.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Some(chunk);
            }
            if self.ended {
                return None;
            }
            // Read first: all events up to this sequence are in the queue, or were sent.
            let heard = self.ear.hub_last();
            tokio::select! {
                biased;
                news = self.ear.queue.recv() => self.take(&*news?),
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep_until(self.until) => return None,
                () = tokio::time::sleep(HEARTBEAT) => {
                    self.seen = self.seen.max(heard);
                    return Some(position_frame(self.seen));
                }
            }
        }
    }
}

/// A frame with a position only. It moves the `Last-Event-ID` of a client, and dispatches no event.
pub fn position_frame(seq: u64) -> Bytes {
    Bytes::from(format!("id: {seq}\n\n"))
}

/// A frame that tells a client to forget its state, load `path`, and continue after `seq`.
pub fn reset_frame(seq: u64, path: &str) -> Bytes {
    let data = json!({ "sequence": seq, "reload": path });
    Bytes::from(format!("id: {seq}\nevent: reset\ndata: {data}\n\n"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::hub::{Hub, Topic};
    use alloy_primitives::Address;
    use domain::{PaymentId, PaymentKey};
    use std::sync::Arc;

    fn news(seq: u64, last: bool) -> News {
        let id = PaymentId::of(PaymentKey(alloy_primitives::B256::ZERO));
        let frame = Bytes::from(format!("id: {seq}\n"));
        News { seq, id, payer: Address::ZERO, token: Address::ZERO, first: false, last, frame }
    }

    fn feed(hub: &Arc<Hub>, topic: Topic, stop: &CancellationToken) -> Feed {
        Feed::new(hub.listen(topic), stop.clone(), 0)
    }

    async fn told(feed: &mut Feed) -> Option<String> {
        feed.next().await.map(|chunk| String::from_utf8(chunk.to_vec()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_gives_a_sign_of_life_that_moves_its_client_on_and_ends_after_half_an_hour() {
        let (hub, stop) = (Arc::new(Hub::default()), CancellationToken::new());
        let mut feed = feed(&hub, Topic::Payer(Address::repeat_byte(9)), &stop);
        assert_eq!(told(&mut feed).await.unwrap(), "retry: 2000\n\n");
        let began = Instant::now();
        // An event of another payer changes nothing but this client's position.
        hub.tell(news(7, false));
        assert_eq!(told(&mut feed).await.unwrap(), "id: 7\n\n");
        assert_eq!(began.elapsed(), HEARTBEAT);
        let mut signs = 1;
        while told(&mut feed).await.is_some() {
            signs += 1;
        }
        assert_eq!((signs, began.elapsed().as_secs()), (119, LIFETIME.as_secs()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_its_payment_and_with_the_process() {
        let (hub, stop) = (Arc::new(Hub::default()), CancellationToken::new());
        let mut of_payment = feed(&hub, Topic::Payment(news(1, false).id), &stop);
        let mut of_payer = feed(&hub, Topic::Payer(Address::ZERO), &stop);
        for news in [news(1, false), news(2, true), news(2, true)] {
            hub.tell(news);
        }
        for feed in [&mut of_payment, &mut of_payer] {
            let chunks = [told(feed).await, told(feed).await, told(feed).await].map(Option::unwrap);
            assert_eq!(chunks[1..], ["id: 1\n".to_owned(), "id: 2\n".to_owned()], "each once");
        }
        assert!(told(&mut of_payment).await.unwrap().starts_with(": the last event"));
        assert_eq!(told(&mut of_payment).await, None);
        stop.cancel();
        assert_eq!(told(&mut of_payer).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_a_client_that_is_ahead_of_this_process_ends_when_the_last_event_comes() {
        let (hub, stop) = (Arc::new(Hub::default()), CancellationToken::new());
        let topic = Topic::Payment(news(1, false).id);
        let began = Instant::now();
        for (seen, lasts) in [(2, Duration::ZERO), (3, LIFETIME)] {
            let mut feed = Feed::new(hub.listen(topic), stop.clone(), seen);
            hub.tell(news(1, false));
            hub.tell(news(2, true));
            assert_eq!(told(&mut feed).await.unwrap(), "retry: 2000\n\n");
            while told(&mut feed).await.is_some() {}
            assert_eq!(began.elapsed(), lasts, "who has seen {seen}: after 2 the end may have been taken back");
        }
    }
}
