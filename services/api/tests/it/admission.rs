//! When no order is taken, and that whoever was accepted is answered all the same (L5, F07, F11, F13, F46, F50, B42).

use crate::common::{Answer as Heard, Instance, Site, pay};
use alloy_primitives::{Address, U256};
use domain::event::{Deferral, WaitReason};
use domain::{OrderEvent, PaymentId, PaymentKey, PaymentRequest, Purchase, TokenTerms, examples};
use ledger::Answer;
use runtime::{CancellationToken, Health};
use serde_json::json;
use std::cell::Cell;
use testkit::until;

/// Asks for an offer until it is answered so.
async fn answers(api: &Instance, status: u16, code: &str) {
    until(code, async || {
        let answer = api.mint(1, &[]).await;
        answer.status == status && (status == 402 || answer.problem().1 == code)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn l5_f11_with_too_many_waiting_nobody_is_asked_to_sign_and_the_accepted_are_answered() {
    let site = Site::start().await;
    let api = site.instance(&[("LAG_MAX", "3")]).await;
    let headers: Vec<String> = {
        let offer = api.mint(1, &[]).await.offer();
        (0..5).map(|nonce| pay(&offer, nonce, |_| {})).collect()
    };
    let mut accepted = Vec::new();
    for header in &headers[..3] {
        accepted.push(api.mint(1, &[("payment-signature", header)]).await);
    }
    assert!(accepted.iter().all(|answer| answer.status == 202), "{accepted:?}");
    answers(&api, 503, "queue_full").await;
    let refused = api.mint(1, &[("payment-signature", &headers[3])]).await;
    assert_eq!(refused.problem(), (503, "queue_full".to_owned()));
    assert!((1..=90).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
    let before = site.last_sequence().await;
    for (header, first) in headers.iter().zip(&accepted) {
        let again = api.mint(1, &[("payment-signature", header)]).await;
        assert_eq!((again.status, again.id()), (first.status, first.id()), "the accepted are answered");
        assert_eq!(api.get(&format!("/api/payment/{}", first.id())).await.status, 200);
    }
    assert_eq!(site.last_sequence().await, before);
    assert_eq!(api.get("/readyz").await.json()["orders"], "queue_full");

    // The sender takes them: what is in a transaction waits no more.
    let inbox = site.ledger.inbox("payment-sender", Health::default()).await.unwrap();
    let stop = CancellationToken::new();
    let taking = tokio::spawn(inbox.run(stop.clone(), 3, |_| async { Ok(Answer::Done) }));
    for order in &accepted {
        site.happens(order.id(), OrderEvent::PaymentSubmitted(1, examples::submission(7))).await;
    }
    answers(&api, 402, "").await;
    stop.cancel();
    taking.await.unwrap();
    assert_eq!(api.mint(1, &[("payment-signature", &headers[3])]).await.status, 202);
}

/// One a second, and a window of 130 s, of which 120 must be left over: five seconds of waiting are too many. Another payer
/// would wait for one of them only.
#[tokio::test(flavor = "multi_thread")]
async fn l5_f46_a_payment_that_could_not_be_settled_in_time_is_not_taken() {
    let site = Site::start().await;
    let api = site.instance(&[("SETTLE_RATE", "1"), ("MAX_TIMEOUT_S", "130")]).await;
    let offer = api.mint(1, &[]).await.offer();
    let nonces = Cell::new(0);
    until("a further order of the payer would be too late", async || {
        nonces.set(nonces.get() + 1);
        let answer = api.mint(1, &[("payment-signature", &pay(&offer, nonces.get(), |_| {}))]).await;
        answer.status == 503 && answer.problem().1 == "settlement_slow"
    })
    .await;
    assert!(nonces.get() > 5, "five are in line");
    assert_eq!(api.mint(1, &[]).await.status, 402);
    let longer = pay(&offer, 99, |auth| auth.valid_before += 600);
    assert_eq!(api.mint(1, &[("payment-signature", &longer)]).await.status, 202, "this one lasts long enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn f50_while_usdc_is_paused_nobody_is_asked_to_sign_until_one_is_charged() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let id = api.buy(1, 1).await.id();
    let header = pay(&api.mint(1, &[]).await.offer(), 2, |_| {});
    site.happens(id, waits(WaitReason::AssetPaused)).await;
    answers(&api, 503, "asset_paused").await;
    assert_eq!(api.get("/readyz").await.json()["orders"], "asset_paused");
    let signed = api.mint(1, &[("payment-signature", &header)]).await;
    let (unpaid, wait) = (api.mint(1, &[]).await, 10..=15);
    for refused in [unpaid, signed] {
        assert_eq!(refused.problem(), (503, "asset_paused".to_owned()));
        assert!(wait.contains(&refused.header("retry-after").parse().unwrap()), "{refused:?}");
        assert_eq!(
            refused.json(),
            json!({
                "type": "urn:paymint:problem:asset_paused",
                "title": "USDC is paused",
                "status": 503,
                "code": "asset_paused",
                "detail": "USDC is paused, so nobody can pay; nothing was written, try again later",
            })
        );
    }
    site.happens(id, OrderEvent::PaymentSubmitted(1, examples::submission(7))).await;
    let path = format!("/queue/item/{id}");
    until("it is in a transaction", async || api.get(&path).await.json()["queue_position"] == 0).await;
    assert_eq!(api.mint(1, &[]).await.problem().1, "asset_paused", "a simulation that passes shows little");
    site.happens(id, OrderEvent::PaymentConfirmed(examples::proof())).await;
    answers(&api, 402, "").await;
    assert_eq!(api.buy(1, 2).await.status, 202);
}

/// A payment waits, for this reason, for the first time.
fn waits(reason: WaitReason) -> OrderEvent {
    OrderEvent::PaymentDeferred(1, Deferral { reason, ..examples::deferral() })
}

/// Terms of another token.
fn terms(token: u8, factory: Address) -> TokenTerms {
    TokenTerms { token: Address::repeat_byte(token), factory, ..examples::terms() }
}

/// An order for ten units of `token` by the `n`th payer, which another instance has accepted.
async fn ordered(site: &Site, token: Address, n: u64) -> PaymentId {
    let mut request = examples::request().into_fields();
    let Purchase::Mint { token: of, .. } = &mut request.purchase;
    *of = token;
    let authorization = &mut request.authorization;
    (authorization.from, authorization.to) = (Address::left_padding_from(&(n + 1_000).to_be_bytes()), token);
    authorization.nonce = U256::from(n).into();
    request.payment_key = PaymentKey::new(request.chain_id, request.asset, authorization.from, authorization.nonce);
    let request = PaymentRequest::new(request).unwrap();
    let id = request.id();
    site.happens(id, OrderEvent::PaymentRequested(Box::new(request))).await;
    id
}

/// Asks for an offer of a unit of `token`.
async fn ask(api: &Instance, token: Address) -> Heard {
    api.post(&format!("/api/mint/{token}"), &[], r#"{"quantity":1}"#).await
}

/// The code with which an unpaid request for each token is refused. Empty if an offer is made.
async fn codes(api: &Instance, tokens: [Address; 3]) -> [String; 3] {
    let mut codes = Vec::new();
    for token in tokens {
        let answer = ask(api, token).await;
        codes.push(if answer.status == 402 { String::new() } else { answer.problem().1 });
    }
    codes.try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_closes_the_tokens_of_its_factory_and_says_so() {
    let site = Site::start().await;
    let factory = examples::terms().factory;
    let (sister, other) = (terms(0x71, factory), terms(0x72, Address::repeat_byte(0xfb)));
    let tokens = [examples::TOKEN, sister.token, other.token];
    site.register(sister).await;
    site.register(other).await;
    let api = site.instance(&[]).await;
    assert_eq!(codes(&api, tokens).await, ["", "", ""]);
    let id = ordered(&site, examples::TOKEN, 1).await;
    site.happens(id, waits(WaitReason::SettlementStopped)).await;
    let stopped = "settlement_stopped";
    until("the stop is known", async || ask(&api, tokens[0]).await.status == 503).await;
    assert_eq!(codes(&api, tokens).await, [stopped, stopped, ""]);
    let refused = ask(&api, tokens[1]).await;
    let sentence = "the owner of this token's factory has stopped new payments; nothing was written, try again later";
    assert_eq!(
        (&refused.json()["title"], &refused.json()["detail"]),
        (&json!("New payments are stopped"), &json!(sentence))
    );
    assert_eq!(api.get("/readyz").await.json()["orders"], "taken", "other tokens are sold");

    // A payment of the other token shows nothing about this factory.
    let (elsewhere, here) = (ordered(&site, tokens[2], 2).await, ordered(&site, tokens[1], 3).await);
    for id in [elsewhere, here] {
        site.happens(id, OrderEvent::PaymentSubmitted(1, examples::submission(7))).await;
    }
    let seen = site.happens(elsewhere, OrderEvent::PaymentConfirmed(examples::proof())).await;
    let path = format!("/api/payment/{elsewhere}");
    until("it is read", async || api.get(&path).await.json()["sequence"] == seen).await;
    assert_eq!(codes(&api, tokens).await[..2], [stopped, stopped]);
    site.happens(here, OrderEvent::PaymentConfirmed(examples::proof())).await;
    until("new payments are taken", async || ask(&api, tokens[0]).await.status == 402).await;
    assert_eq!(codes(&api, tokens).await, ["", "", ""]);
}

/// The failures come within some seconds, because those of one moment are no run.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_failures_closes_its_token_and_no_other_and_says_so() {
    let site = Site::start().await;
    let other = terms(0x72, examples::terms().factory);
    let tokens = [examples::TOKEN, examples::TOKEN, other.token];
    site.register(other).await;
    let api = site.instance(&[]).await;
    // Accounts without money do not count.
    for n in 0..60 {
        let id = ordered(&site, examples::TOKEN, n).await;
        site.happens(id, waits(WaitReason::Unfunded)).await;
    }
    let (mut n, failing) = (1_000, "settlement_failing");
    testkit::eventually("twenty payers in a row could not pay", async || {
        n += 1;
        let id = ordered(&site, examples::TOKEN, n).await;
        site.happens(id, waits(WaitReason::Unexplained)).await;
        (ask(&api, examples::TOKEN).await.status == 503).then_some(())
    })
    .await;
    assert!(n >= 1_020, "{n}");
    assert_eq!(codes(&api, tokens).await, [failing, failing, ""]);
    let refused = ask(&api, examples::TOKEN).await;
    let sentence =
        "the latest payments to this token have failed one after the other; nothing was written, try again later";
    assert_eq!((&refused.json()["title"], &refused.json()["detail"]), (&json!("Payments fail"), &json!(sentence)));
    assert_eq!(api.get("/readyz").await.json()["orders"], "taken", "other tokens are sold");
}

#[tokio::test(flavor = "multi_thread")]
async fn b42_a_payer_with_enough_unpaid_orders_waits_and_is_answered_about_those_it_has() {
    let site = Site::start().await;
    let (one, two) =
        (site.instance(&[("PAYER_IN_FLIGHT_MAX", "16")]).await, site.instance(&[("PAYER_IN_FLIGHT_MAX", "16")]).await);
    let offer = one.mint(1, &[]).await.offer();
    let headers: Vec<String> = (0..100).map(|nonce| pay(&offer, nonce, |_| {})).collect();
    let mut posts = tokio::task::JoinSet::new();
    for header in headers.clone() {
        let api = one.another_client();
        posts.spawn(async move {
            let answer = api.mint(1, &[("payment-signature", &header)]).await;
            (answer.status.as_u16(), header, answer)
        });
    }
    let (accepted, refused): (Vec<_>, Vec<_>) =
        posts.join_all().await.into_iter().partition(|(status, ..)| *status == 202);
    assert_eq!((accepted.len(), refused.len()), (16, 84), "exactly so many at one instance");
    for (_, _, answer) in &refused {
        assert_eq!(answer.problem(), (429, "payer_busy".to_owned()));
        assert!(answer.headers.contains_key("retry-after"));
    }
    for (.., answer) in &accepted {
        let path = format!("/queue/item/{}", answer.id());
        let known = async || two.get(&path).await.json()["queue_position"].is_u64();
        until("the other instance has read it", known).await;
    }
    let elsewhere = two.mint(1, &[("payment-signature", &refused[0].1)]).await;
    assert_eq!(elsewhere.problem(), (429, "payer_busy".to_owned()));
    for (_, header, answer) in &accepted {
        assert_eq!(two.mint(1, &[("payment-signature", header)]).await.id(), answer.id());
    }
    // Paid is not in flight.
    let id = accepted[0].2.id();
    site.happens(id, OrderEvent::PaymentConfirmed(examples::proof())).await;
    until("one more is taken", async || one.mint(1, &[("payment-signature", &refused[1].1)]).await.status == 202).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f13_a_ledger_that_was_made_anew_takes_no_order_and_says_so() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    assert_eq!(api.buy(1, 1).await.status, 202);
    let client = async_nats::connect(site.broker.nats.url()).await.unwrap();
    client.request("$JS.API.STREAM.DELETE.LEDGER", "".into()).await.unwrap();
    ledger::provision(&site.broker.nats.url()).await.unwrap();
    answers(&api, 503, "ledger_broken").await;
    assert_eq!(api.get("/readyz").await.json()["orders"], "ledger_broken");
}
