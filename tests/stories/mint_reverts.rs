//! Mint transactions that revert as a whole. Each order is minted by a later one, once.

use alloy_primitives::{B256, U256};
use harness::{DOLLAR, Order, Service, Stack, StackOptions, eventually};
use serde_json::json;

/// Code in the place of the token's own: it reverts, or it burns all the gas that it is given.
const HOSTILE: [&str; 2] = ["0x5f5ffd", "0xfe"];

/// The token refuses a batch after it was signed, with everything in it.
#[tokio::test(flavor = "multi_thread")]
async fn orders_whose_mint_transaction_reverts_or_runs_out_of_gas_are_minted_once_by_the_next() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let (token, unit) = (stack.shop.token.token, stack.shop.token.unit);
    let buyers = stack.buyers(2 * HOSTILE.len(), DOLLAR).await;
    let own = stack.chain.rpc("eth_getCode", json!([token, "latest"])).await;
    let mut orders = Vec::new();
    for (code, buyers) in HOSTILE.into_iter().zip(buyers.chunks(2)) {
        stack.kill(Service::MintProjector);
        let two = [stack.buy(&buyers[0], 4).await, stack.buy(&buyers[1], 3).await];
        for order in &two {
            stack.until(order, "payment.confirmed").await;
        }
        stack.chain.halt().await;
        stack.run(Service::MintProjector).await;
        let sent = [sent(&stack, &two[0]).await, sent(&stack, &two[1]).await];
        stack.chain.rpc("anvil_setCode", json!([token, code])).await;
        stack.chain.mine(1).await;
        for hash in sent {
            let receipt = stack.chain.receipt(hash).await.unwrap();
            assert!(!receipt.status(), "{code}: {hash} is in a block, and has done nothing");
        }
        stack.chain.rpc("anvil_setCode", json!([token, own])).await;
        stack.chain.resume().await;
        for order in &two {
            assert_eq!(stack.until(order, "mint.deferred.1").await.text("reason"), "not_attempted", "{code}");
            stack.until(order, "mint.confirmed").await;
            assert!(stack.stream.on(&order.subject("mint.submitted.3")).await.is_none(), "the second did it");
        }
        orders.extend(two);
    }
    // Of the transactions of this story some revert on purpose.
    stack.audit_but(&orders, &[("A12", "transactions reverted")]).await;
    for order in &orders {
        let units = stack.chain.tokens_of(token, order.payer).await;
        assert_eq!(units, U256::from(unit) * U256::from(order.quantity));
    }
}

/// The mint transaction of the order, once the node has it.
async fn sent(stack: &Stack, order: &Order) -> B256 {
    let hash = stack.until(order, "mint.submitted.1").await.text("txHash").parse().unwrap();
    eventually("it is sent", async || stack.chain.knows(hash).await.then_some(())).await;
    hash
}
