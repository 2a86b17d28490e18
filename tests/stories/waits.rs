//! The position and the wait that a payer is told under load. How well the waits hold is shown on a clock of its own, in
//! `live`, and measured by `make bench`: on a machine that does other work it would depend on that.

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
                return (order, Some(Told { position: item["queue_position"].as_u64(), wait_s }));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (order, None)
    }))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_payers_are_told_their_position_and_wait() {
    let options = StackOptions { block_time: Duration::from_millis(700), confirmations: 3, ..StackOptions::default() };
    let stack = Stack::start(options).await;
    let price = stack.shop.token.unit_price.0;
    let buyers = stack.buyers(20, price * EACH as u64).await;
    let (orders, told): (Vec<Order>, Vec<_>) = burst(&stack, &buyers).await.into_iter().unzip();
    stack.until_ended(&orders).await;
    let told: Vec<Told> = told.into_iter().flatten().collect();
    assert!(told.len() > 20, "most were still under way when they asked: {told:?}");
    assert!(told.iter().any(|told| told.position > Some(10)), "there was a line: {told:?}");
    assert!(told.iter().all(|told| told.wait_s >= 1), "{told:?}");
    for order in &orders {
        let item = stack.get(&format!("/queue/item/{}", order.id)).await.json;
        assert!(item["estimated_wait_seconds"].is_null() && item["queue_position"].is_null(), "it is over: {item}");
    }
    stack.audit(&orders).await;
}
