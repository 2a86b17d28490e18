//! The emergency stop: owner or guardian of the factory refuse new payments of all tokens. Nothing else stops.

use harness::{DOLLAR, Service, Stack, StackOptions, eventually};
use serde_json::json;

/// An order that is paid is minted meanwhile, the next one waits, and the door sends people away before they sign.
#[tokio::test(flavor = "multi_thread")]
async fn while_new_payments_are_stopped_the_door_refuses_and_what_is_paid_is_minted_and_afterwards_all_goes_on() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let terms = stack.shop.token.clone();
    let buyers = stack.buyers(4, DOLLAR).await;
    stack.kill(Service::MintProjector);
    let paid = stack.buy(&buyers[0], 5).await;
    stack.until(&paid, "payment.confirmed").await;

    stack.stop_settlement().await;
    let waits = stack.buy(&buyers[1], 4).await;
    assert_eq!(stack.until(&waits, "payment.deferred.1").await.text("reason"), "settlement_stopped");
    let shown = async || Some(stack.status(waits.id).await).filter(|shown| shown["state"] == "deferred");
    assert_eq!(eventually("its payer is told", shown).await["reason"], "settlement_stopped");
    let unpaid = stack.http.post(stack.url(Service::Api, &format!("/api/mint/{}", terms.token)));
    let unpaid = unpaid.json(&json!({ "quantity": 1 }));
    let refused = async || {
        let answer = unpaid.try_clone().unwrap().send().await.unwrap();
        (answer.status() == 503).then_some(answer)
    };
    let refused = eventually("the door asks nobody to sign", refused).await;
    assert!(refused.headers().contains_key("retry-after"));
    let refused: serde_json::Value = refused.json().await.unwrap();
    assert_eq!(refused["code"], "settlement_paused", "{refused}");
    let signed = buyers[2].pay(&terms, 3);
    let answer = stack.post(&terms, 3, signed.v2()).await;
    assert_eq!((answer.status, &answer.json["code"]), (503, &json!("settlement_paused")), "{answer:?}");

    stack.run(Service::MintProjector).await;
    stack.until(&paid, "mint.confirmed").await;
    assert!(stack.stream.on(&waits.subject("payment.submitted.1")).await.is_none(), "it costs no gas");
    stack.resume_settlement().await;
    stack.until(&waits, "mint.confirmed").await;
    // The same signature is good now.
    let taken = async || {
        let answer = stack.post(&terms, 3, signed.v2()).await;
        (answer.status == 202).then_some(harness::Order::of(&signed))
    };
    let retried = eventually("the door takes orders again", taken).await;
    let after = stack.buy(&buyers[3], 2).await;
    stack.audit(&[paid, waits, retried, after]).await;
}
