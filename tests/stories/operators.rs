//! Two operators help one payer at the same time. The transaction of ours that comes second finds what the other did.

use alloy_primitives::{B256, Bytes, U256};
use harness::{DOLLAR, FINAL, Order, Outcome, Payment, Service, Stack, StackOptions, eventually};
use standalone::accounts::OWNER;

/// A halted chain, with the payment at the token and no record of it in a final block. No operator of ours is at work.
async fn around(stack: &mut Stack, payment: &Payment) -> Order {
    stack.kill(Service::Operator);
    stack.chain.halt().await;
    stack.chain.send(OWNER, payment.terms.asset, payment.transfer.call()).await;
    stack.chain.mine(1).await;
    let order = stack.accept(payment).await;
    stack.until(&order, "payment.deferred.1").await;
    stack.chain.mine(FINAL).await;
    stack.until(&order, "payment.parked.1").await;
    order.paid_by_third_party()
}

/// Our operator signs and sends. `theirs`, of another operator, is in a block before it. Then the chain goes on.
async fn overtaken(stack: &mut Stack, order: &Order, ours: &str, theirs: Bytes) {
    stack.run(Service::Operator).await;
    let ours: B256 = stack.until(order, ours).await.text("txHash").parse().unwrap();
    eventually("ours is sent", async || stack.chain.knows(ours).await.then_some(())).await;
    stack.kill(Service::Operator);
    stack.chain.drop_from_pool(ours).await;
    let theirs = stack.chain.send(OWNER, order.token, theirs).await;
    stack.chain.mine(1).await;
    assert!(stack.chain.receipt(theirs).await.unwrap().status());
    stack.run(Service::Operator).await;
    eventually("ours is sent all the same", async || stack.chain.knows(ours).await.then_some(())).await;
    stack.chain.resume().await;
}

async fn usdc(stack: &Stack, order: &Order) -> U256 {
    stack.chain.usdc_of(stack.shop.asset, order.payer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_another_operator_credits_before_us_is_minted_once() {
    let mut stack = Stack::start(StackOptions::default()).await;
    stack.appoint_owner().await;
    let payment = stack.buyer(DOLLAR).await.pay(&stack.shop.token, 5);
    let order = around(&mut stack, &payment).await;
    overtaken(&mut stack, &order, "payment.submitted.1", payment.credit_call()).await;
    stack.audit(std::slice::from_ref(&order)).await;
    assert_eq!(stack.chain.tokens_of(order.token, order.payer).await, U256::from(stack.shop.token.unit * 5));
    assert!(stack.stream.on(&order.subject("payment.submitted.2")).await.is_none(), "sent once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_another_operator_gives_back_before_our_credit_ends_refunded_once() {
    let mut stack = Stack::start(StackOptions::default()).await;
    stack.appoint_owner().await;
    let payment = stack.buyer(DOLLAR).await.pay(&stack.shop.token, 5);
    let order = around(&mut stack, &payment).await.ends(Outcome::Refunded);
    overtaken(&mut stack, &order, "payment.submitted.1", payment.give_back_call()).await;
    assert_eq!(stack.until(&order, "refund.confirmed").await.text("refundedBy"), "third_party");
    stack.audit(std::slice::from_ref(&order)).await;
    assert_eq!(usdc(&stack, &order).await, U256::from(DOLLAR));
    assert_eq!(stack.chain.tokens_of(order.token, order.payer).await, U256::ZERO);
}

/// Ours wants to give back what the other has just recorded. The record is refunded then, by us.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_another_operator_credits_before_we_give_it_back_is_refunded_once_and_never_minted() {
    let mut stack = Stack::start(StackOptions::default()).await;
    stack.appoint_owner().await;
    let payment = stack.buyer(DOLLAR).await.pay(&stack.shop.token, 5);
    let order = around(&mut stack, &payment).await.ends(Outcome::Refunded);
    stack.ask_back(order.id).await;
    overtaken(&mut stack, &order, "refund.submitted.1", payment.credit_call()).await;
    stack.until(&order, "payment.confirmed").await;
    assert_eq!(stack.until(&order, "refund.confirmed").await.text("refundedBy"), "paymint");
    stack.audit(std::slice::from_ref(&order)).await;
    assert_eq!(usdc(&stack, &order).await, U256::from(DOLLAR));
    assert!(stack.stream.on(&order.subject("mint.submitted.1")).await.is_none());
}
