//! Money that goes back: payments around the token are recorded or returned, and a person may return a recorded one.

use crate::forged::ledger;
use alloy::sol_types::SolCall;
use alloy_primitives::U256;
use chain::abi::UsdcDouble;
use domain::event::{ParkReason, Parked};
use domain::order::{Command, decide};
use domain::{Event, TokenTerms};
use harness::{Buyer, DOLLAR, FINAL, Order, Outcome, Payment, Service, Stack, StackOptions, eventually};
use ledger::{Expected, NewEvent};
use runtime::failpoint::{
    AFTER_BROADCAST, BATCH_SENT_NOT_ACKED, BATCH_TAKEN_NOT_SIGNED, REFUNDS_APPENDED_NOT_ACKED,
    REFUNDS_DECIDED_NOT_APPENDED, SIGNED_NOT_BROADCAST,
};
use standalone::accounts::{OPERATORS, OWNER};
use std::time::Duration;

/// A payment that somebody submits to USDC directly, before our lane can send it.
async fn around(stack: &Stack, payment: &Payment) -> Order {
    stack.chain.transact(OWNER, payment.terms.asset, payment.transfer.call()).await;
    let order = stack.accept(payment).await;
    stack.until(&order, "payment.deferred.1").await;
    stack.chain.mine(FINAL).await;
    order
}

async fn usdc(stack: &Stack, buyer: &Buyer) -> U256 {
    stack.chain.usdc_of(stack.shop.asset, buyer.address).await
}

