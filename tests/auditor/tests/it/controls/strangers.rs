//! People beside us: they settle and mint through the token, and pay around it. Our operator puts that right, or
//! another operator does, whose seat [`Stack::appoint_owner`] makes.

use crate::controls::load::Journal;
use alloy::sol_types::SolCall;
use alloy_primitives::{Address, B256, Bytes, U256, Uint};
use chain::abi::{MintToken, TokenFactory};
use harness::{Bill, Buyer, Order, Outcome, Payment, Service, Stack};
use nix::sys::signal::Signal;
use serde_json::json;
use standalone::accounts::OWNER;

/// Blocks after which a block is final: anvil's `finalized` is 64 blocks deep.
const FINAL: u64 = 70;

/// Price of a deployment, atomic units.
const FEE: u64 = 5_000;

/// Orders that somebody else had a hand in, and orders whose money our operator returned.
pub struct Touched {
    /// Paid around the token, recorded by our operator, and minted.
    pub credited: Order,
    /// Refunded by our operator, because a person wanted it.
    pub returned: Order,
    /// Paid around a token that is sold out, and given back by our operator.
    pub given_back: Order,
}

/// Orders that somebody else had a hand in while one of our services was frozen, and orders whose money goes back.
pub async fn with_orders(
    stack: &mut Stack,
    journal: &mut Journal,
    buyers: &[Buyer],
    orders: &mut Vec<Order>,
) -> Touched {
    let token = stack.shop.token.token;
    let [settled, credited, minted, refunded, returned] =
        [0, 1, 2, 3, 4].map(|n: usize| buyers[n].pay(&stack.shop.token, 1));

    stack.process(Service::PaymentSender).signal(Signal::SIGSTOP);
    buy(stack, journal, &settled).await;
    transact(stack, token, settled.settle_call()).await;
    buy(stack, journal, &credited).await;
    transact(stack, stack.shop.asset, credited.transfer.call()).await;
    stack.chain.mine(FINAL).await;
    stack.process(Service::PaymentSender).signal(Signal::SIGCONT);
    let credited = Order::of(&credited).paid_by_third_party();
    orders.extend([Order::of(&settled).paid_by_third_party(), credited.clone()]);
    stack.chain.mining(stack.until_quiet(orders)).await;

    stack.process(Service::MintProjector).signal(Signal::SIGSTOP);
    for payment in [&minted, &refunded, &returned] {
        buy(stack, journal, payment).await;
        stack.chain.mining(stack.until(&Order::of(payment), "payment.confirmed")).await;
    }
    let minted = Order::of(&minted).minted_by_third_party();
    transact(stack, token, minted.mint_call()).await;
    refund(stack, &refunded).await;
    let returned = Order::of(&returned).ends(Outcome::Refunded);
    stack.ask_back(returned.id).await;
    stack.chain.mining(stack.until(&returned, "refund.confirmed")).await;
    stack.process(Service::MintProjector).signal(Signal::SIGCONT);
    orders.extend([minted, Order::of(&refunded).ends(Outcome::Refunded), returned.clone()]);
    stack.chain.mining(stack.until_quiet(orders)).await;

    let given_back = sold_out(stack, journal, buyers, orders).await;
    Touched { credited, returned, given_back }
}

/// A payment around a token of ten units, of which a stranger has six. Our operator cannot record it, and gives it
/// back.
async fn sold_out(stack: &mut Stack, journal: &mut Journal, buyers: &[Buyer], orders: &mut Vec<Order>) -> Order {
    let rare = stack.chain.mining(stack.rare_token()).await;
    let [first, late] = [0, 1].map(|n: usize| buyers[n].pay(&rare, 6));
    transact(stack, rare.token, first.settle_call()).await;
    transact(stack, rare.asset, late.transfer.call()).await;
    buy(stack, journal, &late).await;
    stack.chain.mine(FINAL).await;
    let late = Order::of(&late).ends(Outcome::Refunded);
    orders.push(late.clone());
    stack.chain.mining(stack.until_quiet(orders)).await;
    late
}

