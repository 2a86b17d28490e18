//! The emergency stop: owner or guardian of the factory refuse new payments of all tokens. Nothing else stops. And a pause of
//! USDC, after which the door opens by itself as well.

use alloy::sol_types::SolCall;
use chain::abi::UsdcDouble;
use harness::{Bill, Client, DOLLAR, Order, Outcome, Service, Stack, StackOptions, buy_with, eventually};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use standalone::accounts::OWNER;
use std::time::{Duration, Instant};

/// A request for an offer, which nothing is signed for.
fn unpaid(stack: &Stack) -> RequestBuilder {
    let path = format!("/api/mint/{}", stack.shop.token.token);
    stack.http.post(stack.url(Service::Api, &path)).json(&json!({ "quantity": 1 }))
}

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
    let refused = async || {
        let answer = unpaid(&stack).send().await.unwrap();
        (answer.status() == 503).then_some(answer)
    };
    let refused = eventually("the door asks nobody to sign", refused).await;
    assert!(refused.headers().contains_key("retry-after"));
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(refused["code"], "settlement_stopped", "{refused}");
    let signed = buyers[2].pay(&terms, 3);
    let answer = stack.post(&terms, 3, signed.v2()).await;
    assert_eq!((answer.status, &answer.json["code"]), (503, &json!("settlement_stopped")), "{answer:?}");
    let shown = async || Some(stack.status(waits.id).await).filter(|shown| shown["state"] == "deferred");
    assert_eq!(eventually("its payer is told", shown).await["reason"], "settlement_stopped");

    stack.run(Service::MintProjector).await;
    stack.until(&paid, "mint.confirmed").await;
    assert!(stack.stream.on(&waits.subject("payment.submitted.1")).await.is_none(), "it costs no gas");
    stack.resume_settlement().await;
    stack.until(&waits, "mint.confirmed").await;
    // The same signature is good now.
    let taken = async || {
        let answer = stack.post(&terms, 3, signed.v2()).await;
        (answer.status == 202).then_some(Order::of(&signed))
    };
    let retried = eventually("the door takes orders again", taken).await;
    let after = stack.buy(&buyers[3], 2).await;
    stack.audit(&[paid, waits, retried, after]).await;
}

/// No order is left that could show that payments are taken again, and a client signs only what it was offered.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_stop_that_outlasts_every_waiting_order_the_door_opens_again_by_itself() {
    let stack = Stack::start(StackOptions::default()).await;
    let buyers = stack.buyers(2, DOLLAR).await;
    stack.stop_settlement().await;
    let late = stack.accept(&buyers[0].sign(Bill::of(&stack.shop.token, 4).lasting(300))).await;
    assert_eq!(stack.until(&late, "payment.deferred.1").await.text("reason"), "settlement_stopped");
    let refused = async || (unpaid(&stack).send().await.unwrap().status() == 503).then_some(());
    eventually("the door asks nobody to sign", refused).await;
    stack.chain.pass_time(400).await;
    stack.chain.mine(17).await;
    stack.until(&late, "payment.failed").await;
    stack.resume_settlement().await;

    let offered = async || (unpaid(&stack).send().await.unwrap().status() == 402).then_some(());
    eventually("an offer is made again", offered).await;
    let url = stack.url(Service::Api, &format!("/api/mint/{}", stack.shop.token.token));
    let id = buy_with(Client::V2, &url, &buyers[1].key(), 10).await.id();
    let subject = format!("orders.{}.{id}.mint.payment.requested", id.shard());
    let first = Order::read(&stack.stream.on(&subject).await.unwrap());
    stack.until(&first, "mint.confirmed").await;
    let next = stack.buy(&buyers[0], 2).await;
    stack.audit(&[late.ends(Outcome::Failed("expired")), first, next]).await;
}

/// Nothing is left that could show that USDC works again: every order has expired, and the api has been restarted.
#[tokio::test(flavor = "multi_thread")]
async fn within_thirty_seconds_of_the_end_of_a_pause_a_restarted_door_takes_the_orders_of_everybody() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let terms = stack.shop.token.clone();
    let buyers = stack.buyers(3, DOLLAR).await;
    stack.chain.transact(OWNER, terms.asset, UsdcDouble::pauseCall {}.abi_encode().into()).await;
    let late = stack.accept(&buyers[0].sign(Bill::of(&terms, 4).lasting(300))).await;
    assert_eq!(stack.until(&late, "payment.deferred.1").await.text("reason"), "asset_paused");
    let answer = async || unpaid(&stack).send().await.unwrap();
    let refused = async || Some(answer().await).filter(|answer| answer.status() == 503);
    let refused: Value = eventually("the door asks nobody to sign", refused).await.json().await.unwrap();
    assert_eq!(refused["code"], "asset_paused", "{refused}");
    stack.chain.pass_time(400).await;
    stack.chain.mine(17).await;
    stack.until(&late, "payment.failed").await;

    stack.kill(Service::Api);
    stack.chain.transact(OWNER, terms.asset, UsdcDouble::unpauseCall {}.abi_encode().into()).await;
    let began = Instant::now();
    stack.run(Service::Api).await;
    let mut orders = vec![late.ends(Outcome::Failed("expired"))];
    for buyer in &buyers[1..] {
        let payment = buyer.pay(&terms, 3);
        let taken = async || (stack.post(&terms, 3, payment.v2()).await.status == 202).then_some(());
        eventually("the order is taken", taken).await;
        orders.push(Order::of(&payment));
    }
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    stack.audit(&orders).await;
}
