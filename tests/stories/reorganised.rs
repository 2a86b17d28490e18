//! F38: blocks vanish from under a transaction that is not deep enough yet.

use alloy_primitives::B256;
use harness::{DOLLAR, Service, Stack, StackOptions, eventually};

/// N: a transaction with two blocks on it is not confirmed, and `anvil_reorg` takes both away.
const CONFIRMATIONS: u64 = 3;
const DEPTH: u64 = CONFIRMATIONS - 1;

#[tokio::test(flavor = "multi_thread")]
async fn f38_a_reorg_shallower_than_n_confirms_nothing_early_and_the_same_bytes_are_sent_again() {
    let mut stack = Stack::start(StackOptions { confirmations: CONFIRMATIONS, ..StackOptions::default() }).await;
    let buyer = stack.buyer(DOLLAR).await;
    stack.chain.halt().await;
    let order = stack.buy(&buyer, 4).await;

    let settlement = stack.until(&order, "payment.submitted.1").await.text("txHash").parse().unwrap();
    let block = lost_and_included_again(&stack, settlement).await;
    let confirmed = stack.until(&order, "payment.confirmed").await;
    assert_eq!(confirmed.text("txHash").parse(), Ok(settlement));
    assert_eq!(confirmed.body["data"]["block"]["hash"], block.to_string(), "confirmed where it is, not where it was");

    let mint = stack.until(&order, "mint.submitted.1").await.text("txHash").parse().unwrap();
    let block = lost_and_included_again(&stack, mint).await;
    let minted = stack.until(&order, "mint.confirmed").await;
    assert_eq!(minted.text("txHash").parse(), Ok(mint));
    assert_eq!(minted.body["data"]["block"]["hash"], block.to_string());

    stack.audit(std::slice::from_ref(&order)).await;
    let names: Vec<String> = stack.history(&order).await.into_iter().map(|entry| entry.subject).collect();
    assert_eq!(names.len(), 5, "one submission each: {names:?}");
    for service in [Service::PaymentSender, Service::MintProjector] {
        assert!(stack.process(service).said().contains("the node lost a transaction"), "{service:?} sent it again");
    }
}

/// Includes the transaction one block short of N, reorganises, waits until the node has the same transaction again,
/// and buries it under N blocks. Answers with the block that counts.
async fn lost_and_included_again(stack: &Stack, hash: B256) -> B256 {
    eventually("the transaction is sent", async || stack.chain.knows(hash).await.then_some(())).await;
    stack.chain.mine(DEPTH).await;
    let orphan = stack.chain.receipt(hash).await.unwrap().block_hash.unwrap();
    stack.chain.reorg(DEPTH).await;
    assert!(stack.chain.receipt(hash).await.is_none(), "its block is gone");
    eventually("it is sent again", async || stack.chain.knows(hash).await.then_some(())).await;
    stack.chain.mine(CONFIRMATIONS).await;
    let block = stack.chain.receipt(hash).await.unwrap().block_hash.unwrap();
    assert_ne!(block, orphan);
    block
}
