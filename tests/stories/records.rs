//! Records without an order: somebody settles a payment directly, and nobody orders it here. Nobody can hold a token's supply
//! with that: the units are taken at the door, and our minter mints them, last in line and within its budget.

use alloy_primitives::U256;
use dev_chain::{REPEATER, REPEATER_CODE, repeated_in_vain};
use faults::{ANY, Fault, Rule};
use harness::{Bill, DOLLAR, FINAL, Order, Outcome, Payment, Service, Stack, StackOptions, eventually};
use serde_json::{Value, json};
use standalone::accounts::OWNER;

/// A stranger settles the payment through its token. The block is final when this returns, and older than the last final one.
async fn settle(stack: &Stack, payment: &Payment) {
    stack.chain.transact(OWNER, payment.terms.token, payment.settle_call()).await;
    stack.chain.pass_time(1).await;
    stack.chain.mine(FINAL).await;
}

/// A stranger has the units minted. The block is final when this returns.
async fn mint(stack: &Stack, payment: &Payment) {
    stack.chain.transact(OWNER, payment.terms.token, Order::of(payment).mint_call()).await;
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
    mint(&stack, &payment).await;
    stack.run(Service::MintProjector).await;
    minted(&stack, &payment).await;
    taken(&stack, &payment, 5).await;
    stack.audit(&[]).await;
    let entries = stack.stream.all().await;
    assert!(entries.iter().all(|entry| !entry.subject.contains(".mint.signed.")), "no transaction of ours");
}

/// Many nodes keep the states of 128 blocks, and on some networks a final block is 450 blocks old.
#[tokio::test(flavor = "multi_thread")]
async fn records_are_found_and_end_although_no_node_has_the_state_of_a_final_block() {
    let mut stack = open_nothing(StackOptions::default(), &[Service::MintProjector]).await;
    let node = stack.proxy_node().await;
    node.set(Rule::on(ANY, Fault::StatesKept(12)));
    let buyers = stack.buyers(2, DOLLAR).await;
    let (open, ended) = (buyers[0].pay(&stack.shop.token, 5), buyers[1].pay(&stack.shop.token, 3));
    settle(&stack, &open).await;
    settle(&stack, &ended).await;
    mint(&stack, &ended).await;
    stack.run(Service::MintProjector).await;
    minted(&stack, &open).await;
    minted(&stack, &ended).await;
    complained_of_nothing(&stack);
    stack.audit(&[]).await;
}

/// A stranger mints what another one settled, and the chain takes the mint back. It was seen, and is no end before it is final.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_whose_end_falls_out_of_the_chain_is_minted_all_the_same() {
    let mut stack = open_nothing(StackOptions::default(), &[Service::MintProjector]).await;
    let payment = stack.buyer(DOLLAR).await.pay(&stack.shop.token, 5);
    settle(&stack, &payment).await;
    stack.chain.halt().await;
    let settled = stack.chain.height().await;
    let mint = stack.chain.send(OWNER, payment.terms.token, Order::of(&payment).mint_call()).await;
    stack.chain.mine_until_in_a_block(mint).await;
    stack.run(Service::MintProjector).await;
    told(&stack, &payment, "found").await;
    assert_eq!(units_of(&stack, &payment).await, U256::from(5));
    stack.chain.reorg(stack.chain.height().await - settled).await;
    assert_eq!(units_of(&stack, &payment).await, U256::ZERO);
    stack.chain.mine(FINAL + 1).await;
    let lost = stack.chain.height().await;
    stack.chain.resume().await;
    minted(&stack, &payment).await;
    let end = told(&stack, &payment, "minted").await;
    assert!(end["block"]["number"].as_u64().unwrap() > lost, "it is the mint of ours: {end}");
    stack.audit(&[]).await;
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
    stack.chain.transact_as(buyer.address, payment.terms.token, payment.refund_call()).await;
    stack.chain.mine(FINAL).await;
    told(&stack, &payment, "returned").await;
    taken(&stack, &payment, 0).await;
    stack.audit(&[]).await;
    assert_eq!(units_of(&stack, &payment).await, U256::ZERO);
}

