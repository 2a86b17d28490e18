//! The figures of an attack, as ratios to the honest load without it.

use runtime::Fatal;
use serde_json::json;

use super::arena::Funded;
use super::phase::Phase;
use crate::history::{History, SETTLED};
use crate::load::{Outcome, percentile_ms};
use crate::process::Memory;
use crate::report::{Report, Row};

/// Honest goodput keeps this share.
const GOODPUT_MIN: f64 = 0.95;
/// Honest latency grows to this multiple at most.
const P99_MAX: f64 = 2.0;
/// Requests to the node a second that waiting orders may cost, however many they are.
const CALLS_MAX: f64 = 10.0;
/// An order that waits is settled within this time of becoming payable, seconds.
const PAYABLE_MAX_S: f64 = 10.0;

fn row(name: &str, figure: &str, value: f64, unit: &'static str) -> Row {
    Row::new(format!("abuse, {name}: {figure}"), value, unit)
}

/// The honest load alone.
pub fn undisturbed(name: &str, calm: &Phase, history: &History, report: &mut Report) {
    let name = format!("{name}, before it");
    report.row(row(&name, "goodput, paid to minted", goodput(calm, history), "/s"));
    report.row(row(&name, "p99 from POST to mint", p99(calm, history), "ms"));
    report.row(row(&name, "requests to the node", calm.calls, "/s"));
    if let Some(fault) = calm.outcome.fault() {
        report.note(format!("abuse, {name}: {fault}"));
    }
    violations(&name, calm, history, report);
}

/// The honest load under attack, beside `calm`.
pub fn attacked(name: &str, phase: &Phase, calm: &Phase, history: &History, report: &mut Report) -> Result<(), Fatal> {
    let (goodput, before) = (goodput(phase, history), goodput(calm, history));
    let (p99, p99_before) = (p99(phase, history), p99(calm, history));
    let put_off = phase.outcome.put_off.len() + phase.outcome.failed;
    for row in [
        row(name, "goodput, paid to minted", goodput, "/s").at_least(GOODPUT_MIN * before).of(before, "undisturbed"),
        row(name, "p99 from POST to mint", p99, "ms").at_most(P99_MAX * p99_before).of(p99_before, "undisturbed"),
        row(name, "requests to the node", phase.calls, "/s").of(calm.calls, "undisturbed"),
        row(name, "gas beside that of honest orders", hostile_gas(phase, calm, history), "gas/s"),
        row(name, "honest orders refused", put_off as f64, ""),
    ] {
        report.row(row);
    }
    if let Some(hostile) = &phase.hostile {
        report.row(row(name, "hostile orders accepted", hostile.hits.len() as f64, ""));
        report.note(format!("abuse, {name}: of hostile orders {}", told(hostile)));
        unnamed(name, hostile, report);
    }
    if put_off > 0 {
        report.note(format!("abuse, {name}: of honest orders {}", told(&phase.outcome)));
    }
    violations(name, phase, history, report);
    let latencies = phase.latencies(history);
    let latencies = [0.5, 0.9, 0.99, 1.0].map(|share| percentile_ms(&latencies, share));
    report.detail(&format!("abuse {name}"), json!({ "latenciesMs": latencies, "refused": phase.outcome.refused }))
}

/// The requests that waiting orders cost.
pub fn calls(name: &str, waiting: &Phase, calm: &Phase, report: &mut Report) {
    let more = waiting.calls - calm.calls;
    report.row(row(name, "more requests to the node while they wait", more, "/s").at_most(CALLS_MAX));
}

/// The time in which orders were settled that waited and became payable.
pub fn funded(name: &str, funded: &[Funded], history: &History, report: &mut Report) {
    let settled = funded.iter().map(|(order, at)| Some(history.reached(order.id(), SETTLED)? - *at));
    let longest = settled.map(|wait| wait.map_or(f64::INFINITY, |wait| wait.as_seconds_f64())).fold(f64::NAN, f64::max);
    let remark = format!("the longest of {}", funded.len());
    report.row(row(name, "from payable to settled", longest, "s").at_most(PAYABLE_MAX_S).saying(remark));
}

/// The most that each process ever had.
pub fn memory(name: &str, memory: &[Memory], report: &mut Report) {
    for Memory { service, peak_kib, .. } in memory {
        let limit = if *service == "api" { 128.0 } else { 64.0 };
        let figure = format!("peak memory of {service}");
        report.row(row(name, &figure, *peak_kib as f64 / 1024.0, "MiB").below(limit));
    }
}

fn goodput(phase: &Phase, history: &History) -> f64 {
    phase.minted(history) as f64 / phase.seconds()
}

fn p99(phase: &Phase, history: &History) -> f64 {
    percentile_ms(&phase.latencies(history), 0.99)
}

/// Gas a second that honest orders do not explain, if each costs what it costs without an attack.
fn hostile_gas(phase: &Phase, calm: &Phase, history: &History) -> f64 {
    let of_one = history.gas(calm.window) as f64 / calm.minted(history) as f64;
    let honest = of_one * phase.minted(history) as f64;
    (history.gas(phase.window) as f64 - honest).max(0.0) / phase.seconds()
}

/// How many were accepted, and how often each refusal was given.
fn told(outcome: &Outcome) -> String {
    let refused = outcome.refused.iter().map(|(code, count)| format!(", {count} were refused with {code}"));
    let answered = outcome.hits.len() + outcome.refused.values().sum::<usize>();
    let silent = (outcome.hits.len() + outcome.put_off.len() + outcome.failed).saturating_sub(answered);
    let silent = if silent > 0 { format!(", {silent} had no answer") } else { String::new() };
    format!("{} were accepted{}{silent}", outcome.hits.len(), refused.collect::<String>())
}

/// A refusal names a stable code, whoever is refused.
fn unnamed(name: &str, outcome: &Outcome, report: &mut Report) {
    for (code, count) in outcome.refused.iter().filter(|(code, _)| code.ends_with("without a code")) {
        report.violation(format!("abuse, {name}: {count} answers of {code}: {}", outcome.failures.join(" | ")));
    }
}

fn violations(name: &str, phase: &Phase, history: &History, report: &mut Report) {
    let lost = phase.lost(history);
    if lost > 0 {
        let accepted = phase.outcome.hits.len();
        report.violation(format!("abuse, {name}: {lost} of {accepted} honest orders were accepted and not minted"));
    }
    unnamed(name, &phase.outcome, report);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_answer_is_told() {
        let refused = [("429 payer_busy".to_owned(), 3)].into();
        let outcome =
            Outcome { hits: vec![0, 1], refused, put_off: vec![Duration::ZERO; 3], failed: 1, ..Outcome::default() };
        assert_eq!(told(&outcome), "2 were accepted, 3 were refused with 429 payer_busy, 1 had no answer");
    }
}
