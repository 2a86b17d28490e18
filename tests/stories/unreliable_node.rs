//! One RPC provider that loses, delays, garbles and lies, as providers do: nothing is decided by it, nothing is signed
//! twice, and when it is honest again, or long before, everything is paid and minted once.

use alloy_primitives::B256;
use faults::{ANY, Fault, RpcProxy, Rule, RuleId};
use futures_util::future::join_all;
use harness::{Buyer, DOLLAR, Order, Service, Stack, StackOptions, eventually};
use serde_json::json;
use standalone::accounts::SENDER_KEYS;
use std::time::{Duration, Instant};

const SEND: &str = "eth_sendRawTransaction";
const RECEIPT: &str = "eth_getTransactionReceipt";

/// F45: a gap is closed by then, with blocks as fast as here.
const GAP_FILLED: Duration = Duration::from_secs(30);

/// Every service, with one provider.
async fn behind_a_provider(options: StackOptions) -> (Stack, RpcProxy) {
    let mut stack = Stack::start(StackOptions { services: Vec::new(), ..options }).await;
    let node = stack.proxy_node().await;
    stack.run_all().await;
    (stack, node)
}

async fn buy(stack: &Stack, buyers: &[Buyer]) -> Vec<Order> {
    join_all(buyers.iter().map(|buyer| stack.buy(buyer, 2))).await
}

fn all_hit(node: &RpcProxy, rules: &[(RuleId, Fault)]) {
    for (rule, fault) in rules {
        assert!(node.hits(*rule) > 0, "{fault:?} never hit");
    }
}

/// F28: it is gone, in the middle of everything. Payments are taken, and nobody is judged.
#[tokio::test(flavor = "multi_thread")]
async fn f28_while_the_provider_is_gone_payments_are_accepted_and_nothing_is_decided() {
    let (stack, node) = behind_a_provider(StackOptions::default()).await;
    let buyers = stack.buyers(6, DOLLAR).await;
    let mut orders = buy(&stack, &buyers[..3]).await;
    stack.until(&orders[0], "payment.submitted.1").await;
    let gone = node.set(Rule::on(ANY, Fault::DropRequest));
    orders.extend(buy(&stack, &buyers[3..]).await);
    let in_vain = async || stack.said(Service::PaymentSender).contains("the lane pauses").then_some(());
    eventually("the sender has asked in vain", in_vain).await;
    eventually("everybody has", async || (node.hits(gone) > 20).then_some(())).await;
    node.heal();
    stack.audit(&orders).await;
}

/// F29: too many requests. Whoever is told to wait is not told so again and again.
#[tokio::test(flavor = "multi_thread")]
async fn f29_a_provider_that_limits_its_callers_delays_and_decides_nothing() {
    let (stack, node) = behind_a_provider(StackOptions::default()).await;
    let buyers = stack.buyers(6, DOLLAR).await;
    let mut orders = buy(&stack, &buyers[..3]).await;
    let limited = Fault::Status { code: 429, retry_after_s: Some(1) };
    let all = node.set(Rule::on(ANY, limited.clone()));
    orders.extend(buy(&stack, &buyers[3..]).await);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(node.hits(all) > 0);
    node.lift(all);
    // Then only now and then.
    let some = node.set(Rule::on(ANY, limited).percent(2));
    stack.until_ended(&orders).await;
    eventually("one is limited", async || (node.hits(some) > 0).then_some(())).await;
    node.heal();
    stack.audit(&orders).await;
}

/// F30: it has the transaction, and nobody heard so.
#[tokio::test(flavor = "multi_thread")]
async fn f30_c08_an_answer_that_is_lost_after_the_broadcast_sends_the_same_bytes_again_at_most() {
    let (stack, node) = behind_a_provider(StackOptions::default()).await;
    let buyers = stack.buyers(6, DOLLAR).await;
    let lost = [
        Rule::on(SEND, Fault::DropResponse).first(3),
        Rule::on(SEND, Fault::DropRequest).first(1),
        Rule::on(ANY, Fault::DropResponse).percent(5),
    ]
    .map(|rule| (node.set(rule.clone()), rule.fault));
    let orders = buy(&stack, &buyers).await;
    stack.until_ended(&orders).await;
    all_hit(&node, &lost);
    node.heal();
    only_what_was_signed(&stack, &node).await;
    stack.audit(&orders).await;
}

