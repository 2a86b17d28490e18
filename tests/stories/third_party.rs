//! Anybody may settle a signed payment through its token, have it minted, or submit it to USDC directly (D10).

use alloy::sol_types::SolCall;
use alloy_primitives::U256;
use chain::abi::MintToken;
use harness::{DOLLAR, FINAL, Outcome, Service, Stack, StackOptions, eventually};
use standalone::accounts::OWNER;

fn without_sender() -> StackOptions {
    let services = vec![Service::Api, Service::Confirmer, Service::MintProjector, Service::ReadProjector];
    StackOptions { services, ..StackOptions::default() }
}

/// Our transaction charges nobody, and finds the record.
#[tokio::test(flavor = "multi_thread")]
async fn d10_a_payment_that_somebody_else_settled_before_us_is_paid_and_minted() {
    let mut stack = Stack::start(without_sender()).await;
    let buyer = stack.buyer(DOLLAR).await;
    let payment = buyer.pay(&stack.shop.token, 5);
    let order = stack.accept(&payment).await.paid_by_third_party();
    stack.chain.transact(OWNER, stack.shop.token.token, payment.settle_call()).await;
    stack.run(Service::PaymentSender).await;

    let ours = stack.until(&order, "payment.submitted.1").await.text("txHash").to_owned();
    assert_eq!(stack.until(&order, "payment.confirmed").await.text("txHash"), ours);
    stack.audit(std::slice::from_ref(&order)).await;
    assert_eq!(stack.status(order.id).await["paidBy"], "third_party");
}

#[tokio::test(flavor = "multi_thread")]
async fn d10_a_payment_that_is_front_run_after_we_signed_is_paid_and_minted() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let buyers = stack.buyers(2, DOLLAR).await;
    stack.chain.halt().await;
    let payment = buyers[0].pay(&stack.shop.token, 5);
    let order = stack.accept(&payment).await.paid_by_third_party();
    let ours = stack.until(&order, "payment.submitted.1").await.text("txHash").parse().unwrap();

    // Our transaction is signed and recorded; theirs is in a block before it.
    stack.kill(Service::PaymentSender);
    stack.chain.drop_from_pool(ours).await;
    stack.chain.send(OWNER, stack.shop.token.token, payment.settle_call()).await;
    stack.chain.mine(1).await;
    stack.run(Service::PaymentSender).await;
    eventually("ours is sent all the same", async || stack.chain.knows(ours).await.then_some(())).await;
    stack.chain.resume().await;

    let confirmed = stack.until(&order, "payment.confirmed").await;
    assert_eq!(confirmed.text("txHash").parse(), Ok(ours));
    let after = stack.buy(&buyers[1], 5).await;
    stack.audit(&[order, after]).await;
}

/// The record says minted before the ledger says paid.
#[tokio::test(flavor = "multi_thread")]
async fn units_that_somebody_else_has_minted_before_the_payment_is_confirmed_are_minted_once() {
    let mut stack = Stack::start(without_sender()).await;
    let buyer = stack.buyer(DOLLAR).await;
    let payment = buyer.pay(&stack.shop.token, 5);
    let order = stack.accept(&payment).await.paid_by_third_party().minted_by_third_party();
    stack.chain.transact(OWNER, stack.shop.token.token, payment.settle_call()).await;
    stack.chain.transact(OWNER, stack.shop.token.token, order.mint_call()).await;
    stack.run(Service::PaymentSender).await;

    stack.audit(std::slice::from_ref(&order)).await;
    assert_eq!(stack.status(order.id).await["mintedBy"], "third_party");
    let units = stack.chain.tokens_of(order.token, order.payer).await;
    assert_eq!(units, U256::from(stack.shop.token.unit * 5));
}

/// The money is at the token, and the token has no record of it. Nobody mints it, and nobody charges the payer again.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_went_around_the_token_is_parked_once_that_is_final_and_waits_for_an_operator() {
    let mut stack = Stack::start(without_sender()).await;
    let buyer = stack.buyer(DOLLAR).await;
    let payment = buyer.pay(&stack.shop.token, 5);
    let order = stack.accept(&payment).await.paid_by_third_party();
    let theirs = stack.chain.transact(OWNER, stack.shop.asset, payment.transfer.call()).await;
    stack.run(Service::PaymentSender).await;

    let waits = stack.until(&order, "payment.deferred.1").await;
    assert_eq!(waits.text("reason"), "authorization_used_or_cancelled");
    assert!(stack.stream.on(&order.subject("payment.parked.1")).await.is_none(), "not final yet");
    stack.chain.mine(FINAL).await;
    let parked = stack.until(&order, "payment.parked.1").await;
    assert_eq!(parked.text("txHash").parse(), Ok(theirs.transaction_hash));
    assert!(stack.stream.on(&order.subject("payment.submitted.1")).await.is_none(), "it cost no gas");
    let shown = async || Some(stack.status(order.id).await).filter(|shown| shown["state"] == "payment_parked");
    let shown = eventually("its payer is told", shown).await;
    assert_eq!((&shown["status"], &shown["reason"]), (&"pending".into(), &"paid_around_token".into()));
    stack.run(Service::Operator).await;
    stack.audit(std::slice::from_ref(&order)).await;
}

/// A week after the payment its payer may take the money back, if nobody has minted the units by then.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_its_payer_took_back_is_not_minted() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let buyer = stack.buyer(DOLLAR).await;
    stack.kill(Service::MintProjector);
    let payment = buyer.pay(&stack.shop.token, 5);
    let order = stack.accept(&payment).await.ends(Outcome::Refunded);
    stack.until(&order, "payment.confirmed").await;
    stack.chain.pass_time(7 * 24 * 3_600 + 1).await;
    let refund = MintToken::refundCall { keys: vec![order.key.0] }.abi_encode();
    stack.chain.transact_as(buyer.address, order.token, refund.into()).await;
    assert_eq!(stack.chain.usdc_of(stack.shop.asset, buyer.address).await, U256::from(DOLLAR));
    stack.run(Service::MintProjector).await;

    let refunded = stack.until(&order, "refund.confirmed").await;
    assert_eq!(refunded.text("refundedBy"), "third_party");
    assert_eq!(stack.chain.tokens_of(order.token, buyer.address).await, U256::ZERO);
    stack.audit(std::slice::from_ref(&order)).await;
}
