//! From a stock client's purchase to units on the chain, seen at every stage by all that the API shows.

use alloy_primitives::U256;
use domain::PaymentId;
use harness::{Answer, Client, DOLLAR, Order, Service, Stack, StackOptions, buy_with, eventually};
use serde_json::Value;

/// The price of ten units, which is also the most that an unconfigured v1 client pays.
const QUANTITY: u32 = 10;
const PRICE: u64 = 100_000;

/// Halting the chain and starting the services one by one makes every stage stand still while it is looked at.
#[tokio::test(flavor = "multi_thread")]
async fn a_stock_v2_client_buys_and_every_stage_is_seen_on_the_way_to_minted() {
    let mut stack = Stack::start(StackOptions { services: vec![Service::Api], ..StackOptions::default() }).await;
    let buyer = stack.buyer(DOLLAR).await;
    stack.chain.halt().await;

    // No read model is there yet: what was answered with 202 is known all the same.
    let answer = buy_with(Client::V2, &mint_url(&stack), &buyer.key(), QUANTITY).await;
    let order = accepted(&stack, &answer).await;
    stage(&stack, order.id, ["pending", "requested", "pending"]).await;
    stack.run(Service::ReadProjector).await;
    let mut before_the_crash = stack.events(order.id, None).await;
    stage(&stack, order.id, ["pending", "requested", "pending"]).await;

    stack.run(Service::PaymentSender).await;
    stack.until(&order, "payment.submitted.1").await;
    stage(&stack, order.id, ["sent", "settling", "pending"]).await;

    // C27: the API is killed in the middle of a stream; who comes back with the last id misses nothing.
    let mut timeline = vec![before_the_crash.next().await.unwrap(), before_the_crash.next().await.unwrap()];
    stack.kill(Service::Api);
    stack.run(Service::Api).await;
    let mut resumed = stack.events(order.id, Some(timeline[1].id)).await;

    stack.run(Service::Confirmer).await;
    stack.chain.mine(1).await;
    let confirmed = stack.until(&order, "payment.confirmed").await;
    let paid = stage(&stack, order.id, ["completed", "paid", "pending"]).await;
    assert_eq!(paid["txHash"], confirmed.text("txHash"));
    assert_eq!(paid["result"]["queueIds"][0], order.id.to_string());
    assert_eq!(paid["mintTxHash"], Value::Null);

    stack.run(Service::MintProjector).await;
    stack.until(&order, "mint.submitted.1").await;
    stage(&stack, order.id, ["completed", "minting", "processing"]).await;

    stack.chain.mine(1).await;
    let minted = stack.until(&order, "mint.confirmed").await;
    let done = stage(&stack, order.id, ["completed", "minted", "completed"]).await;
    assert_eq!(done["mintTxHash"], minted.text("txHash"));
    assert_eq!(done["result"]["mintTxHash"], minted.text("txHash"));

    // The timeline is the ledger's, whole, however it was read; who has seen the end is told to stop.
    timeline.extend(resumed.rest().await);
    assert_eq!(timeline, stack.events(order.id, None).await.rest().await);
    let history: Vec<u64> = stack.history(&order).await.iter().map(|entry| entry.seq).collect();
    assert_eq!(timeline.iter().map(|frame| frame.id).collect::<Vec<_>>(), history);
    let events: Vec<&str> = timeline.iter().map(|frame| frame.event.as_str()).collect();
    let all = ["payment.requested", "payment.submitted", "payment.confirmed", "mint.submitted", "mint.confirmed"];
    assert_eq!(events, all);
    assert_eq!(timeline[4].data["txHash"], minted.text("txHash"));
    assert_eq!(stack.events_after_the_end(order.id, minted.seq).await, 204);

    assert_eq!(stack.chain.tokens_of(order.token, buyer.address).await, units(&stack, QUANTITY));
    stack.audit(&[order]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_v1_client_buys_and_is_minted() {
    let stack = Stack::start(StackOptions::default()).await;
    let buyer = stack.buyer(DOLLAR).await;
    let answer = buy_with(Client::V1, &mint_url(&stack), &buyer.key(), QUANTITY).await;
    let order = accepted(&stack, &answer).await;
    stack.until(&order, "mint.confirmed").await;
    assert_eq!(stack.chain.tokens_of(order.token, buyer.address).await, units(&stack, QUANTITY));
    stack.audit(&[order]).await;
}

fn mint_url(stack: &Stack) -> String {
    stack.url(Service::Api, &format!("/api/mint/{}", stack.shop.token.token))
}

fn units(stack: &Stack, quantity: u32) -> U256 {
    U256::from(stack.shop.token.unit) * U256::from(quantity)
}

/// The order behind a client's 202; what the client signed is read back from the ledger.
async fn accepted(stack: &Stack, answer: &Answer) -> Order {
    let id = answer.id();
    assert_eq!(answer.status, 202);
    assert_eq!(answer.json["status"], "payment_pending");
    assert_eq!(answer.json["quantity"], QUANTITY);
    assert_eq!(answer.json["value"], PRICE.to_string());
    assert_eq!(answer.headers["location"].to_str().unwrap().rsplit('/').next(), Some(id.to_string().as_str()));
    let subject = format!("orders.{}.{id}.mint.payment.requested", id.shard());
    Order::read(&stack.stream.on(&subject).await.unwrap())
}

/// Payment status, fine state and mint status, as soon as the read models show them; and the queue shows the same.
async fn stage(stack: &Stack, id: PaymentId, [status, state, mint]: [&str; 3]) -> Value {
    let shown = async || Some(stack.status(id).await).filter(|shown| shown["state"] == state);
    let shown = eventually(&format!("the payment is {state}"), shown).await;
    assert_eq!(shown["status"], status, "{shown}");
    let queue = stack.get(&format!("/api/queue/{id}")).await;
    assert_eq!((queue.status, &queue.json["status"]), (200, &Value::from(mint)), "{queue:?}");
    assert_eq!(queue.json["state"], state);
    shown
}
