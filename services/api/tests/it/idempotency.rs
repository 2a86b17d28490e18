//! An application that repeats the whole purchase signs a new authorization: only its own key can tell (D11, S14, B41).

use crate::common::rows::Rows;
use crate::common::{Answer, Instance, Site, now_s, pay, project};
use alloy_primitives::{Address, U256};
use domain::nonce::{Binding, binding, bound_nonce};
use domain::{Event, IdempotencyKey, KeyBound, KeyEvent, OrderEvent, Quantity, examples};
use ledger::{Batch, Expected, NewEvent};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use testkit::{Database, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const KEY: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";

/// End of the window of every authorization here: one nonce is one authorization, also when it is signed a second later.
static VALID_BEFORE: LazyLock<u64> = LazyLock::new(|| now_s() + 800);

/// A payment with a nonce of its own, under these names.
async fn buy(api: &Instance, quantity: u32, nonce: u8, header: Option<&str>, identifier: Option<&str>) -> Answer {
    let offer = api.mint(quantity, &[]).await.offer();
    let mut payment = decoded(&pay(&offer, nonce, |auth| auth.valid_before = *VALID_BEFORE));
    if let Some(identifier) = identifier {
        payment["extensions"] = json!({ "payment-identifier": { "info": { "required": false, "id": identifier } } });
    }
    post(api, quantity, &crate::common::base64(&payment), header).await
}

/// Sends a signed payment under a key.
async fn post(api: &Instance, quantity: u32, payment: &str, key: Option<&str>) -> Answer {
    let mut headers = vec![("payment-signature", payment)];
    headers.extend(key.map(|key| ("idempotency-key", key)));
    api.mint(quantity, &headers).await
}

fn decoded(header: &str) -> Value {
    let bytes = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, header).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// Number of orders in the ledger.
async fn orders(site: &Site) -> usize {
    let mut orders = 0;
    for seq in 1..=site.last_sequence().await {
        let recorded = site.ledger.at(seq).await.unwrap().unwrap();
        orders += usize::from(matches!(recorded.event, Ok(Event::Order(_, OrderEvent::PaymentRequested(_)))));
    }
    orders
}

#[tokio::test(flavor = "multi_thread")]
async fn d11_a_purchase_that_is_repeated_under_its_key_is_one_order_at_every_instance() {
    let identifier = "order_7-of-the-shop";
    for (header, name) in [(Some(KEY), None), (None, Some(identifier)), (Some(KEY), Some(identifier))] {
        let site = Site::start().await;
        let (one, two) = (site.instance(&[]).await, site.instance(&[]).await);
        let first = buy(&one, 10, 1, header, name).await;
        assert_eq!(first.status, 202);
        for (api, nonce) in [(&one, 2), (&two, 3)] {
            let again = buy(api, 10, nonce, header, name).await;
            assert_eq!((again.status.as_u16(), again.id()), (202, first.id()), "{header:?} {name:?}");
        }
        assert_eq!(orders(&site).await, 1, "the second authorization is written nowhere, so nobody can settle it");
        let other = buy(&two, 5, 4, header, name).await;
        assert_eq!(other.problem(), (409, "idempotency_key_reused".to_owned()));
        assert_eq!((other.id(), orders(&site).await), (first.id(), 1));

        // After everything was restarted, and after the end.
        site.happens(first.id(), OrderEvent::PaymentFailed(examples::failure())).await;
        one.stop.cancel();
        two.stop.cancel();
        let three = site.instance(&[]).await;
        let again = buy(&three, 10, 5, header, name).await;
        assert_eq!((again.id(), orders(&site).await), (first.id(), 1));
    }
}

/// nats-server kept the beginning of a batch once: a key that names an order that is not there.
#[tokio::test(flavor = "multi_thread")]
async fn f07_an_order_whose_key_alone_was_kept_is_written_when_it_comes_again_and_no_other_is() {
    for (header, name) in [(Some(KEY), None), (Some(KEY), Some("order_7-of-the-shop"))] {
        let site = Site::start().await;
        let api = site.instance(&[]).await;
        // What the order would be called, and the key of its payer: as another installation has them.
        let elsewhere = Site::start().await;
        let first = buy(&elsewhere.instance(&[]).await, 10, 1, header, None).await;
        let kept = elsewhere.ledger.at(elsewhere.last_sequence().await - 1).await.unwrap().unwrap().event.unwrap();
        assert!(matches!(kept, Event::Key(..)), "the key stands before its order: {kept:?}");
        let kept = NewEvent { event: kept, expected: Expected::Absent, trace: None };
        site.ledger.append(&[kept]).await.unwrap();

        let other = buy(&api, 10, 2, header, name).await;
        assert_eq!((other.status.as_u16(), orders(&site).await), (503, 0), "nobody knows what became of the first");
        let again = buy(&api, 10, 1, header, name).await;
        assert_eq!((again.status.as_u16(), again.id(), orders(&site).await), (202, first.id(), 1));
        for nonce in [1, 2] {
            let again = buy(&api, 10, nonce, header, name).await;
            assert_eq!((again.status.as_u16(), again.id(), orders(&site).await), (202, first.id(), 1));
        }
    }
}

/// The server kept the first key of an order and refused the rest, because the second key names another purchase.
#[tokio::test(flavor = "multi_thread")]
async fn f07_a_key_that_names_another_purchase_is_told_although_the_other_key_was_kept() {
    let (site, elsewhere) = (Site::start().await, Site::start().await);
    let (api, identifier) = (site.instance(&[]).await, "order_7-of-the-shop");
    let first = buy(&api, 5, 2, None, Some(identifier)).await;
    buy(&elsewhere.instance(&[]).await, 10, 1, Some(KEY), None).await;
    let kept = elsewhere.ledger.at(elsewhere.last_sequence().await - 1).await.unwrap().unwrap().event.unwrap();
    site.ledger.append(&[NewEvent { event: kept, expected: Expected::Absent, trace: None }]).await.unwrap();
    for _ in 0..2 {
        let refused = buy(&api, 10, 1, Some(KEY), Some(identifier)).await;
        assert_eq!((refused.problem(), refused.id()), ((409, "idempotency_key_reused".to_owned()), first.id()));
    }
    assert_eq!(orders(&site).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_a_hundred_new_authorizations_under_one_key_at_once_are_one_order() {
    let site = Site::start().await;
    let (one, two) = (site.instance(&[]).await, site.instance(&[]).await);
    let mut buyers = tokio::task::JoinSet::new();
    for nonce in 0..100 {
        let api = if nonce % 2 == 0 { &one } else { &two };
        let api = api.another_client();
        buyers.spawn(async move {
            // A conflict that cannot be seen yet is answered 503: an application tries again.
            loop {
                let answer = buy(&api, 10, nonce, Some(KEY), None).await;
                if answer.status != 503 {
                    return (answer.status.as_u16(), answer.id());
                }
            }
        });
    }
    let answers = buyers.join_all().await;
    assert!(answers.iter().all(|answer| *answer == (202, answers[0].1)), "{answers:?}");
    assert_eq!(orders(&site).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_their_payers_own_and_sources_do_not_meet() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let name = "0123456789abcdef";
    let header = buy(&api, 10, 1, Some(name), None).await.id();
    let identifier = buy(&api, 10, 2, None, Some(name)).await.id();
    let plain = buy(&api, 10, 3, None, None).await.id();
    assert!(header != identifier && identifier != plain);
    assert_eq!(orders(&site).await, 3);
    assert_eq!(buy(&api, 10, 4, Some(&format!("\"{name}\"")), None).await.id(), header, "quotes are not part of it");
}

/// The first time without a key, the second with it: from then on the key is known.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_comes_later_names_the_order_all_the_same() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let first = buy(&api, 10, 1, None, None).await;
    assert_eq!(buy(&api, 10, 1, Some(KEY), None).await.id(), first.id());
    assert_eq!(buy(&api, 10, 2, Some(KEY), None).await.id(), first.id());
    assert_eq!(orders(&site).await, 1);
    // An authorization is one payment permanently, whatever key it comes with.
    let second = buy(&api, 10, 3, None, None).await;
    assert_eq!(buy(&api, 10, 3, Some(KEY), None).await.id(), second.id());
}

/// A purchase that was recognised by one name is known by the other from then on: the next try may have only that.
#[tokio::test(flavor = "multi_thread")]
async fn d11_a_second_name_beside_a_known_one_names_the_same_order() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let identifier = "order_7-of-the-shop";
    let first = buy(&api, 10, 1, None, Some(identifier)).await.id();
    assert_eq!(buy(&api, 10, 2, Some(KEY), Some(identifier)).await.id(), first);
    assert_eq!(buy(&api, 10, 3, Some(KEY), None).await.id(), first);
    assert_eq!(orders(&site).await, 1);
}

/// Also while no order is taken: its answer is the same, and so is what the key means afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn d11_a_key_that_comes_later_is_kept_while_no_order_is_taken() {
    let site = Site::start().await;
    let (open, closed) = (site.instance(&[]).await, site.instance(&[("LAG_MAX", "1")]).await);
    let offer = open.mint(10, &[]).await.offer();
    let (one, two) = (pay(&offer, 1, |_| {}), pay(&offer, 2, |_| {}));
    let first = open.mint(10, &[("payment-signature", &one)]).await.id();
    let path = format!("/queue/item/{first}");
    let known = async || closed.get(&path).await.json()["queue_position"].is_u64();
    until("the other instance has read it", known).await;
    until("one waits, which is enough there", async || closed.mint(10, &[]).await.status == 503).await;
    let refused = closed.mint(10, &[("payment-signature", &two)]).await;
    assert_eq!(refused.problem(), (503, "queue_full".to_owned()));
    let name = [("payment-signature", one.as_str()), ("idempotency-key", KEY)];
    assert_eq!(closed.mint(10, &name).await.id(), first);
    let again = buy(&open, 10, 3, Some(KEY), None).await;
    assert_eq!((again.id(), orders(&site).await), (first, 1));
}

/// Each key is an event, which is kept permanently. Without a bound, one payment could write as many as its owner likes.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_takes_four_keys_and_no_fifth_not_even_after_its_end() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let keys: Vec<String> = (0..200).map(|n| format!("another-key-{n}")).collect();
    let id = buy(&api, 10, 1, Some(&keys[0]), Some("order_7-of-the-shop")).await.id();
    for key in &keys[1..3] {
        assert_eq!(buy(&api, 10, 1, Some(key), None).await.id(), id);
    }
    let last = site.last_sequence().await;
    let refused = async || {
        let mut posts = tokio::task::JoinSet::new();
        for key in &keys[3..] {
            let (api, key) = (api.another_client(), key.clone());
            posts.spawn(async move { buy(&api, 10, 1, Some(&key), None).await });
        }
        posts.join_all().await
    };
    let exhausted = (409, "idempotency_keys_exhausted".to_owned());
    let answers = refused().await;
    assert!(answers.iter().filter(|answer| answer.status != 503).all(|answer| answer.problem() == exhausted));
    assert!(answers.iter().any(|answer| answer.status == 409 && answer.id() == id));
    site.happens(id, OrderEvent::PaymentFailed(examples::failure())).await;
    let path = format!("/api/payment/{id}");
    until("it has failed", async || api.get(&path).await.json()["state"] == "failed").await;
    assert!(refused().await.iter().all(|answer| [409, 503].contains(&answer.status.as_u16())));
    assert_eq!(site.last_sequence().await, last + 1, "nothing was written but the failure");

    for key in &keys[..3] {
        assert_eq!(buy(&api, 10, 1, Some(key), None).await.id(), id, "its keys name it");
        assert_eq!(buy(&api, 10, 2, Some(key), None).await.id(), id);
    }
    assert_eq!((buy(&api, 10, 1, None, None).await.id(), orders(&site).await), (id, 1));
    let unbound = buy(&api, 10, 9, Some(&keys[3]), None).await;
    assert_eq!((unbound.status.as_u16(), unbound.id() != id), (202, true), "a refused key names nothing");
}

