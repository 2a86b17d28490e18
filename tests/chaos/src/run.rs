//! One seed from the first server to the verdict.

use crate::closing;
use crate::house::{House, everyone};
use crate::listen::Listener;
use crate::load::{Load, PAYERS, WEALTH};
use crate::plan::Plan;
use crate::report::{Course, Report};
use crate::strike::deal;
use alloy_primitives::Address;
use harness::journal;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Orders for each of which there is one token of few units: one in a hundred purchases needs one.
const ORDERS_PER_FEW: usize = 80;

/// The options of a run.
#[derive(Clone, Debug)]
pub struct Ask {
    pub seed: u64,
    pub orders: usize,
    pub time: Duration,
    /// Names of blows; none: all.
    pub only: Vec<String>,
}

/// Runs it in `folder`, which holds all that was seen when this returns.
pub async fn run(ask: &Ask, folder: &Path) -> Report {
    let begun = Instant::now();
    let plan = Plan::of(ask.seed, ask.time, &ask.only);
    std::fs::write(folder.join("plan.txt"), format!("{plan:#?}\n")).unwrap();
    let house = Arc::new(House::start(ask.seed, folder, ask.orders.div_ceil(ORDERS_PER_FEW)).await);
    let buyers = Arc::new(house.stack.lock().await.buyers(PAYERS, WEALTH).await);
    let rich: Vec<Address> = buyers.iter().chain([&house.creator]).map(|buyer| buyer.address).collect();
    let genesis = journal::genesis(&house.chain, house.token.asset, &rich).await;
    let supervisor = {
        let house = house.clone();
        tokio::spawn(async move { house.supervise().await })
    };
    let listeners: Vec<Listener> = listeners(&house, &buyers);
    let load = Load::new(house.clone(), buyers.clone(), ask.seed);
    load.warm_up().await;
    closing::until_ended(&house).await;
    let samples = house.stack.lock().await.samples(&everyone(), "baseline");
    samples.iter().for_each(|sample| house.journal.line(sample));

    println!("seed {}: {} orders in {} s, {} steps", ask.seed, ask.orders, ask.time.as_secs(), plan.steps().count());
    let (over, disturbed) = (AtomicBool::new(false), Instant::now());
    let trouble = async {
        let dealt = tokio::join!(deal(&house, &plan.processes, begun), deal(&house, &plan.neighbours, begun));
        over.store(true, Ordering::Relaxed);
        [dealt.0, dealt.1].concat()
    };
    let (sold, dealt) = tokio::join!(load.run(ask.orders, ask.time, &over), trouble);
    let disturbed = disturbed.elapsed();
    let closed = closing::close(&house, &load, listeners, supervisor).await;
    let run = closing::Run { genesis, plan: &plan, folder, healed_at: closed.healed_at };
    let verdict = closing::audit(&house, run).await;
    let ledger = closing::ledger(&house, folder).await;
    closing::lose_and_refill(&house, &ledger).await;
    let course =
        Course { sold, dealt, ledger, closed, verdict, found: house.all_found(), disturbed, took: begun.elapsed() };
    Report::of(ask, course, |blow| house.journal.count(blow))
}

/// Listeners of the main token and of three payers.
fn listeners(house: &Arc<House>, buyers: &[harness::Buyer]) -> Vec<Listener> {
    let token = house.token.token;
    let of_token = ("token".to_owned(), json!({ "token": token }), format!("?token={token}"));
    let of_payers = buyers.iter().take(3).enumerate().map(|(n, buyer)| {
        let payer = buyer.address;
        (format!("payer-{n}"), json!({ "payer": payer }), format!("?payer={payer}"))
    });
    let all = std::iter::once(of_token).chain(of_payers);
    all.map(|(name, filter, query)| Listener::open(house.clone(), name, filter, query)).collect()
}
