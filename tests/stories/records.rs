//! Records without an order: somebody settles a payment directly, and nobody orders it here. Nobody can hold a token's supply
//! with that: the units are taken at the door, and our minter mints them, last in line and within its budget.

use alloy::sol_types::SolCall;
use alloy_primitives::U256;
use chain::abi::MintToken;
use harness::{Bill, DOLLAR, FINAL, Outcome, Payment, Service, Stack, StackOptions, eventually};
use serde_json::Value;
use standalone::accounts::OWNER;

/// A stranger settles the payment through its token. The block is final when this returns.
async fn settle(stack: &Stack, payment: &Payment) {
    stack.chain.transact(OWNER, payment.terms.token, payment.settle_call()).await;
    stack.chain.mine(FINAL).await;
}

fn subject(payment: &Payment, name: &str) -> String {
    format!("records.{}.{}.{name}", payment.id().shard(), payment.id())
}

/// Waits for an event of the record of this payment.
async fn told(stack: &Stack, payment: &Payment, name: &str) -> Value {
    let on = subject(payment, name);
    let told = eventually(&on, async || stack.stream.on(&on).await).await;
    told.body["data"].clone()
}

/// Waits until the record is minted, and the ledger says so.
async fn minted(stack: &Stack, payment: &Payment) {
    told(stack, payment, "minted").await;
    assert!(units_of(stack, payment).await >= U256::from(payment.quantity));
}

/// Units of the payment's token that its payer has.
async fn units_of(stack: &Stack, payment: &Payment) -> U256 {
    let payer = payment.transfer.authorization.from;
    stack.chain.tokens_of(payment.terms.token, payer).await / U256::from(payment.terms.unit)
}

/// Waits until the door says that so many units of the payment's token are taken.
async fn taken(stack: &Stack, payment: &Payment, units: u64) {
    let path = format!("/api/tokens/{}", payment.terms.token);
    let left = (payment.terms.max_units - units).to_string();
    let said = async || (stack.get(&path).await.json["unitsLeft"] == left).then_some(());
    eventually(&format!("the door says that {units} units are taken"), said).await;
}