/// A process remembers the keys of the orders that it remembers. Older orders have ended, and take no further key.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_ended_long_ago_takes_no_further_key() {
    let rows = Rows::start().await;
    let site = &rows.site;
    let old = buy(&rows.api, 10, 1, Some(KEY), None).await.id();
    let open = buy(&rows.api, 10, 2, None, None).await.id();
    site.happens(old, OrderEvent::PaymentFailed(examples::failure())).await;
    // As many events as a process reads at its start.
    for chunk in (0..4_200_u64).collect::<Vec<_>>().chunks(100) {
        let key = |n: &u64| {
            let key = IdempotencyKey { payer: Address::ZERO, digest: U256::from(*n).into() };
            let event = Event::Key(key, KeyEvent::Bound(KeyBound { payment_id: open }));
            NewEvent { event, expected: Expected::Absent, trace: None }
        };
        site.ledger.append(Batch::unordered(chunk.iter().map(key))).await.unwrap();
    }
    rows.project().await;
    let later = site.instance(&[("DATABASE_URL", &rows.database.server.url())]).await;
    let left = async || later.get("/api/tokens").await.json()["tokens"][0]["unitsLeft"].is_string();
    until("it knows every order under way", left).await;
    let last = site.last_sequence().await;
    let refused = buy(&later, 10, 1, Some("another-key"), None).await;
    assert_eq!((refused.problem(), refused.id()), ((409, "idempotency_keys_exhausted".to_owned()), old));
    assert_eq!(site.last_sequence().await, last);
    for (nonce, key, id) in [(1, Some(KEY), old), (1, None, old), (2, None, open)] {
        assert_eq!(buy(&later, 10, nonce, key, None).await.id(), id);
    }
    assert_eq!(site.last_sequence().await, last);
}