/// An order that was paid around the token while no operator of ours was at work: it waits for one.
pub async fn left_alone(stack: &mut Stack, journal: &mut Journal, buyer: &Buyer) -> Payment {
    stack.terminate(Service::Operator).await;
    let around = buyer.pay(&stack.shop.token, 1);
    transact(stack, stack.shop.asset, around.transfer.call()).await;
    buy(stack, journal, &around).await;
    stack.chain.mine(FINAL).await;
    stack.chain.mining(stack.until(&Order::of(&around), "payment.parked.1")).await;
    around
}

/// Payments that nobody ordered, one of each fate, earnings that are paid out, and a token whose deployment was paid. Returns
/// the one that was settled and minted.
pub async fn without_orders(stack: &Stack, buyer: &Buyer) -> Payment {
    let terms = &stack.shop.token;
    let token = terms.token;
    let [open, minted, surplus, credited, returned] = [(); 5].map(|()| buyer.pay(terms, 1));
    transact(stack, token, open.settle_call()).await;
    transact(stack, token, minted.settle_call()).await;
    for around in [&surplus, &credited, &returned] {
        transact(stack, stack.shop.asset, around.transfer.call()).await;
    }
    credit(stack, &credited).await;
    transact(stack, token, mint_call(&[minted.key().0, credited.key().0])).await;
    give_back(stack, &returned).await;
    transact(stack, token, MintToken::withdrawCall {}.abi_encode().into()).await;
    deploy(stack, buyer).await;
    minted
}

async fn buy(stack: &Stack, journal: &mut Journal, payment: &Payment) {
    let answer = journal.buy(stack, payment, payment.v2(), None, false).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

/// A transaction of the owner, who has every seat of the factory, and is an operator beside ours, mined.
async fn transact(stack: &Stack, to: Address, input: Bytes) {
    stack.chain.mining(stack.chain.transact(OWNER, to, input)).await;
}

/// The call with which anybody has recorded units minted.
pub fn mint_call(keys: &[B256]) -> Bytes {
    MintToken::batchMintCall { keys: keys.to_vec() }.abi_encode().into()
}

/// An operator returns the money of a record.
pub async fn refund(stack: &Stack, payment: &Payment) {
    transact(stack, payment.terms.token, payment.refund_call()).await;
}

/// An operator has a payment recorded that went around the token.
pub async fn credit(stack: &Stack, payment: &Payment) {
    transact(stack, payment.terms.token, payment.credit_call()).await;
}

/// An operator returns a payment that went around the token.
pub async fn give_back(stack: &Stack, payment: &Payment) {
    transact(stack, payment.terms.token, payment.give_back_call()).await;
}

/// A token is paid for and created in one transaction.
async fn deploy(stack: &Stack, buyer: &Buyer) {
    let terms = &stack.shop.token;
    let config = TokenFactory::TokenConfig {
        name: "Paid".to_owned(),
        symbol: "PAID".to_owned(),
        unit: terms.unit,
        maxUnits: 5,
        price: terms.unit_price.0,
        creator: OWNER,
        fee: FEE,
        metadataHash: B256::ZERO,
        salt: B256::ZERO,
    };
    let predict: Bytes = TokenFactory::predictTokenCall { config: config.clone() }.abi_encode().into();
    let answer = stack.chain.rpc("eth_call", json!([{ "to": stack.shop.factory, "input": predict }, "latest"])).await;
    let answer: Bytes = answer.as_str().unwrap().parse().unwrap();
    let paid = TokenFactory::predictTokenCall::abi_decode_returns(&answer).unwrap();
    let signed = buyer.sign(Bill { pay_to: paid, value: FEE, ..Bill::of(terms, 1) }).transfer;
    let auth = &signed.authorization;
    let payment = TokenFactory::Payment {
        payer: auth.from,
        validAfter: Uint::from(auth.valid_after),
        validBefore: Uint::from(auth.valid_before),
        nonce: auth.nonce,
        gas: 0,
        signature: Bytes::copy_from_slice(&signed.signature),
    };
    transact(stack, stack.shop.factory, TokenFactory::deployOneCall { config, payment }.abi_encode().into()).await;
    assert_eq!(stack.chain.usdc_of(stack.shop.asset, paid).await, U256::ZERO, "the fee is handed on");
}
