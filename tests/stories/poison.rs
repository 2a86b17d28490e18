//! One mint that a token cannot stand, among good ones: it stands alone in the end and is parked, the others are minted.

use harness::{DOLLAR, Order, Outcome, Service, Stack, StackOptions};

/// C19, C20, C22: found by the simulation, or only when the transaction is mined; dead in the middle of it.
#[tokio::test(flavor = "multi_thread")]
async fn c22_what_spoils_a_batch_in_the_simulation_is_parked_alone_and_the_others_share_a_transaction() {
    // Long enough for all payments to arrive: otherwise a busy machine makes two batches of them.
    let mut stack = Stack::start(StackOptions::default().with("MINT_MAX_WAIT_MS", 3_000)).await;
    let orders = paid(&mut stack, 7).await;
    stack.chain.poison(stack.shop.token.token, orders[3].payer, false).await;
    stack.run(Service::MintProjector).await;

    let orders = parked(orders, 3);
    stack.audit(&orders).await;
    let together = stack.until(&orders[0], "mint.submitted.1").await.text("txHash").to_owned();
    for order in orders.iter().filter(|order| order.outcome == Outcome::Minted) {
        assert_eq!(stack.until(order, "mint.submitted.1").await.text("txHash"), together);
    }
    assert!(stack.stream.on(&orders[3].subject("mint.submitted.1")).await.is_none(), "it cost no gas");
}

#[tokio::test(flavor = "multi_thread")]
async fn c19_c20_what_spoils_a_batch_only_when_it_is_mined_is_divided_off_and_parked_and_the_others_are_minted() {
    let options = StackOptions::default().with("MINT_RETRY_MS", 200);
    let mut stack = Stack::start(options).await;
    let orders = paid(&mut stack, 6).await;
    stack.chain.poison(stack.shop.token.token, orders[2].payer, true).await;
    stack.run(Service::MintProjector).await;
    let orders = parked(orders, 2);
    stack.audit_but(&orders, &[("A12", "transactions reverted")]).await;
}

/// Orders that are paid, and wait for a minter that does not run.
async fn paid(stack: &mut Stack, count: usize) -> Vec<Order> {
    stack.kill(Service::MintProjector);
    let buyers = stack.buyers(count, DOLLAR).await;
    let mut orders = Vec::new();
    for buyer in &buyers {
        orders.push(stack.buy(buyer, 2).await);
    }
    for order in &orders {
        stack.until(order, "payment.confirmed").await;
    }
    orders
}

/// The one that is poison ends parked.
fn parked(mut orders: Vec<Order>, poison: usize) -> Vec<Order> {
    orders[poison].outcome = Outcome::Parked("unexplained");
    orders
}