/// A monitor that says what the server's says, until it says that the storage is full.
async fn monitor(url: String, is_full: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut request = [0; 4_096];
            let length = client.read(&mut request).await.unwrap();
            let path = String::from_utf8_lossy(&request[..length]).split(' ').nth(1).unwrap_or_default().to_owned();
            let mut said: Value = reqwest::get(format!("{url}{path}")).await.unwrap().json().await.unwrap();
            if is_full.load(Ordering::Relaxed) && said["config"]["max_storage"].is_u64() {
                said["config"]["max_storage"] = said["storage"].clone();
            }
            let (body, head) = (said.to_string(), "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ");
            client.write_all(format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
        }
    });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_further_key_is_bound_while_the_storage_of_the_ledger_is_full() {
    let (site, is_full) = (Site::start().await, Arc::new(AtomicBool::new(false)));
    let url = monitor(site.broker.nats.monitor_url(), Arc::clone(&is_full)).await;
    let api = site.instance(&[("NATS_MONITOR_URL", &url)]).await;
    let payment = pay(&api.mint(10, &[]).await.offer(), 1, |_| {});
    let id = post(&api, 10, &payment, Some(KEY)).await.id();
    is_full.store(true, Ordering::Relaxed);
    until("it is known", async || api.get("/readyz").await.json()["orders"] == "ledger_full").await;
    let last = site.last_sequence().await;
    let refused = post(&api, 10, &payment, Some("another-key")).await;
    assert_eq!(refused.problem(), (503, "ledger_full".to_owned()));
    for key in [None, Some(KEY)] {
        assert_eq!(post(&api, 10, &payment, key).await.id(), id, "what is known is answered");
    }
    assert_eq!(site.last_sequence().await, last);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_read_is_refused_before_anything_is_written() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let long = "k".repeat(129);
    for key in ["", "two words", "\"half", &long] {
        assert_eq!(buy(&api, 10, 1, Some(key), None).await.problem(), (400, "idempotency_key_invalid".to_owned()));
    }
    assert_eq!(orders(&site).await, 0);
    assert_eq!(api.mint(10, &[("idempotency-key", "two words")]).await.status, 402, "an offer needs none");
}

