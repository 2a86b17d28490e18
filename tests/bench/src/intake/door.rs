//! The door: from the POST to the 202, and to every kind of no. Only the api runs; what it accepts piles up in the ledger.

use runtime::Fatal;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

use crate::cpu::{Snapshot, Usage};
use crate::disk::{Disk, Probe};
use crate::house::House;
use crate::limits::Limits;
use crate::load::{self, Load, Outcome, Pace, Shot};
use crate::offer::Offer;
use crate::payers::Payers;
use crate::process::Services;
use crate::raw::{self, Raw};
use crate::report::{Report, Row};
use crate::sizes::Sizes;

/// Nothing is sent to the chain, so its blocks cost little.
const BLOCK_TIME: Duration = Duration::from_secs(2);
/// Unmeasured payments at the start: code is paged in, the catalogue is read.
const WARM_UP: usize = 300;
/// Connections of a crowd.
const CROWD: usize = 1_000;
/// Different requests of one kind of refusal: as many as there are payers in a crowd.
const FORGERIES: usize = 1_000;
/// Processor time of the api for one refusal, milliseconds (P12).
const REFUSAL_CPU_MS: f64 = 0.3;

/// One run of payments.
struct Run {
    name: &'static str,
    connections: usize,
    count: usize,
    pace: Pace,
}

/// A run, and what it cost.
struct Measured {
    outcome: Outcome,
    usage: Usage,
    disk: Disk,
}

/// Measures every run, and weighs the api.
///
/// # Errors
/// Something does not start. Failed requests and a ledger that disagrees are violations in the report.
pub async fn run(sizes: &Sizes, report: &mut Report) -> Result<(), Fatal> {
    println!("intake: only the api runs, the settlement services are off");
    let raw = raw::measure(sizes).await?;
    report.raw("intake", &raw);
    let house = House::start("intake", BLOCK_TIME).await?;
    let mut services = house.services(&["api"], Limits::NONE).await?;
    let payers = Payers::new("intake", sizes.payers)?;
    let offer = Offer::ask(house.api, house.shop.token.token).await?;
    let accepted = accepted(sizes, &raw, (&house, &payers, &offer), &mut services, report).await?;
    refused(sizes, accepted, (&house, &payers, &offer), &mut services, report).await?;
    report.note(format!(
        "intake: only the api runs; the settlement services are off and payments pile up in the ledger. Saturated: each \
         connection pays again as soon as it is answered, so latency is connections / rate, whatever the service does. \
         Paced: {} a second at random times over all 1,000 connections, latency counted from the time that a request was \
         due",
        Sizes::RATE
    ));
    report.memory("intake", &services.memory()?);
    services.stop().await?;
    house.end().await;
    Ok(())
}

/// Payments that are taken; answers with the rate of a saturated crowd.
async fn accepted(
    sizes: &Sizes,
    raw: &Raw,
    (house, payers, offer): (&House, &Payers, &Offer),
    services: &mut Services,
    report: &mut Report,
) -> Result<f64, Fatal> {
    let paced = Pace::PerSecond(Sizes::RATE);
    let saturated = || Pace::Saturated;
    let runs = [
        Run { name: "warm-up", connections: 8, count: WARM_UP, pace: saturated() },
        Run { name: "1 connection", connections: 1, count: sizes.one, pace: saturated() },
        Run { name: "64 connections", connections: 64, count: sizes.sixty_four, pace: saturated() },
        Run { name: "1,000 connections, paced", connections: CROWD, count: sizes.paced, pace: paced },
        Run { name: "1,000 connections, saturated", connections: CROWD, count: sizes.thousand, pace: saturated() },
    ];
    let mut crowd = f64::NAN;
    for run in runs {
        let payments = payers.sign(&house.shop.token, 0, run.count)?;
        let before = house.last_seq().await?;
        let load = Load::once(offer.paid(&payments), run.connections, run.pace.clone());
        let measured = measure(house, load).await?;
        let written = house.last_seq().await? - before;
        services.check()?;
        judge(&run, &measured.outcome, written, report);
        if run.name != "warm-up" {
            figures(&run, &measured, raw, report);
            details(run.name, &measured, run.count, report)?;
            crowd = measured.outcome.rate();
        }
    }
    Ok(crowd)
}

