//! End to end: from the POST to the confirmed mint, every service running, one block a second.

use alloy_primitives::U256;
use domain::{Event, OrderEvent};
use futures_util::{StreamExt, TryStreamExt, stream};
use ledger::Recorded;
use runtime::Fatal;
use std::sync::Arc;
use std::time::Duration;
use store::{READ_MODELS, Store};
use tokio::time::{Instant, timeout};

use crate::cpu::Snapshot;
use crate::disk::Probe;
use crate::history::History;
use crate::house::House;
use crate::load::{Outcome, Pace, fire, percentile_ms};
use crate::payers::{Payers, shots};
use crate::process::Services;
use crate::raw::{self, Raw};
use crate::report::{Report, Row};
use crate::sizes::Sizes;

/// Base's blocks come every two seconds; one second halves the waits that are not ours.
const BLOCK_TIME: Duration = Duration::from_secs(1);
/// Connections that the payments come over, as fast as they are accepted.
const CONNECTIONS: usize = 64;
/// No mint for this long: something is stuck.
const STALL: Duration = Duration::from_secs(45);
/// The read models are this far behind the last mint at most.
const PROJECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// Balances asked for at once.
const READS: usize = 32;
/// What ends an order, well or not.
const ENDS: [&str; 3] = ["orders.*.*.mint.confirmed", "orders.*.*.payment.failed", "orders.*.*.mint.parked.*"];
/// All of them.
const SERVICES: [&str; 5] = ["api", "payment-sender", "confirmer", "mint-projector", "read-projector"];

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
    let mut services = house.services(&SERVICES).await?;
    let payments = payers.sign(&house.shop.token, 0, sizes.e2e)?;
    let shots = Arc::new(shots(house.api, &payments).await?);
    let (cpu, probe) = (Snapshot::take()?, Probe::start()?);
    let load = tokio::spawn(fire(house.api, shots, CONNECTIONS, Pace::Saturated));
    let outcome = until_minted(&house, &mut services, load).await?;
    let usage = cpu.since()?;
    let disk = probe.end().await?;
    let last = house.last_seq().await?;
    let lag = until_projected(&house, last).await?;
    let history = History::read(&house.ledger, last).await?;
    judge(&outcome, &history, report);
    compare_with_chain(&house, &payers, outcome.accepted, report).await?;
    figures(&outcome, &history, &raw, report);
    report.note(format!("end to end: the read models had the last event {} ms after it was seen", lag.as_millis()));
    report.usage("end to end", &usage, disk, sizes.e2e);
    report.detail("endToEnd", serde_json::json!({ "steps": history.steps(), "processors": usage, "disk": disk }))?;
    report.memory("end to end", &services.memory()?);
    services.stop().await?;
    house.end().await;
    Ok(())
}

/// Follows the ledger until as many orders have ended as were accepted.
async fn until_minted(
    house: &House,
    services: &mut Services,
    load: tokio::task::JoinHandle<Result<Outcome, Fatal>>,
) -> Result<Outcome, Fatal> {
    let mut news = house.ledger.follow(ENDS.map(str::to_owned).to_vec(), false).await?;
    let mut load = std::pin::pin!(load);
    let (mut outcome, mut ended) = (None::<Outcome>, 0_usize);
    let mut moved = Instant::now();
    while outcome.as_ref().is_none_or(|outcome| ended < outcome.accepted) {
        tokio::select! {
            done = &mut load, if outcome.is_none() => outcome = Some(done??),
            recorded = timeout(Duration::from_secs(1), news.next()) => match recorded {
                Ok(recorded) => {
                    let recorded = recorded.ok_or("the ledger's news ended")??;
                    explain(&recorded);
                    (ended, moved) = (ended + 1, Instant::now());
                }
                Err(_) if moved.elapsed() > STALL => {
                    let text = format!("{ended} orders have ended, and no further one for {} s", STALL.as_secs());
                    return Err(format!("{text}; see target/bench-logs/e2e").into());
                }
                Err(_) => services.check()?,
            },
        }
    }
    outcome.ok_or_else(|| "no load".into())
}

/// An order that ended badly says why.
fn explain(recorded: &Recorded) {
    match &recorded.event {
        Ok(Event::Order(id, OrderEvent::PaymentFailed(failure))) => println!("  {id} failed: {}", failure.detail),
        Ok(Event::Order(id, OrderEvent::MintParked(_, why))) => println!("  {id} parked: {}", why.detail),
        _ => {}
    }
}

/// How long the read models took to come to `last`.
async fn until_projected(house: &House, last: u64) -> Result<Duration, Fatal> {
    let begun = Instant::now();
    let store = Store::connect(&house.servers.postgres.url(), 1).await?;
    while store.position(READ_MODELS).await?.is_none_or(|position| position.seq < last) {
        if begun.elapsed() > PROJECTION_TIMEOUT {
            return Err(format!("the read models are not at {last} after {} s", PROJECTION_TIMEOUT.as_secs()).into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    store.close().await;
    Ok(begun.elapsed())
}

/// Accepted, asked for, and minted are the same number.
fn judge(outcome: &Outcome, history: &History, report: &mut Report) {
    if outcome.failed > 0 {
        report.violation(format!("end to end: {} requests failed: {}", outcome.failed, outcome.failures.join(" | ")));
    }
    if history.minted() != outcome.accepted {
        report.violation(format!("end to end: {} accepted, {} minted", outcome.accepted, history.minted()));
    }
    if history.detours > 0 {
        report.note(format!("end to end: {} events of waiting, failing or parking in the ledger", history.detours));
    }
}

/// The chain's own word: the money is in the token's escrow, the units are with the payers.
async fn compare_with_chain(house: &House, payers: &Payers, minted: usize, report: &mut Report) -> Result<(), Fatal> {
    let token = &house.shop.token;
    let escrow = house.chain.usdc_balance(token.asset, token.token).await?;
    let units = stream::iter(payers.addresses())
        .map(|payer| house.chain.token_balance(token.token, payer))
        .buffer_unordered(READS)
        .try_fold(U256::ZERO, |sum, balance| async move { Ok(sum + balance) })
        .await?;
    if escrow != U256::from(minted) * U256::from(token.unit_price.0) {
        report.violation(format!("end to end: {minted} minted, but {escrow} atomic USDC in escrow"));
    }
    if units != U256::from(minted) * U256::from(token.unit) {
        report.violation(format!("end to end: {minted} minted, but the payers hold {units} base units"));
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
