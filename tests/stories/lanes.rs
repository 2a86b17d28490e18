//! Lanes in trouble: fees that are too low, a key that is used elsewhere, an account without money. Time is lost, and
//! nothing else.

use alloy_primitives::{Address, B256, Bytes};
use faults::{ANY, Fault, Rule};
use harness::{DOLLAR, Entry, Instance, Order, Service, Stack, StackOptions, eventually, lane_subject};
use nix::sys::signal::Signal;
use runtime::failpoint::REPLACEMENT_NOT_BROADCAST;
use serde_json::json;
use standalone::accounts::{MINTER_KEYS, SENDER_KEYS};
use std::time::{Duration, Instant};

/// The lanes that settle.
fn lanes() -> Vec<Address> {
    SENDER_KEYS.iter().map(|key| key.parse::<chain::Key>().unwrap().address()).collect()
}

/// An order that is signed, and waits in the pool of a chain that stands still. Answers with lane, nonce and hash.
async fn pooled(stack: &Stack, order: &Order) -> (Address, u64, B256) {
    let submitted = stack.until(order, "payment.submitted.1").await;
    let data = &submitted.body["data"];
    let hash = submitted.text("txHash").parse().unwrap();
    eventually("the transaction is sent", async || stack.chain.knows(hash).await.then_some(())).await;
    (data["signer"].as_str().unwrap().parse().unwrap(), data["nonce"].as_u64().unwrap(), hash)
}

/// Sends something else with a nonce of a lane's own key, as whoever has stolen it would.
async fn steal(stack: &Stack, lane: Address, nonce: u64) {
    assert_eq!(stack.chain.nonce(lane).await, nonce);
    stack.chain.send(lane, Address::repeat_byte(0x77), Bytes::new()).await;
}

/// Waits until the sender has logged this.
async fn until_said(stack: &Stack, words: &str) {
    eventually(words, async || stack.said(Service::PaymentSender).contains(words).then_some(())).await;
}

/// An event of the ledger, as soon as it is there.
async fn event(stack: &Stack, subject: &str) -> Entry {
    eventually(subject, async || stack.stream.on(subject).await).await
}

/// The hash of the latest transaction for a nonce that was replaced.
async fn last_replacement(stack: &Stack, lane: Address, nonce: u64) -> String {
    let mut last = None;
    for n in 1.. {
        match stack.stream.on(&lane_subject(lane, nonce, &format!("replaced.{nonce}.{n}"))).await {
            Some(entry) => last = Some(entry.text("txHash").to_owned()),
            None => break,
        }
    }
    last.unwrap()
}

/// F42, F43: anvil forgets what the base fee has priced out, as pools do sooner or later.
#[tokio::test(flavor = "multi_thread")]
async fn f42_f43_a_transaction_that_a_fee_spike_prices_out_is_replaced_at_its_nonce_and_written_down_first() {
    let stack = Stack::start(StackOptions::default()).await;
    let buyer = stack.buyer(DOLLAR).await;
    stack.chain.halt().await;
    let order = stack.buy(&buyer, 2).await;
    let (lane, nonce, first) = pooled(&stack, &order).await;

    spike(&stack).await;
    let replaced = event(&stack, &lane_subject(lane, nonce, &format!("replaced.{nonce}.1"))).await;
    let second: B256 = replaced.text("txHash").parse().unwrap();
    assert_ne!(second, first);
    eventually("the replacement is sent", async || stack.chain.knows(second).await.then_some(())).await;
    stack.chain.resume().await;

    let confirmed = stack.until(&order, "payment.confirmed").await;
    let last = last_replacement(&stack, lane, nonce).await;
    assert_eq!(confirmed.text("txHash"), last, "the one that was mined proves the payment");
    stack.audit(&[order]).await;
}

/// The sender dies between the append of a replacement and its broadcast.
#[tokio::test(flavor = "multi_thread")]
async fn c11_a_sender_killed_with_a_replacement_written_and_not_sent_sends_it_when_it_comes_back() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let buyer = stack.buyer(DOLLAR).await;
    stack.kill(Service::PaymentSender);
    stack.run_with(Service::PaymentSender, &[("PAYMINT_KILL_AT", REPLACEMENT_NOT_BROADCAST.name())]).await;
    stack.chain.halt().await;
    let order = stack.buy(&buyer, 2).await;
    let (lane, nonce, _) = pooled(&stack, &order).await;
    spike(&stack).await;
    stack.until_killed(Service::PaymentSender, REPLACEMENT_NOT_BROADCAST.name()).await;
    let replaced = event(&stack, &lane_subject(lane, nonce, &format!("replaced.{nonce}.1"))).await;
    let hash: B256 = replaced.text("txHash").parse().unwrap();
    assert!(!stack.chain.knows(hash).await, "not sent before the death");

    stack.run(Service::PaymentSender).await;
    eventually("the same bytes are sent", async || stack.chain.knows(hash).await.then_some(())).await;
    stack.chain.resume().await;
    stack.audit(&[order]).await;
}

