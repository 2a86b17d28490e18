//! Anybody may submit a signed authorization. Whoever does, the payer has paid (D10).

use harness::{DOLLAR, Service, Stack, StackOptions, eventually};
use standalone::accounts::OWNER;

#[tokio::test(flavor = "multi_thread")]
async fn d10_an_authorization_that_somebody_else_submitted_before_us_is_paid_and_minted() {
    let services = vec![Service::Api, Service::Confirmer, Service::MintProjector, Service::ReadProjector];
    let mut stack = Stack::start(StackOptions { services, ..StackOptions::default() }).await;
    let buyer = stack.buyer(DOLLAR).await;
    let payment = buyer.pay(&stack.shop.token, 5);
    let order = stack.accept(&payment).await.paid_by_third_party();
    let theirs = stack.chain.transact(OWNER, stack.shop.asset, payment.transfer.call()).await;
    stack.run(Service::PaymentSender).await;

    let confirmed = stack.until(&order, "payment.confirmed").await;
    assert_eq!(confirmed.text("txHash").parse(), Ok(theirs.transaction_hash));
    stack.audit(std::slice::from_ref(&order)).await;
    assert!(stack.stream.on(&order.subject("payment.submitted.1")).await.is_none(), "we sent nothing");
    assert_eq!(stack.status(order.id).await["paidBy"], "third_party");
}

#[tokio::test(flavor = "multi_thread")]
async fn d10_an_authorization_that_is_front_run_after_we_signed_is_paid_and_minted() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let buyers = stack.buyers(2, DOLLAR).await;
    stack.chain.halt().await;
    let payment = buyers[0].pay(&stack.shop.token, 5);
    let order = stack.accept(&payment).await.paid_by_third_party();
    let ours = stack.until(&order, "payment.submitted.1").await.text("txHash").parse().unwrap();

    // Our transaction is signed and recorded; theirs is in a block before it.
    stack.kill(Service::PaymentSender);
    stack.chain.drop_from_pool(ours).await;
    let theirs = stack.chain.send(OWNER, stack.shop.asset, payment.transfer.call()).await;
    stack.chain.mine(1).await;
    stack.run(Service::PaymentSender).await;
    eventually("ours is sent all the same", async || stack.chain.knows(ours).await.then_some(())).await;
    stack.chain.resume().await;

    let confirmed = stack.until(&order, "payment.confirmed").await;
    assert_eq!(confirmed.text("txHash").parse(), Ok(theirs));
    let after = stack.buy(&buyers[1], 5).await;
    stack.audit(&[order, after]).await;
}
