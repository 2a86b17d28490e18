//! Blocks vanish from under what is in them: before it is deep enough (F38, F39), and after it was counted on (F40, F41).

use alloy::sol_types::SolCall;
use alloy_primitives::{B256, U256};
use chain::abi::UsdcDouble;
use harness::{Bill, DOLLAR, FINAL, Instance, Order, Outcome, Service, Stack, StackOptions, eventually};
use standalone::accounts::OWNER;
use std::time::Duration;

/// N: a transaction with two blocks on it is not confirmed, and `anvil_reorg` takes both away.
const CONFIRMATIONS: u64 = 3;
const DEPTH: u64 = CONFIRMATIONS - 1;

/// The confirmer looks at the head every 50 ms.
const MANY_LOOKS: Duration = Duration::from_millis(500);

fn options() -> StackOptions {
    StackOptions { confirmations: CONFIRMATIONS, ..StackOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn f38_a_reorg_shallower_than_n_confirms_nothing_early_and_the_same_bytes_are_sent_again() {
    let mut stack = Stack::start(options()).await;
    let buyer = stack.buyer(DOLLAR).await;
    stack.chain.halt().await;
    let order = stack.buy(&buyer, 4).await;

    let settlement = sent(&stack, &order, "payment.submitted.1").await;
    let block = lost_and_included_again(&stack, settlement, DEPTH).await;
    let confirmed = stack.until(&order, "payment.confirmed").await;
    assert_eq!(confirmed.text("txHash").parse(), Ok(settlement));
    assert_eq!(confirmed.body["data"]["block"]["hash"], block.to_string(), "confirmed where it is, not where it was");

    let mint = sent(&stack, &order, "mint.submitted.1").await;
    let block = lost_and_included_again(&stack, mint, DEPTH).await;
    let minted = stack.until(&order, "mint.confirmed").await;
    assert_eq!(minted.text("txHash").parse(), Ok(mint));
    assert_eq!(minted.body["data"]["block"]["hash"], block.to_string());

    stack.audit(std::slice::from_ref(&order)).await;
    assert_eq!(names(&stack, &order).await.len(), 5, "one submission each, and nothing was taken back");
    for service in [Service::PaymentSender, Service::MintProjector] {
        assert!(stack.process(service).said().contains("the node lost a transaction"), "{service:?} sent it again");
    }
    assert!(stack.said(Service::Confirmer).contains("the chain was reorganised"));
}

/// The transaction is in another block of the new chain: its depth is counted from there.
#[tokio::test(flavor = "multi_thread")]
async fn f39_a_transaction_that_a_reorg_puts_in_another_block_is_confirmed_n_deep_there() {
    let stack = Stack::start(options()).await;
    let buyer = stack.buyer(DOLLAR).await;
    stack.chain.halt().await;
    let order = stack.buy(&buyer, 4).await;
    let settlement = sent(&stack, &order, "payment.submitted.1").await;
    let before = stack.chain.mine_until_in_a_block(settlement).await;
    stack.chain.mine(DEPTH - 1).await;
    stack.chain.reorg_with(DEPTH, &[(&raw(&stack, settlement).await, DEPTH - 1)]).await;
    let after = stack.chain.receipt(settlement).await.unwrap();
    assert!(after.block_number > before.block_number, "it is in a later block now");
    // One block more would have been enough where it was.
    stack.chain.mine(1).await;
    tokio::time::sleep(MANY_LOOKS).await;
    assert!(stack.stream.on(&order.subject("payment.confirmed")).await.is_none());
    stack.chain.mine(1).await;
    let confirmed = stack.until(&order, "payment.confirmed").await;
    assert_eq!(confirmed.body["data"]["block"]["hash"], after.block_hash.unwrap().to_string());
    stack.chain.resume().await;
    stack.audit(std::slice::from_ref(&order)).await;
}

/// The payment was counted on, its mint not begun: taken back, held, charged again, and minted once.
#[tokio::test(flavor = "multi_thread")]
async fn f40_p1b_a_payment_that_falls_out_before_its_mint_is_held_and_minted_once_it_is_back() {
    let services = vec![Service::Api, Service::PaymentSender, Service::Confirmer, Service::ReadProjector];
    let mut stack = Stack::start(StackOptions { services, ..options() }).await;
    let buyers = stack.buyers(2, DOLLAR).await;
    stack.chain.halt().await;
    let orders = [stack.buy(&buyers[0], 4).await, stack.buy(&buyers[1], 3).await];
    let before = stack.chain.height().await;
    for order in &orders {
        let settlement = sent(&stack, order, "payment.submitted.1").await;
        if stack.chain.receipt(settlement).await.is_none() {
            stack.chain.mine_until_in_a_block(settlement).await;
        }
    }
    stack.chain.mine(CONFIRMATIONS).await;
    for order in &orders {
        stack.until(order, "payment.confirmed").await;
    }
    let head = stack.chain.height().await;
    stack.chain.reorg(head - before).await;
    for order in &orders {
        let reverted = stack.until(order, "payment.reverted.1").await;
        let seen = reverted.body["data"]["head"]["number"].as_u64().unwrap();
        assert!(seen <= head + 2, "noticed within two blocks");
        let shown = async || Some(stack.status(order.id).await).filter(|status| status["state"] == "reverted");
        assert_eq!(eventually("its payer is told", shown).await["status"], "pending");
    }
    // Payments are confirmed in the ledger, and not paid: whoever mints now finds nothing to mint.
    stack.run(Service::MintProjector).await;
    for order in &orders {
        let settlement = sent(&stack, order, "payment.submitted.1").await;
        eventually("its bytes are sent again", async || stack.chain.knows(settlement).await.then_some(())).await;
    }
    let answered = async || (stack.unanswered("mint-projector").await == 0).then_some(());
    eventually("the minter has looked at both", answered).await;
    stack.chain.resume().await;
    for order in &orders {
        let restored = stack.until(order, "payment.restored.1").await;
        assert_eq!(restored.text("txHash").parse(), Ok(sent(&stack, order, "payment.submitted.1").await));
        assert!(stack.until(order, "mint.submitted.1").await.seq > restored.seq, "held until it was back");
    }
    stack.audit(&orders).await;
    assert!(stack.said(Service::Confirmer).contains("a confirmed transaction fell out of the chain"));
    closed(&stack).await;
}

/// The mint was there, too. The contract mints a key once, whatever is sent again, in whatever order.
#[tokio::test(flavor = "multi_thread")]
async fn f40_p1b_a_payment_and_its_mint_that_fall_out_together_come_back_and_are_minted_once() {
    let mut stack = Stack::start(options()).await;
    // Two that watch write the same once (D16).
    stack.run(Instance(Service::Confirmer, 1)).await;
    let buyers = stack.buyers(2, DOLLAR).await;
    stack.chain.halt().await;
    let orders = [stack.buy(&buyers[0], 4).await, stack.buy(&buyers[1], 3).await];
    for order in &orders {
        sent(&stack, order, "payment.submitted.1").await;
    }
    let mut blocks = 0;
    for order in &orders {
        blocks += mine_until(&stack, order, "mint.confirmed").await;
    }
    assert!(blocks < FINAL, "nothing of it is final: {blocks}");
    stack.chain.reorg(blocks).await;
    for order in &orders {
        stack.until(order, "payment.reverted.1").await;
        stack.until(order, "mint.reverted.1").await;
    }
    // Whoever comes now goes on from what the ledger says.
    for service in [Service::Confirmer, Service::PaymentSender, Service::MintProjector] {
        stack.kill(service);
        stack.run(service).await;
    }
    stack.chain.resume().await;
    for order in &orders {
        stack.until(order, "payment.restored.1").await;
        stack.until(order, "mint.restored.1").await;
    }
    let orders: Vec<Order> = orders.into();
    stack.audit(&orders).await;
    closed(&stack).await;
    stack.rebuilt_read_models_equal_the_live_ones(&orders).await;
}

/// The crafted worst: the payment is gone and cancelled, and its mint comes back alone. A token mints what it has recorded
/// on this chain, so it mints nothing.
#[tokio::test(flavor = "multi_thread")]
async fn f41_p1b_a_mint_that_comes_back_without_its_payment_mints_nothing() {
    let mut stack = Stack::start(options()).await;
    let terms = stack.shop.token.clone();
    let buyer = stack.buyer(DOLLAR).await;
    stack.chain.halt().await;
    let payment = buyer.pay(&terms, 4);
    let order = stack.accept(&payment).await;
    let blocks = mine_until(&stack, &order, "mint.confirmed").await;
    let mint = raw(&stack, sent(&stack, &order, "mint.submitted.1").await).await;
    for service in [Service::PaymentSender, Service::MintProjector] {
        stack.kill(service);
    }
    stack.chain.reorg_with(blocks, &[(&mint, 0)]).await;
    stack.until(&order, "payment.reverted.1").await;
    stack.until(&order, "mint.reverted.1").await;
    assert_eq!(stack.until(&order, "mint.deferred.1").await.text("reason"), "unpaid");
    assert_eq!(stack.chain.supply_of(terms.token).await, U256::ZERO);

    let cancelled = buyer.cancellation(&terms, payment.transfer.authorization.nonce);
    stack.chain.send(OWNER, terms.asset, cancelled).await;
    stack.chain.mine(1).await;
    for service in [Service::PaymentSender, Service::MintProjector] {
        stack.run(service).await;
    }
    let settlement = sent(&stack, &order, "payment.submitted.1").await;
    eventually("its bytes are sent again", async || stack.chain.knows(settlement).await.then_some(())).await;
    stack.chain.resume().await;
    stack.chain.mine(FINAL + 1).await;
    assert_eq!(stack.until(&order, "payment.failed").await.text("reason"), "cancelled");
    stack.audit(&[order.ends(Outcome::Failed("cancelled"))]).await;
    assert_eq!(stack.chain.usdc_of(terms.asset, buyer.address).await, U256::from(DOLLAR));
}

/// A person asked for the money back, and then the payment fell out of the chain and could not be charged again. It could be
/// charged later. Nobody does that, the payments of others go on, and the order ends with its window.
#[tokio::test(flavor = "multi_thread")]
async fn f40_a_payment_that_is_to_go_back_and_falls_out_is_not_charged_again_and_holds_up_nobody() {
    let services = vec![Service::Api, Service::PaymentSender, Service::Confirmer, Service::ReadProjector];
    let mut stack = Stack::start(StackOptions { services, ..options() }).await;
    let terms = stack.shop.token.clone();
    let buyers = stack.buyers(2, DOLLAR).await;
    stack.chain.halt().await;
    let order = stack.accept(&buyers[0].sign(Bill::of(&terms, 4).lasting(600))).await;
    let settlement = sent(&stack, &order, "payment.submitted.1").await;
    let blocks = mine_until(&stack, &order, "payment.confirmed").await;
    stack.ask_back(order.id).await;
    stack.until(&order, "refund.requested").await;

    stack.kill(Service::PaymentSender);
    stack.chain.reorg(blocks).await;
    let account = buyers[0].address;
    stack.chain.send(OWNER, terms.asset, UsdcDouble::blacklistCall { account }.abi_encode().into()).await;
    stack.chain.mine(1).await;
    stack.until(&order, "payment.reverted.1").await;
    stack.run(Service::PaymentSender).await;
    eventually("its bytes are sent again", async || stack.chain.knows(settlement).await.then_some(())).await;
    stack.chain.resume().await;
    stack.until(&order, "payment.deferred.1").await;
    stack.chain.send(OWNER, terms.asset, UsdcDouble::unBlacklistCall { account }.abi_encode().into()).await;

    stack.run(Service::MintProjector).await;
    stack.run(Service::Operator).await;
    let other = stack.buy(&buyers[1], 3).await;
    stack.until(&other, "mint.confirmed").await;
    stack.chain.pass_time(700).await;
    stack.chain.mine(FINAL + 1).await;
    assert_eq!(stack.until(&order, "payment.failed").await.text("reason"), "expired");
    assert!(stack.stream.on(&order.subject("payment.submitted.2")).await.is_none(), "it was not charged again");
    stack.audit(&[order.ends(Outcome::Failed("expired")), other]).await;
}

/// Failed is never taken back, so what is dead N deep only waits: a reorganisation takes the cancellation away, and the
/// block past the window, and both payments are charged after all.
#[tokio::test(flavor = "multi_thread")]
async fn f40_r2_what_is_dead_n_deep_and_not_final_waits_and_is_minted_when_a_reorg_revives_it() {
    let stack = Stack::start(options()).await;
    let Dead { orders, death, settlement } = dead(&stack).await;
    stack.chain.mine(CONFIRMATIONS + 1).await;
    wait_unfailed(&stack, &orders).await;
    stack.chain.reorg(stack.chain.height().await - death + 1).await;
    stack.chain.resume().await;
    // The transaction that failed to charge is gone as well, and a lane's nonce comes back by itself.
    eventually("the settlement is in a block again", async || stack.chain.receipt(settlement).await).await;
    stack.audit(&orders).await;
}

/// Expired up to the last block before the final one, and failed with it.
#[tokio::test(flavor = "multi_thread")]
async fn r2_a08_what_is_dead_is_failed_with_the_final_block_and_not_one_before() {
    let stack = Stack::start(options()).await;
    let Dead { orders, death, .. } = dead(&stack).await;
    stack.chain.mine(FINAL - 1).await;
    wait_unfailed(&stack, &orders).await;
    stack.chain.mine(1).await;
    for (order, reason) in orders.iter().zip(["expired", "cancelled"]) {
        let failed = stack.until(order, "payment.failed").await;
        assert_eq!((failed.text("reason"), &failed.body["data"]["block"]["number"]), (reason, &death.into()));
    }
    let [expired, cancelled] = orders;
    let orders = [expired.ends(Outcome::Failed("expired")), cancelled.ends(Outcome::Failed("cancelled"))];
    stack.chain.resume().await;
    stack.audit(&orders).await;
}

/// Two payments that died in one block.
struct Dead {
    orders: [Order; 2],
    /// Number of that block.
    death: u64,
    /// The transaction in which the first was not charged.
    settlement: B256,
}

/// Two payments die in the latest block of a halted chain: one expires in its own transaction, the other was cancelled
/// before anybody tried it.
async fn dead(stack: &Stack) -> Dead {
    let terms = stack.shop.token.clone();
    let buyers = stack.buyers(2, DOLLAR).await;
    stack.chain.halt().await;
    let expired = stack.accept(&buyers[0].sign(Bill::of(&terms, 4).lasting(300))).await;
    let settlement = sent(stack, &expired, "payment.submitted.1").await;
    eventually("it is sent", async || stack.chain.knows(settlement).await.then_some(())).await;
    let payment = buyers[1].sign(Bill::of(&terms, 3).lasting(20_000));
    let cancellation = buyers[1].cancellation(&terms, payment.transfer.authorization.nonce);
    stack.chain.send(OWNER, terms.asset, cancellation).await;
    stack.chain.pass_time(400).await;
    let death = stack.chain.height().await;
    assert_eq!(stack.chain.receipt(settlement).await.unwrap().block_number, Some(death));
    Dead { orders: [expired, stack.accept(&payment).await], death, settlement }
}

/// The confirmer has asked twice about all waiting orders.
const TWO_ROUNDS: Duration = Duration::from_secs(5);

/// The payments wait, each with its reason; looked at several times they are neither failed nor tried with gas.
async fn wait_unfailed(stack: &Stack, orders: &[Order; 2]) {
    let [expired, cancelled] = orders;
    let reason = async |order, event| stack.until(order, event).await.text("reason").to_owned();
    assert_eq!(reason(expired, "payment.deferred.1").await, "unexplained", "the token says only that it failed");
    assert_eq!(reason(expired, "payment.deferred.2").await, "authorization_expired");
    assert_eq!(reason(cancelled, "payment.deferred.1").await, "authorization_used_or_cancelled");
    tokio::time::sleep(TWO_ROUNDS).await;
    assert_eq!(names(stack, expired).await.len(), 4, "requested, submitted once, deferred for two reasons");
    assert_eq!(names(stack, cancelled).await.len(), 2, "requested, deferred once");
}

/// Mines blocks one by one until the event is there; answers how many.
async fn mine_until(stack: &Stack, order: &Order, event: &str) -> u64 {
    let mut blocks = 0;
    while stack.stream.on(&order.subject(event)).await.is_none() {
        assert!(blocks < FINAL - 1, "{event} comes before its payment is final");
        stack.chain.mine(1).await;
        blocks += 1;
        tokio::time::sleep(MANY_LOOKS).await;
    }
    blocks
}

/// Every used nonce is in a final block, and nobody watches any more.
async fn closed(stack: &Stack) {
    stack.chain.mine(FINAL + 4).await;
    let closed = async || (stack.unanswered("confirmer-watch").await == 0).then_some(());
    eventually("all of it is final, and closed", closed).await;
}

/// The transaction that an event of the order names.
async fn sent(stack: &Stack, order: &Order, event: &str) -> B256 {
    stack.until(order, event).await.text("txHash").parse().unwrap()
}

/// The bytes of a transaction, as the ledger has them.
async fn raw(stack: &Stack, hash: B256) -> String {
    let entries = stack.stream.all().await;
    let signed =
        entries.iter().find(|entry| entry.subject.contains(".signed.") && entry.text("txHash").parse() == Ok(hash));
    signed.unwrap().text("rawTx").to_owned()
}

async fn names(stack: &Stack, order: &Order) -> Vec<String> {
    stack.history(order).await.into_iter().map(|entry| entry.subject).collect()
}

/// Includes the transaction `depth` blocks deep, reorganises all of them away, waits until the node has the same
/// transaction again, and buries it under N blocks. Answers with the block that counts.
async fn lost_and_included_again(stack: &Stack, hash: B256, depth: u64) -> B256 {
    eventually("the transaction is sent", async || stack.chain.knows(hash).await.then_some(())).await;
    stack.chain.mine(depth).await;
    tokio::time::sleep(MANY_LOOKS).await;
    let orphan = stack.chain.receipt(hash).await.unwrap().block_hash.unwrap();
    stack.chain.reorg(depth).await;
    assert!(stack.chain.receipt(hash).await.is_none(), "its block is gone");
    eventually("it is sent again", async || stack.chain.knows(hash).await.then_some(())).await;
    stack.chain.mine(CONFIRMATIONS).await;
    let block = stack.chain.receipt(hash).await.unwrap().block_hash.unwrap();
    assert_ne!(block, orphan);
    block
}