/// The budget is enough for one record and its transaction. Of two records of one token the larger is found and minted. The
/// other is not found before the budget has gained as much again, which takes a day.
#[tokio::test(flavor = "multi_thread")]
async fn beyond_its_budget_the_larger_record_of_a_token_is_minted_and_those_of_other_tokens_go_on() {
    let options = StackOptions::default().with("RECORD_GAS_PER_DAY", 160_000);
    let mut stack = Stack::start(options).await;
    stack.kill(Service::MintProjector);
    let rare = stack.rare_token().await;
    let buyers = stack.buyers(3, DOLLAR).await;
    let (small, large) = (buyers[0].pay(&stack.shop.token, 1), buyers[1].pay(&stack.shop.token, 2));
    let other = buyers[2].pay(&rare, 3);
    for payment in [&small, &large, &other] {
        settle(&stack, payment).await;
    }
    stack.run(Service::MintProjector).await;
    minted(&stack, &other).await;
    minted(&stack, &large).await;
    let order = stack.buy(&buyers[2], 1).await;
    stack.audit(std::slice::from_ref(&order)).await;
    assert!(stack.stream.on(&subject(&small, "found")).await.is_none());
    assert_eq!(units_of(&stack, &small).await, U256::ZERO);
}

/// The payer orders what somebody settled, and a person promises the money back before anybody mints. The record was found
/// by then.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_whose_order_is_to_be_refunded_is_not_minted() {
    let without = [Service::MintProjector, Service::Operator];
    let mut stack = open_nothing(StackOptions::default(), &without).await;
    stack.run_with(Service::MintProjector, &[("MINT_MAX_WAIT_MS", "600000")]).await;
    let buyers = stack.buyers(2, DOLLAR).await;
    let (back, free) = (buyers[0].pay(&stack.shop.token, 5), buyers[1].pay(&stack.shop.token, 3));
    for payment in [&back, &free] {
        settle(&stack, payment).await;
        told(&stack, payment, "found").await;
    }
    let order = stack.accept(&back).await.paid_by_third_party().ends(Outcome::Refunded);
    stack.until(&order, "payment.confirmed").await;
    stack.kill(Service::MintProjector);
    stack.ask_back(order.id).await;
    stack.until(&order, "refund.requested").await;
    stack.run(Service::MintProjector).await;
    // They are of one token, so they would have gone together.
    minted(&stack, &free).await;
    assert_eq!(units_of(&stack, &back).await, U256::ZERO);
    stack.run(Service::Operator).await;
    told(&stack, &back, "returned").await;
    taken(&stack, &back, 3).await;
    stack.audit(std::slice::from_ref(&order)).await;
    assert_eq!(stack.chain.usdc_of(stack.shop.asset, buyers[0].address).await, U256::from(DOLLAR));
}

/// A stranger fills one block with transfers of nothing to a token, and with settlements of nothing. Each costs some thousand
/// gas, and the node's answer about that block is more than is read.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_a_stranger_has_filled_hides_no_record_and_holds_up_no_other_token() {
    let mut stack = open_nothing(StackOptions::default(), &[Service::MintProjector]).await;
    let rare = stack.rare_token().await;
    stack.run(Service::MintProjector).await;
    let buyers = stack.buyers(2, DOLLAR).await;
    let (hidden, behind) = (buyers[0].pay(&stack.shop.token, 5), buyers[1].pay(&rare, 3));
    let next = buyers[1].pay(&stack.shop.token, 2);
    stack.chain.halt().await;
    fill_a_block_around(&stack, &hidden).await;
    let all = async {
        settle(&stack, &behind).await;
        minted(&stack, &behind).await;
        minted(&stack, &hidden).await;
        settle(&stack, &next).await;
        minted(&stack, &next).await;
    };
    stack.chain.mining(all).await;
    complained_of_nothing(&stack);
    stack.chain.resume().await;
    stack.audit(&[]).await;
}

