//! Payments that wait for long are carried by time: their messages are acknowledged, and a process that dies afterwards
//! loses none of them.

use harness::{Bill, Buyer, DOLLAR, Instance, Order, Service, Stack, StackOptions, eventually};

/// Time enough, whatever happens to the clock.
const LONG_S: u64 = 20_000;

/// The first retry is later than `ack_wait`, so that a deferral is carried by time immediately.
fn options() -> StackOptions {
    StackOptions::one_lane_later().with("PAYMENT_RETRY_MS", 6_000)
}

/// An order of a payer without money, that every service has acknowledged and only carries by time.
async fn carried(stack: &Stack, buyer: &Buyer) -> Order {
    let order = stack.accept(&buyer.sign(Bill::of(&stack.shop.token, 7).lasting(LONG_S))).await;
    assert_eq!(stack.until(&order, "payment.deferred.1").await.text("reason"), "unfunded");
    for durable in ["payment-sender", "payment-sender-deferred", "confirmer-deferred"] {
        eventually("its messages are acknowledged", async || {
            let consumer = stack.stream.consumer(durable).await;
            (consumer["num_ack_pending"] == 0 && consumer["num_pending"] == 0).then_some(())
        })
        .await;
    }
    order
}

/// SIGKILL after the ack: the next process finds the order in the rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_order_outlives_the_process_that_acknowledged_it() {
    let mut stack = Stack::start(options()).await;
    stack.run(Service::PaymentSender).await;
    let buyer = Buyer::new();
    let order = carried(&stack, &buyer).await;
    for service in [Service::PaymentSender, Service::Confirmer] {
        stack.kill(service);
    }
    stack.fund(&buyer, DOLLAR).await;
    for service in [Service::PaymentSender, Service::Confirmer] {
        stack.run(service).await;
    }
    stack.audit(&[order]).await;
}

/// Another instance that runs all the time takes over what the dead one left.
#[tokio::test(flavor = "multi_thread")]
async fn another_instance_takes_over_the_waiting_orders_of_one_that_died() {
    let mut stack = Stack::start(options()).await;
    stack.run(Service::PaymentSender).await;
    stack.run(Instance(Service::PaymentSender, 1)).await;
    let buyer = Buyer::new();
    let order = carried(&stack, &buyer).await;
    stack.kill(Service::PaymentSender);
    stack.fund(&buyer, DOLLAR).await;
    stack.audit(&[order]).await;
}

/// The database is away when the process dies and when the next one starts: new orders go on, and what waited follows
/// when the database is back.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_new_orders_go_on_and_waiting_ones_follow_when_it_is_back() {
    let mut stack = Stack::start(options()).await;
    stack.run(Service::PaymentSender).await;
    let buyers = [Buyer::new(), stack.buyer(DOLLAR).await];
    let waiting = carried(&stack, &buyers[0]).await;
    stack.servers.postgres.kill();
    for service in [Service::PaymentSender, Service::Confirmer] {
        stack.kill(service);
    }
    stack.fund(&buyers[0], DOLLAR).await;
    for service in [Service::PaymentSender, Service::Confirmer] {
        stack.run(service).await;
    }
    let new = stack.accept(&buyers[1].sign(Bill::of(&stack.shop.token, 2).lasting(LONG_S))).await;
    stack.until(&new, "mint.confirmed").await;
    assert!(stack.stream.on(&waiting.subject("payment.submitted.1")).await.is_none(), "nobody knows of it");
    stack.servers.postgres.restart().await.unwrap();
    stack.audit(&[waiting, new]).await;
}
