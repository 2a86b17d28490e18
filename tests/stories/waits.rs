//! The place in line that a payer is told, under load.

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use harness::{Buyer, Order, Stack, StackOptions};
use std::time::Duration;

/// Maximum number of unpaid orders of a payer.
const EACH: usize = 16;

async fn burst(stack: &Stack, buyers: &[Buyer]) -> Vec<Order> {
    let payments: Vec<_> = buyers.iter().flat_map(|buyer| (0..EACH).map(|_| buyer.pay(&stack.shop.token, 1))).collect();
    join_all(payments.iter().map(|payment| stack.accept(payment))).await
}

/// The longer is at most twice the shorter. What is told is rounded up to whole seconds, so one is nothing.
fn holds(told_s: i64, took: TimeDelta) -> bool {
    let took_ms = took.num_milliseconds();
    (told_s - 1) * 1_000 <= 2 * took_ms && took_ms <= 2 * told_s * 1_000
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_and_waits_hold_within_a_factor_of_two_under_load() {
    // As slow as a chain is, so that whole seconds say something.
    let options = StackOptions { block_time: Duration::from_millis(700), confirmations: 3, ..StackOptions::default() };
    let stack = Stack::start(options).await;
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
    assert!(kept.iter().any(|(_, position, ..)| *position > Some(10)), "there was a line: {kept:?}");
    orders.extend(waiting);
    stack.audit(&orders).await;
}