/// Checks that the search has warned of nothing. Whatever turns its health red is a warning, too.
fn complained_of_nothing(stack: &Stack) {
    let said = stack.said(Service::MintProjector);
    let warning = said.lines().find(|line| line.contains("WARN") && line.contains("records without an order"));
    assert_eq!(warning, None);
}

/// Puts the settlement of `payment` into one block of a halted chain, with more in vain than a node's answer holds.
async fn fill_a_block_around(stack: &Stack, payment: &Payment) {
    let (chain, terms) = (&stack.chain, &payment.terms);
    chain.rpc("anvil_setCode", json!([REPEATER, REPEATER_CODE])).await;
    let [transfers, settlements] = repeated_in_vain(terms.asset, terms.token);
    for input in [vec![&transfers; 8], vec![&settlements; 8]].concat() {
        let call = json!([{ "from": OWNER, "to": REPEATER, "input": input, "gas": "0x1000000" }]);
        chain.rpc("eth_sendTransaction", call).await;
    }
    let settled = chain.send(OWNER, terms.token, payment.settle_call()).await;
    let block = chain.mine_until_in_a_block(settled).await.block_number;
    for contract in [terms.asset, terms.token] {
        let logs = chain.logs_of(contract).await.into_iter().filter(|log| log.block_number == block).count();
        assert!(logs > 13_000, "only {logs} logs of {contract}");
    }
}

/// No node answers for this token, not even for one block. Health says so, and everything else goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_whose_logs_no_provider_answers_holds_up_no_other_and_is_searched_when_one_does() {
    let mut stack = open_nothing(StackOptions::default(), &[Service::MintProjector]).await;
    let rare = stack.rare_token().await;
    let buyers = stack.buyers(2, DOLLAR).await;
    let (stuck, other) = (buyers[0].pay(&stack.shop.token, 5), buyers[1].pay(&rare, 3));
    settle(&stack, &stuck).await;
    settle(&stack, &other).await;
    let node = stack.proxy_node().await;
    node.set(Rule::on("eth_getLogs", Fault::LogsOf(stack.shop.token.token)));
    stack.run(Service::MintProjector).await;
    minted(&stack, &other).await;
    let named = async || {
        let problem = stack.in_the_way_of(Service::MintProjector).await["records without an order"].clone();
        let names = |why: &str| why.contains(&stuck.terms.token.to_string()) && why.contains("eth_getLogs");
        problem.as_str().is_some_and(names).then_some(())
    };
    eventually("health names the search", named).await;
    assert!(stack.stream.on(&subject(&stuck, "found")).await.is_none());
    node.heal();
    minted(&stack, &stuck).await;
    let healthy = async || stack.in_the_way_of(Service::MintProjector).await.as_object()?.is_empty().then_some(());
    eventually("health is good again", healthy).await;
    stack.audit(&[]).await;
}

/// Many providers search few blocks in one request.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_searches_few_blocks_at_a_time_delays_the_search_and_is_no_fault() {
    let mut stack = open_nothing(StackOptions::default(), &[Service::MintProjector]).await;
    stack.chain.mine(300).await;
    let payment = stack.buyer(DOLLAR).await.pay(&stack.shop.token, 5);
    settle(&stack, &payment).await;
    let node = stack.proxy_node().await;
    let limit = node.set(Rule::on("eth_getLogs", Fault::LogRange(10)));
    stack.run(Service::MintProjector).await;
    minted(&stack, &payment).await;
    let (refused, asked) = (node.hits(limit), node.asked("eth_getLogs"));
    assert!((5..30).contains(&refused), "{refused} of {asked} searches were refused");
    complained_of_nothing(&stack);
    stack.audit(&[]).await;
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
