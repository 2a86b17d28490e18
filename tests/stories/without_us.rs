//! The operator and all servers are gone. Every payer ends with units or with the exact money, from public chain data alone.

use crate::forged::{ledger, requested};
use alloy_primitives::{Address, U256};
use harness::{Bill, Buyer, DOLLAR, Order, Payment, Service, Stack, StackOptions};
use ledger::{Expected, NewEvent};
use runtime::failpoint::SIGNED_NOT_BROADCAST;
use serde_json::Value;
use standalone::accounts::{OPERATORS, OWNER};
use std::path::Path;
use tempfile::TempDir;
use tokio::process::Command;

/// After this time a payer may take back what is paid and not minted.
const REFUND_AFTER_S: u64 = 7 * 24 * 3_600;

/// `tools/exit` for one payer, who knows a node and the address of the factory.
async fn exit(stack: &Stack, payer: Address, more: &[&str]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/exit");
    let (payer, asset, factory) = (payer, stack.shop.asset, stack.shop.factory);
    let mut node = Command::new("node");
    node.arg(script).args(["--json", "--rpc", &stack.servers.anvil.rpc_url(), "--payer", &payer.to_string()]);
    node.args(["--asset", &asset.to_string(), "--factory", &factory.to_string()]).args(more).kill_on_drop(true);
    let output = node.output().await.expect("node is there");
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"))
}

/// The states of a payer's payments, as the script reports them.
fn states(report: &Value) -> Vec<&str> {
    report["payments"].as_array().unwrap().iter().map(|payment| payment["state"].as_str().unwrap()).collect()
}

/// Sends what the script finds, with the key of `sender`.
async fn send(stack: &Stack, payer: Address, sender: &Buyer, action: &str) -> Value {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, sender.key()).unwrap();
    stack.chain.give_ether(sender.address).await;
    exit(stack, payer, &["--send", action, "--key-file", file.to_str().unwrap()]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_server_or_key_of_ours_every_payer_ends_with_units_or_with_the_exact_money() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let (terms, rare) = (stack.shop.token.clone(), stack.rare_token().await);
    let buyers = stack.buyers(6, DOLLAR).await;
    let [ordinary, delivered, returned, lucky, late, bypassed] = &buyers[..] else { unreachable!() };

    let minted = stack.buy(ordinary, 3).await;
    stack.accept(&lucky.pay(&rare, 6)).await;
    stack.until(&minted, "mint.confirmed").await;
    // Promised by another instance at the same moment, and never charged.
    let payment = late.sign(Bill::of(&rare, 6).lasting(300));
    let new = NewEvent { event: requested(&payment), expected: Expected::Version(0), trace: None };
    ledger(&stack).await.append(new).await.unwrap();
    assert_eq!(stack.until(&Order::of(&payment), "payment.deferred.1").await.text("reason"), "sold_out");
    // Their mints are under way: signed, recorded, and never sent.
    stack.kill(Service::MintProjector);
    for buyer in [delivered, returned] {
        let order = stack.buy(buyer, 4).await;
        stack.until(&order, "payment.confirmed").await;
    }
    stack.run_with(Service::MintProjector, &[("PAYMINT_KILL_AT", SIGNED_NOT_BROADCAST.name())]).await;
    stack.until_killed(Service::MintProjector, SIGNED_NOT_BROADCAST.name()).await;
    // The stated exception: somebody submitted it to the asset directly.
    let around = bypassed.pay(&terms, 2);
    stack.chain.transact(OWNER, terms.asset, around.transfer.call()).await;

    for service in Service::ALL.into_iter().filter(|service| *service != Service::MintProjector) {
        stack.kill(service);
    }
    stack.servers.nats.kill();
    stack.servers.postgres.kill();
    stack.chain.pass_time(REFUND_AFTER_S + 1).await;

    for (buyer, expected) in [
        (ordinary, vec!["minted"]),
        (delivered, vec!["open"]),
        (returned, vec!["open"]),
        (late, vec![]),
        (bypassed, vec!["around"]),
    ] {
        assert_eq!(states(&exit(&stack, buyer.address, &[]).await), expected, "{}", buyer.address);
    }
    let stranger = Buyer::new();
    assert_eq!(states(&send(&stack, delivered.address, &stranger, "--mint").await), ["minted"]);
    assert_eq!(states(&send(&stack, returned.address, returned, "--refund").await), ["refunded"]);

    let units = async |buyer: &Buyer| stack.chain.tokens_of(terms.token, buyer.address).await / U256::from(terms.unit);
    let spent = async |buyer: &Buyer| U256::from(DOLLAR) - stack.chain.usdc_of(terms.asset, buyer.address).await;
    let price = U256::from(terms.unit_price.0);
    for (buyer, has) in [(ordinary, 3), (delivered, 4), (returned, 0), (late, 0)] {
        let has = U256::from(has);
        assert_eq!((units(buyer).await, spent(buyer).await), (has, has * price), "{}", buyer.address);
    }
    assert_eq!(spent(bypassed).await, price * U256::from(2), "at the token: it needs an operator once");
    let told = exit(&stack, bypassed.address, &[]).await;
    assert!(told["payments"][0]["text"].as_str().unwrap().contains("operator"), "{told}");
}

/// `settle` takes whole units only, so this payment can reach the token only around it: the stated exception.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_of_no_whole_number_of_units_is_told_to_need_the_operator_who_can_take_nothing_and_returns_it() {
    let stack = Stack::start(StackOptions::empty()).await;
    let terms = stack.shop.token.clone();
    for value in [terms.unit_price.0 / 2, terms.unit_price.0 + 1] {
        let buyer = stack.buyer(DOLLAR).await;
        let payment = buyer.sign(Bill { value, ..Bill::of(&terms, 1) });
        stack.chain.transact(OWNER, terms.token, payment.settle_call()).await;
        assert_eq!(states(&exit(&stack, buyer.address, &[]).await), [""; 0], "the token takes no such payment");
        stack.chain.transact(OWNER, terms.asset, payment.transfer.call()).await;

        let told = exit(&stack, buyer.address, &[]).await;
        assert_eq!((states(&told), told["calls"].as_array().unwrap().len()), (vec!["around"], 0), "{told}");
        let text = told["payments"][0]["text"].as_str().unwrap();
        assert!(text.contains("needs the operator once") && text.contains("no whole number of units"), "{text}");
        give_back(&stack, &payment).await;
        assert_eq!(states(&exit(&stack, buyer.address, &[]).await), ["givenBack"]);
        assert_eq!(stack.chain.usdc_of(terms.asset, buyer.address).await, U256::from(DOLLAR));
    }
}

/// The operator returns the payment with the key of the operator's lane.
async fn give_back(stack: &Stack, payment: &Payment) {
    stack.chain.transact(OPERATORS[0], payment.terms.token, payment.give_back_call()).await;
}
