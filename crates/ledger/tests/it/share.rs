//! The share of the server that one process takes at a time. It reads little in one request, and sends one large batch
//! at a time, so that the appends of other processes are stored in between. Each of its concurrent reads gets its own
//! reply.

use crate::common::new;
use alloy_primitives::B256;
use async_nats::{Message, Subscriber};
use domain::{Event, IdempotencyKey, IdempotencyKeySource, KeyBound, KeyEvent, PaymentId, PaymentKey, examples};
use faults::NatsProxy;
use futures_util::future::try_join_all;
use futures_util::{FutureExt, StreamExt};
use ledger::{Batch, GroupCommit, Ledger, LedgerConfig};
use serde_json::Value;
use std::time::{Duration, Instant};
use testkit::{Broker, eventually, until};

/// Filters in one request, at most.
const FILTERS_MAX: usize = 5;
/// Messages in one page, at most.
const PAGE_MAX: usize = 32;
/// Pause between two looks at a ledger without more events.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Large batches at the same time. Enough that some would be mixed if they did not wait for each other.
const BATCHES: usize = 32;
/// Events of each.
const EVENTS: usize = 100;

/// Reads of one process.
const READS: usize = 50;

/// Hears what is sent to the server on `subject`.
async fn listen(broker: &Broker, subject: &'static str) -> Subscriber {
    let client = async_nats::connect(broker.url("ops")).await.unwrap();
    let subscriber = client.subscribe(subject).await.unwrap();
    // The server has the subscription once it answers a later request of the same connection.
    client.request("$JS.API.INFO", "".into()).await.unwrap();
    subscriber
}

fn body(request: &Message) -> Value {
    serde_json::from_slice(&request.payload).unwrap()
}

#[tokio::test]
async fn many_orders_are_asked_for_a_few_at_a_time() {
    let broker = Broker::start().await;
    let ledger = broker.ledger("ops").await;
    let mut requests = listen(&broker, "$JS.API.DIRECT.GET.LEDGER").await;
    let ids: Vec<PaymentId> = (0..23).map(|n| PaymentId::of(PaymentKey(B256::with_last_byte(n)))).collect();
    assert_eq!(ledger.load_orders(&ids).await.unwrap().len(), ids.len());
    let mut left = ids.len();
    while left > 0 {
        let filters = body(&requests.next().await.unwrap())["multi_last"].as_array().unwrap().len();
        assert!(filters <= FILTERS_MAX, "{filters}");
        left -= filters;
    }
}

#[tokio::test]
async fn pages_are_small() {
    let broker = Broker::start().await;
    let ledger = broker.ledger("ops").await;
    let sequences = ledger.append(batch(0)).await.unwrap();
    let mut requests = listen(&broker, "$JS.API.DIRECT.GET.LEDGER").await;
    let read = ledger.between(sequences[0], sequences[EVENTS - 1]).await.unwrap();
    assert_eq!(read.iter().map(|recorded| recorded.seq).collect::<Vec<_>>(), sequences);
    for _ in 0..EVENTS.div_ceil(PAGE_MAX) {
        let count = body(&requests.next().await.unwrap())["batch"].as_u64().unwrap();
        assert!(count <= PAGE_MAX as u64, "{count}");
    }
}

