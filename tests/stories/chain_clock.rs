//! The chain stands still, or its clock jumps. Windows of payments are judged by blocks, never by our clocks.

use harness::{Bill, DOLLAR, Order, Outcome, Service, Stack, StackOptions};
use std::time::Duration;

/// F46: no block for longer than the payment lasts: nothing is decided, and with the next blocks all of it is, by proof.
#[tokio::test(flavor = "multi_thread")]
async fn f46_while_the_chain_halts_nothing_fails_and_everything_is_decided_when_it_goes_on() {
    let stack = Stack::start(StackOptions::default().with("MIN_WINDOW_S", 1)).await;
    let terms = stack.shop.token.clone();
    let buyers = stack.buyers(2, DOLLAR).await;
    stack.chain.halt().await;
    let short = stack.accept(&buyers[0].sign(Bill::of(&terms, 7).lasting(3))).await;
    let long = stack.buy(&buyers[1], 7).await;
    for order in [&short, &long] {
        stack.until(order, "payment.submitted.1").await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    for order in [&short, &long] {
        let names = stack.history(order).await.len();
        assert_eq!(names, 2, "its window is over by our clock, and nothing is decided");
    }
    stack.chain.resume().await;
    stack.chain.mine(20).await;
    proven(&stack, &short).await;
    stack.audit(&[short.ends(Outcome::Failed("expired")), long]).await;
}

/// F47: the chain's clock jumps by most of a day. What has expired there has expired, with a block as proof; what has not
/// is charged and minted.
#[tokio::test(flavor = "multi_thread")]
async fn f47_a_jump_of_the_chains_clock_fails_what_it_expires_with_proof_and_nothing_else() {
    let mut stack = Stack::start(StackOptions::one_lane_later()).await;
    let terms = stack.shop.token.clone();
    let buyers = stack.buyers(2, DOLLAR).await;
    let hours = stack.accept(&buyers[0].sign(Bill::of(&terms, 7).lasting(3_600))).await;
    let day = stack.accept(&buyers[1].sign(Bill::of(&terms, 7).lasting(86_000))).await;
    stack.chain.pass_time(80_000).await;
    stack.run(Service::PaymentSender).await;
    proven(&stack, &hours).await;
    stack.audit(&[hours.ends(Outcome::Failed("expired")), day]).await;
}

/// The order failed, and the final block that it names is past its window.
async fn proven(stack: &Stack, order: &Order) {
    let failed = stack.until(order, "payment.failed").await;
    let requested = stack.until(order, "payment.requested").await;
    let valid_before: u64 = requested.body["data"]["authorization"]["validBefore"].as_str().unwrap().parse().unwrap();
    assert!(failed.body["data"]["blockTime"].as_u64().unwrap() >= valid_before, "a block proves it");
}