/// S03, D8: a nonce that was derived from an order buys nothing else, and alone proves what it bought.
#[tokio::test(flavor = "multi_thread")]
async fn s03_a_nonce_that_is_bound_to_an_order_buys_that_order_only() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let offer = api.mint(10, &[]).await.offer();
    let bound = |quantity: u32, salt: u8| {
        let quantity = Quantity::new(quantity).unwrap();
        bound_nonce(examples::CHAIN_ID, examples::TOKEN, quantity, [salt; 12])
    };
    let taken = pay(&offer, 0, |auth| auth.nonce = bound(10, 1));
    let accepted = api.mint(10, &[("payment-signature", &taken)]).await;
    assert_eq!(accepted.status, 202);
    let refused = pay(&offer, 0, |auth| auth.nonce = bound(9, 1));
    let refused = api.mint(10, &[("payment-signature", &refused)]).await;
    assert_eq!(refused.problem(), (402, "payment_nonce_bound_elsewhere".to_owned()));
    assert_eq!(orders(&site).await, 1);
    let history = site.ledger.order_history(accepted.id()).await.unwrap();
    let Ok(Event::Order(_, OrderEvent::PaymentRequested(request))) = &history[0].event else { panic!() };
    let quantity = Quantity::new(10).unwrap();
    assert_eq!(binding(request.authorization.nonce, examples::CHAIN_ID, examples::TOKEN, quantity), Binding::ThisOrder);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identifier_that_cannot_be_read_is_refused_and_one_is_offered() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let offer = api.mint(10, &[]).await.offer();
    assert_eq!(offer["extensions"]["payment-identifier"]["info"]["required"], false);
    for name in ["short", "with spaces in it 123", ""] {
        let answer = buy(&api, 10, 1, None, Some(name)).await;
        assert_eq!(answer.problem(), (400, "payment_identifier_invalid".to_owned()), "{name}");
    }
    assert_eq!(orders(&site).await, 0);
}

