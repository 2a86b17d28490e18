//! When no order is taken, and that whoever was accepted is answered all the same (L5, F07, F11, F13, F46, F50, B42).

use crate::common::{Instance, Site, pay};
use domain::event::{Deferral, WaitReason};
use domain::{OrderEvent, examples};
use ledger::Answer;
use runtime::{CancellationToken, Health};
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

    // The sender takes them: what the consumer has acknowledged waits no more.
    let inbox = site.ledger.inbox("payment-sender", Health::default()).await.unwrap();
    let stop = CancellationToken::new();
    let taking = tokio::spawn(inbox.run(stop.clone(), 3, |_| async { Ok(Answer::Done) }));
    answers(&api, 402, "").await;
    stop.cancel();
    taking.await.unwrap();
    assert_eq!(api.mint(1, &[("payment-signature", &headers[3])]).await.status, 202);
}

/// One a second, and a window of 130 s, of which 120 must be left over: five seconds of waiting are too many.
#[tokio::test(flavor = "multi_thread")]
async fn l5_f46_a_payment_that_could_not_be_settled_in_time_is_not_taken() {
    let site = Site::start().await;
    let api = site.instance(&[("SETTLE_RATE", "1"), ("MAX_TIMEOUT_S", "130")]).await;
    let offer = api.mint(1, &[]).await.offer();
    for nonce in 0..5 {
        api.mint(1, &[("payment-signature", &pay(&offer, nonce, |_| {}))]).await;
    }
    answers(&api, 503, "settlement_slow").await;
    let longer = pay(&offer, 9, |auth| auth.valid_before += 600);
    assert_eq!(api.mint(1, &[("payment-signature", &longer)]).await.status, 202, "this one lasts long enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn f50_while_usdc_is_paused_nobody_is_asked_to_sign_until_one_is_settled() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let id = api.buy(1, 1).await.id();
    let why = Deferral { reason: WaitReason::AssetPaused, ..examples::deferral() };
    site.happens(id, OrderEvent::PaymentDeferred(1, why)).await;
    answers(&api, 503, "settlement_paused").await;
    site.happens(id, OrderEvent::PaymentSubmitted(1, examples::submission(7))).await;
    answers(&api, 402, "").await;
    assert_eq!(api.buy(1, 2).await.status, 202);
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