/// Requests that are refused, over the same connections, as fast as they are refused.
async fn refused(
    sizes: &Sizes,
    accepted: f64,
    (house, payers, offer): (&House, &Payers, &Offer),
    services: &mut Services,
    report: &mut Report,
) -> Result<(), Fatal> {
    let payments = payers.sign(&house.shop.token, 0, FORGERIES)?;
    let forged = payers.forge(&house.shop.token, FORGERIES)?;
    let each = |make: &dyn Fn(&_) -> Shot| payments.iter().map(make).collect::<Vec<_>>();
    // A refusal that needs no recovery costs a fifth of an acceptance at most, one that does half.
    let kinds = [
        ("no payment", vec![offer.unpaid()], 5.0),
        ("header that is not base64", each(&|payment| offer.not_base64(payment)), 5.0),
        ("header that is not JSON", each(&|payment| offer.not_json(payment)), 5.0),
        ("another's signature", offer.forged(&forged), 2.0),
    ];
    let before = house.last_seq().await?;
    for (kind, shots, times) in kinds {
        let load = Load {
            shots: Arc::new(shots),
            count: sizes.refusals,
            connections: CROWD,
            pace: Pace::Saturated,
            network: None,
        };
        let measured = measure(house, load).await?;
        services.check()?;
        let name = |figure: &str| format!("refused, {kind}: {figure}");
        if let Some(fault) = measured.outcome.fault() {
            report.violation(format!("refused, {kind}: {fault}"));
        }
        let rate = Row::new(name("answered"), measured.outcome.rate(), "/s");
        report.row(rate.at_least(times * accepted).of(accepted, "accepted, 1,000 connections, saturated"));
        let cpu_ms = measured.usage.of("api") * 1_000.0 / sizes.refusals as f64;
        report.row(Row::new(name("processor time of the api each"), cpu_ms, "ms").at_most(REFUSAL_CPU_MS));
        details(&format!("refused, {kind}"), &measured, sizes.refusals, report)?;
    }
    if house.last_seq().await? != before {
        report.violation("refused: what was refused is in the ledger");
    }
    Ok(())
}

/// Fires, and looks at processors and disk meanwhile.
async fn measure(house: &House, load: Load) -> Result<Measured, Fatal> {
    let (cpu, probe) = (Snapshot::take()?, Probe::start()?);
    let outcome = load::fire(house.api, load).await?;
    let usage = cpu.since()?;
    Ok(Measured { outcome, usage, disk: probe.end().await? })
}

/// Every request is accepted, and the ledger holds one event for each.
fn judge(run: &Run, outcome: &Outcome, written: u64, report: &mut Report) {
    if let Some(fault) = outcome.fault() {
        report.violation(format!("intake, {}: {fault}", run.name));
    }
    if usize::try_from(written) != Ok(outcome.hits.len()) {
        let accepted = outcome.hits.len();
        report.violation(format!("intake, {}: {accepted} accepted, {written} in the ledger", run.name));
    }
}

fn figures(run: &Run, measured: &Measured, raw: &Raw, report: &mut Report) {
    let outcome = &measured.outcome;
    let name = |figure: &str| format!("intake, {}: {figure}", run.name);
    let rate = Row::new(name("accepted"), outcome.rate(), "/s");
    let (p50, p99) = (outcome.percentile_ms(0.5), outcome.percentile_ms(0.99));
    let p50 = Row::new(name("p50 of the 202"), p50, "ms");
    let p99 = Row::new(name("p99 of the 202"), p99, "ms");
    let failed = Row::new(name("failed"), outcome.failed as f64, "").at_most(0.0);
    let (rate, p99) = match (run.connections, &run.pace) {
        // Each waits for an fsync of its own.
        (1, _) => (rate.of(raw.fdatasync, "fdatasync"), p99),
        (_, Pace::PerSecond(_)) => (rate.at_least(1_000.0), p99.below(25.0)),
        (CROWD, _) => {
            let left = measured.usage.cores_left_by(&["nats-server", "paymint-bench"]);
            let rate = rate.at_least(crowd_target(raw, left)).saying(format!(
                "target: the lesser of 3 x fdatasync and 0.5 x recoveries x {left:.2}, the cores that nats-server and \
                 the load left"
            ));
            (limits(rate, raw), p99)
        }
        _ => (limits(rate, raw), p99),
    };
    for row in [rate, p50, p99, failed] {
        report.row(row);
    }
}

/// Accepted a second that a saturated crowd must get: three for each fsync that the disk can do, since group commit puts
/// many into one; or where the processors come first, half of what is left of them spent on signatures.
fn crowd_target(raw: &Raw, cores_left: f64) -> f64 {
    (3.0 * raw.fdatasync).min(0.5 * raw.recoveries * cores_left)
}

/// A payment is one recovery and one event.
fn limits(rate: Row, raw: &Raw) -> Row {
    rate.of(raw.fdatasync, "fdatasync").of(raw.recoveries, "recoveries").of(raw.lazy_publishes, "lazy publishes")
}

fn details(name: &str, measured: &Measured, count: usize, report: &mut Report) -> Result<(), Fatal> {
    let Measured { outcome, usage, disk } = measured;
    report.usage(&format!("intake, {name}"), usage, *disk, count);
    let latencies = [0.5, 0.9, 0.99, 0.999, 1.0].map(|share| outcome.percentile_ms(share));
    report.detail(&format!("intake, {name}"), json!({ "latenciesMs": latencies, "processors": usage, "disk": disk }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_of_a_crowd_is_what_runs_out_first() {
        let raw = |fdatasync| Raw { fdatasync, recoveries: 30_000.0, lazy_publishes: 0.0 };
        assert_eq!(crowd_target(&raw(1_000.0), 1.0), 3_000.0);
        assert_eq!(crowd_target(&raw(8_000.0), 1.0), 15_000.0);
        assert_eq!(crowd_target(&raw(8_000.0), 0.5), 7_500.0);
    }
}
