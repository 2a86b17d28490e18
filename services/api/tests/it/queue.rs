//! The queue and its statistics: the whole shape of every answer, pages, and what is said when Postgres is away.

use crate::common::Site;
use crate::common::rows::Rows;
use alloy_primitives::{Address, B256};
use domain::event::{OpenTx, Purpose, Settled, SignerEvent};
use domain::{Event, LaneId, OrderEvent, PaymentId, PaymentKey, examples};
use ledger::{Expected, NewEvent};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use testkit::until;

impl Rows {
    /// Appends an event that a lane would write.
    async fn lane(&self, event: SignerEvent) -> u64 {
        let event = Event::Signer(LaneId::new(examples::SIGNER, Purpose::Mint), event);
        self.site.ledger.append(&[NewEvent { event, expected: Expected::Absent, trace: None }]).await.unwrap()[0]
    }

    /// An order of somebody else, as an instance would write it.
    async fn order_of(&self, payer: Address) -> PaymentId {
        let mut request = examples::request().into_fields();
        request.authorization.from = payer;
        request.payment_key = PaymentKey::new(request.chain_id, request.asset, payer, request.authorization.nonce);
        let (id, request) = (request.id(), domain::PaymentRequest::new(request).unwrap());
        self.site.happens(id, OrderEvent::PaymentRequested(Box::new(request))).await;
        id
    }

    async fn when(&self, seq: u64) -> Value {
        let at = self.database.store.ledger_range(seq, seq).await.unwrap()[0].message.recorded_at;
        json!(at)
    }
}

/// Seven orders, one at each step, a settled and an open mint transaction.
struct Story {
    ids: Vec<PaymentId>,
    signed: [u64; 2],
    settled: u64,
    last: u64,
}

