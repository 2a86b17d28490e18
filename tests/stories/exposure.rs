//! P1b: what is minted before its payment is final never exceeds the cap, and nothing is forgotten that waits for it.

use futures_util::future::join_all;
use harness::{DOLLAR, Instance, Order, Service, Stack, StackOptions, eventually};
use std::time::Duration;

/// Whole USDC, and the units that this buys.
const CAP: u64 = 1;
const CAP_UNITS: u32 = 100;

/// Far more than it takes to try again what waits.
const MANY_TRIES: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn p1b_minting_stops_at_the_exposure_cap_across_a_restart_and_goes_on_with_finality() {
    let mut stack = Stack::start(StackOptions::default().with("EXPOSURE_MAX_USDC", CAP)).await;
    let buyers = stack.buyers(4, 5 * DOLLAR).await;
    stack.chain.halt().await;
    // One fits below the cap, two at a time do not, and one alone is more than it.
    let quantities = [60, 60, 60, 150];
    let orders: Vec<Order> =
        join_all(buyers.iter().zip(quantities).map(|(buyer, quantity)| stack.buy(buyer, quantity))).await;
    for order in &orders {
        let hash = stack.until(order, "payment.submitted.1").await.text("txHash").parse().unwrap();
        // The event comes before the broadcast.
        eventually("the transaction is sent", async || stack.chain.knows(hash).await.then_some(())).await;
    }
    stack.chain.mine(1).await;
    for order in &orders {
        stack.until(order, "payment.confirmed").await;
    }
    eventually("one is minted", async || (minting(&stack, &orders).await == [60]).then_some(())).await;
    let stopped =
        async || stack.said(Service::MintProjector).contains("minting stops at the exposure cap").then_some(());
    eventually("the log says that the others wait", stopped).await;
    stack.chain.mine(1).await;
    tokio::time::sleep(MANY_TRIES).await;
    assert_eq!(minting(&stack, &orders).await, [60], "mined, and not final: exposed all the same");

    // Nothing of it is in memory alone, and another instance counts the same.
    stack.kill(Service::MintProjector);
    for nth in [0, 1] {
        stack.run(Instance(Service::MintProjector, nth)).await;
    }
    tokio::time::sleep(MANY_TRIES).await;
    let minting_now = minting(&stack, &orders).await;
    assert!(minting_now.iter().sum::<u32>() <= CAP_UNITS, "{minting_now:?}");
    assert_eq!(minting_now, [60]);

    // Every payment is final now, whatever it is worth.
    stack.chain.mine(17).await;
    eventually("all are minted", async || (minting(&stack, &orders).await.len() == orders.len()).then_some(())).await;
    stack.chain.resume().await;
    stack.audit(&orders).await;
}

/// Quantities of the orders that are in a mint transaction, or minted.
async fn minting(stack: &Stack, orders: &[Order]) -> Vec<u32> {
    let mut found = Vec::new();
    for order in orders {
        if stack.stream.on(&order.subject("mint.submitted.1")).await.is_some() {
            found.push(order.quantity);
        }
    }
    found
}
