//! A damaged ledger is refilled from its copy (P2, D4, F13 to F16): damage, stop, refill, resume, and every order that was
//! accepted ends as if nothing had been.

use crate::integrity::{Strike, go_shopping};
use harness::{DOLLAR, Service, Stack, StackOptions, eventually};
use neighbours::{Nats, NatsOptions, Tools};

async fn damaged_and_refilled(strike: Strike) {
    let mut stack = Stack::start(StackOptions::default()).await;
    let shopping = go_shopping(&mut stack, strike).await;
    let [late] = stack.buyers(1, DOLLAR).await.try_into().unwrap();
    strike.does(&mut stack, &shopping).await;
    // Whether it is taken at this moment or not: what was answered with 202 counts.
    let payment = late.pay(&stack.shop.token, 1);
    let answer = stack.post(&stack.shop.token, 1, payment.v2()).await;
    let stop = eventually("payouts stop", async || stack.stream.on("ops.stopped.1").await).await;
    let copied = async || {
        let stands_in_copy = stack.projected("public").await >= stop.seq;
        (stands_in_copy || strike != Strike::FlippedAtRest).then_some(())
    };
    eventually("what follows the damage is copied", copied).await;

    for service in Service::ALL {
        if service != Service::MintProjector {
            stack.terminate(service).await;
        }
    }
    let refused = stack.ops(&["refill"]).await.unwrap_err();
    assert!(refused.contains("NATS_URL has a ledger already"), "{refused}");
    let options = NatsOptions { data_dir: stack.lose_ledger().await, ..NatsOptions::default() };
    let damaged = Nats::start(&Tools::locate().unwrap(), options).await.unwrap();
    let (url, monitor) = (damaged.url(), damaged.monitor_url());
    let refill = ["refill", "--old-nats-url", &url, "--old-nats-monitor-url", &monitor];
    let said = stack.ops(&refill).await.unwrap();
    assert!(said.contains("each in its place"), "{said}");
    let is_stopped = stack.stream.on("ops.stopped.1").await.is_some();
    assert_eq!(is_stopped, strike == Strike::FlippedAtRest, "a stop that was copied stands: {said}");

    for service in Service::ALL {
        stack.run(service).await;
    }
    if is_stopped {
        let said = stack.ops(&["resume", "--by", "a story", "--detail", "refilled, and compared"]).await.unwrap();
        assert!(said.contains("ops.stopped.1 is ended"), "{said}");
    }
    let taken = async || (stack.get("/readyz").await.json["orders"] == "taken").then_some(());
    eventually("orders are taken", taken).await;
    stack.fund(&shopping.payer, DOLLAR).await;
    let mut orders = vec![shopping.minted, shopping.paid, shopping.waiting];
    if answer.status == 202 {
        orders.push(harness::Order::of(&payment));
    } else {
        assert_eq!(answer.status, 503, "{answer:?}");
        orders.push(stack.accept(&payment).await);
    }
    let buyers = stack.buyers(2, DOLLAR).await;
    for buyer in &buyers {
        orders.push(stack.buy(buyer, 1).await);
    }
    // The copy keeps the time at which each event was recorded first.
    stack.audit_but(&orders, &[("A09", "was recorded at")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_d4_a_ledger_with_a_flipped_bit_is_refilled_and_every_order_ends() {
    damaged_and_refilled(Strike::FlippedAtRest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_f13_a_ledger_that_was_made_anew_is_refilled_with_what_it_took_meanwhile() {
    damaged_and_refilled(Strike::Recreated).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_f15_a_ledger_that_lost_its_tail_is_refilled_and_every_order_ends() {
    damaged_and_refilled(Strike::Torn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_f16_a_ledger_of_an_older_store_is_refilled_and_every_order_ends() {
    damaged_and_refilled(Strike::Restored).await;
}
