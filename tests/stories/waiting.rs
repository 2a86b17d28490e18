//! Payments that cannot be charged now and may be charged later: they wait, visibly, each with its reason.

use alloy::sol_types::SolCall;
use chain::abi::UsdcDouble;
use harness::{Bill, Buyer, DOLLAR, Instance, Order, Outcome, Service, Stack, StackOptions, eventually};
use standalone::accounts::OWNER;

/// Time enough, whatever happens to the clock.
const LONG_S: u64 = 20_000;

/// D12: USDC asks the code of an account that has some, so an ordinary signature of it is worth nothing.
#[tokio::test(flavor = "multi_thread")]
async fn d12_a_payer_with_code_waits_as_refused_until_its_window_closes_and_no_other_suffers() {
    let mut stack = Stack::start(StackOptions::one_lane_later()).await;
    let terms = stack.shop.token.clone();
    let buyers = stack.buyers(2, DOLLAR).await;
    stack.chain.delegate(buyers[0].address, OWNER).await;
    let smart = stack.accept(&buyers[0].sign(Bill::of(&terms, 7).lasting(300))).await;
    let plain = stack.accept(&buyers[1].sign(Bill::of(&terms, 7).lasting(LONG_S))).await;
    stack.run(Service::PaymentSender).await;
    assert_eq!(stack.until(&smart, "payment.deferred.1").await.text("reason"), "signature_refused");
    stack.until(&plain, "mint.confirmed").await;
    stack.chain.pass_time(400).await;
    stack.audit(&[smart.ends(Outcome::Failed("expired")), plain]).await;
}

/// With money for one of two payments, one is minted immediately, and the other once its money comes.
#[tokio::test(flavor = "multi_thread")]
async fn money_for_one_of_two_pays_for_one_and_the_other_waits_for_more() {
    let mut stack = Stack::start(StackOptions::one_lane_later()).await;
    let terms = stack.shop.token.clone();
    let buyer = stack.buyer(terms.unit_price.0 * 7).await;
    let mut orders = Vec::new();
    for _ in 0..2 {
        orders.push(stack.accept(&buyer.sign(Bill::of(&terms, 7).lasting(LONG_S))).await);
    }
    stack.run(Service::PaymentSender).await;
    let waiting = async || {
        let first = stack.stream.on(&orders[0].subject("payment.deferred.1")).await;
        let second = stack.stream.on(&orders[1].subject("payment.deferred.1")).await;
        first.or(second)
    };
    assert_eq!(eventually("one of the two waits", waiting).await.text("reason"), "unfunded");
    stack.fund(&buyer, DOLLAR).await;
    stack.audit(&orders).await;
}

/// F50: while USDC is paused nobody can be charged, and nobody has failed.
#[tokio::test(flavor = "multi_thread")]
async fn f50_while_usdc_is_paused_payments_wait_and_are_minted_afterwards() {
    let mut stack = Stack::start(StackOptions::one_lane_later()).await;
    let terms = stack.shop.token.clone();
    let buyers = stack.buyers(2, DOLLAR).await;
    stack.chain.transact(OWNER, terms.asset, UsdcDouble::pauseCall {}.abi_encode().into()).await;
    let mut orders = Vec::new();
    for buyer in &buyers {
        orders.push(stack.accept(&buyer.sign(Bill::of(&terms, 7).lasting(LONG_S))).await);
    }
    stack.run(Service::PaymentSender).await;
    for order in &orders {
        assert_eq!(stack.until(order, "payment.deferred.1").await.text("reason"), "asset_paused");
    }
    stack.chain.transact(OWNER, terms.asset, UsdcDouble::unpauseCall {}.abi_encode().into()).await;
    stack.audit(&orders).await;
}

/// Two senders try them, two confirmers judge them, and none is judged twice: those with money are minted, those without
/// fail when their window has closed, and those whose money comes at that very moment do one or the other.
#[tokio::test(flavor = "multi_thread")]
async fn d16_two_senders_and_two_confirmers_agree_on_every_one_of_many_waiting_payments() {
    let mut stack = Stack::start(StackOptions::default().with("MIN_WINDOW_S", 1)).await;
    for service in [Service::PaymentSender, Service::Confirmer] {
        stack.run(Instance(service, 1)).await;
    }
    let buyers: Vec<Buyer> = (0..45).map(|_| Buyer::new()).collect();
    let terms = stack.shop.token.clone();
    let bill = || Bill::of(&terms, 2).lasting(500);
    let mut orders = Vec::new();
    for buyer in &buyers {
        orders.push(stack.accept(&buyer.sign(bill())).await);
    }
    for order in &orders {
        assert_eq!(stack.until(order, "payment.deferred.1").await.text("reason"), "unfunded");
    }
    for buyer in &buyers[..15] {
        stack.fund_soon(buyer, DOLLAR).await;
    }
    stack.until_ended(&orders[..15]).await;
    for buyer in &buyers[15..30] {
        stack.fund_soon(buyer, DOLLAR).await;
    }
    stack.chain.pass_time(600).await;

    let either = async |order: &Order| {
        let ended = async || match stack.stream.on(&order.subject("payment.failed")).await {
            Some(failed) => Some(Some(failed)),
            None => stack.stream.on(&order.subject("mint.confirmed")).await.map(|_| None),
        };
        eventually("the order ends", ended).await
    };
    let mut ended = Vec::new();
    for (nth, order) in orders.into_iter().enumerate() {
        let failed = either(&order).await;
        let reason = failed.as_ref().map(|failed| failed.text("reason"));
        ended.push(match (nth, reason) {
            (0..15, _) | (15..30, None) => order,
            (15..30, Some("expired")) => order.ends(Outcome::Failed("expired")),
            _ => order.ends(Outcome::Failed("unfunded_until_expired")),
        });
    }
    stack.audit(&ended).await;
}
