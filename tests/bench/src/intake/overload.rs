//! Overload: twice of what the installation can settle, for two minutes (P9). All services run.
//!
//! Capacity comes first, from a closed loop: whenever a payment is settled, another one is sent. Then half of it and twice
//! of it are offered at a steady pace, answered or not. What is over must be put off at once, with a 503 or 429 that
//! says when to come back; what was accepted must be minted.

use chrono::Utc;
use domain::PaymentRequest;
use runtime::Fatal;
use serde_json::json;
use std::time::Duration;

use crate::capacity::{self, RAMP, UNDER_WAY, Window, window};
use crate::cpu::Snapshot;
use crate::disk::Probe;
use crate::e2e::{BLOCK_TIME, SERVICES};
use crate::ends::until_ended;
use crate::history::{History, MINTED, SETTLED};
use crate::house::House;
use crate::limits::Limits;
use crate::load::{Load, Outcome, Pace, fire, percentile_ms};
use crate::offer::Offer;
use crate::payers::Payers;
use crate::process::Services;
use crate::raw;
use crate::report::{Report, Row};
use crate::sizes::Sizes;

/// Connections: several times those that wait for their 202 at any time. Where all of them did, a refusal would have to
/// wait for a connection, and look slow.
const CONNECTIONS: usize = 1_000;
/// Between two looks at the api's memory.
const WEIGHING: Duration = Duration::from_secs(1);

/// The installation, its payers and its offer.
struct Stage {
    house: House,
    payers: Payers,
    offer: Offer,
    /// All services but the api.
    others: Services,
    /// Accepted so far, in every part.
    accepted: usize,
}

/// Measures capacity, half of it and twice of it.
///
/// # Errors
/// Something does not start, or nothing moves any more.
pub async fn run(sizes: &Sizes, report: &mut Report) -> Result<(), Fatal> {
    println!("overload: all services run, a block a second");
    let raw = raw::measure(sizes).await?;
    report.raw("overload", &raw);
    let house = House::start("overload", BLOCK_TIME).await?;
    let payers = Payers::new("overload", sizes.payers)?;
    payers.fund(&house.chain, house.shop.asset).await?;
    let [api, others @ ..] = SERVICES;
    let others = house.services(&others, Limits::NONE).await?;
    let door = house.services(&[api], Limits::NONE).await?;
    let offer = Offer::ask(house.api, house.shop.token.token).await?;
    let mut stage = Stage { house, payers, offer, others, accepted: 0 };

    let (cpu, probe) = (Snapshot::take()?, Probe::start()?);
    let capacity = stage.capacity(sizes.calm).await?;
    report.usage("overload, closed loop", &cpu.since()?, probe.end().await?, stage.accepted);
    let row = Row::new("overload: capacity, settled in a closed loop", capacity, "/s");
    // Five events of its own are written for each payment.
    report.row(row.of(raw.lazy_publishes / 5.0, "lazy publishes / 5"));
    door.stop().await?;
    let limits = Limits::lag(UNDER_WAY);
    let mut door = stage.house.services(&[api], limits).await?;

    let (half, _) = stage.offer(0.5 * capacity, sizes.calm, &mut door).await?;
    let half_p99 = half.outcome.percentile_ms(0.99);
    report.row(Row::new("overload, half of it offered: p99 of the 202", half_p99, "ms"));
    if let Some(fault) = half.outcome.fault() {
        report.note(format!("overload, half of it offered: {fault}"));
    }

    let (cpu, probe) = (Snapshot::take()?, Probe::start()?);
    let (twice, weights) = stage.offer(2.0 * capacity, sizes.overload, &mut door).await?;
    report.usage("overload, twice of it offered", &cpu.since()?, probe.end().await?, twice.outcome.hits.len());
    let history = History::read(&stage.house.ledger, stage.house.last_seq().await?).await?;
    figures(capacity, half_p99, &twice, &weights, &history, report)?;
    report.memory("overload", &door.memory()?);
    door.stop().await?;
    stage.others.stop().await?;
    stage.house.end().await;
    Ok(())
}

/// A load that was offered at a steady pace.
struct Offered {
    payments: Vec<PaymentRequest>,
    outcome: Outcome,
    window: Window,
}

impl Stage {
    /// Settled a second while payments are never short.
    async fn capacity(&mut self, time: Duration) -> Result<f64, Fatal> {
        let load = |shots, pace| Load::once(shots, CONNECTIONS, pace);
        let (rate, accepted) = capacity::measure(&self.house, &self.payers, &self.offer, load, time).await?;
        self.drain(accepted).await?;
        Ok(rate)
    }

