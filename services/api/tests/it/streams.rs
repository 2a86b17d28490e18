//! Streams of more than one order: a payer's, a token's, and everything.

use crate::common::sse::{Frame, Reader};
use crate::common::{Instance, Site};
use domain::event::Deferral;
use domain::{Event, IdempotencyKey, IdempotencyKeySource, KeyBound, KeyEvent, OrderEvent, PaymentId, examples};
use faults::{Faults, TcpProxy, Wire};
use ledger::{Batch, Expected, NewEvent};
use std::net::SocketAddr;
use std::time::Duration;
use testkit::until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

const TOKEN: &str = "0123456789abcdef-operator";
const NOBODY: &str = "0x00000000000000000000000000000000000000aa";

fn of_payer() -> String {
    format!("?payer={}", examples::PAYER)
}

async fn ids(reader: &mut Reader, count: usize) -> Vec<u64> {
    let mut ids = Vec::new();
    while ids.len() < count {
        ids.push(reader.next().await.unwrap().id);
    }
    ids
}

/// A purchase to its end, as the other services would write it: six events.
async fn to_the_end(site: &Site, api: &Instance, nonce: u8) -> (PaymentId, Vec<u64>) {
    let id = api.buy(1, nonce).await.id();
    let mut sequences = vec![site.ledger.order_history(id).await.unwrap()[0].seq];
    for event in [
        OrderEvent::PaymentDeferred(1, examples::deferral()),
        OrderEvent::PaymentSubmitted(1, examples::submission(7)),
        OrderEvent::PaymentConfirmed(examples::proof()),
        OrderEvent::MintSubmitted(1, examples::submission(8)),
        OrderEvent::MintConfirmed(examples::minted()),
    ] {
        sequences.push(site.happens(id, event).await);
    }
    (id, sequences)
}