async fn open_nothing(mut options: StackOptions, without: &[Service]) -> Stack {
    options.services.retain(|service| !without.contains(service));
    let mut stack = Stack::start(options).await;
    stack.no_open_records();
    stack
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_nobody_ordered_is_minted_and_its_payer_may_order_it_afterwards() {
    let mut stack = open_nothing(StackOptions::default(), &[]).await;
    let payment = stack.buyer(DOLLAR).await.pay(&stack.shop.token, 5);
    settle(&stack, &payment).await;
    let found = told(&stack, &payment, "found").await;
    assert_eq!((&found["quantity"], &found["paymentKey"]), (&5.into(), &payment.key().to_string().into()));
    taken(&stack, &payment, 5).await;
    minted(&stack, &payment).await;
    taken(&stack, &payment, 5).await;
    stack.audit(&[]).await;

    let order = stack.accept(&payment).await.paid_by_third_party().minted_by_third_party();
    stack.audit(std::slice::from_ref(&order)).await;
    assert_eq!(units_of(&stack, &payment).await, U256::from(5), "minted once");
    taken(&stack, &payment, 5).await;
    stack.rebuilt_read_models_equal_the_live_ones(std::slice::from_ref(&order)).await;
}

/// The order is for one unit, and somebody settles five. The nonce is used, so the order can never be charged.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_payments_with_one_nonce_the_settled_one_is_minted_and_the_ordered_one_fails_uncharged() {
    let mut stack = open_nothing(StackOptions::default(), &[Service::PaymentSender]).await;
    let buyer = stack.buyer(DOLLAR).await;
    let settled = buyer.pay(&stack.shop.token, 5);
    let nonce = settled.transfer.authorization.nonce;
    let ordered = buyer.sign(Bill { nonce, ..Bill::of(&stack.shop.token, 1) });
    let order = stack.accept(&ordered).await.ends(Outcome::Failed("used_elsewhere"));
    taken(&stack, &ordered, 1).await;
    settle(&stack, &settled).await;
    minted(&stack, &settled).await;
    stack.run(Service::PaymentSender).await;
    let deferred = stack.until(&order, "payment.deferred.1").await;
    assert_eq!(deferred.text("reason"), "authorization_used_or_cancelled");
    stack.audit(std::slice::from_ref(&order)).await;
    assert!(stack.stream.on(&order.subject("payment.submitted.2")).await.is_none(), "one transaction is enough");
    let (terms, money) = (&settled.terms, settled.transfer.authorization.value.0);
    assert_eq!(stack.chain.usdc_of(terms.asset, terms.token).await, U256::from(money));
    assert_eq!(units_of(&stack, &settled).await, U256::from(5));
    taken(&stack, &settled, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_minted_although_the_minter_dies_after_it_was_found() {
    let mut stack = open_nothing(StackOptions::default(), &[Service::MintProjector]).await;
    stack.run_with(Service::MintProjector, &[("MINT_MAX_WAIT_MS", "60000")]).await;
    let payment = stack.buyer(DOLLAR).await.pay(&stack.shop.token, 5);
    settle(&stack, &payment).await;
    told(&stack, &payment, "found").await;
    stack.kill(Service::MintProjector);
    assert_eq!(units_of(&stack, &payment).await, U256::ZERO);
    stack.run(Service::MintProjector).await;
    minted(&stack, &payment).await;
    stack.audit(&[]).await;
}

/// Both are written down at once, and cost our minter nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_stranger_settled_and_minted_is_found_minted() {
    let mut stack = open_nothing(StackOptions::default(), &[Service::MintProjector]).await;
    let payment = stack.buyer(DOLLAR).await.pay(&stack.shop.token, 5);
    settle(&stack, &payment).await;
    let mint = MintToken::batchMintCall { keys: vec![payment.key().0] }.abi_encode();
    stack.chain.transact(OWNER, payment.terms.token, mint.into()).await;
    stack.chain.mine(FINAL).await;
    stack.run(Service::MintProjector).await;
    minted(&stack, &payment).await;
    taken(&stack, &payment, 5).await;
    stack.audit(&[]).await;
    let entries = stack.stream.all().await;
    assert!(entries.iter().all(|entry| !entry.subject.contains(".mint.signed.")), "no transaction of ours");
}

/// A week after the payment its payer may take the money back, if nobody has minted the units by then.
#[tokio::test(flavor = "multi_thread")]
async fn the_units_of_a_record_whose_payer_took_the_money_back_are_free_again() {
    let mut stack = open_nothing(StackOptions::default(), &[Service::MintProjector]).await;
    stack.run_with(Service::MintProjector, &[("MINT_MAX_WAIT_MS", "600000")]).await;
    let buyer = stack.buyer(DOLLAR).await;
    let payment = buyer.pay(&stack.shop.token, 5);
    settle(&stack, &payment).await;
    taken(&stack, &payment, 5).await;
    stack.chain.pass_time(7 * 24 * 3_600 + 1).await;
    let refund = MintToken::refundCall { keys: vec![payment.key().0] }.abi_encode();
    stack.chain.transact_as(buyer.address, payment.terms.token, refund.into()).await;
    stack.chain.mine(FINAL).await;
    told(&stack, &payment, "returned").await;
    taken(&stack, &payment, 0).await;
    stack.audit(&[]).await;
    assert_eq!(units_of(&stack, &payment).await, U256::ZERO);
}

/// The budget is enough for a transaction with one record. Two records of one token have to wait for an order of that token.
#[tokio::test(flavor = "multi_thread")]
async fn records_of_a_token_over_its_budget_wait_for_an_order_and_those_of_other_tokens_go_on() {
    let options = StackOptions::default().with("RECORD_GAS_PER_DAY", 160_000);
    let mut stack = open_nothing(options, &[Service::MintProjector]).await;
    let rare = stack.rare_token().await;
    let buyers = stack.buyers(3, DOLLAR).await;
    let waiting = [buyers[0].pay(&stack.shop.token, 1), buyers[1].pay(&stack.shop.token, 2)];
    let other = buyers[2].pay(&rare, 3);
    for payment in waiting.iter().chain([&other]) {
        settle(&stack, payment).await;
    }
    stack.run(Service::MintProjector).await;
    minted(&stack, &other).await;
    for payment in &waiting {
        told(&stack, payment, "found").await;
        assert_eq!(units_of(&stack, payment).await, U256::ZERO);
    }
    let order = stack.buy(&buyers[2], 1).await;
    for payment in &waiting {
        minted(&stack, payment).await;
    }
    stack.audit(std::slice::from_ref(&order)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_budget_nothing_is_found_and_orders_are_minted() {
    let options = StackOptions::default().with("RECORD_GAS_PER_DAY", 0);
    let stack = Stack::start(options).await;
    let buyers = stack.buyers(2, DOLLAR).await;
    let payment = buyers[0].pay(&stack.shop.token, 5);
    settle(&stack, &payment).await;
    let order = stack.buy(&buyers[1], 1).await;
    stack.until(&order, "mint.confirmed").await;
    stack.chain.mine(FINAL).await;
    stack.audit(std::slice::from_ref(&order)).await;
    assert!(stack.stream.on(&subject(&payment, "found")).await.is_none());
    assert_eq!(units_of(&stack, &payment).await, U256::ZERO);
}
