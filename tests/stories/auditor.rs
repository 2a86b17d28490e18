//! An auditor that never finds anything proves nothing: every kind of wrong that is done here must be found.

use alloy::sol_types::SolCall;
use alloy_primitives::{B256, U256};
use chain::abi::{MintToken, UsdcDouble};
use harness::{Bill, DOLLAR, Order, Outcome, Stack, StackOptions};
use standalone::accounts::{MINTERS, OWNER};

#[tokio::test(flavor = "multi_thread")]
async fn the_auditor_finds_every_wrong_that_is_done_to_the_books() {
    let stack = Stack::start(StackOptions::default()).await;
    let buyers = stack.buyers(2, DOLLAR).await;
    let order = stack.buy(&buyers[0], 2).await;
    stack.audit(std::slice::from_ref(&order)).await;

    // What the story says of its orders is not what happened.
    let never_sent = Order::of(&buyers[1].pay(&stack.shop.token, 1));
    finds(&stack, &[order.clone(), never_sent], &["A06", "A02", "A04"]).await;
    finds(&stack, &[], &["A07", "A04"]).await;
    finds(&stack, &[order.clone().ends(Outcome::Failed("expired"))], &["A02", "A04", "ends"]).await;
    finds(&stack, &[order.clone().paid_by_third_party()], &["D10"]).await;

    // Rows that no event made.
    sqlx::query("UPDATE payments SET mint_attempts = 2").execute(&stack.tables).await.unwrap();
    finds(&stack, std::slice::from_ref(&order), &["A10 mint_attempts"]).await;
    sqlx::query("UPDATE payments SET mint_attempts = 1").execute(&stack.tables).await.unwrap();
    finds(&stack, std::slice::from_ref(&order), &[]).await;

    // A charge that nobody ordered.
    let bill = Bill { value: 5, ..Bill::of(&stack.shop.token, 1) };
    stack.chain.transact(OWNER, stack.shop.asset, buyers[1].sign(bill).transfer.call()).await;
    finds(&stack, std::slice::from_ref(&order), &["A07 charges"]).await;

    // Money in a token's escrow that no payment brought, and units minted for it with a lane's key.
    let gift = UsdcDouble::mintCall { to: order.token, amount: U256::from(DOLLAR) }.abi_encode();
    stack.chain.transact(OWNER, stack.shop.asset, gift.into()).await;
    finds(&stack, std::slice::from_ref(&order), &["A03 escrow"]).await;
    let forged =
        MintToken::batchMintCall { to: vec![OWNER], quantities: vec![1], paymentKeys: vec![B256::repeat_byte(7)] };
    stack.chain.transact(MINTERS[0], order.token, forged.abi_encode().into()).await;
    finds(&stack, std::slice::from_ref(&order), &["A04 keys", "A04 supply", "A12 transactions"]).await;

    // A message that is no event.
    stack.stream.publish("ops.note.1", "{}").await;
    finds(&stack, std::slice::from_ref(&order), &["no schema", "A09 events in the copy"]).await;
}

/// Each of `wanted` begins or occurs in a violation; none is wanted: none is found.
async fn finds(stack: &Stack, orders: &[Order], wanted: &[&str]) {
    let found = stack.violations(orders).await;
    assert_eq!(found.is_empty(), wanted.is_empty(), "{found:?}");
    for wanted in wanted {
        assert!(found.iter().any(|violation| violation.contains(wanted)), "no {wanted:?} in {found:?}");
    }
}