/// A look costs the server as much for one event as for several.
#[tokio::test]
async fn events_that_come_one_after_the_other_are_read_together() {
    let broker = Broker::start().await;
    let ledger = broker.ledger("ops").await;
    let first = ledger.append(batch(0)).await.unwrap()[0];
    let mut requests = listen(&broker, "$JS.API.DIRECT.GET.LEDGER").await;
    let begun = Instant::now();
    let read = ledger.follow_from(">", first).take(2 * EVENTS).collect::<Vec<_>>();
    let write = async {
        for new in batch(1).events() {
            ledger.append(new.clone()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (read, ()) = tokio::join!(read, write);
    assert!(read.iter().all(Result::is_ok));
    let looks = begun.elapsed().as_millis() / LOOK_INTERVAL.as_millis() + 1;
    let mut pages = 0;
    // Every request that was sent by now has arrived by then.
    while let Ok(Some(request)) = tokio::time::timeout(Duration::from_millis(100), requests.next()).await {
        pages += u128::from(body(&request)["next_by_subj"] == ">");
    }
    let full = (2 * EVENTS).div_ceil(PAGE_MAX) as u128;
    assert!(pages <= looks + full, "{pages} requests in {looks} intervals for {full} pages");
}

fn batch(of: usize) -> Batch {
    Batch::unordered((0..EVENTS).map(|n| {
        let name = format!("{of} {n}");
        let key = IdempotencyKey::new(examples::request().payer(), IdempotencyKeySource::Header, &name);
        new(Event::Key(key, KeyEvent::Bound(KeyBound { payment_id: examples::request().id() })))
    }))
}

fn batch_id(message: &Message) -> String {
    message.headers.as_ref().unwrap().get("Nats-Batch-Id").unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn large_batches_of_a_process_are_sent_one_after_the_other() {
    let broker = Broker::start().await;
    let ledger = broker.ledger("ops").await;
    let writes = listen(&broker, "keys.>").await;
    let appends = (0..BATCHES).map(|of| {
        let ledger = ledger.clone();
        tokio::spawn(async move { ledger.append(batch(of)).await })
    });
    for appended in try_join_all(appends).await.unwrap() {
        assert_eq!(appended.unwrap().len(), EVENTS);
    }
    let mut batches: Vec<String> = writes.take(BATCHES * EVENTS).map(|message| batch_id(&message)).collect().await;
    batches.dedup();
    assert_eq!(batches.len(), BATCHES, "parts of another batch came in between");
}

#[tokio::test]
async fn reads_at_the_same_time_each_get_their_own_reply() {
    let broker = Broker::start().await;
    let ledger = broker.ledger("ops").await;
    let sequences = ledger.append(batch(0)).await.unwrap();
    let found = try_join_all(sequences.iter().map(|seq| ledger.at(*seq))).await.unwrap();
    assert_eq!(found.into_iter().map(|event| event.unwrap().seq).collect::<Vec<_>>(), sequences);
}

#[tokio::test]
async fn the_late_reply_to_a_read_that_was_given_up_reaches_no_other_read() {
    let broker = Broker::start().await;
    let ledger = broker.ledger("ops").await;
    let sequences = ledger.append(batch(0)).await.unwrap();
    for pair in sequences.windows(2) {
        // Sends the request, and does not wait for its reply.
        assert!(ledger.at(pair[0]).now_or_never().is_none());
        assert_eq!(ledger.at(pair[1]).await.unwrap().unwrap().seq, pair[1]);
    }
}

/// The server keeps a way back for each read, and cannot know which message is the last. Without a threshold it keeps it
/// for two to four minutes: thousands of them in a shop that sells.
#[tokio::test]
async fn the_server_soon_forgets_the_ways_back_of_reads() {
    let broker = Broker::with_accounts().await;
    let url = format!("{}/accountz?acc=LEDGER", broker.config("api").monitor_url);
    let kept = async || {
        let account: Value = serde_json::from_str(&reqwest::get(&url).await.unwrap().text().await.unwrap()).unwrap();
        account["account_detail"]["responses"].as_object().map_or(0, serde_json::Map::len)
    };
    let api = broker.ledger("api").await;
    for _ in 0..READS {
        assert!(api.at(1).await.unwrap().is_none());
    }
    assert!(kept().await >= READS);
    eventually("the ways back are forgotten", async || (kept().await == 0).then_some(())).await;
}

/// A batch without an acknowledgement is waited for, and the appends that come later are stored meanwhile.
#[tokio::test]
async fn a_batch_whose_acknowledgement_is_lost_does_not_hold_up_the_next_one() {
    let broker = Broker::start().await;
    let address = broker.nats.url().trim_start_matches("nats://").parse().unwrap();
    let proxy = NatsProxy::before(address).await.unwrap();
    let config = LedgerConfig { url: format!("nats://{}", proxy.address()), ..broker.config("api") };
    let ledger = Ledger::connect(&config, "/paymint/test").await.unwrap();
    let commit = GroupCommit::start(ledger.clone());
    let begin = ledger.state().await.unwrap().1;
    proxy.lose_ack();
    let first = try_join_all(batch(1).events().iter().map(|event| commit.append(event.clone())));
    let second = async {
        // The first is stored, and its acknowledgement is lost.
        until("the first batch is stored", async || proxy.lost() == 1).await;
        let begun = Instant::now();
        try_join_all(batch(2).events().iter().map(|event| commit.append(event.clone()))).await.unwrap();
        begun.elapsed()
    };
    let (first, lasted) = tokio::join!(first, second);
    first.unwrap();
    assert!(lasted < Duration::from_secs(2), "{lasted:?}");
    assert_eq!(ledger.state().await.unwrap().1 - begin, 2 * EVENTS as u64, "each is stored once");
}