/// B44: the ledger in which it was accepted is closed, and its window has passed. A 402 would make its payer pay again.
#[tokio::test(flavor = "multi_thread")]
async fn b44_a_payment_of_an_earlier_ledger_is_answered_by_its_row() {
    let before = Site::start().await;
    let database = Database::start().await;
    let old = before.instance(&[]).await;
    let header = pay(&old.mint(10, &[]).await.offer(), 7, |auth| auth.valid_before -= 500);
    let id = old.mint(10, &[("payment-signature", &header)]).await.id();
    project(&before.ledger, &database.store).await;

    let after = Site::start().await;
    let change = [("DATABASE_URL", database.server.url()), ("MIN_WINDOW_S", "600".to_owned())];
    let change: Vec<_> = change.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let new = after.instance(&change).await;
    until("the read models answer", async || new.get("/readyz").await.json()["postgres"] == "ok").await;
    let again = new.mint(10, &[("payment-signature", &header)]).await;
    assert_eq!((again.status.as_u16(), again.id()), (202, id));
    let other = new.mint(5, &[("payment-signature", &header)]).await;
    assert_eq!((other.problem(), other.id()), ((409, "payment_key_reused".to_owned()), id));
    assert_eq!(orders(&after).await, 0, "nothing is written anew");
    let unknown = pay(&new.mint(10, &[]).await.offer(), 8, |auth| auth.valid_before -= 500);
    let unknown = new.mint(10, &[("payment-signature", &unknown)]).await;
    assert_eq!(unknown.problem(), (402, "payment_expires_too_soon".to_owned()));
}
