//! Nodes as providers offer them: they search few blocks at a time, keep few states, and on the OP stack a stranger's
//! transaction may be a deposit.

use faults::{ANY, Fault, RpcProxy, Rule};
use harness::{Bill, Buyer, DOLLAR, FINAL, Order, Outcome, Payment, Service, Stack, StackOptions, eventually};
use standalone::accounts::OWNER;

/// Blocks before the story begins. A search from the first block would be refused.
const BEFORE: u64 = 300;

/// Time enough, whatever happens to the clock.
const LONG_S: u64 = 20_000;

/// Every service but the sender, behind such a provider.
async fn behind_a_hosted_node() -> (Stack, RpcProxy) {
    let options = StackOptions::one_lane_later();
    let services = options.services.clone();
    let mut stack = Stack::start(StackOptions { services: Vec::new(), ..options }).await;
    stack.chain.mine(BEFORE).await;
    let node = stack.proxy_node().await;
    let message = "please limit the query to at most 10 blocks";
    node.set(Rule::on("eth_getLogs", Fault::LogLimit { blocks: 10, code: -32_005, message }));
    node.set(Rule::on("eth_getTransactionReceipt", Fault::Deposits));
    node.set(Rule::on(ANY, Fault::StatesKept(12)));
    for service in services {
        stack.run(service).await;
    }
    (stack, node)
}

async fn accept(stack: &Stack, buyers: &[Buyer], window_s: u64) -> (Vec<Payment>, Vec<Order>) {
    let terms = &stack.shop.token;
    let payments: Vec<Payment> = buyers.iter().map(|buyer| buyer.sign(Bill::of(terms, 7).lasting(window_s))).collect();
    let mut orders = Vec::new();
    for payment in &payments {
        orders.push(stack.accept(payment).await);
    }
    (payments, orders)
}

/// Between signature and block one payment of the batch is submitted around the token, and one is cancelled. Another order
/// expires without money.
#[tokio::test(flavor = "multi_thread")]
async fn the_charged_payments_of_a_batch_are_minted_and_each_other_payment_is_decided_by_itself() {
    let (mut stack, node) = behind_a_hosted_node().await;
    let buyers = stack.buyers(8, DOLLAR).await;
    let poor = [Buyer::new()];
    let (_, expired) = accept(&stack, &poor, 120).await;
    stack.chain.halt().await;
    let (payments, orders) = accept(&stack, &buyers, LONG_S).await;
    stack.run(Service::PaymentSender).await;
    let hash = stack.until(&orders[0], "payment.submitted.1").await.text("txHash").parse().unwrap();
    for order in &orders {
        assert_eq!(stack.until(order, "payment.submitted.1").await.text("txHash").parse(), Ok(hash), "one batch");
    }

    assert_eq!(stack.until(&expired[0], "payment.deferred.1").await.text("reason"), "unfunded");
    stack.kill(Service::PaymentSender);
    stack.chain.drop_from_pool(hash).await;
    stack.chain.send(OWNER, stack.shop.asset, payments[0].transfer.call()).await;
    let cancellation = buyers[1].cancellation(&stack.shop.token, payments[1].transfer.authorization.nonce);
    stack.chain.send(OWNER, stack.shop.asset, cancellation).await;
    stack.chain.pass_time(200).await;
    stack.run(Service::PaymentSender).await;
    eventually("the same bytes are sent again", async || stack.chain.knows(hash).await.then_some(())).await;
    stack.chain.resume().await;
    for order in &orders[2..] {
        stack.until(order, "payment.confirmed").await;
    }
    stack.chain.mine(FINAL).await;
    stack.run(Service::Operator).await;

    let mut all = orders;
    all.extend(expired);
    let ends = |index: usize, order: Order| match index {
        0 => order.paid_by_third_party(),
        1 => order.ends(Outcome::Failed("cancelled")),
        8 => order.ends(Outcome::Failed("unfunded_until_expired")),
        _ => order,
    };
    let all: Vec<Order> = all.into_iter().enumerate().map(|(index, order)| ends(index, order)).collect();
    stack.audit(&all).await;
    assert!(stack.stream.on(&all[0].subject("payment.parked.1")).await.is_some());
    let said = stack.said(Service::Confirmer);
    assert!(!said.contains("the provider rests"), "a limit is no failure");
    let asked = node.asked("eth_getLogs");
    assert!(asked < 400, "{asked} searches");
}
