//! The last units: whoever gets none is refused before signing, or is not charged.

use crate::forged::{ledger, requested};
use harness::{Bill, Buyer, DOLLAR, Order, Outcome, Payment, Stack, StackOptions, eventually};
use ledger::{Expected, NewEvent};
use serde_json::{Value, json};

/// An order that another instance of the api accepts at the same moment as ours.
async fn accepted_elsewhere(stack: &Stack, payment: &Payment) -> Order {
    let new = NewEvent { event: requested(payment), expected: Expected::Version(0), trace: None };
    ledger(stack).await.append(new).await.unwrap();
    Order::of(payment)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_more_than_is_left_is_refused_before_signing_and_the_last_units_are_sold() {
    let stack = Stack::start(StackOptions::default()).await;
    let rare = stack.rare_token().await;
    let buyers = stack.buyers(3, DOLLAR).await;
    let first = stack.accept(&buyers[0].pay(&rare, 6)).await;
    let path = format!("/api/mint/{}", rare.token);
    let unpaid = stack.http.post(stack.url(harness::Service::Api, &path)).json(&json!({ "quantity": 5 }));
    let refused = async || (unpaid.try_clone().unwrap().send().await.unwrap().status() == 422).then_some(());
    eventually("an api that has read the ledger asks nobody to sign", refused).await;
    let payment = buyers[1].pay(&rare, 5);
    let refused = stack.post(&rare, 5, payment.v2()).await;
    assert_eq!((refused.status, &refused.json["code"]), (422, &json!("sold_out")), "{refused:?}");
    let last = stack.accept(&buyers[2].pay(&rare, 4)).await;
    stack.audit(&[first, last]).await;
}

/// A fresh key without money signs for all units, with a long window. It holds them until the sender has tried it.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_money_does_not_keep_the_units_from_who_has() {
    let stack = Stack::start(StackOptions::default()).await;
    let rare = stack.rare_token().await;
    let buyer = stack.buyer(DOLLAR).await;
    let empty = stack.accept(&Buyer::new().sign(Bill::of(&rare, 10).lasting(800))).await;
    assert_eq!(stack.until(&empty, "payment.deferred.1").await.text("reason"), "unfunded");
    let path = format!("/api/tokens/{}", rare.token);
    let left = async || {
        let token: Value =
            stack.http.get(stack.url(harness::Service::Api, &path)).send().await.unwrap().json().await.unwrap();
        (token["unitsLeft"] == "10").then_some(())
    };
    eventually("all units are there for others", left).await;
    let bought = stack.accept(&buyer.pay(&rare, 10)).await;
    stack.until(&bought, "mint.confirmed").await;
    stack.chain.pass_time(900).await;
    stack.chain.mine(17).await;
    stack.audit(&[empty.ends(Outcome::Failed("unfunded_until_expired")), bought]).await;
}

/// Both are promised; the sender finds out before anything is signed. The payer who gets nothing is not charged.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_orders_for_the_last_units_one_is_charged_and_the_other_fails_uncharged() {
    let stack = Stack::start(StackOptions::default()).await;
    let rare = stack.rare_token().await;
    let buyers = stack.buyers(2, DOLLAR).await;
    let first = stack.accept(&buyers[0].pay(&rare, 6)).await;
    stack.until(&first, "payment.confirmed").await;
    let late = accepted_elsewhere(&stack, &buyers[1].sign(Bill::of(&rare, 6).lasting(300))).await;
    assert_eq!(stack.until(&late, "payment.deferred.1").await.text("reason"), "sold_out");
    stack.chain.pass_time(400).await;
    stack.chain.mine(17).await;
    let late = late.ends(Outcome::Failed("sold_out"));
    stack.audit(&[first, late.clone()]).await;
    assert!(stack.stream.on(&late.subject("payment.submitted.1")).await.is_none(), "it cost no gas");
}

/// The simulation of the second says that it would be paid, because the first is in no block yet.
#[tokio::test(flavor = "multi_thread")]
async fn the_contract_charges_nobody_who_gets_no_units() {
    let stack = Stack::start(StackOptions::default()).await;
    let rare = stack.rare_token().await;
    let buyers = stack.buyers(2, DOLLAR).await;
    stack.chain.halt().await;
    let mut orders = Vec::new();
    for buyer in &buyers {
        let order = accepted_elsewhere(&stack, &buyer.sign(Bill::of(&rare, 6).lasting(300))).await;
        let hash = stack.until(&order, "payment.submitted.1").await.text("txHash").parse().unwrap();
        eventually("it is sent", async || stack.chain.knows(hash).await.then_some(())).await;
        orders.push(order);
    }
    stack.chain.resume().await;
    let refused = async || {
        for order in &orders {
            if let Some(event) = stack.stream.on(&order.subject("payment.deferred.1")).await {
                return Some((order.id, event.text("reason").to_owned()));
            }
        }
        None
    };
    let (late, reason) = eventually("one of them is refused", refused).await;
    assert_eq!(reason, "sold_out");
    stack.chain.pass_time(400).await;
    stack.chain.mine(17).await;
    let end = |order: Order| if order.id == late { order.ends(Outcome::Failed("sold_out")) } else { order };
    let orders: Vec<Order> = orders.into_iter().map(end).collect();
    stack.audit(&orders).await;
}
