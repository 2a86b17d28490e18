//! Authorizations that cannot be charged, in one batch with good ones: each ends with its own reason, no other suffers.

use harness::{Bill, Buyer, DOLLAR, Order, Outcome, Payment, Service, Stack, StackOptions};
use standalone::accounts::OWNER;

/// Time enough for every good payment, whatever happens to the clock.
const LONG_S: u64 = 20_000;

/// Another transfer of the same nonce: what a payer signs who pays twice with one authorization.
async fn use_elsewhere(stack: &Stack, buyer: &Buyer, payment: &Payment) {
    let nonce = payment.transfer.authorization.nonce;
    let elsewhere = Bill { nonce, pay_to: OWNER, ..Bill::of(&payment.terms, payment.quantity).lasting(LONG_S) };
    stack.chain.send(OWNER, stack.shop.asset, buyer.sign(elsewhere).transfer.call()).await;
}

async fn cancel(stack: &Stack, buyer: &Buyer, payment: &Payment) {
    let call = buyer.cancellation(&payment.terms, payment.transfer.authorization.nonce);
    stack.chain.send(OWNER, stack.shop.asset, call).await;
}

/// The API asks no node, so it takes all of them; the sender's simulation leaves them out.
#[tokio::test(flavor = "multi_thread")]
async fn used_cancelled_expired_and_unfunded_among_good_ones_fail_alone_each_with_its_reason() {
    let mut stack = Stack::start(StackOptions::one_lane_later()).await;
    let terms = stack.shop.token.clone();
    let mut buyers = stack.buyers(6, DOLLAR).await;
    buyers.push(Buyer::new());
    let windows = [LONG_S, LONG_S, LONG_S, LONG_S, LONG_S, 100, 1_000];
    let payments: Vec<Payment> =
        buyers.iter().zip(windows).map(|(buyer, window)| buyer.sign(Bill::of(&terms, 7).lasting(window))).collect();
    use_elsewhere(&stack, &buyers[3], &payments[3]).await;
    cancel(&stack, &buyers[4], &payments[4]).await;
    let mut orders = Vec::new();
    for payment in &payments {
        orders.push(stack.accept(payment).await);
    }
    stack.chain.pass_time(200).await;
    stack.run(Service::PaymentSender).await;

    let waiting = stack.until(&orders[6], "payment.deferred.1").await;
    assert_eq!(waiting.text("reason"), "unfunded");
    let submitted = stack.until(&orders[0], "payment.submitted.1").await;
    for order in &orders[1..3] {
        let beside = stack.until(order, "payment.submitted.1").await;
        assert_eq!(beside.text("txHash"), submitted.text("txHash"), "the good ones share a transaction");
    }
    stack.chain.pass_time(1_000).await;
    let reasons =
        [None, None, None, Some("used_elsewhere"), Some("cancelled"), Some("expired"), Some("unfunded_until_expired")];
    let orders = ending(orders, &reasons);
    stack.audit(&orders).await;
    for order in &orders[3..] {
        let shown = stack.status(order.id).await;
        let Outcome::Failed(reason) = order.outcome else { unreachable!() };
        assert_eq!((&shown["status"], &shown["reason"]), (&"failed".into(), &reason.into()), "{shown}");
        assert!(stack.stream.on(&order.subject("payment.submitted.1")).await.is_none(), "it cost no gas");
    }
}

/// Simulation found nothing wrong with them; between signature and block all went bad. Being out of money is the one
/// thing that passes.
#[tokio::test(flavor = "multi_thread")]
async fn what_goes_bad_between_signature_and_block_fails_alone_and_the_unfunded_one_is_tried_again() {
    let mut stack = Stack::start(StackOptions::one_lane_later()).await;
    let terms = stack.shop.token.clone();
    let buyers = stack.buyers(6, DOLLAR).await;
    stack.chain.halt().await;
    let windows = [LONG_S, LONG_S, LONG_S, LONG_S, 300, LONG_S];
    let payments: Vec<Payment> =
        buyers.iter().zip(windows).map(|(buyer, window)| buyer.sign(Bill::of(&terms, 7).lasting(window))).collect();
    let mut orders = Vec::new();
    for payment in &payments {
        orders.push(stack.accept(payment).await);
    }
    stack.run(Service::PaymentSender).await;
    let hash = stack.until(&orders[0], "payment.submitted.1").await.text("txHash").parse().unwrap();
    for order in &orders[1..] {
        assert_eq!(stack.until(order, "payment.submitted.1").await.text("txHash").parse(), Ok(hash));
    }

    stack.kill(Service::PaymentSender);
    stack.chain.drop_from_pool(hash).await;
    use_elsewhere(&stack, &buyers[2], &payments[2]).await;
    cancel(&stack, &buyers[3], &payments[3]).await;
    let everything = Bill { value: DOLLAR, pay_to: OWNER, ..Bill::of(&terms, 1).lasting(LONG_S) };
    stack.chain.send(OWNER, stack.shop.asset, buyers[5].sign(everything).transfer.call()).await;
    stack.chain.pass_time(400).await;
    stack.run(Service::PaymentSender).await;
    harness::eventually("the same bytes are sent again", async || stack.chain.knows(hash).await.then_some(())).await;
    stack.chain.resume().await;
    // What is dead is failed once that is final.
    stack.chain.mine(20).await;

    let deferred = stack.until(&orders[5], "payment.deferred.1").await;
    assert_eq!(deferred.text("reason"), "unexplained", "the contract says only that it failed");
    let unfunded = stack.until(&orders[5], "payment.deferred.2").await;
    assert_eq!(unfunded.text("reason"), "unfunded");
    stack.fund(&buyers[5], DOLLAR).await;
    let reasons = [None, None, Some("used_elsewhere"), Some("cancelled"), Some("expired"), None];
    stack.audit(&ending(orders, &reasons)).await;
}

fn ending(orders: Vec<Order>, reasons: &[Option<&'static str>]) -> Vec<Order> {
    let outcome = |reason: &Option<&'static str>| reason.map_or(Outcome::Minted, Outcome::Failed);
    orders.into_iter().zip(reasons).map(|(order, reason)| order.ends(outcome(reason))).collect()
}