/// A base fee a hundred times what the pooled transaction offers, for the next block and, slowly falling, after it.
async fn spike(stack: &Stack) {
    stack.chain.rpc("anvil_setNextBlockBaseFeePerGas", json!(["0x1bf08eb000"])).await; // 120 gwei
    stack.chain.mine(1).await;
}

/// F44: somebody else has the key and used the nonce of a transaction of ours. Nothing is decided before that is final;
/// then the payment goes out with another nonce, once.
#[tokio::test(flavor = "multi_thread")]
async fn f44_a_nonce_that_somebody_else_used_is_given_up_when_that_is_final_and_its_payments_are_settled_once() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let buyer = stack.buyer(DOLLAR).await;
    stack.chain.halt().await;
    let order = stack.buy(&buyer, 2).await;
    let (lane, nonce, hash) = pooled(&stack, &order).await;
    stack.process(Service::PaymentSender).signal(Signal::SIGSTOP);
    stack.chain.drop_from_pool(hash).await;
    steal(&stack, lane, nonce).await;
    stack.chain.mine(1).await;
    stack.process(Service::PaymentSender).signal(Signal::SIGCONT);

    until_said(&stack, "was used by somebody else").await;
    assert!(
        stack.stream.on(&lane_subject(lane, nonce, &format!("lost.{nonce}"))).await.is_none(),
        "nothing before it is final"
    );
    stack.chain.mining(event(&stack, &lane_subject(lane, nonce, &format!("lost.{nonce}")))).await;
    stack.until(&order, "payment.deferred.1").await;
    stack.chain.resume().await;
    let again = stack.until(&order, "payment.submitted.2").await;
    assert_ne!(again.text("txHash").parse(), Ok(hash));
    stack.audit(&[order]).await;
}

/// The lane stood still for weeks, and the node has no old states. A theft of that time is proven all the same. A sender that
/// starts meanwhile claims its lane once.
#[tokio::test(flavor = "multi_thread")]
async fn f44_a_lane_heals_however_long_ago_its_nonce_was_used_on_a_node_that_keeps_few_states() {
    let mut stack = Stack::start(StackOptions::default().with("SENDER_KEYS", SENDER_KEYS[0])).await;
    let [lane, ..] = lanes()[..] else { panic!("no lane settles") };
    let buyer = stack.buyer(DOLLAR).await;
    stack.chain.halt().await;
    let order = stack.buy(&buyer, 2).await;
    let (_, nonce, hash) = pooled(&stack, &order).await;
    stack.kill(Service::PaymentSender);
    stack.chain.drop_from_pool(hash).await;
    steal(&stack, lane, nonce).await;
    for _ in 0..12 {
        stack.chain.mine(256).await;
    }
    let node = stack.proxy_node().await;
    node.set(Rule::on(ANY, Fault::StatesKept(12)));
    stack.run(Service::PaymentSender).await;
    until_said(&stack, "the lane rests").await;
    let again = stack.chain.mining(stack.until(&order, "payment.submitted.2")).await;
    assert_ne!(again.text("txHash").parse(), Ok(hash));
    let subject = lane_subject(lane, 0, "claimed.3");
    assert!(stack.stream.on(&subject).await.is_none(), "one claim for each start");
    stack.chain.resume().await;
    stack.audit(&[order]).await;
}

/// A sequencer has the only pool, so its node shows a transaction only once it is in a block.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_no_pool_shows_is_waited_for_and_sent_once() {
    let mut stack =
        Stack::start(StackOptions { services: vec![Service::Api, Service::ReadProjector], ..StackOptions::default() })
            .await;
    let node = stack.proxy_node().await;
    node.set(Rule::on("eth_getTransactionByHash", Fault::PrivatePool));
    stack.run_all().await;
    let buyer = stack.buyer(DOLLAR).await;
    stack.chain.halt().await;
    let order = stack.buy(&buyer, 2).await;
    pooled(&stack, &order).await;
    let asked = node.asked("eth_getTransactionByHash");
    let looked = async || (node.asked("eth_getTransactionByHash") >= asked + 3).then_some(());
    eventually("the lane looks for it three times", looked).await;
    stack.chain.resume().await;
    stack.audit(std::slice::from_ref(&order)).await;
    assert!(!stack.said(Service::PaymentSender).contains("lost a transaction"));
    assert!(!stack.said(Service::PaymentSender).contains("known already"), "it was handed over once");
}