/// An order that is paid, and that nobody mints.
async fn paid(stack: &mut Stack, buyer: &Buyer, quantity: u32) -> Order {
    stack.kill(Service::MintProjector);
    let order = stack.buy(buyer, quantity).await;
    stack.until(&order, "payment.confirmed").await;
    order
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_around_the_token_is_recorded_by_an_operator_and_minted() {
    let stack = Stack::start(StackOptions::default()).await;
    let buyer = stack.buyer(DOLLAR).await;
    let order = around(&stack, &buyer.pay(&stack.shop.token, 5)).await.paid_by_third_party();
    stack.audit(std::slice::from_ref(&order)).await;
    assert!(stack.stream.on(&order.subject("payment.parked.1")).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_around_a_token_that_is_sold_out_comes_back_to_the_cent() {
    let stack = Stack::start(StackOptions::default()).await;
    let rare = stack.rare_token().await;
    let buyers = stack.buyers(2, DOLLAR).await;
    let late = buyers[1].pay(&rare, 6);
    stack.chain.transact(OWNER, rare.asset, late.transfer.call()).await;
    let order = stack.accept(&late).await.ends(Outcome::Refunded);
    // A stranger takes the units meanwhile.
    stack.chain.transact(OWNER, rare.token, buyers[0].pay(&rare, 6).settle_call()).await;
    stack.chain.mine(FINAL).await;
    let asked = stack.until(&order, "refund.requested").await;
    assert_eq!((asked.text("reason"), asked.text("by")), ("sold_out", "operator"));
    stack.audit(std::slice::from_ref(&order)).await;
    assert_eq!(usdc(&stack, &buyers[1]).await, U256::from(DOLLAR));
    assert_eq!(stack.status(order.id).await["state"], "refunded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_returns_a_payment_and_nothing_is_minted_for_it() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let buyer = stack.buyer(DOLLAR).await;
    let order = paid(&mut stack, &buyer, 5).await.ends(Outcome::Refunded);
    stack.ask_back(order.id).await;
    stack.run(Service::MintProjector).await;
    stack.audit(std::slice::from_ref(&order)).await;
    assert_eq!(usdc(&stack, &buyer).await, U256::from(DOLLAR));
    assert!(stack.stream.on(&order.subject("mint.submitted.1")).await.is_none());
}

/// Anybody may have recorded units minted until the money moves. The order ends as the token says.
#[tokio::test(flavor = "multi_thread")]
async fn units_that_a_stranger_mints_before_the_money_goes_back_end_the_order_as_minted() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let buyer = stack.buyer(DOLLAR).await;
    stack.kill(Service::Operator);
    let order = paid(&mut stack, &buyer, 5).await.minted_by_third_party();
    stack.ask_back(order.id).await;
    stack.chain.transact(OWNER, order.token, order.mint_call()).await;
    stack.run(Service::Operator).await;
    stack.until(&order, "mint.confirmed").await;
    stack.run(Service::MintProjector).await;
    stack.audit(std::slice::from_ref(&order)).await;
    let minted = async || Some(stack.status(order.id).await).filter(|status| status["state"] == "minted");
    eventually("its payer is told", minted).await;
    assert!(stack.stream.on(&order.subject("refund.submitted.2")).await.is_none(), "tried once");
}

/// The asset refuses to pay one of two. That one waits, visibly, and is paid when the asset allows it.
#[tokio::test(flavor = "multi_thread")]
async fn a_blacklisted_payer_s_refund_waits_and_holds_nobody_else_s() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let buyers = stack.buyers(2, DOLLAR).await;
    let orders = [paid(&mut stack, &buyers[0], 5).await, paid(&mut stack, &buyers[1], 4).await];
    let [listed, free] = orders.map(|order| order.ends(Outcome::Refunded));
    let blacklist = UsdcDouble::blacklistCall { account: buyers[0].address }.abi_encode();
    stack.chain.transact(OWNER, stack.shop.asset, blacklist.into()).await;
    for order in [&listed, &free] {
        stack.ask_back(order.id).await;
    }
    assert_eq!(stack.until(&listed, "refund.deferred.1").await.text("reason"), "blacklisted");
    stack.until(&free, "refund.confirmed").await;
    let shown = async || Some(stack.status(listed.id).await).filter(|shown| shown["state"] == "refund_deferred");
    eventually("its payer is told", shown).await;
    let allow = UsdcDouble::unBlacklistCall { account: buyers[0].address }.abi_encode();
    stack.chain.transact(OWNER, stack.shop.asset, allow.into()).await;
    stack.run(Service::MintProjector).await;
    stack.audit(&[listed, free]).await;
}

/// A person credits a payment and returns another one, and the chain takes both back. No event about them could be taken back.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_does_by_hand_counts_once_it_is_final() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let buyers = stack.buyers(2, DOLLAR).await;
    let payments: Vec<Payment> = buyers.iter().map(|buyer| buyer.pay(&stack.shop.token, 5)).collect();
    stack.chain.halt().await;
    let mut orders = Vec::new();
    for payment in &payments {
        let charge = stack.chain.send(OWNER, payment.terms.asset, payment.transfer.call()).await;
        stack.chain.mine_until_in_a_block(charge).await;
        let order = stack.accept(payment).await.paid_by_third_party();
        stack.until(&order, "payment.deferred.1").await;
        orders.push(order);
    }
    for service in [Service::PaymentSender, Service::Operator] {
        stack.kill(service);
    }
    let charged = stack.chain.height().await;
    for by_hand in [payments[0].credit_call(), payments[1].give_back_call()] {
        let sent = stack.chain.send(OPERATORS[0], stack.shop.token.token, by_hand).await;
        stack.chain.mine_until_in_a_block(sent).await;
    }
    assert_eq!(usdc(&stack, &buyers[1]).await, U256::from(DOLLAR), "it is back");
    stack.chain.mine(charged + FINAL - stack.chain.height().await).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for order in &orders {
        assert_eq!(stack.status(order.id).await["state"], "deferred", "the payment is final, and the rest is not");
    }
    stack.chain.reorg(stack.chain.height().await - charged).await;
    stack.chain.mine(FINAL).await;
    stack.chain.resume().await;
    for service in [Service::PaymentSender, Service::Operator] {
        stack.run(service).await;
    }
    stack.audit(&orders).await;
    let terms = &stack.shop.token;
    assert_eq!(units(&stack, terms, &buyers[1]).await, U256::from(5) * U256::from(terms.unit));
}

/// Somebody's money is at the token without a record. A forged event does not move it.
#[tokio::test(flavor = "multi_thread")]
async fn r5_a_forged_payment_around_the_token_moves_no_money() {
    let stack = Stack::start(StackOptions::default()).await;
    let (terms, rich) = (stack.shop.token.clone(), stack.buyer(DOLLAR).await);
    let gift = UsdcDouble::mintCall { to: terms.token, amount: U256::from(DOLLAR) }.abi_encode();
    stack.chain.transact(OWNER, terms.asset, gift.into()).await;
    let penniless = Buyer::new();
    let cancelled = penniless.pay(&terms, 5);
    // A spent nonce is no proof of a payment.
    let nonce = cancelled.transfer.authorization.nonce;
    stack.chain.transact(OWNER, terms.asset, penniless.cancellation(&terms, nonce)).await;
    let order = stack.accept(&cancelled).await;
    let ledger = ledger(&stack).await;
    let loaded = ledger.load_order(order.id).await.unwrap();
    let forged = Parked { reason: ParkReason::PaidAroundToken, detail: "forged".to_owned(), tx_hash: None };
    let event = Event::Order(order.id, decide(loaded.state.as_ref(), Command::Park(forged)).unwrap().unwrap());
    ledger.append(&[NewEvent { event, expected: Expected::Version(loaded.version), trace: None }]).await.unwrap();
    // An honest one behind it is served, so the forged one was looked at.
    let honest = around(&stack, &rich.pay(&terms, 5)).await;
    stack.until(&honest, "mint.confirmed").await;
    assert!(stack.stream.on(&order.subject("payment.submitted.1")).await.is_none());
    assert_eq!(usdc(&stack, &penniless).await, U256::ZERO);
    assert_eq!(units(&stack, &terms, &penniless).await, U256::ZERO);
}

async fn units(stack: &Stack, terms: &TokenTerms, buyer: &Buyer) -> U256 {
    stack.chain.tokens_of(terms.token, buyer.address).await
}

#[tokio::test(flavor = "multi_thread")]
async fn c08_c10_a_killed_operator_returns_each_payment_once() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let points = [BATCH_TAKEN_NOT_SIGNED, SIGNED_NOT_BROADCAST, AFTER_BROADCAST, BATCH_SENT_NOT_ACKED];
    let buyers = stack.buyers(points.len(), DOLLAR).await;
    let mut orders = Vec::new();
    for (point, buyer) in points.iter().zip(&buyers) {
        let order = paid(&mut stack, buyer, 3).await.ends(Outcome::Refunded);
        stack.kill(Service::Operator);
        stack.run_with(Service::Operator, &[("PAYMINT_KILL_AT", point.name())]).await;
        stack.ask_back(order.id).await;
        stack.until_killed(Service::Operator, point.name()).await;
        stack.run(Service::Operator).await;
        stack.until(&order, "refund.confirmed").await;
        orders.push(order);
    }
    stack.run(Service::MintProjector).await;
    stack.audit(&orders).await;
    for (order, buyer) in orders.iter().zip(&buyers) {
        assert_eq!(usdc(&stack, buyer).await, U256::from(DOLLAR));
        assert!(stack.stream.on(&order.subject("refund.submitted.2")).await.is_none(), "sent once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c31_a_killed_confirmer_says_once_that_the_money_is_back() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let points = [REFUNDS_DECIDED_NOT_APPENDED, REFUNDS_APPENDED_NOT_ACKED];
    let buyers = stack.buyers(points.len(), DOLLAR).await;
    let mut orders = Vec::new();
    for (point, buyer) in points.iter().zip(&buyers) {
        let order = paid(&mut stack, buyer, 3).await.ends(Outcome::Refunded);
        stack.kill(Service::Confirmer);
        stack.run_with(Service::Confirmer, &[("PAYMINT_KILL_AT", point.name())]).await;
        stack.ask_back(order.id).await;
        stack.until_killed(Service::Confirmer, point.name()).await;
        let is_said = stack.stream.on(&order.subject("refund.confirmed")).await.is_some();
        assert_eq!(is_said, *point == REFUNDS_APPENDED_NOT_ACKED, "{point}");
        stack.run(Service::Confirmer).await;
        stack.until(&order, "refund.confirmed").await;
        orders.push(order);
    }
    stack.run(Service::MintProjector).await;
    stack.audit(&orders).await;
}
