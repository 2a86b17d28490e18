//! An order that was set aside is told to its payer, and is tried once more when a person says so. Twice redriven acts once.

use crate::forged::{ledger, requested};
use domain::event::{ParkReason, Parked};
use domain::order::{Command, decide};
use domain::{Event, examples};
use harness::{DOLLAR, Order, Service, Stack, StackOptions, eventually};
use ledger::{Expected, NewEvent};
use serde_json::json;
use tokio::join;

/// Writes the event that `command` leads to.
async fn write(stack: &Stack, order: &Order, command: Command) {
    let ledger = ledger(stack).await;
    let loaded = ledger.load_order(order.id).await.unwrap();
    let event = decide(loaded.state.as_ref(), command).unwrap().unwrap();
    let (event, expected) = (Event::Order(order.id, event), Expected::Version(loaded.version));
    ledger.append(NewEvent { event, expected, trace: loaded.trace }).await.unwrap();
}

/// The name, in the list of what waits for a person, of the message that this consumer gave up.
async fn listed(stack: &Stack, consumer: &str) -> String {
    let list = stack.ops(&["parked", "list"]).await.unwrap();
    let of_consumer = |word: &&str| word.strip_prefix(consumer).is_some_and(|seq| seq.starts_with('-'));
    let name = list.split_whitespace().find(of_consumer);
    name.unwrap_or_else(|| panic!("nothing of {consumer}: {list}")).to_owned()
}

async fn redrive(stack: &Stack, name: &str, by: &str) -> String {
    stack.ops(&["parked", "redrive", name, "--by", by, "--why", "the cause is gone"]).await.unwrap()
}

/// The hold of an order that has failed.
async fn held(stack: &Stack, order: &Order, n: u32) -> harness::Entry {
    let subject = order.subject(&format!("order.held.{n}"));
    eventually("it is held", async || stack.stream.on(&subject).await).await
}

/// An api has read a registration that the sender has not. Its order is given up, and the token is registered later.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_set_aside_is_told_to_its_payer_and_charged_and_minted_once_however_often_it_is_redriven() {
    let stack = Stack::start(StackOptions::default()).await;
    let terms = stack.unregistered_token("LATE", 10).await;
    let payment = stack.buyer(DOLLAR).await.pay(&terms, 5);
    let new = NewEvent { event: requested(&payment), expected: Expected::Version(0), trace: None };
    ledger(&stack).await.append(new).await.unwrap();
    let order = Order::of(&payment);
    let held = stack.until(&order, "order.held.1").await;
    assert!(held.text("detail").ends_with("is not registered"), "{}", held.body);
    let told = async || Some(stack.status(order.id).await).filter(|told| told["reason"] == "held");
    let told = eventually("its payer is told", told).await;
    assert_eq!(told["state"], json!("requested"));

    let name = listed(&stack, "payment-sender").await;
    let shown = stack.ops(&["parked", "show", &name]).await.unwrap();
    assert!(shown.contains(&order.id.to_string()) && shown.contains("acts: redrive"), "{shown}");
    stack.register(&terms).await;
    // Two people at the same time, and one of them again.
    let both = join!(redrive(&stack, &name, "alice"), redrive(&stack, &name, "bob"));
    let both = [both.0, both.1].concat();
    assert!(both.contains("is written") && both.contains("nothing to do"), "{both}");
    stack.until(&order, "mint.confirmed").await;
    assert!(redrive(&stack, &name, "alice").await.contains("nothing to do"));
    assert!(stack.ops(&["parked", "list"]).await.unwrap().contains("0 wait for a person"));
    stack.audit(std::slice::from_ref(&order)).await;
    let history = stack.history(&order).await;
    let once = |name: &str| history.iter().filter(|entry| entry.subject.contains(&format!(".{name}."))).count();
    assert_eq!(
        ["order.held", "order.released", "payment.submitted", "mint.submitted"].map(once),
        [1; 4],
        "{history:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_mint_is_minted_once_however_often_it_is_redriven() {
    let mut stack = Stack::start(StackOptions::default()).await;
    stack.kill(Service::MintProjector);
    let order = stack.buy(&stack.buyer(DOLLAR).await, 5).await;
    stack.until(&order, "payment.confirmed").await;
    let detail = "the token is not registered".to_owned();
    write(&stack, &order, Command::ParkMint(Parked { reason: ParkReason::Inconsistent, detail, tx_hash: None })).await;
    stack.run(Service::MintProjector).await;
    let id = order.id.to_string();
    let list = stack.ops(&["parked", "list"]).await.unwrap();
    assert!(list.contains(&format!("{id}  mint_parked  the token is not registered")), "{list}");
    let both = join!(redrive(&stack, &id, "alice"), redrive(&stack, &id, "bob"));
    let both = [both.0, both.1].concat();
    assert!(both.contains("mint.redriven.1 is written"), "{both}");
    stack.until(&order, "mint.confirmed").await;
    stack.audit(std::slice::from_ref(&order)).await;
    assert!(stack.stream.on(&order.subject("mint.submitted.2")).await.is_none(), "sent once");
    assert!(stack.stream.on(&order.subject("mint.redriven.2")).await.is_none(), "redriven once");
}

/// Both orders of a transaction contradict it. Both are named, and both are held again as long as they do.
#[tokio::test(flavor = "multi_thread")]
async fn every_order_that_contradicts_its_transaction_is_held_and_held_again_after_a_redrive_in_vain() {
    let mut stack = Stack::start(StackOptions::default()).await;
    stack.kill(Service::PaymentSender);
    let buyers = stack.buyers(2, DOLLAR).await;
    let orders = [stack.buy(&buyers[0], 5).await, stack.buy(&buyers[1], 5).await];
    stack.kill(Service::Confirmer);
    stack.run(Service::PaymentSender).await;
    for order in &orders {
        stack.until(order, "payment.submitted.1").await;
        write(&stack, order, Command::Fail(examples::failure())).await;
    }
    stack.run(Service::Confirmer).await;
    for order in &orders {
        let held = held(&stack, order, 1).await;
        assert!(held.text("detail").contains("contradict"), "{}", held.body);
        let told = async || (stack.status(order.id).await["reason"] == "held").then_some(());
        eventually("its payer is told", told).await;
    }
    let name = listed(&stack, "confirmer").await;
    let shown = stack.ops(&["parked", "show", &name]).await.unwrap();
    assert!(orders.iter().all(|order| shown.contains(&order.id.to_string())), "{shown}");
    assert!(redrive(&stack, &name, "alice").await.contains("is written"));
    for order in &orders {
        held(&stack, order, 2).await;
    }
    let again = async || listed(&stack, "confirmer").await.eq(&name).then_some(());
    eventually("it is given up again", again).await;
}
