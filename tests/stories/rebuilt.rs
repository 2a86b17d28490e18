//! A10: the read models are a fold of the ledger and nothing else.

use harness::{Bill, Buyer, DOLLAR, Instance, Outcome, Service, Stack, StackOptions};
use runtime::failpoint::ROWS_COMMITTED;
use standalone::accounts::OWNER;
use std::collections::BTreeSet;

/// Every kind of end is among them: minted, by us and by somebody else; failed; charged around the token and recorded
/// afterwards; still waiting; undecodable.
#[tokio::test(flavor = "multi_thread")]
async fn a10_read_models_rebuilt_from_sequence_1_equal_the_live_ones_row_by_row() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let terms = stack.shop.token.clone();
    let buyers = stack.buyers(4, DOLLAR).await;
    let penniless = Buyer::new();

    let minted = stack.buy(&buyers[0], 3).await;
    let payment = buyers[1].pay(&terms, 3);
    stack.chain.transact(OWNER, terms.asset, payment.transfer.call()).await;
    let around = stack.accept(&payment).await.paid_by_third_party();
    stack.until(&around, "payment.deferred.1").await;
    // Final, so that the operator's lane acts.
    stack.chain.mine(17).await;

    let payment = buyers[2].pay(&terms, 3);
    let cancellation = buyers[2].cancellation(&terms, payment.transfer.authorization.nonce);
    stack.chain.transact(OWNER, terms.asset, cancellation).await;
    let cancelled = stack.accept(&payment).await.ends(Outcome::Failed("cancelled"));

    let payment = buyers[3].sign(Bill::of(&terms, 3));
    stack.chain.transact(OWNER, terms.token, payment.settle_call()).await;
    let front_run = stack.accept(&payment).await.paid_by_third_party();

    let waiting = stack.buy(&penniless, 3).await.ends(Outcome::Waiting("unfunded"));
    let stored =
        stack.stream.publish("orders.0.00000000-0000-5000-8000-000000000000.mint.payment.requested", "no event").await;
    let parked_message = format!("ops.parked.payment-sender-{}", stored["seq"]);
    let set_aside = async || stack.stream.on(&parked_message).await;
    harness::eventually("the message that is no event is set aside", set_aside).await;

    let orders = [minted, around, cancelled, front_run, waiting];
    stack.audit_but(&orders, &[("A11", "sequence")]).await;
    let models = stack.rebuilt_read_models_equal_the_live_ones(&orders).await;
    let words = |model: &str, column: &str| -> BTreeSet<String> {
        models[model].iter().filter_map(|row| row[column].clone()).collect()
    };
    let stages = words("payment_rows", "stage");
    assert_eq!(stages, BTreeSet::from(["minted", "failed", "deferred"].map(String::from)));
    assert_eq!(words("set_aside", "kind"), BTreeSet::from(["undecodable", "parked_message"].map(String::from)));
    assert!(stack.process(Service::ReadProjector).is_running());
}

/// A rebuild is killed behind its first commit, and run again. Nobody notices: the tables that serve are others.
#[tokio::test(flavor = "multi_thread")]
async fn c26_a_rebuild_that_is_killed_half_way_disturbs_nobody_and_is_run_again() {
    let mut stack = Stack::start(StackOptions::default()).await;
    let buyers = stack.buyers(4, DOLLAR).await;
    let mut orders = vec![stack.buy(&buyers[0], 3).await, stack.buy(&buyers[1], 3).await];
    stack.until_quiet(&orders).await;
    let rebuild = Instance(Service::ReadProjector, 1);
    for buyer in &buyers[2..] {
        stack.run_with(rebuild, &[("DATABASE_SCHEMA", "rebuilt"), ("PAYMINT_KILL_AT", ROWS_COMMITTED.name())]).await;
        stack.until_killed(rebuild, ROWS_COMMITTED.name()).await;
        let half_way = stack.projected("rebuilt").await;
        assert!(half_way > 0);
        let order = stack.buy(buyer, 3).await;
        stack.until(&order, "mint.confirmed").await;
        let shown = async || (stack.status(order.id).await["state"] == "minted").then_some(());
        harness::eventually("the live tables show it", shown).await;
        assert!(stack.stream.last_seq().await > half_way, "there is more to be read");
        orders.push(order);
    }
    stack.rebuilt_read_models_equal_the_live_ones(&orders).await;
    stack.audit(&orders).await;
}