/// F31: what is no answer decides nothing.
#[tokio::test(flavor = "multi_thread")]
async fn f31_pages_halves_strangers_and_floods_are_no_answers() {
    let (stack, node) = behind_a_provider(StackOptions::default()).await;
    let buyers = stack.buyers(6, DOLLAR).await;
    let garbage = [
        Fault::Status { code: 503, retry_after_s: None },
        Fault::Html,
        Fault::Truncated,
        Fault::WrongId,
        Fault::Oversized(9 * 1024 * 1024),
    ];
    let mut rules = Vec::new();
    for fault in garbage {
        for rule in [Rule::on(SEND, fault.clone()).first(1), Rule::on(RECEIPT, fault.clone()).first(1)] {
            rules.push((node.set(rule), fault.clone()));
        }
        rules.push((node.set(Rule::on(ANY, fault.clone()).percent(1)), fault));
    }
    let orders = buy(&stack, &buyers).await;
    stack.until_ended(&orders).await;
    node.heal();
    all_hit(&node, &rules[..2]);
    only_what_was_signed(&stack, &node).await;
    stack.audit(&orders).await;
}

/// F34, F35: now it is two blocks behind, now it is not; a receipt is there, and then it is not.
#[tokio::test(flavor = "multi_thread")]
async fn f34_f35_a_view_that_comes_and_goes_confirms_nothing_early_and_drops_nothing() {
    let options = StackOptions { confirmations: 3, ..StackOptions::default() };
    let (stack, node) = behind_a_provider(options).await;
    let buyers = stack.buyers(6, DOLLAR).await;
    let rules = [
        Rule::on("eth_getTransactionByHash", Fault::Null).percent(50),
        Rule::on(RECEIPT, Fault::Null).percent(40),
        Rule::on(ANY, Fault::Behind(2)).percent(20),
    ]
    .map(|rule| (node.set(rule.clone()), rule.fault));
    // Without a block the lanes look whether the node still has what they sent: now it has, now it has not.
    stack.chain.halt().await;
    let orders = buy(&stack, &buyers).await;
    let denied = async || (node.hits(rules[0].0) > 1).then_some(());
    eventually("the node denies what it has", denied).await;
    stack.chain.resume().await;
    stack.until_ended(&orders).await;
    all_hit(&node, &rules);
    node.heal();
    for order in &orders {
        for name in ["payment.confirmed", "mint.confirmed"] {
            let event = stack.until(order, name).await;
            let hash: B256 = event.text("txHash").parse().unwrap();
            let receipt = stack.chain.receipt(hash).await.unwrap();
            assert_eq!(event.body["data"]["block"]["hash"], receipt.block_hash.unwrap().to_string(), "{name}");
        }
    }
    only_what_was_signed(&stack, &node).await;
    stack.audit(&orders).await;
}

/// F32: said of a nonce that is not used.
#[tokio::test(flavor = "multi_thread")]
async fn f32_a_false_nonce_too_low_signs_no_payment_for_another_nonce() {
    let (stack, node) = behind_a_provider(StackOptions::default()).await;
    let buyers = stack.buyers(3, DOLLAR).await;
    let false_words = node.set(Rule::on(SEND, Fault::nonce_too_low()).first(3));
    let orders = buy(&stack, &buyers).await;
    stack.until_ended(&orders).await;
    assert_eq!(node.hits(false_words), 3);
    for order in &orders {
        assert_eq!(stack.history(order).await.len(), 5, "one submission each");
    }
    only_what_was_signed(&stack, &node).await;
    stack.audit(&orders).await;
}

/// F43: accepted, and in no pool.
#[tokio::test(flavor = "multi_thread")]
async fn f43_what_the_provider_forgets_is_sent_again_with_the_same_bytes() {
    let (stack, node) = behind_a_provider(StackOptions::default()).await;
    let buyers = stack.buyers(3, DOLLAR).await;
    let forgotten = node.set(Rule::on(SEND, Fault::Swallow).first(3));
    let orders = buy(&stack, &buyers).await;
    stack.until_ended(&orders).await;
    assert_eq!(node.hits(forgotten), 3);
    for order in &orders {
        assert_eq!(stack.history(order).await.len(), 5, "one submission each");
    }
    only_what_was_signed(&stack, &node).await;
    stack.audit(&orders).await;
}