    /// Offers `rate` payments a second for `time` and the ramp before it, weighing the api meanwhile; then waits until
    /// everything that was accepted has ended.
    async fn offer(&mut self, rate: f64, time: Duration, door: &mut Services) -> Result<(Offered, Vec<u64>), Fatal> {
        let count = (rate * (RAMP + time).as_secs_f64()) as usize;
        let payments = self.payers.sign(&self.house.shop.token, 0, count)?;
        let shots = self.offer.paid(&payments);
        let window = window(time)?;
        let mut load = tokio::spawn(fire(self.house.api, Load::once(shots, CONNECTIONS, Pace::PerSecond(rate))));
        let mut weights = Vec::new();
        let outcome = loop {
            tokio::select! {
                outcome = &mut load => break outcome??,
                () = tokio::time::sleep(WEIGHING) => {
                    door.check()?;
                    if (window.0..window.1).contains(&Utc::now()) {
                        weights.push(door.resident_kib("api")?);
                    }
                }
            }
        };
        self.drain(outcome.hits.len()).await?;
        Ok((Offered { payments, outcome, window }, weights))
    }

    /// Waits until all that was accepted so far, and `more`, has ended.
    async fn drain(&mut self, more: usize) -> Result<(), Fatal> {
        self.accepted += more;
        let accepted = self.accepted;
        until_ended(&self.house, &mut self.others, async { Ok((accepted, ())) }).await
    }
}

fn figures(
    capacity: f64,
    half_p99: f64,
    twice: &Offered,
    weights: &[u64],
    history: &History,
    report: &mut Report,
) -> Result<(), Fatal> {
    let Offered { payments, outcome, window } = twice;
    let name = |figure: &str| format!("overload, twice of it offered: {figure}");
    let seconds = (window.1 - window.0).to_std()?.as_secs_f64();
    let in_window = |step| history.count(step, *window) as f64 / seconds;
    let lost = outcome.hits.iter().filter(|hit| !history.is_minted(payments[**hit].id())).count();
    if outcome.failed > 0 {
        let shown = outcome.failures.join(" | ");
        report.violation(format!("overload: {} were neither accepted nor put off: {shown}", outcome.failed));
    }
    if lost > 0 {
        report.violation(format!("overload: {lost} of {} accepted were not minted", outcome.hits.len()));
    }
    if outcome.put_off.is_empty() {
        report.note("overload: nothing was put off: this api admits whatever comes");
    }
    let settled = Row::new(name("settled"), in_window(SETTLED), "/s");
    let p99 = Row::new(name("p99 of the 202"), outcome.percentile_ms(0.99), "ms");
    let put_off_p99 = percentile_ms(&outcome.put_off, 0.99);
    let growth = growth(weights);
    for row in [
        settled.at_least(0.9 * capacity).of(capacity, "capacity"),
        Row::new(name("minted"), in_window(MINTED), "/s"),
        Row::new(name("accepted"), outcome.rate(), "/s"),
        p99.at_most(2.0 * half_p99).of(half_p99, "p99 at half of it"),
        Row::new(name("put off"), outcome.put_off.len() as f64 / outcome.elapsed.as_secs_f64(), "/s"),
        Row::new(name("p99 of what is put off"), put_off_p99, "ms").at_most(20.0),
        Row::new(name("neither accepted nor put off"), outcome.failed as f64, "").at_most(0.0),
        Row::new(name("accepted and not minted"), lost as f64, "").at_most(0.0),
        Row::new(name("memory of the api, last quarter over second"), growth, "%").at_most(5.0),
    ] {
        report.row(row);
    }
    let latencies = [0.5, 0.9, 0.99, 0.999, 1.0].map(|share| outcome.percentile_ms(share));
    let put_off = [0.5, 0.9, 0.99, 0.999, 1.0].map(|share| percentile_ms(&outcome.put_off, share));
    report.detail("overload", json!({ "latenciesMs": latencies, "putOffMs": put_off, "residentKib": weights }))
}

/// How much the mean of the last quarter is above that of the second, percent: the first one fills caches.
fn growth(samples: &[u64]) -> f64 {
    let quarter = samples.len() / 4;
    let mean = |some: &[u64]| some.iter().sum::<u64>() as f64 / some.len() as f64;
    (mean(&samples[3 * quarter..]) / mean(&samples[quarter..2 * quarter]) - 1.0) * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_that_of_the_last_quarter_over_the_second() {
        assert_eq!(growth(&[1, 1, 10, 10, 50, 50, 10, 10]), 0.0);
        assert_eq!(growth(&[1, 10, 15, 20]), 100.0);
        assert!(growth(&[]).is_nan() && growth(&[1, 2, 3]).is_nan());
    }
}