/// Reading is slow where everything is: then a silence is not the end. Who came back before that was reached heard nothing
/// of what it had missed, until its stream ended.
#[tokio::test(flavor = "multi_thread")]
async fn a14_no_client_is_taken_before_the_news_are_read_however_slowly_that_goes() {
    let site = Site::start().await;
    let id = site.instance(&[]).await.buy(1, 1).await.id();
    let first = site.last_sequence().await;
    let mut expected = Vec::new();
    for hundred in 0..6 {
        let deferred = |n| OrderEvent::PaymentDeferred(n, examples::deferral());
        let new = |n| NewEvent { event: Event::Order(id, deferred(n)), expected: Expected::Absent, trace: None };
        let events: Vec<_> = (hundred * 100 + 1..=hundred * 100 + 100).map(new).collect();
        expected.extend(site.ledger.append(Batch::unordered(events)).await.unwrap());
    }
    let proxy = TcpProxy::before(site.broker.nats.url().trim_start_matches("nats://").parse().unwrap()).await.unwrap();
    // A page of what is read comes later than a silence lasts.
    proxy.set(Faults { down: Wire { delay: Duration::from_millis(400), ..Wire::default() }, ..Faults::default() });
    let slow = site.instance(&[("NATS_URL", &format!("nats://{}", proxy.address()))]).await;
    let mut reader = Reader::of(&slow, &of_payer(), Some(first)).await;
    assert_eq!(ids(&mut reader, expected.len()).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_a_token_and_an_operator_see_the_same_events_of_many_orders() {
    let site = Site::start().await;
    let (one, two) = (site.instance(&[("OPERATOR_TOKEN", TOKEN)]).await, site.instance(&[]).await);
    let mut payer = Reader::of(&one, &of_payer(), None).await;
    let mut token = Reader::of(&two, &format!("?token={}", examples::TOKEN), None).await;
    let bearer = format!("Bearer {TOKEN}");
    let mut everything = Reader::from(one.events("", &[("authorization", &bearer)]).await);
    let mut nobody = Reader::of(&one, &format!("?payer={NOBODY}"), None).await;
    let (first, mut expected) = to_the_end(&site, &one, 1).await;
    let (second, rest) = to_the_end(&site, &two, 2).await;
    expected.extend(rest);
    for reader in [&mut payer, &mut token, &mut everything] {
        let mut frames: Vec<Frame> = Vec::new();
        while frames.len() < 12 {
            frames.push(reader.next().await.unwrap());
        }
        assert_eq!(frames.iter().map(|frame| frame.id).collect::<Vec<_>>(), expected);
        assert_eq!(frames[0].data["paymentQueueId"], first.to_string());
        assert_eq!((&frames[11].data["state"], &frames[11].data["status"]), (&"minted".into(), &"completed".into()));
        assert_eq!(frames[11].data["paymentQueueId"], second.to_string());
        assert_eq!(frames[11].data["payer"], format!("{:#x}", examples::PAYER));
    }
    assert!(tokio::time::timeout(Duration::from_millis(300), nobody.next()).await.is_err(), "another payer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_who_comes_back_to_any_instance_misses_nothing_and_sees_nothing_twice() {
    let site = Site::start().await;
    let (one, two) = (site.instance(&[]).await, site.instance(&[]).await);
    // The position is known before anything has happened.
    let mut reader = Reader::of(&one, &of_payer(), None).await;
    while reader.position.is_none() {
        let _ = tokio::time::timeout(Duration::from_millis(50), reader.next()).await;
    }
    let mut position = reader.position.unwrap();
    drop(reader);
    let query = of_payer();
    let (mut seen, mut expected) = (Vec::new(), Vec::new());
    for nonce in 0..6 {
        let api = if nonce % 2 == 0 { &one } else { &two };
        let (mut reader, (_, sequences)) =
            tokio::join!(Reader::of(api, &query, Some(position)), to_the_end(&site, &two, nonce));
        expected.extend(sequences);
        // All but the last two, which the next connection gets.
        let count = expected.len() - seen.len() - 2;
        seen.extend(ids(&mut reader, count).await);
        position = *seen.last().unwrap();
    }
    let three = site.instance(&[]).await;
    seen.extend(ids(&mut Reader::of(&three, &of_payer(), Some(position)).await, 2).await);
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn b49_b50_a_position_that_cannot_be_resumed_is_told_so() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let (_, sequences) = to_the_end(&site, &api, 1).await;
    let last = *sequences.last().unwrap();
    until("it has read all", async || {
        let mut reader = Reader::of(&api, &of_payer(), None).await;
        let _ = tokio::time::timeout(Duration::from_millis(100), reader.next()).await;
        reader.position == Some(last)
    })
    .await;
    for position in ["text", "-1", "18446744073709551616", &(last + 1).to_string()] {
        let mut reader = Reader::from(api.events(&of_payer(), &[("last-event-id", position)]).await);
        let reset = reader.next().await.unwrap();
        assert_eq!((reset.event.as_str(), reset.id), ("reset", last), "{position}");
        assert_eq!(reset.data["reload"], format!("/queue/payer/{}", examples::PAYER));
    }
    let mut all = Reader::of(&api, &of_payer(), Some(0)).await;
    assert_eq!(ids(&mut all, 6).await, sequences, "what is kept is resumed from the beginning");
}

/// A start reads so many events, however long the ledger is.
const READ_AT_START: u64 = 4_096;

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_starts_reads_the_end_of_the_ledger_and_tells_who_missed_more() {
    let site = Site::start().await;
    let key = |n: u32| {
        let key = IdempotencyKey::new(examples::PAYER, IdempotencyKeySource::Header, &n.to_string());
        let event = Event::Key(key, KeyEvent::Bound(KeyBound { payment_id: examples::request().id() }));
        NewEvent { event, expected: Expected::Absent, trace: None }
    };
    for first in (0..5_000).step_by(500) {
        site.ledger.append(Batch::unordered((first..first + 500).map(key))).await.unwrap();
    }
    site.instance(&[]).await.buy(1, 1).await;
    let (last, api) = (site.last_sequence().await, site.instance(&[]).await);
    let told = async |position| {
        let mut reader = Reader::of(&api, &format!("?payer={NOBODY}"), Some(position)).await;
        while reader.position.is_none() {
            let next = tokio::time::timeout(Duration::from_millis(50), reader.next()).await;
            if let Ok(frame) = next {
                return frame.map(|frame| (frame.event, frame.id));
            }
        }
        None
    };
    assert_eq!(told(last - READ_AT_START).await, None, "nothing of this payer");
    assert_eq!(told(last - READ_AT_START - 1).await, Some(("reset".to_owned(), last)));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_for_operators_and_a_filter_is_one() {
    let site = Site::start().await;
    let api = site.instance(&[("OPERATOR_TOKEN", TOKEN)]).await;
    let without = site.instance(&[]).await;
    let wrong = format!("Bearer {}x", &TOKEN[..TOKEN.len() - 1]);
    for (api, authorization) in [
        (&api, None),
        (&api, Some(wrong.as_str())),
        (&api, Some("Bearer ")),
        (&api, Some(TOKEN)),
        (&without, Some("Bearer ")),
        (&without, Some("Bearer 0123456789abcdef-operator")),
    ] {
        let headers: Vec<_> = authorization.iter().map(|value| ("authorization", *value)).collect();
        let answer = crate::common::Answer::of(api.events("", &headers).await).await;
        assert_eq!(answer.problem(), (401, "operators_only".to_owned()), "{authorization:?}");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    for (query, expected) in [
        ("?payer=vitalik.eth", (400, "events_filter_invalid")),
        ("?token=0x12", (400, "events_filter_invalid")),
        (&format!("?payer={NOBODY}&token={NOBODY}"), (400, "events_filter_invalid")),
        (&format!("?payer={NOBODY}&payer={NOBODY}"), (400, "events_filter_invalid")),
        ("?payment=x", (404, "payment_unknown")),
    ] {
        let (status, code) = crate::common::Answer::of(api.events(query, &[]).await).await.problem();
        assert_eq!((status, code.as_str()), expected, "{query}");
    }
}

/// An order that is deferred so many times, each with this text.
async fn deferred_often(site: &Site, id: PaymentId, times: u32, detail: &str) {
    let event = |n| NewEvent {
        event: Event::Order(
            id,
            OrderEvent::PaymentDeferred(n, Deferral { detail: detail.to_owned(), ..examples::deferral() }),
        ),
        expected: Expected::Absent,
        trace: None,
    };
    let events: Vec<NewEvent> = (1..=times).map(event).collect();
    for batch in events.chunks(500) {
        site.ledger.append(Batch::unordered(batch.iter().cloned())).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b51_a_client_that_does_not_read_is_let_go_and_the_others_read_on() {
    const EVENTS: u32 = 12_000;
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let id = api.buy(1, 1).await.id();
    let mut good = Reader::of(&api, &of_payer(), Some(0)).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let address: SocketAddr = api.url.trim_start_matches("http://").parse().unwrap();
    let mut silent = socket.connect(address).await.unwrap();
    let request = format!("GET /api/events{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", of_payer());
    silent.write_all(request.as_bytes()).await.unwrap();
    // 8 MB: more than the kernel keeps for a connection.
    let detail = "x".repeat(200);
    let (_, seen) = tokio::join!(deferred_often(&site, id, EVENTS, &detail), async {
        let mut seen = 0;
        while seen < EVENTS + 1 {
            // It may fall behind for a moment, and comes back as a client does.
            match good.next().await {
                Some(frame) if frame.event == "reset" => break,
                Some(_) => seen += 1,
                None => good = Reader::of(&api, &of_payer(), good.position).await,
            }
        }
        seen
    });
    assert!(seen > 0);
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), silent.read_to_end(&mut rest))
        .await
        .expect("its stream has ended")
        .ok();
    let told = String::from_utf8_lossy(&rest);
    let ids: Vec<u64> = told.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect();
    // The first is the position at the beginning.
    assert!(ids[1..].windows(2).all(|pair| pair[1] == pair[0] + 1), "what it got has no gap");
    assert!(ids.len() < usize::try_from(EVENTS).unwrap(), "it did not get all: {}", ids.len());
    assert_eq!(api.get("/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn b54_no_text_of_the_chain_ends_a_frame_or_begins_another() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let id = api.buy(1, 1).await.id();
    let evil = "a\n\nevent: mint.confirmed\nid: 99\rdata: {}\r\n\r\n\u{2028}\u{85}";
    deferred_often(&site, id, 1, evil).await;
    for query in [format!("?payment={id}"), of_payer()] {
        let mut reader = Reader::of(&api, &query, Some(1)).await;
        let frames = [reader.next().await.unwrap(), reader.next().await.unwrap()];
        assert_eq!((frames[0].event.as_str(), frames[1].event.as_str()), ("payment.requested", "payment.deferred"));
        assert_eq!(frames[1].data["detail"], evil, "{query}");
    }
}
