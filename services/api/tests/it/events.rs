//! Server-sent events: what the ledger says, in order, each once, across interruptions of every kind.

use crate::common::rows::Rows;
use crate::common::sse::{Frame, Reader};
use crate::common::{Instance, Site};
use domain::{OrderEvent, PaymentId, examples};
use std::time::Duration;
use testkit::until;

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
    let site = Site::start().await;
    let (one, two) = (site.instance(&[]).await, site.instance(&[]).await);
    let id = one.buy(10, 7).await.id();
    // Another instance than the one that took the payment.
    let mut reader = Reader::open(&two, id, None).await;
    let first = reader.next().await.unwrap();
    assert_eq!((first.event.as_str(), &first.data["state"]), ("payment.requested", &"requested".into()));
    for event in steps() {
        let (name, sequence) = (event.name(), site.happens(id, event).await);
        let frame = reader.next().await.unwrap();
        assert_eq!((frame.id, frame.event.as_str()), (sequence, name));
        assert_eq!((&frame.data["sequence"], &frame.data["type"]), (&sequence.into(), &name.into()));
        assert_eq!(frame.data["paymentQueueId"], id.to_string());
        let hash = frame.data["txHash"].is_string();
        assert_eq!(hash, name != "payment.deferred", "{name}");
        assert!(frame.data.to_string().len() < 600 && frame.data.get("signature").is_none());
    }
    assert_eq!(reader.next().await, None, "nothing can follow");
    let last = site.last_sequence().await;
    let back = two.events(&format!("?payment={id}"), &[("last-event-id", &last.to_string())]).await;
    assert_eq!(back.status(), 204, "EventSource stops coming back");
}

#[tokio::test(flavor = "multi_thread")]
async fn c27_a_stream_is_resumed_without_gap_or_duplicate_at_another_instance() {
    let site = Site::start().await;
    let (one, two) = (site.instance(&[]).await, site.instance(&[]).await);
    let id = one.buy(10, 7).await.id();
    let mut all = Vec::new();
    let mut seen = None;
    for (n, event) in steps().into_iter().enumerate() {
        // Each connection reads what there is and one more, which is written before, while or after it is opened.
        let api = if n % 2 == 0 { &one } else { &two };
        let (mut reader, _) = tokio::join!(Reader::open(api, id, seen), site.happens(id, event));
        let known = if n == 0 { 2 } else { 1 };
        for _ in 0..known {
            let frame = reader.next().await.unwrap();
            seen = Some(frame.id);
            all.push(frame.id);
        }
    }
    let history: Vec<u64> = site.ledger.order_history(id).await.unwrap().iter().map(|read| read.seq).collect();
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
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let id = api.buy(10, 7).await.id();
    let mut readers = tokio::task::JoinSet::new();
    for n in 0..50_u64 {
        let api = api.another_client();
        readers.spawn(async move {
            tokio::time::sleep(Duration::from_millis(n)).await;
            Reader::open(&api, id, None).await.rest().await.iter().map(|frame| frame.id).collect::<Vec<_>>()
        });
    }
    for event in steps() {
        tokio::time::sleep(Duration::from_millis(10)).await;
        site.happens(id, event).await;
    }
    let history: Vec<u64> = site.ledger.order_history(id).await.unwrap().iter().map(|read| read.seq).collect();
    for seen in readers.join_all().await {
        assert_eq!(seen, history);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f02_news_arrive_after_the_ledger_was_restarted() {
    let mut site = Site::start().await;
    let api = site.instance(&[]).await;
    let id = api.buy(10, 7).await.id();
    let mut reader = Reader::open(&api, id, None).await;
    reader.next().await.unwrap();
    site.broker.nats.kill();
    until("the instance notices", async || api.get("/readyz").await.status == 503).await;
    site.broker.nats.restart().await.unwrap();
    until("the ledger answers", async || site.ledger.state().await.is_ok()).await;
    let sequence = site.happens(id, steps().remove(1)).await;
    assert_eq!(reader.next().await.unwrap().id, sequence);
}

/// Longer than anybody waits for an answer of the ledger: reading breaks off, and goes on where it was.
#[tokio::test(flavor = "multi_thread")]
async fn f01_a14_streams_stay_open_while_the_ledger_is_away_for_long_and_miss_nothing() {
    let mut site = Site::start().await;
    let api = site.instance(&[]).await;
    let id = api.buy(10, 7).await.id();
    let mut readers = Vec::new();
    for query in [format!("?payment={id}"), format!("?token={}", examples::TOKEN)] {
        readers.push(Reader::of(&api, &query, Some(0)).await);
    }
    for reader in &mut readers {
        reader.next().await.unwrap();
    }
    site.broker.nats.kill();
    tokio::time::sleep(Duration::from_secs(12)).await;
    site.broker.nats.restart().await.unwrap();
    until("the ledger answers", async || site.ledger.state().await.is_ok()).await;
    let sequence = site.happens(id, steps().remove(1)).await;
    for reader in &mut readers {
        assert_eq!(reader.next().await.unwrap().id, sequence);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b49_a_position_that_is_none_gets_reset_and_the_whole_history() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let id = api.buy(10, 7).await.id();
    site.happens(id, OrderEvent::PaymentFailed(examples::failure())).await;
    let last = site.last_sequence().await;
    let future = (last + 1).to_string();
    for position in ["text", "-1", "18446744073709551616", "1e3", "18446744073709551615", &future, "\u{fc}"] {
        let response = api.events(&format!("?payment={id}"), &[("last-event-id", position)]).await;
        let frames = Reader::from(response).rest().await;
        let names: Vec<_> = frames.iter().map(|frame| frame.event.as_str()).collect();
        assert_eq!(names, ["reset", "payment.requested", "payment.failed"], "{position}");
        assert_eq!(frames[0].data["reload"], format!("/api/payment/{id}"));
    }
    assert_eq!(Reader::open(&api, id, None).await.rest().await.len(), 2, "none said");
    let polyfill = api.get(&format!("/api/events?payment={id}&lastEventId={last}")).await;
    assert_eq!(polyfill.status, 204);
}

/// The first frames of a stream, and its end if it has ended.
async fn frames(api: &Instance, id: PaymentId, count: usize, is_over: bool) -> Vec<Frame> {
    let mut reader = Reader::open(api, id, None).await;
    let mut frames = Vec::new();
    while frames.len() < count {
        frames.push(reader.next().await.unwrap());
    }
    assert!(!is_over || reader.next().await.is_none());
    frames
}

/// The copy is behind the ledger, or at its end; the order is in it, or not yet.
#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_a_payment_is_the_same_wherever_the_second_copy_stands_and_while_the_ledger_is_away() {
    let mut rows = Rows::start().await;
    rows.project().await;
    let without_rows = rows.site.instance(&[]).await;
    let id = rows.api.buy(10, 7).await.id();
    let events = steps();
    for count in 1..=events.len() + 1 {
        let is_over = count > events.len();
        let expected = frames(&without_rows, id, count, is_over).await;
        assert_eq!(frames(&rows.api, id, count, is_over).await, expected, "the copy is behind");
        rows.project().await;
        assert_eq!(frames(&rows.api, id, count, is_over).await, expected, "the copy has it all");
        if let Some(event) = events.get(count - 1) {
            rows.site.happens(id, event.clone()).await;
        }
    }
    let expected = frames(&without_rows, id, events.len() + 1, true).await;
    rows.site.broker.nats.kill();
    assert_eq!(frames(&rows.api, id, events.len() + 1, true).await, expected);
}
