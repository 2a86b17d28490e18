//! Gas has an end: who burns it burns alone, and a token that is bought without end is not offered for a while.

use futures_util::future::join_all;
use harness::{Bill, DOLLAR, Order, Outcome, Service, Stack, StackOptions, eventually};
use serde_json::json;

/// Code of an account that approves every signature while a transaction has no gas price, which is so in a simulation only:
/// GASPRICE, ISZERO; if not so, REVERT; else the answer of ERC-1271 (0x1626ba7e).
const APPROVES_SIMULATIONS: &str = "0x3a156008575f5ffd5b631626ba7e60e01b5f5260205ff3";

/// Time enough, whatever happens to the clock.
const LONG_S: u64 = 20_000;

/// Both orders of the wallet pass every simulation. The budget is for three failures.
#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_looks_at_the_gas_price_burns_alone_and_only_its_budget() {
    let mut stack = Stack::start(StackOptions::one_lane_later().with("PAYER_GAS_PER_DAY", 480_000)).await;
    let terms = stack.shop.token.clone();
    let buyers = stack.buyers(5, DOLLAR).await;
    let burner = &buyers[0];
    stack.chain.rpc("anvil_setCode", json!([burner.address, APPROVES_SIMULATIONS])).await;
    let mut burning = Vec::new();
    for _ in 0..2 {
        burning.push(stack.accept(&burner.sign(Bill::of(&terms, 7).lasting(500))).await);
    }
    let mut honest = Vec::new();
    for buyer in &buyers[1..] {
        honest.push(stack.accept(&buyer.sign(Bill::of(&terms, 7).lasting(LONG_S))).await);
    }
    stack.run(Service::PaymentSender).await;
    let minted = join_all(honest.iter().map(|order| stack.until(order, "mint.confirmed")));
    minted.await;
    let waits = async |order: &Order| {
        let found = async || {
            let history = stack.history(order).await;
            let is_over =
                |entry: &harness::Entry| entry.subject.contains("deferred") && entry.text("reason") == "payer_budget";
            history.into_iter().any(|entry| is_over(&entry)).then_some(())
        };
        eventually("its payer has used up its gas", found).await;
    };
    join_all(burning.iter().map(waits)).await;

    // The transactions of each order of the wallet, and with whom.
    let submitted = |entries: &[harness::Entry]| -> Vec<String> {
        let events = entries.iter().filter(|entry| entry.subject.contains(".payment.submitted."));
        events.map(|entry| entry.text("txHash").to_owned()).collect()
    };
    let mut of_burner = Vec::new();
    for order in &burning {
        of_burner.push(submitted(&stack.history(order).await));
    }
    let all: Vec<&String> = of_burner.iter().flatten().collect();
    assert!((2..=4).contains(&all.len()), "{all:?}");
    for order in &honest {
        let hashes = submitted(&stack.history(order).await);
        assert!(hashes.len() == 1 && !all.contains(&&hashes[0]), "an honest payment rides with no other");
    }
    assert_eq!(of_burner[0][0], of_burner[1][0], "accounts with code share their first transaction");
    for hash in &of_burner[0][1..] {
        assert!(!of_burner[1].contains(hash), "what has failed goes alone");
    }
    stack.chain.pass_time(600).await;
    stack.chain.mine(17).await;
    let failed = burning.into_iter().map(|order| order.ends(Outcome::Failed("expired")));
    let orders: Vec<Order> = failed.chain(honest).collect();
    stack.audit(&orders).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creator_who_buys_from_himself_closes_his_own_token_and_the_buyers_of_another_do_not_notice() {
    let stack = Stack::start(StackOptions::default().with("TOKEN_GAS_PER_DAY", 300_000)).await;
    let own = stack.rare_token().await;
    let buyers = stack.buyers(4, DOLLAR).await;
    let mut orders = Vec::new();
    for buyer in &buyers[..3] {
        orders.push(stack.accept(&buyer.pay(&own, 1)).await);
    }
    let path = format!("/api/mint/{}", own.token);
    let unpaid = stack.http.post(stack.url(Service::Api, &path)).json(&json!({ "quantity": 1 }));
    let closed = async || {
        let answer = unpaid.try_clone().unwrap().send().await.unwrap();
        (answer.status() == 503).then_some(answer)
    };
    let refused = eventually("three purchases are its gas of a day", closed).await;
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refused.json::<serde_json::Value>().await.unwrap()["code"], "token_budget");
    let other = stack.accept(&buyers[3].pay(&stack.shop.token, 1)).await;
    stack.until(&other, "mint.confirmed").await;
    orders.push(other);
    stack.audit(&orders).await;
}
