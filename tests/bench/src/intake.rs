//! Intake: from the paid POST to the 202, measured alone. Only the api runs; what it accepts piles up in the ledger.

use runtime::Fatal;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

use crate::cpu::Snapshot;
use crate::disk::Probe;
use crate::house::House;
use crate::load::{self, Outcome, Pace};
use crate::payers::{Payers, shots};
use crate::raw::{self, Raw};
use crate::report::{Report, Row};
use crate::sizes::Sizes;

/// Nothing is sent to the chain, so its blocks cost little.
const BLOCK_TIME: Duration = Duration::from_secs(2);
/// Unmeasured payments at the start: code is paged in, the catalogue is read.
const WARM_UP: usize = 300;

/// One run.
struct Run {
    name: &'static str,
    connections: usize,
    count: usize,
    pace: Pace,
}

/// Measures every run and weighs the api.
///
/// # Errors
/// Something does not start. Failed requests and a ledger that disagrees are violations in the report.
pub async fn run(sizes: &Sizes, report: &mut Report) -> Result<(), Fatal> {
    println!("intake: only the api runs, the settlement services are off");
    let raw = raw::measure(sizes).await?;
    report.raw("intake", &raw);
    let house = House::start("intake", BLOCK_TIME).await?;
    let mut services = house.services(&["api"]).await?;
    let payers = Payers::new("intake", sizes.payers)?;
    let pace = Pace::PerSecond(Sizes::RATE);
    let saturated = Pace::Saturated;
    let runs = [
        Run { name: "warm-up", connections: 8, count: WARM_UP, pace: saturated },
        Run { name: "1 connection", connections: 1, count: sizes.one, pace: saturated },
        Run { name: "64 connections", connections: 64, count: sizes.sixty_four, pace: saturated },
        Run { name: "1,000 connections, paced", connections: 1_000, count: sizes.paced, pace },
        Run { name: "1,000 connections, saturated", connections: 1_000, count: sizes.thousand, pace: saturated },
    ];
    for run in runs {
        let payments = payers.sign(&house.shop.token, 0, run.count)?;
        let shots = Arc::new(shots(house.api, &payments).await?);
        let before = house.last_seq().await?;
        let (cpu, probe) = (Snapshot::take()?, Probe::start()?);
        let outcome = load::fire(house.api, shots, run.connections, run.pace).await?;
        let usage = cpu.since()?;
        let disk = probe.end().await?;
        let written = house.last_seq().await? - before;
        services.check()?;
        judge(&run, &outcome, written, report);
        if run.name != "warm-up" {
            figures(&run, &outcome, &raw, report);
            report.usage(&format!("intake, {}", run.name), &usage, disk, run.count);
            let latencies = [0.5, 0.9, 0.99, 0.999, 1.0].map(|share| outcome.percentile_ms(share));
            report.detail(
                &format!("intake, {}", run.name),
                json!({ "latenciesMs": latencies, "processors": usage, "disk": disk }),
            )?;
        }
    }
    report.note(format!(
        "intake: only the api runs; the settlement services are off and payments pile up in the ledger. Saturated: each \
         connection pays again as soon as it is answered, so latency is connections / rate and a p99 of 50 ms would need \
         more than 20,000 accepted/s. Paced: {} a second at random times over all 1,000 connections, latency counted from \
         the time that a request was due",
        Sizes::RATE
    ));
    report.memory("intake", &services.memory()?);
    services.stop().await?;
    house.end().await;
    Ok(())
}

/// Every request is accepted, and the ledger holds one event for each.
fn judge(run: &Run, outcome: &Outcome, written: u64, report: &mut Report) {
    if outcome.failed > 0 {
        let shown = outcome.failures.join(" | ");
        report.violation(format!("intake, {}: {} requests failed: {shown}", run.name, outcome.failed));
    }
    if usize::try_from(written) != Ok(outcome.accepted) {
        report.violation(format!("intake, {}: {} accepted, {written} in the ledger", run.name, outcome.accepted));
    }
}

fn figures(run: &Run, outcome: &Outcome, raw: &Raw, report: &mut Report) {
    let name = |figure: &str| format!("intake, {}: {figure}", run.name);
    let rate = Row::new(name("accepted"), outcome.rate(), "/s");
    let (p50, p99) = (outcome.percentile_ms(0.5), outcome.percentile_ms(0.99));
    let p50 = Row::new(name("p50 of the 202"), p50, "ms");
    let p99 = Row::new(name("p99 of the 202"), p99, "ms");
    let failed = Row::new(name("failed"), outcome.failed as f64, "").at_most(0.0);
    let (rate, p99) = match (run.connections, run.pace) {
        // Each waits for an fsync of its own.
        (1, _) => (rate.of(raw.fdatasync, "fdatasync"), p99),
        (_, Pace::PerSecond(_)) => (rate.at_least(1_000.0), p99.below(50.0)),
        (1_000, Pace::Saturated) => (limits(rate.at_least(1_000.0), raw), p99),
        (_, Pace::Saturated) => (limits(rate, raw), p99),
    };
    for row in [rate, p50, p99, failed] {
        report.row(row);
    }
}

/// A payment is one recovery and one event.
fn limits(rate: Row, raw: &Raw) -> Row {
    rate.of(raw.recoveries, "recoveries").of(raw.lazy_publishes, "lazy publishes")
}
