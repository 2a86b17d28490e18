//! What a payer is told about its place in line, under load.

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use harness::{Buyer, Order, Stack, StackOptions};

/// As many unpaid orders as a payer may have.
const EACH: usize = 16;

async fn burst(stack: &Stack, buyers: &[Buyer]) -> Vec<Order> {
    let payments: Vec<_> = buyers.iter().flat_map(|buyer| (0..EACH).map(|_| buyer.pay(&stack.shop.token, 1))).collect();
    join_all(payments.iter().map(|payment| stack.accept(payment))).await
}

/// Seconds are whole, so one is nothing; beyond that the longer is at most twice the shorter.
fn holds(told: i64, took: TimeDelta) -> bool {
    let took = took.num_seconds();
    told <= 2 * took + 1 && took <= 2 * told + 1
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_and_waits_hold_within_a_factor_of_two_under_load() {
    let stack = Stack::start(StackOptions::default()).await;
    let price = stack.shop.token.unit_price.0;
    let buyers = stack.buyers(40, price * 2 * EACH as u64).await;
    // What is not known yet is learnt from those before.
    let mut orders = burst(&stack, &buyers[..20]).await;
    stack.until_ended(&orders).await;

    let waiting = burst(&stack, &buyers[20..]).await;
    let mut told = Vec::new();
    for order in waiting.iter().step_by(7) {
        let item = stack.get(&format!("/queue/item/{}", order.id)).await.json;
        told.push((order, Utc::now(), item["queue_position"].as_u64(), item["estimated_wait_seconds"].as_i64()));
    }
    stack.until_ended(&waiting).await;
    let mut kept = Vec::new();
    for (order, asked, position, wait) in &told {
        let Some(wait) = wait else { continue };
        let minted = stack.until(order, "mint.confirmed").await;
        let took = minted.body["time"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap() - *asked;
        kept.push((holds(*wait, took), *position, *wait, took.num_milliseconds()));
    }
    assert!(kept.len() > 20, "most were still under way when they asked: {told:?}");
    let held = kept.iter().filter(|(held, ..)| *held).count();
    assert!(held * 10 >= kept.len() * 9, "nine of ten hold: {kept:?}");
    let positions: Vec<u64> = kept.iter().filter_map(|(_, position, ..)| position.filter(|n| *n > 0)).collect();
    assert!(positions.is_sorted(), "who came later stands further behind: {positions:?}");
    orders.extend(waiting);
    stack.audit(&orders).await;
}