/// F45, F33: a nonce that the provider shows as pending and that no block gets. Those behind it wait in the pool, until a
/// transaction that pays what a real pool wants for a replacement fills the gap.
#[tokio::test(flavor = "multi_thread")]
async fn f33_f45_a_gap_that_the_provider_denies_is_filled_by_a_replacement_and_all_behind_it_go() {
    let (stack, node) = behind_a_provider(StackOptions::default().with("SENDER_KEYS", SENDER_KEYS[0])).await;
    let buyers = stack.buyers(6, DOLLAR).await;
    node.set(Rule::on(SEND, Fault::StrictPool));
    let withheld = node.set(Rule::on(SEND, Fault::Withhold).first(1));
    let begun = Instant::now();
    let mut orders = buy(&stack, &buyers[..3]).await;
    eventually("it is withheld", async || (node.hits(withheld) == 1).then_some(())).await;
    orders.extend(buy(&stack, &buyers[3..]).await);
    for order in &orders {
        stack.until(order, "payment.confirmed").await;
    }
    assert!(begun.elapsed() < GAP_FILLED, "{:?}", begun.elapsed());
    stack.audit(&orders).await;
    let entries = stack.stream.all().await;
    assert!(entries.iter().any(|entry| entry.subject.contains(".replaced.0.")), "the gap is at nonce 0");
    only_what_was_signed(&stack, &node).await;
}

/// F51: what it says of fees is held between floor and cap.
#[tokio::test(flavor = "multi_thread")]
async fn f51_a_fee_of_nothing_or_of_everything_is_neither_offered_nor_waited_for() {
    let (stack, node) = behind_a_provider(StackOptions::default()).await;
    let buyers = stack.buyers(2, DOLLAR).await;
    let everything = format!("0x8{}", "0".repeat(63));
    let mut orders = Vec::new();
    for (fee, buyer) in ["0x0", &everything].into_iter().zip(&buyers) {
        let rule = node.set(Rule::on("eth_maxPriorityFeePerGas", Fault::number(fee)));
        let order = stack.buy(buyer, 2).await;
        stack.until_ended(std::slice::from_ref(&order)).await;
        assert!(node.hits(rule) > 0, "{fee}");
        node.lift(rule);
        orders.push(order);
    }
    stack.audit(&orders).await;
}

/// Every transaction that reached the provider is, byte for byte, signed in the ledger.
async fn only_what_was_signed(stack: &Stack, node: &RpcProxy) {
    let entries = stack.stream.all().await;
    let signed =
        entries.iter().filter(|entry| [".signed.", ".replaced."].iter().any(|name| entry.subject.contains(name)));
    let signed: Vec<_> = signed.map(|entry| entry.body["data"]["rawTx"].clone()).collect();
    for raw in node.forwarded() {
        assert!(signed.contains(&json!(raw)), "{raw} is not in the ledger");
    }
}

/// The node says something that Paymint does not know. An operator reads it in `/readyz` until a node takes the transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_lane_whose_transaction_no_node_takes_is_named_with_its_age_and_the_words_until_it_moves() {
    let mut stack = Stack::start(StackOptions { services: Vec::new(), ..StackOptions::default() }).await;
    let node = stack.proxy_node().await;
    stack.set("PAYMINT_NOT_TAKEN_MAX_MS", "1000");
    stack.run_all().await;
    let buyers = stack.buyers(1, DOLLAR).await;
    let message = "this pool is on holiday".to_owned();
    node.set(Rule::on(SEND, Fault::Refuse { code: -32_000, message: message.clone() }));
    let orders = buy(&stack, &buyers).await;
    let named = async || {
        let shown = stack.in_the_way_of(Service::PaymentSender).await;
        let (lane, why) = shown.as_object()?.iter().find(|(part, _)| part.starts_with("lane 0x"))?;
        let why = why.as_str()?;
        assert!(why.starts_with("nonce ") && why.contains(", not done for ") && why.contains(&message), "{why}");
        let oldest = shown["oldest"].as_str().unwrap();
        assert!(oldest.starts_with(&format!("{lane}: nonce ")), "{oldest}");
        Some(())
    };
    eventually("the lane is named", named).await;
    node.heal();
    stack.until_ended(&orders).await;
    let is_good = async || stack.in_the_way_of(Service::PaymentSender).await.as_object()?.is_empty().then_some(());
    eventually("nothing is in the way", is_good).await;
    stack.audit(&orders).await;
}