/// F48: the lane without money rests and is shown, the other carries on; with money it goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn f48_a_lane_without_gas_money_rests_while_the_other_carries_on() {
    let stack = Stack::start(StackOptions::default()).await;
    let [poor, rich] = lanes()[..] else { panic!("two lanes settle") };
    let money = stack.chain.rpc("eth_getBalance", json!([poor, "latest"])).await;
    stack.chain.rpc("anvil_setBalance", json!([poor, "0x0"])).await;
    until_said(&stack, "cannot pay for what is open").await;
    let buyers = stack.buyers(6, DOLLAR).await;
    let mut orders = Vec::new();
    for buyer in &buyers {
        let order = stack.buy(buyer, 1).await;
        let submitted = stack.until(&order, "payment.submitted.1").await;
        let signer: Address = submitted.text("signer").parse().unwrap();
        assert_eq!(signer, rich, "the lane without money signs nothing");
        orders.push(order);
    }
    stack.chain.rpc("anvil_setBalance", json!([poor, money])).await;
    until_said(&stack, "the lane goes on").await;
    stack.audit(&orders).await;
}

/// F48: a sender and a minter whose only lanes have no money leave every message to instances that can work. With money
/// they work again.
#[tokio::test(flavor = "multi_thread")]
async fn f48_an_instance_whose_lanes_all_rest_leaves_the_messages_to_an_instance_that_can_send() {
    let settings = [("SENDER_KEYS", SENDER_KEYS), ("MINTER_KEYS", MINTER_KEYS)];
    let options = settings.iter().fold(StackOptions::default(), |options, (name, keys)| options.with(name, keys[0]));
    let mut stack = Stack::start(options).await;
    let senders = [Service::PaymentSender, Service::MintProjector];
    let mut moneys = Vec::new();
    for (_, keys) in settings {
        let poor = keys[0].parse::<chain::Key>().unwrap().address();
        moneys.push((poor, stack.chain.rpc("eth_getBalance", json!([poor, "latest"])).await));
        stack.chain.rpc("anvil_setBalance", json!([poor, "0x0"])).await;
    }
    for service in senders {
        eventually("its lane rests", async || stack.said(service).contains("the lane rests").then_some(())).await;
    }
    for (service, (name, keys)) in senders.into_iter().zip(settings) {
        stack.run_with(Instance(service, 1), &[(name, keys[1])]).await;
    }
    let buyers = stack.buyers(8, DOLLAR).await;
    let mut orders = Vec::new();
    for buyer in &buyers {
        orders.push(stack.buy(buyer, 1).await);
    }
    stack.until_ended(&orders).await;

    senders.into_iter().for_each(|service| stack.kill(Instance(service, 1)));
    for (poor, money) in moneys {
        stack.chain.rpc("anvil_setBalance", json!([poor, money])).await;
    }
    orders.push(stack.buy(&stack.buyer(DOLLAR).await, 1).await);
    stack.audit(&orders).await;
}

/// F52, F53: of two senders with the same keys one works a lane. Killed, its lanes are taken over within five seconds;
/// asked to leave, it hands them over at once.
#[tokio::test(flavor = "multi_thread")]
async fn f53_lanes_of_a_dead_sender_are_taken_over_within_five_seconds_and_of_one_that_leaves_at_once() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let (first, second) = (Instance(Service::PaymentSender, 0), Instance(Service::PaymentSender, 1));
    claimed(&stack, 1).await;
    stack.run(second).await;
    let buyers = stack.buyers(3, DOLLAR).await;
    let mut orders = vec![stack.buy(&buyers[0], 1).await];
    stack.until_ended(&orders).await;
    for lane in lanes() {
        assert!(
            stack.stream.on(&lane_subject(lane, 0, "claimed.2")).await.is_none(),
            "who waits for a lease claims nothing"
        );
    }

    let begun = Instant::now();
    stack.kill(first);
    claimed(&stack, 2).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "taken over after {:?}", begun.elapsed());
    orders.push(stack.buy(&buyers[1], 1).await);
    stack.until_ended(&orders).await;

    stack.run(first).await;
    let begun = Instant::now();
    stack.process(second).signal(Signal::SIGTERM);
    claimed(&stack, 3).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "handed over after {:?}", begun.elapsed());
    orders.push(stack.buy(&buyers[2], 1).await);
    stack.audit(&orders).await;
}

/// Every lane that settles has this epoch.
async fn claimed(stack: &Stack, epoch: u32) {
    for lane in lanes() {
        event(stack, &lane_subject(lane, 0, &format!("claimed.{epoch}"))).await;
    }
}
