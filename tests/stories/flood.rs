//! Many orders of payers who have no money: they cost the node a few calls, nobody waits for them, and each is settled once
//! its money comes.

use faults::RpcProxy;
use futures_util::{StreamExt, stream};
use harness::{Bill, Buyer, DOLLAR, Order, Outcome, Service, Stack, StackOptions, eventually};
use std::time::Duration;

/// Free orders, more than one question about payers' standing holds.
const FREE: usize = 820;

/// Requests at a time.
const AT_ONCE: usize = 32;

/// Time enough for the story, seconds.
const WINDOW_S: u64 = 3_000;

/// Calls of contracts in [`LOOK`] that all waiting orders together may cause, ten a second. It is one or two of the sender, and
/// one or two of the confirmer. One call for each order would be hundreds.
const CALLS_MAX: u64 = 20;
const LOOK: Duration = Duration::from_secs(2);

/// Calls of contracts during [`LOOK`].
async fn calls_in(node: &RpcProxy) -> u64 {
    let before = node.asked("eth_call");
    tokio::time::sleep(LOOK).await;
    node.asked("eth_call") - before
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_hundred_free_orders_cost_a_few_calls_and_the_one_that_is_funded_is_settled() {
    let options = StackOptions::default();
    let services = options.services.clone();
    let mut stack = Stack::start(StackOptions { services: Vec::new(), ..options }).await;
    let node = stack.proxy_node().await;
    for service in services {
        stack.run(service).await;
    }
    let terms = stack.shop.token.clone();
    let before = calls_in(&node).await;
    let payers: Vec<Buyer> = (0..FREE).map(|_| Buyer::new()).collect();
    let accepting =
        payers.iter().map(async |payer| stack.accept(&payer.sign(Bill::of(&terms, 7).lasting(WINDOW_S))).await);
    let mut free: Vec<Order> = stream::iter(accepting).buffered(AT_ONCE).collect().await;
    for order in &free {
        assert_eq!(stack.until(order, "payment.deferred.1").await.text("reason"), "unfunded");
    }
    let idle = async || {
        let consumers =
            [stack.stream.consumer("payment-sender-deferred").await, stack.stream.consumer("confirmer-deferred").await];
        let left = |field: &str| consumers.iter().map(|consumer| consumer[field].as_u64().unwrap()).sum::<u64>();
        (left("num_pending") + left("num_ack_pending") == 0).then_some(())
    };
    eventually("no message waits: all are watched", idle).await;

    let calls = calls_in(&node).await.saturating_sub(before);
    assert!(calls <= CALLS_MAX, "{calls} calls in {LOOK:?} for {FREE} waiting orders");

    let buyer = stack.buyer(DOLLAR).await;
    let honest = stack.buy(&buyer, 7).await;
    stack.fund(&payers[FREE / 2], DOLLAR).await;
    let funded = free.remove(FREE / 2);
    for order in [&honest, &funded] {
        stack.until(order, "mint.confirmed").await;
    }
    stack.kill(Service::PaymentSender);
    stack.run(Service::PaymentSender).await;
    stack.fund(&payers[0], DOLLAR).await;
    let late = free.remove(0);
    stack.until(&late, "mint.confirmed").await;

    stack.chain.pass_time(WINDOW_S + 100).await;
    let mut orders: Vec<Order> =
        free.into_iter().map(|order| order.ends(Outcome::Failed("unfunded_until_expired"))).collect();
    orders.extend([honest, funded, late]);
    stack.audit(&orders).await;
}