async fn story(rows: &Rows) -> Story {
    use OrderEvent::{
        MintConfirmed, MintParked, MintSubmitted, PaymentConfirmed, PaymentDeferred, PaymentFailed, PaymentSubmitted,
    };
    let (tx, proof) = (examples::submission, examples::proof());
    let steps: [&[OrderEvent]; 7] = [
        &[PaymentConfirmed(proof.clone()), MintSubmitted(1, tx(8)), MintConfirmed(examples::minted())],
        &[PaymentConfirmed(proof.clone()), MintSubmitted(1, tx(9))],
        &[PaymentConfirmed(proof.clone()), MintParked(1, examples::parked())],
        &[PaymentConfirmed(proof)],
        &[PaymentFailed(examples::failure())],
        &[PaymentSubmitted(1, tx(7))],
        &[PaymentDeferred(1, examples::deferral())],
    ];
    let mut ids = Vec::new();
    for (nonce, events) in (1..).zip(steps) {
        let id = rows.api.buy(10, nonce).await.id();
        for event in events {
            rows.site.happens(id, event.clone()).await;
        }
        ids.push(id);
    }
    let tx = |nonce, items: &[PaymentId]| {
        let items = items.to_vec();
        SignerEvent::Signed(OpenTx {
            purpose: Purpose::Mint,
            target: examples::TOKEN,
            items,
            ..examples::open_tx(nonce)
        })
    };
    let signed = [rows.lane(tx(8, &ids[..1])).await, rows.lane(tx(9, &ids[1..3])).await];
    let settled = rows.lane(SignerEvent::Settled(Settled { nonce: 8, ..examples::settled(8) })).await;
    rows.order_of(examples::SIGNER).await;
    rows.project().await;
    Story { ids, signed, settled, last: rows.site.last_sequence().await }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_the_queue_has_the_earlier_systems_shape() {
    let rows = Rows::start().await;
    let story = story(&rows).await;
    let answer = rows.api.get("/queue/status").await;
    assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "no-store"));
    let mut status = answer.json();
    let as_of = status["as_of"].take();
    assert!(status["estimated_wait_seconds"].take().as_u64().is_some_and(|wait| wait > 0), "{status}");
    assert!(as_of.as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().is_ok(), "{as_of}");
    let oldest = rows.database.store.payment(story.ids[3]).await.unwrap().unwrap().requested_at;
    let batch = |seq: u64, nonce: u8, count: u64| {
        json!({
            "id": seq,
            "batch_tx_hash": B256::with_last_byte(nonce),
            "mint_count": count,
            "status": "processing",
            "created_at": null,
            "confirmed_at": null,
            "block_number": null,
            "token_address": examples::TOKEN,
        })
    };
    let mut batches = [batch(story.signed[1], 9, 2), batch(story.signed[0], 8, 1)];
    batches[0]["created_at"] = rows.when(story.signed[1]).await;
    batches[1]["created_at"] = rows.when(story.signed[0]).await;
    batches[1]["status"] = json!("completed");
    batches[1]["confirmed_at"] = rows.when(story.settled).await;
    batches[1]["block_number"] = json!(41);
    let expected = json!({
        "stats": {
            "pending_count": 4,
            "processing_count": 1,
            "completed_count": 1,
            "failed_count": 2,
            "oldest_pending": oldest,
            "unique_payers_pending": 2,
        },
        "recentBatches": batches,
        "batchInterval": 2,
        "maxBatchSize": 100,
        "estimated_wait_seconds": null,
        "accepting": true,
        "reason": null,
        "as_of": null,
        "sequence": story.last,
    });
    assert_eq!(status, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_statistics_count_payments_and_mints_by_word_and_by_state() {
    let rows = Rows::start().await;
    let story = story(&rows).await;
    let (mut queue, mut payments) =
        (rows.api.get("/api/queue/stats").await.json(), rows.api.get("/api/payment/stats").await.json());
    let states = json!({
        "requested": 1, "deferred": 1, "payment_parked": 0, "settling": 1, "reverted": 0, "failed": 1, "paid": 1,
        "minting": 1, "mint_deferred": 0, "mint_parked": 1, "minted": 1, "refund_requested": 0, "refunding": 0,
        "refund_deferred": 0, "refund_parked": 0, "refunded": 0,
    });
    let waits_since =
        async |n: usize| json!(rows.database.store.payment(story.ids[n]).await.unwrap().unwrap().requested_at);

    // The clock of the test is inside the last minute; how much of it the rates cover is the clock's.
    let windows = ["/rates/lastMinute", "/rates/lastFiveMinutes"];
    for (window, seconds) in windows.into_iter().zip([60.0, 300.0]) {
        let counts =
            [("mintsPerSecond", 1.0), ("unitsPerSecond", 10.0), ("acceptedPerSecond", 8.0), ("settledPerSecond", 4.0)];
        for (n, (rate, count)) in counts.into_iter().enumerate() {
            let answer = if n < 2 { &mut queue } else { &mut payments };
            let found = answer.pointer_mut(&format!("{window}/{rate}")).unwrap().take().as_f64().unwrap();
            let range = count / (seconds + 10.0) - 0.001..=count / seconds + 0.001;
            assert!(range.contains(&found), "{window} {rate}: {found} not in {range:?}");
        }
    }
    assert!(queue["asOf"].take().is_string() && payments["asOf"].take().is_string());
    for stats in [&mut queue, &mut payments] {
        assert!(stats["estimatedWaitSeconds"].take().as_u64().is_some_and(|wait| wait > 0), "{stats}");
    }
    let (mints, settled) = (
        json!({ "mintsPerSecond": null, "unitsPerSecond": null }),
        json!({ "acceptedPerSecond": null, "settledPerSecond": null }),
    );
    let expected = json!({
        "statuses": { "pending": 4, "processing": 1, "completed": 1, "failed": 2 },
        "states": states,
        "uniquePayers": 2,
        "uniquePayersPending": 2,
        "oldestPending": waits_since(3).await,
        "totals": { "unitsMinted": "10" },
        "rates": { "lastMinute": mints, "lastFiveMinutes": mints },
        "estimatedWaitSeconds": null,
        "accepting": true,
        "reason": null,
        "asOf": null,
        "sequence": story.last,
    });
    assert_eq!(queue, expected);
    let expected = json!({
        "statuses": { "pending": 2, "sent": 1, "completed": 4, "failed": 1 },
        "states": states,
        "uniquePayers": 2,
        "uniquePayersPending": 2,
        "oldestPending": waits_since(5).await,
        "totals": { "valueCompleted": "400000", "unitsPaid": "40" },
        "rates": { "lastMinute": settled, "lastFiveMinutes": settled },
        "estimatedWaitSeconds": null,
        "accepting": true,
        "reason": null,
        "asOf": null,
        "sequence": story.last,
    });
    assert_eq!(payments, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_has_the_earlier_systems_shape_in_the_list_and_alone() {
    let rows = Rows::start().await;
    let story = story(&rows).await;
    // The process reads the ledger beside us, and takes the backlog from the read models once these have begun.
    until("the places are known", async || {
        let mut known = 0;
        for id in &story.ids {
            let item = rows.api.get(&format!("/queue/item/{id}")).await.json();
            known += usize::from(item["queue_position"].is_u64());
        }
        known == 3
    })
    .await;
    let list = rows.api.get(&format!("/queue/payer/{}", examples::PAYER)).await.json();
    assert_eq!((&list["payer"], &list["next_cursor"]), (&json!(examples::PAYER), &Value::Null));
    let requests = list["requests"].as_array().unwrap();
    assert_eq!(requests.len(), story.ids.len(), "the other payer's is not among them");
    // By order, as it was bought: status, state, place, hash, message, retries, when it is tried again.
    let (deferral, minted) = (examples::deferral(), examples::minted());
    let expected = [
        ("completed", "minted", Value::Null, json!(minted.tx_hash), Value::Null, 0, Value::Null),
        ("processing", "minting", json!(0), json!(B256::with_last_byte(9)), Value::Null, 0, Value::Null),
        (
            "failed",
            "mint_parked",
            Value::Null,
            Value::Null,
            json!("inconsistent: the token has no record of the payment"),
            0,
            Value::Null,
        ),
        ("pending", "paid", json!(1), Value::Null, Value::Null, 0, Value::Null),
        (
            "failed",
            "failed",
            Value::Null,
            Value::Null,
            json!("expired: the window closed before the payment could be settled"),
            0,
            Value::Null,
        ),
        ("pending", "settling", json!(0), Value::Null, Value::Null, 0, Value::Null),
        (
            "pending",
            "deferred",
            Value::Null,
            Value::Null,
            json!("unfunded: ERC20: transfer amount exceeds balance"),
            1,
            json!(deferral.retry_at),
        ),
    ];
    for ((id, found), (status, state, place, hash, message, retries, retry_at)) in
        story.ids.iter().zip(requests.iter().rev()).zip(expected)
    {
        let row = rows.database.store.payment(*id).await.unwrap().unwrap();
        let ended = ["completed", "failed"].contains(&status);
        let expected = json!({
            "id": id,
            "payer_address": examples::PAYER,
            "status": status,
            "queue_position": place,
            "created_at": row.requested_at,
            "updated_at": row.updated_at,
            "processed_at": ended.then_some(row.updated_at),
            "mint_tx_hash": hash,
            "error_message": message,
            "retry_count": retries,
            "payment_type": "x402",
            "payment_queue_id": id,
            "state": state,
            "token_address": examples::TOKEN,
            "quantity": 10,
            "estimated_wait_seconds": null,
            "retry_at": retry_at,
            "sequence": row.last_seq,
        });
        let mut alone = rows.api.get(&format!("/queue/item/{id}")).await.json();
        let mut found = found.clone();
        for item in [&mut found, &mut alone] {
            let wait = item["estimated_wait_seconds"].take();
            assert_eq!(wait.is_u64(), item["queue_position"].is_u64(), "who has a place has a time: {item}");
        }
        assert_eq!((&found, &alone), (&expected, &expected));
        for path in ["payment", "queue"] {
            let status = rows.api.get(&format!("/api/{path}/{id}")).await.json();
            assert_eq!(status["queuePosition"], expected["queue_position"]);
            assert_eq!(status["estimatedWaitSeconds"].is_u64(), status["queuePosition"].is_u64());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_read_page_by_page_while_orders_come_in() {
    let rows = Rows::start().await;
    let mut bought = Vec::new();
    for nonce in 1..=5 {
        bought.push(rows.api.buy(1, nonce).await.id());
    }
    rows.project().await;
    let (mut seen, mut cursor, mut pages) = (Vec::new(), None, 0);
    loop {
        let query = cursor.map_or(String::new(), |cursor: String| format!("&cursor={cursor}"));
        // Any spelling of the address is the address.
        let payer = examples::PAYER.to_string().to_lowercase();
        let page = rows.api.get(&format!("/queue/payer/{payer}?limit=2{query}")).await.json();
        for request in page["requests"].as_array().unwrap() {
            seen.push(request["id"].as_str().unwrap().parse().unwrap());
        }
        pages += 1;
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
        rows.api.buy(1, 100 + pages).await;
        rows.project().await;
    }
    bought.reverse();
    assert_eq!((seen, pages), (bought, 3));
    // A page that ends with the list says so.
    let whole = rows.api.get(&format!("/queue/payer/{}?limit=7", examples::PAYER)).await.json();
    assert_eq!((whole["requests"].as_array().unwrap().len(), &whole["next_cursor"]), (7, &Value::Null));
    let unknown = rows.api.get(&format!("/queue/payer/{}", examples::ASSET)).await;
    assert_eq!(unknown.status, 200);
    assert_eq!(unknown.json(), json!({ "payer": examples::ASSET, "requests": [], "next_cursor": null }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_question_is_refused_by_its_own_code() {
    let site = Site::start().await;
    // No database: what is malformed is said without asking one.
    let api = site.instance(&[]).await;
    let payer = examples::PAYER.to_string();
    let cases = [
        ("nobody".to_owned(), (400, "address_invalid")),
        (payer[2..].to_owned(), (400, "address_invalid")),
        (format!("{payer}0"), (400, "address_invalid")),
        ("%FF".to_owned(), (400, "address_invalid")),
        (format!("{payer}?limit=0"), (400, "limit_invalid")),
        (format!("{payer}?limit=101"), (400, "limit_invalid")),
        (format!("{payer}?limit="), (400, "limit_invalid")),
        (format!("{payer}?limit=1e1"), (400, "limit_invalid")),
        (format!("{payer}?limit=-1"), (400, "limit_invalid")),
        (format!("{payer}?cursor="), (400, "cursor_invalid")),
        (format!("{payer}?cursor=1"), (400, "cursor_invalid")),
        (format!("{payer}?cursor=0000000000000000"), (400, "cursor_invalid")),
        (format!("{payer}?cursor=ffffffffffffffff"), (400, "cursor_invalid")),
        (format!("{payer}?cursor=000000000000002A"), (400, "cursor_invalid")),
        (format!("{payer}?cursor=%27%3B--"), (400, "cursor_invalid")),
        (format!("{payer}?cursor={}", "0".repeat(4000)), (400, "cursor_invalid")),
        (format!("{payer}?limit=1&limit=2"), (400, "query_invalid")),
        (payer, (503, "read_models_unavailable")),
    ];
    for (path, (status, code)) in cases {
        let answer = api.get(&format!("/queue/payer/{path}")).await;
        assert_eq!(answer.problem(), (status, code.to_owned()), "{path}");
    }
    for id in ["1", "stats", &uuid_of_nobody()] {
        assert_eq!(api.get(&format!("/queue/item/{id}")).await.problem(), (404, "payment_unknown".to_owned()), "{id}");
    }
}

fn uuid_of_nobody() -> String {
    PaymentId::of(PaymentKey(B256::ZERO)).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn f21_without_postgres_one_order_is_found_and_lists_say_when_to_come_back() {
    let mut rows = Rows::start().await;
    // Not begun is not empty: nobody knows yet.
    assert_eq!(rows.api.get("/queue/status").await.problem(), (503, "read_models_unavailable".to_owned()));
    let id = rows.api.buy(10, 1).await.id();
    rows.project().await;
    until("the counts are there", async || rows.api.get("/queue/status").await.status == 200).await;
    let item = async || {
        let mut item = rows.api.get(&format!("/queue/item/{id}")).await.json();
        assert!(item["estimated_wait_seconds"].take().is_u64());
        item
    };
    let before = item().await;
    rows.database.store.close().await;
    rows.database.server.kill();
    let paths =
        ["/queue/status", "/api/queue/stats", "/api/payment/stats", &format!("/queue/payer/{}", examples::PAYER)];
    for path in paths {
        until("it is noticed", async || rows.api.get(path).await.status == 503).await;
        let answer = rows.api.get(path).await;
        assert_eq!(answer.problem(), (503, "read_models_unavailable".to_owned()), "{path}");
        assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
    }
    assert_eq!(item().await, before, "from the ledger");
    rows.database.server.restart().await.unwrap();
    for path in paths {
        until("it is back", async || rows.api.get(path).await.status == 200).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_would_be_refused_is_told_before_paying() {
    let mut rows = Rows::start().await;
    rows.project().await;
    rows.site.broker.nats.kill();
    until("it is noticed", async || rows.api.get("/readyz").await.status == 503).await;
    for path in ["/queue/status", "/api/queue/stats", "/api/payment/stats"] {
        let answer = rows.api.get(path).await.json();
        assert_eq!((&answer["accepting"], &answer["reason"]), (&json!(false), &json!("ledger_unavailable")), "{path}");
    }
    assert_eq!(rows.api.mint(10, &[]).await.problem(), (503, "ledger_unavailable".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_for_statistics_are_answered_by_one_look() {
    let rows = Rows::start().await;
    rows.project().await;
    let began = Instant::now();
    let mut answers = tokio::task::JoinSet::new();
    for n in 0..150 {
        let path = ["/queue/status", "/api/queue/stats", "/api/payment/stats"][n % 3];
        let (http, url) = (rows.api.http.clone(), format!("{}{path}", rows.api.url));
        answers.spawn(async move { http.get(url).send().await.unwrap().json::<Value>().await.unwrap() });
    }
    let looks: BTreeSet<String> = answers
        .join_all()
        .await
        .into_iter()
        .map(|answer| answer.get("as_of").or(answer.get("asOf")).unwrap().as_str().unwrap().to_owned())
        .collect();
    let most = began.elapsed().as_millis() / 500 + 1;
    assert!(looks.len() as u128 <= most, "{looks:?} in {:?}", began.elapsed());
    // And they do get older: later the next look is taken.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let later = rows.api.get("/queue/status").await.json()["as_of"].as_str().unwrap().to_owned();
    assert!(looks.iter().all(|look| *look < later), "{looks:?} {later}");
}
