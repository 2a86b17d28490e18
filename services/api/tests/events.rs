//! Server-sent events: what the ledger says, in order, each once, across interruptions of every kind.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{House, Instance, eventually};
use domain::{OrderEvent, PaymentId, examples};
use futures_util::StreamExt;
use serde_json::Value;
use std::time::Duration;

/// A client that reads frames.
struct Reader {
    body: futures_util::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    buffer: String,
}

#[derive(Debug, PartialEq)]
struct Frame {
    id: u64,
    event: String,
    data: Value,
}

async fn open(api: &Instance, id: PaymentId, seen: Option<u64>) -> reqwest::Response {
    let request = api.http.get(format!("{}/api/events?payment={id}", api.url));
    let request = seen.into_iter().fold(request, |request, seen| request.header("last-event-id", seen.to_string()));
    request.send().await.unwrap()
}

impl Reader {
    async fn open(api: &Instance, id: PaymentId, seen: Option<u64>) -> Self {
        let response = open(api, id, seen).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Self { body: response.bytes_stream().boxed(), buffer: String::new() }
    }

    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            while let Some((block, rest)) = self.buffer.split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned())) {
                self.buffer = rest;
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                if let Some(data) = field("data") {
                    let data = serde_json::from_str(data).unwrap();
                    common::described::check_news(&data);
                    return Some(Frame { id: field("id")?.parse().unwrap(), event: field("event")?.to_owned(), data });
                }
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.body.next()).await.expect("an event");
            self.buffer += std::str::from_utf8(&chunk?.ok()?).unwrap();
        }
    }

    async fn rest(mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }
}

fn steps() -> Vec<OrderEvent> {
    vec![
        OrderEvent::PaymentDeferred(1, examples::deferral()),
        OrderEvent::PaymentSubmitted(1, examples::submission(7)),
        OrderEvent::PaymentConfirmed(examples::proof()),
        OrderEvent::MintSubmitted(1, examples::submission(8)),
        OrderEvent::MintConfirmed(examples::minted()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_is_told_while_it_happens_and_then_the_stream_ends() {
    let house = House::start().await;
    let (one, two) = (house.instance(&[]).await, house.instance(&[]).await);
    let id = one.buy(10, 7).await.id();
    // Another instance than the one that took the payment.
    let mut reader = Reader::open(&two, id, None).await;
    let first = reader.next().await.unwrap();
    assert_eq!((first.event.as_str(), &first.data["state"]), ("payment.requested", &"requested".into()));
    for event in steps() {
        let (name, sequence) = (event.name(), house.happens(id, event).await);
        let frame = reader.next().await.unwrap();
        assert_eq!((frame.id, frame.event.as_str()), (sequence, name));
        assert_eq!((&frame.data["sequence"], &frame.data["type"]), (&sequence.into(), &name.into()));
        assert_eq!(frame.data["paymentQueueId"], id.to_string());
        let hash = frame.data["txHash"].is_string();
        assert_eq!(hash, name != "payment.deferred", "{name}");
        assert!(frame.data.to_string().len() < 600 && frame.data.get("signature").is_none());
    }
    assert_eq!(reader.next().await, None, "nothing can follow");
    let last = house.last_sequence().await;
    assert_eq!(open(&two, id, Some(last)).await.status(), 204, "EventSource stops coming back");
}

#[tokio::test(flavor = "multi_thread")]
async fn c27_a_stream_is_resumed_without_gap_or_duplicate_at_another_instance() {
    let house = House::start().await;
    let (one, two) = (house.instance(&[]).await, house.instance(&[]).await);
    let id = one.buy(10, 7).await.id();
    let mut all = Vec::new();
    let mut seen = None;
    for (n, event) in steps().into_iter().enumerate() {
        // Each connection reads what there is and one more, which is written before, while or after it is opened.
        let api = if n % 2 == 0 { &one } else { &two };
        let (mut reader, _) = tokio::join!(Reader::open(api, id, seen), house.happens(id, event));
        let known = if n == 0 { 2 } else { 1 };
        for _ in 0..known {
            let frame = reader.next().await.unwrap();
            seen = Some(frame.id);
            all.push(frame.id);
        }
    }
    let history: Vec<u64> = house.ledger.order_history(id).await.unwrap().iter().map(|read| read.seq).collect();
    assert_eq!(all, history);
    for seen in 0..=history.len() {
        let from = seen.checked_sub(1).map(|n| history[n]);
        if from == history.last().copied() {
            continue;
        }
        let ids: Vec<u64> = Reader::open(&one, id, from).await.rest().await.iter().map(|frame| frame.id).collect();
        assert_eq!(ids, history[seen..]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_readers_see_every_event_once_while_it_is_written() {
    let house = House::start().await;
    let api = house.instance(&[]).await;
    let id = api.buy(10, 7).await.id();
    let mut readers = tokio::task::JoinSet::new();
    for n in 0..50_u64 {
        let (http, url) = (api.http.clone(), api.url.clone());
        readers.spawn(async move {
            tokio::time::sleep(Duration::from_millis(n)).await;
            let response = http.get(format!("{url}/api/events?payment={id}")).send().await.unwrap();
            let reader = Reader { body: response.bytes_stream().boxed(), buffer: String::new() };
            reader.rest().await.iter().map(|frame| frame.id).collect::<Vec<_>>()
        });
    }
    for event in steps() {
        tokio::time::sleep(Duration::from_millis(10)).await;
        house.happens(id, event).await;
    }
    let history: Vec<u64> = house.ledger.order_history(id).await.unwrap().iter().map(|read| read.seq).collect();
    for seen in readers.join_all().await {
        assert_eq!(seen, history);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f02_news_arrive_after_the_ledger_was_restarted() {
    let mut house = House::start().await;
    let api = house.instance(&[]).await;
    let id = api.buy(10, 7).await.id();
    let mut reader = Reader::open(&api, id, None).await;
    reader.next().await.unwrap();
    house.nats.kill();
    eventually("the instance notices", async || api.get("/readyz").await.status == 503).await;
    house.nats.restart().await.unwrap();
    eventually("the ledger answers", async || house.ledger.state().await.is_ok()).await;
    let sequence = house.happens(id, steps().remove(1)).await;
    assert_eq!(reader.next().await.unwrap().id, sequence);
}

#[tokio::test(flavor = "multi_thread")]
async fn b49_a_position_that_is_none_gets_the_whole_history() {
    let house = House::start().await;
    let api = house.instance(&[]).await;
    let id = api.buy(10, 7).await.id();
    house.happens(id, OrderEvent::PaymentFailed(examples::failure())).await;
    for position in ["", "text", "-1", "18446744073709551616", "1e3"] {
        let request = api.http.get(format!("{}/api/events?payment={id}", api.url)).header("last-event-id", position);
        let body = request.send().await.unwrap().bytes_stream().boxed();
        assert_eq!(Reader { body, buffer: String::new() }.rest().await.len(), 2, "{position}");
    }
    let last = house.last_sequence().await;
    let polyfill = api.get(&format!("/api/events?payment={id}&lastEventId={last}")).await;
    assert_eq!(polyfill.status, 204);
}
