//! Somebody has the key of a lane, and sends what the ledger does not know.

use alloy::signers::local::PrivateKeySigner;
use harness::{Bill, Buyer, DOLLAR, FINAL, Service, Stack, StackOptions};
use standalone::accounts::SENDER_KEYS;

/// Time enough, whatever happens to the clock.
const LONG_S: u64 = 20_000;

/// The block of this transaction is not watched, so the payment counts once that is final. It would count one block deep if the
/// account said that the transaction is ours.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_key_of_a_lane_settles_without_the_ledger_is_a_strangers_and_counts_once_it_is_final() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let buyer = Buyer::new();
    let payment = buyer.sign(Bill::of(&stack.shop.token, 5).lasting(LONG_S));
    let order = stack.accept(&payment).await.paid_by_third_party();
    assert_eq!(stack.until(&order, "payment.deferred.1").await.text("reason"), "unfunded");
    stack.kill(Service::PaymentSender);
    stack.fund(&buyer, DOLLAR).await;
    let lane: PrivateKeySigner = SENDER_KEYS[0].parse().unwrap();
    let settled = stack.chain.transact(lane.address(), payment.terms.token, payment.settle_call()).await;

    let confirmed = stack.until(&order, "payment.confirmed").await;
    let height = stack.chain.height().await;
    assert_eq!(confirmed.text("txHash").parse(), Ok(settled.transaction_hash));
    assert!(height >= settled.block_number.unwrap() + FINAL, "confirmed at {height}, before it was final");
}
