//! End to end: from the POST to the confirmed mint, every service running, one block a second.

use alloy_primitives::U256;
use futures_util::{StreamExt, TryStreamExt, stream};
use runtime::Fatal;
use std::time::Duration;
use store::{READ_MODELS, Store};
use tokio::time::Instant;

use crate::cpu::Snapshot;
use crate::disk::Probe;
use crate::ends::until_ended;
use crate::history::History;
use crate::house::House;
use crate::limits::Limits;
use crate::load::{Load, Outcome, Pace, fire, percentile_ms};
use crate::offer::Offer;
use crate::payers::Payers;
use crate::raw::{self, Raw};
use crate::report::{Report, Row};
use crate::sizes::Sizes;

/// Base's blocks come every two seconds; one second halves the waits that are not ours.
pub const BLOCK_TIME: Duration = Duration::from_secs(1);
/// Connections that the payments come over, as fast as they are accepted.
const CONNECTIONS: usize = 64;
/// The read models are this far behind the last mint at most.
const PROJECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// Balances asked for at once.
const READS: usize = 32;
/// Every service on the straight way. The operator's lane has no work there.
pub const SERVICES: [&str; 5] = ["api", "payment-sender", "confirmer", "mint-projector", "read-projector"];

/// Measures, compares ledger and chain, weighs the services.
///
/// # Errors
/// Something does not start, or nothing moves any more.
pub async fn run(sizes: &Sizes, report: &mut Report) -> Result<(), Fatal> {
    println!("end to end: {} payments, all services run, a block a second", sizes.e2e);
    let raw = raw::measure(sizes).await?;
    report.raw("end to end", &raw);
    let house = House::start("e2e", BLOCK_TIME).await?;
    let payers = Payers::new("e2e", sizes.payers)?;
    payers.fund(&house.chain, house.shop.asset).await?;
    let mut services = house.services(&SERVICES, Limits::NONE).await?;
    let payments = payers.sign(&house.shop.token, 0, sizes.e2e)?;
    let shots = Offer::ask(house.api, house.shop.token.token).await?.paid(&payments);
    let (cpu, probe) = (Snapshot::take()?, Probe::start()?);
    let load = fire(house.api, Load::once(shots, CONNECTIONS, Pace::Saturated));
    let load = async { load.await.map(|outcome| (outcome.hits.len(), outcome)) };
    let outcome = until_ended(&house, &mut services, load).await?;
    let usage = cpu.since()?;
    let disk = probe.end().await?;
    let last = house.last_seq().await?;
    let lag = until_projected(&house, last, PROJECTION_TIMEOUT).await?;
    let history = History::read(&house.ledger, last).await?;
    judge(&outcome, &history, report);
    compare_with_chain("end to end", &house, &payers, outcome.hits.len(), report).await?;
    figures(&outcome, &history, &raw, report);
    report.note(format!("end to end: the read models had the last event {} ms after it was seen", lag.as_millis()));
    report.usage("end to end", &usage, disk, sizes.e2e);
    report.detail("endToEnd", serde_json::json!({ "steps": history.steps(), "processors": usage, "disk": disk }))?;
    report.memory("end to end", &services.memory()?);
    services.stop().await?;
    house.end().await;
    Ok(())
}

/// How long the read models took to come to `last`, at most `limit`.
///
/// # Errors
/// The limit is over, or the database does not answer.
pub async fn until_projected(house: &House, last: u64, limit: Duration) -> Result<Duration, Fatal> {
    let begun = Instant::now();
    let store = Store::connect(&house.servers.postgres.url(), 1).await?;
    while store.position(READ_MODELS).await?.is_none_or(|position| position.seq < last) {
        if begun.elapsed() > limit {
            return Err(format!("the read models are not at {last} after {} s", limit.as_secs()).into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    store.close().await;
    Ok(begun.elapsed())
}

/// Accepted, asked for, and minted are the same number.
fn judge(outcome: &Outcome, history: &History, report: &mut Report) {
    if let Some(fault) = outcome.fault() {
        report.violation(format!("end to end: {fault}"));
    }
    if history.minted() != outcome.hits.len() {
        report.violation(format!("end to end: {} accepted, {} minted", outcome.hits.len(), history.minted()));
    }
    if history.detours > 0 {
        report.note(format!("end to end: {} events of waiting, failing or parking in the ledger", history.detours));
    }
}

/// The chain's own word: the money is at the token, the units are with the payers.
///
/// # Errors
/// The node does not answer. What does not add up is a violation in the report.
pub async fn compare_with_chain(
    phase: &str,
    house: &House,
    payers: &Payers,
    minted: usize,
    report: &mut Report,
) -> Result<(), Fatal> {
    let token = &house.shop.token;
    let held = house.chain.usdc_balance(token.asset, token.token).await?;
    let units = stream::iter(payers.addresses())
        .map(|payer| house.chain.token_balance(token.token, payer))
        .buffer_unordered(READS)
        .try_fold(U256::ZERO, |sum, balance| async move { Ok(sum + balance) })
        .await?;
    if held != U256::from(minted) * U256::from(token.unit_price.0) {
        report.violation(format!("{phase}: {minted} minted, but {held} atomic USDC at the token"));
    }
    if units != U256::from(minted) * U256::from(token.unit) {
        report.violation(format!("{phase}: {minted} minted, but the payers hold {units} base units"));
    }
    Ok(())
}

fn figures(outcome: &Outcome, history: &History, raw: &Raw, report: &mut Report) {
    let seconds = history.elapsed().map_or(f64::NAN, |elapsed| elapsed.as_secs_f64());
    let rate = history.minted() as f64 / seconds;
    // Five events of its own are written for each payment.
    let limit = raw.lazy_publishes / 5.0;
    report.row(Row::new("end to end: accepted meanwhile, 64 connections", outcome.rate(), "/s"));
    report.row(Row::new("end to end: paid to minted", rate, "/s").at_least(300.0).of(limit, "lazy publishes / 5"));
    report.row(Row::new("end to end: minted", history.minted() as f64, ""));
    report.row(Row::new("end to end: failed", outcome.failed as f64, "").at_most(0.0));
    let latencies = history.latencies();
    report.row(Row::new("end to end: p50 of accepted to minted", percentile_ms(&latencies, 0.5), "ms"));
    report.row(Row::new("end to end: p99 of accepted to minted", percentile_ms(&latencies, 0.99), "ms"));
    for (name, batches) in [("settlement", history.settle), ("mint", history.mint)] {
        report.row(Row::new(format!("end to end: {name} transactions"), batches.transactions as f64, ""));
        report.row(Row::new(format!("end to end: mean {name} batch"), batches.mean_size(), ""));
        report.row(Row::new(format!("end to end: gas per item, {name}"), batches.gas_per_item(), "gas"));
    }
    for step in history.steps() {
        let (from, to) = step.window_ms;
        let rate = step.count as f64 * 1_000.0 / (to - from).max(1) as f64;
        report.note(format!(
            "end to end: {} {} from {from} to {to} ms ({rate:.0}/s); wait since the step before p50 {:.0}, p99 {:.0} ms",
            step.count, step.name, step.p50_ms, step.p99_ms
        ));
    }
}
