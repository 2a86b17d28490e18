//! The position and the wait that a payer is told under load.

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use harness::{Buyer, Order, Stack, StackOptions};
use std::time::Duration;

/// Maximum number of unpaid orders of a payer.
const EACH: usize = 16;

/// One in so many asks how long it will take.
const ASKS: usize = 7;

/// A prediction.
#[derive(Debug)]
struct Told {
    at: DateTime<Utc>,
    position: Option<u64>,
    wait_s: i64,
}

/// How often a payer asks who is told no position yet: the api hears of its own order from the ledger.
const LOOKS_MAX: usize = 100;

/// All buyers buy at the same time. Some ask about their order as soon as it is accepted, while the others still come.
async fn burst(stack: &Stack, buyers: &[Buyer]) -> Vec<(Order, Option<Told>)> {
    let payments: Vec<_> = buyers.iter().flat_map(|buyer| (0..EACH).map(|_| buyer.pay(&stack.shop.token, 1))).collect();
    join_all(payments.iter().enumerate().map(async |(nth, payment)| {
        let order = stack.accept(payment).await;
        if !nth.is_multiple_of(ASKS) {
            return (order, None);
        }
        for _ in 0..LOOKS_MAX {
            let item = stack.get(&format!("/queue/item/{}", order.id)).await.json;
            if let Some(wait_s) = item["estimated_wait_seconds"].as_i64() {
                return (order, Some(Told { at: Utc::now(), position: item["queue_position"].as_u64(), wait_s }));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (order, None)
    }))
    .await
}

/// The longer is at most twice the shorter. A prediction is rounded up to whole seconds, so one second is ignored.
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
    let mut orders: Vec<Order> = burst(&stack, &buyers[..20]).await.into_iter().map(|(order, _)| order).collect();
    stack.until_ended(&orders).await;

    let (waiting, told): (Vec<Order>, Vec<_>) = burst(&stack, &buyers[20..]).await.into_iter().unzip();
    stack.until_ended(&waiting).await;
    let mut kept = Vec::new();
    for (order, told) in waiting.iter().zip(told) {
        let Some(Told { at, position, wait_s }) = told else { continue };
        let minted = stack.until(order, "mint.confirmed").await;
        let took = minted.body["time"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap() - at;
        kept.push((holds(wait_s, took), position, wait_s, took.num_milliseconds()));
    }
    assert!(kept.len() > 20, "most were still under way when they asked: {kept:?}");
    let held = kept.iter().filter(|(held, ..)| *held).count();
    assert!(held * 10 >= kept.len() * 9, "nine of ten hold: {kept:?}");
    assert!(kept.iter().any(|(_, position, ..)| *position > Some(10)), "there was a line: {kept:?}");
    orders.extend(waiting);
    stack.audit(&orders).await;
}
