//! Every service dies of SIGKILL at its crash points and is started again: one payment, one mint, nothing sent twice.
//!
//! A row is one death. That it was one is asserted: the process ended by SIGKILL, which nothing else here sends.

use futures_util::future::join_all;
use harness::{Bill, Buyer, DOLLAR, Order, Outcome, Service, Stack, StackOptions};
use nix::sys::signal::Signal;
use runtime::failpoint::*;

/// Payers who buy at once while a service is about to die.
const PAYERS: usize = 3;

/// History of an order without a detour.
const STRAIGHT: [&str; 5] =
    ["payment.requested", "payment.submitted.1", "owed.payment.confirmed", "mint.submitted.1", "mint.confirmed"];

/// The client of a killed api has no answer, asks again with the same header, and gets the same 202.
#[tokio::test(flavor = "multi_thread")]
async fn c01_c02_c03_a_client_of_a_killed_api_asks_again_and_has_one_payment() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let terms = stack.shop.token.clone();
    let mut orders = Vec::new();
    for point in [ORDER_CHECKED_NOT_APPENDED, ORDER_APPEND_NOT_ANSWERED, ORDER_APPENDED_NOT_ACCEPTED] {
        let payment = stack.buyer(DOLLAR).await.pay(&terms, 2);
        stack.kill(Service::Api);
        stack.run_with(Service::Api, &[("PAYMINT_KILL_AT", point.name())]).await;
        let answer = stack.try_post(Service::Api, &terms, 2, payment.v2()).await;
        assert!(answer.is_err(), "{point}: {answer:?}");
        stack.until_killed(Service::Api, point.name()).await;

        stack.run(Service::Api).await;
        let stored = stack.stream.on(&Order::of(&payment).subject("payment.requested")).await;
        assert_eq!(stored.is_some(), point != ORDER_CHECKED_NOT_APPENDED, "{point}: what was stored before the crash");
        for header in [payment.v2(), payment.v2(), payment.v1()] {
            let answer = stack.post(&terms, 2, header).await;
            assert_eq!((answer.status, answer.id()), (202, payment.id()), "{point}: {answer:?}");
        }
        orders.push(Order::of(&payment));
    }
    went_straight(&stack, &orders).await;
    stack.audit(&orders).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c05_c07_c08_c10_a_killed_payment_sender_repeats_the_same_bytes() {
    let points = [BATCH_TAKEN_NOT_SIGNED, SIGNED_NOT_BROADCAST, AFTER_BROADCAST, BATCH_SENT_NOT_ACKED];
    killed_at(Service::PaymentSender, &points.map(CrashPoint::name)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c12_c13_c14_c21_a_killed_confirmer_says_it_once() {
    let points = [
        RECEIPT_SEEN_NOT_CONFIRMED,
        PAYMENTS_DECIDED_NOT_APPENDED,
        PAYMENTS_APPENDED_NOT_ACKED,
        MINTS_DECIDED_NOT_APPENDED,
        MINTS_APPENDED_NOT_ACKED,
    ];
    killed_at(Service::Confirmer, &points.map(CrashPoint::name)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c10_c16_c17_c18_a_killed_mint_projector_mints_once() {
    let points = [BATCH_SENT_NOT_ACKED, BATCH_TAKEN_NOT_SIGNED, SIGNED_NOT_BROADCAST, AFTER_BROADCAST];
    killed_at(Service::MintProjector, &points.map(CrashPoint::name)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c24_a_killed_read_projector_goes_on_behind_its_last_commit() {
    // Always at its first commit: on a busy machine there may be no second one, because a commit takes all that is there.
    killed_at(Service::ReadProjector, &[ROWS_COMMITTED.name(); 3]).await;
}

/// Its window is over, and it is known to be unused. The successor finds that out again.
#[tokio::test(flavor = "multi_thread")]
async fn c15_a_waiting_payment_whose_confirmer_was_killed_while_it_judged_fails_with_proof_all_the_same() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let buyer = Buyer::new();
    stack.kill(Service::Confirmer);
    stack.run_with(Service::Confirmer, &[("PAYMINT_KILL_AT", WAITING_PAYMENT_HALF_JUDGED.name())]).await;
    let order = stack.accept(&buyer.sign(Bill::of(&stack.shop.token, 2).lasting(300))).await;
    stack.until(&order, "payment.deferred.1").await;
    stack.chain.pass_time(400).await;
    stack.until_killed(Service::Confirmer, WAITING_PAYMENT_HALF_JUDGED.name()).await;
    stack.run(Service::Confirmer).await;
    stack.audit(&[order.ends(Outcome::Failed("unfunded_until_expired"))]).await;
}

/// A loss of power is not simulated: the operating system keeps what a killed process wrote and did not sync.
#[tokio::test(flavor = "multi_thread")]
async fn c30_everything_but_the_chain_is_killed_at_once_and_nothing_that_was_accepted_is_lost() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let buyers = stack.buyers(3 * PAYERS, DOLLAR).await;
    let mut orders = Vec::new();
    let stages = ["payment.requested", "payment.submitted.1", "mint.submitted.1"];
    for (stage, buyers) in stages.into_iter().zip(buyers.chunks(PAYERS)) {
        orders.extend(join_all(buyers.iter().map(|buyer| stack.buy(buyer, 2))).await);
        stack.until(orders.last().unwrap(), stage).await;
        for service in Service::ALL {
            stack.process(service).signal(Signal::SIGKILL);
        }
        stack.servers.nats.kill();
        stack.servers.postgres.kill();
        stack.servers.nats.restart().await.unwrap();
        stack.servers.postgres.restart().await.unwrap();
        for service in Service::ALL {
            stack.until_killed(service, stage).await;
            stack.run(service).await;
        }
    }
    went_straight(&stack, &orders).await;
    stack.audit(&orders).await;
}

/// One row per point: the service dies there in the middle of several purchases, and its successor ends them.
async fn killed_at(service: Service, points: &[&str]) {
    let mut stack = Stack::start(StackOptions::default()).await;
    let buyers = stack.buyers(points.len() * PAYERS, DOLLAR).await;
    let mut orders = Vec::new();
    for (point, buyers) in points.iter().zip(buyers.chunks(PAYERS)) {
        stack.kill(service);
        stack.run_with(service, &[("PAYMINT_KILL_AT", point)]).await;
        let row = join_all(buyers.iter().map(|buyer| stack.buy(buyer, 2))).await;
        stack.until_killed(service, point).await;
        stack.run(service).await;
        stack.until_ended(&row).await;
        orders.extend(row);
    }
    went_straight(&stack, &orders).await;
    stack.audit(&orders).await;
}

/// A crash costs time and nothing else: no second submission, no deferral.
async fn went_straight(stack: &Stack, orders: &[Order]) {
    stack.until_ended(orders).await;
    for order in orders {
        let prefix = order.subject("");
        let history = stack.history(order).await;
        let names: Vec<&str> = history.iter().filter_map(|entry| entry.subject.strip_prefix(&prefix)).collect();
        assert_eq!(names, STRAIGHT, "{}", order.id);
    }
}
