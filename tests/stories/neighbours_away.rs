//! Neighbours that are gone for a while: nothing that was accepted is lost, nothing happens twice.

use futures_util::future::join_all;
use harness::{DOLLAR, Loses, Order, Service, Stack, StackOptions, Wire, eventually};
use serde_json::json;
use std::time::{Duration, Instant};

/// F01: what the API cannot keep it does not accept, and says so soon.
const REFUSAL_BOUND: Duration = Duration::from_secs(1);

/// Bytes: a confirmation takes about a thousand.
const ROOM_FOR_SOME: u64 = 3_000;

#[tokio::test(flavor = "multi_thread")]
async fn f01_f02_a_nats_server_that_is_killed_in_the_middle_of_everything_costs_nothing() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let terms = stack.shop.token.clone();
    let buyers = stack.buyers(9, DOLLAR).await;
    let payments: Vec<_> = buyers.iter().map(|buyer| buyer.pay(&terms, 2)).collect();
    let mut orders: Vec<Order> = join_all(payments[..6].iter().map(|payment| stack.accept(payment))).await;
    stack.until(&orders[0], "payment.submitted.1").await;
    let mut watching = stack.events(orders[0].id, None).await;

    stack.servers.nats.kill();
    let noticed = async || (stack.get("/readyz").await.status == 503).then_some(());
    eventually("the api notices", noticed).await;
    for payment in &payments[6..] {
        let begun = Instant::now();
        let answer = stack.post(&terms, 2, payment.v2()).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
        assert!(begun.elapsed() < REFUSAL_BOUND, "{:?}", begun.elapsed());
    }
    stack.servers.nats.restart().await.unwrap();
    let back = async || (stack.get("/readyz").await.status == 200).then_some(());
    eventually("the api is back", back).await;
    for payment in &payments[6..] {
        orders.push(stack.accept(payment).await);
    }
    stack.audit(&orders).await;
    assert_eq!(watching.rest().await.len(), 5, "who watched all the time has seen every step");
}

/// F18: a request for messages whose answer is lost with the connection is given up, and made again.
#[tokio::test(flavor = "multi_thread")]
async fn f18_a_pull_that_nobody_ends_stops_nobody() {
    let mut stack = Stack::start(StackOptions::empty()).await;
    let wire = Wire::before(&stack.servers.nats.url(), Loses::FirstEnds).await;
    stack.set("NATS_URL", &wire.url());
    for service in Service::ALL {
        stack.run(service).await;
    }
    let buyers = stack.buyers(3, DOLLAR).await;
    let orders = join_all(buyers.iter().map(|buyer| stack.buy(buyer, 2))).await;
    stack.audit(&orders).await;
    assert!(wire.lost() >= 3, "each of the three consumers has missed an end");
}

/// F21: no payment waits for Postgres, and its answers are the ledger's until it is back.
#[tokio::test(flavor = "multi_thread")]
async fn f21_while_postgres_is_gone_payments_are_minted_and_shown_and_it_catches_up() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let buyers = stack.buyers(4, DOLLAR).await;
    let before = stack.buy(&buyers[0], 2).await;
    stack.until_quiet(std::slice::from_ref(&before)).await;

    stack.servers.postgres.kill();
    let mut orders: Vec<Order> = join_all(buyers[1..].iter().map(|buyer| stack.buy(buyer, 2))).await;
    stack.until_ended(&orders).await;
    orders.push(before);
    for order in &orders {
        assert_eq!(stack.status(order.id).await["state"], "minted");
    }
    stack.servers.postgres.restart().await.unwrap();
    stack.audit(&orders).await;
}

/// F28: a node that does not answer decides nothing. The API takes payments all the same: it asks no node.
#[tokio::test(flavor = "multi_thread")]
async fn f28_while_the_node_is_frozen_payments_are_accepted_and_nothing_fails() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let buyers = stack.buyers(6, DOLLAR).await;
    let mut orders: Vec<Order> = join_all(buyers[..3].iter().map(|buyer| stack.buy(buyer, 2))).await;
    stack.until(&orders[0], "payment.submitted.1").await;
    let claimed = async || stack.said(Service::MintProjector).contains("lane claimed").then_some(());
    eventually("the minter has claimed a lane", claimed).await;
    stack.freeze_chain(true);
    orders.extend(join_all(buyers[3..].iter().map(|buyer| stack.buy(buyer, 2))).await);
    let given_up = async || stack.said(Service::PaymentSender).contains("the lane pauses").then_some(());
    eventually("the sender has waited for the node in vain", given_up).await;
    stack.freeze_chain(false);
    stack.audit(&orders).await;
}

/// F07: there is room for a part of an append. Whatever the server keeps of it, the event that says that all is decided is
/// not there.
#[tokio::test(flavor = "multi_thread")]
async fn f07_a_ledger_that_is_full_in_the_middle_of_an_append_is_gone_on_with_when_it_has_room() {
    let mut stack = Stack::start(StackOptions::one_lane_later()).await;
    let terms = stack.shop.token.clone();
    let buyers = stack.buyers(6, DOLLAR).await;
    let mut orders = Vec::new();
    for buyer in &buyers {
        orders.push(stack.accept(&buyer.pay(&terms, 2)).await);
    }
    stack.chain.halt().await;
    stack.run(Service::PaymentSender).await;
    let hash = stack.until(&orders[5], "payment.submitted.1").await.text("txHash").parse().unwrap();
    eventually("the transaction is sent", async || stack.chain.knows(hash).await.then_some(())).await;

    let info = stack.stream.info().await;
    let has_room_for = async |more: Option<u64>| {
        let mut config = info["config"].clone();
        config["max_bytes"] = more.map_or(json!(-1), |more| json!(info["state"]["bytes"].as_u64().unwrap() + more));
        let answer = stack.stream.ask("STREAM.UPDATE.LEDGER", config).await;
        assert!(answer.get("error").is_none(), "{answer}");
    };
    has_room_for(Some(ROOM_FOR_SOME)).await;
    stack.chain.mine(2).await;
    let refused = async || stack.said(Service::Confirmer).contains("maximum bytes exceeded").then_some(());
    eventually("the append is refused", refused).await;
    let entries = stack.stream.all().await;
    assert!(!entries.iter().any(|entry| entry.subject.contains(".settled.")), "what says that all is decided is not");

    has_room_for(None).await;
    stack.chain.resume().await;
    stack.audit(&orders).await;
}
