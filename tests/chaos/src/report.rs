//! The result of a run, as a line for the campaign and as text.

use crate::blow::{ALL, Blow, Track};
use crate::closing::{Closed, Verdict};
use crate::listen::Heard;
use crate::load::Sold;
use crate::run::Ask;
use crate::strike::Dealt;
use chrono::DateTime;
use harness::{Entry, Service};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub seed: u64,
    pub green: bool,
    pub red: Vec<String>,
    /// Faults that the runner itself found.
    pub found: Vec<String>,
    pub purchases: usize,
    pub accepted: usize,
    pub refused: usize,
    pub unknown: usize,
    pub events: usize,
    pub minted: usize,
    pub failed: usize,
    pub parked: usize,
    /// Payments that went around their token.
    #[serde(default)]
    pub around: usize,
    /// How often a payment passed the simulation and failed on chain.
    #[serde(default)]
    pub burned: usize,
    /// Orders whose money is back.
    #[serde(default)]
    pub refunded: usize,
    /// Refunds that a person asked for while everything went wrong.
    #[serde(default)]
    pub asked_back: usize,
    /// How often each blow has struck.
    pub fired: BTreeMap<String, u64>,
    /// From the last healing until every order had ended, milliseconds.
    pub ended_after_ms: u128,
    /// From a blow's end to the next event of who was struck, or of anybody, milliseconds, sorted.
    pub resumed_ms: Vec<i64>,
    /// The four clients of event streams.
    pub heard: Heard,
    pub disturbed_s: u64,
    pub took_s: u64,
    /// The auditor's own words.
    pub audit: String,
}

/// The course of one run.
pub struct Course {
    pub sold: Sold,
    pub dealt: Vec<Dealt>,
    /// Every event.
    pub ledger: Vec<Entry>,
    pub closed: Closed,
    pub verdict: Verdict,
    /// Faults that the runner itself found.
    pub found: Vec<String>,
    pub disturbed: Duration,
    pub took: Duration,
}

impl Report {
    /// The sum of a run; `count` says how often a blow has struck.
    pub fn of(ask: &Ask, course: Course, count: impl Fn(&str) -> u64) -> Self {
        let Course { sold, dealt, ledger, closed, verdict, found, disturbed, took } = course;
        let ended = |name: &str| ledger.iter().filter(|entry| entry.subject.contains(name)).count();
        let mut resumed_ms: Vec<i64> = dealt.iter().filter_map(|dealt| resumed(dealt, &ledger)).collect();
        resumed_ms.sort_unstable();
        Self {
            seed: ask.seed,
            green: verdict.green && found.is_empty(),
            red: verdict.red,
            found,
            purchases: sold.purchases,
            accepted: sold.accepted,
            refused: sold.refused,
            unknown: sold.unknown,
            events: ledger.len(),
            minted: ended(".mint.confirmed"),
            failed: ended(".payment.failed"),
            parked: ended(".mint.parked."),
            around: ended(".payment.parked.1"),
            burned: ledger.iter().filter(|entry| has_failed_on_chain(entry)).count(),
            refunded: ended(".refund.confirmed"),
            asked_back: sold.asked_back,
            fired: ALL.iter().map(|blow| (blow.to_string(), count(&blow.to_string()))).collect(),
            ended_after_ms: closed.ended_after.as_millis(),
            resumed_ms,
            heard: closed.heard,
            disturbed_s: disturbed.as_secs(),
            took_s: took.as_secs(),
            audit: verdict.text,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = self.audit.clone();
        let _ = writeln!(text, "\nstruck: {}", counts(&self.fired));
        let _ = writeln!(
            text,
            "{} purchases: {} accepted, {} refused, {} never answered; {} events: {} minted, {} failed, {} parked",
            self.purchases,
            self.accepted,
            self.refused,
            self.unknown,
            self.events,
            self.minted,
            self.failed,
            self.parked
        );
        let _ = writeln!(
            text,
            "{} payments went around their token; {} times one failed on chain only; {} orders were refunded; amid the \
             trouble {} refunds were asked for in time",
            self.around, self.burned, self.refunded, self.asked_back
        );
        let _ = writeln!(
            text,
            "after a blow the next event came after {} ms (median), {} ms (worst); all had ended {} ms after the last one",
            middle(&self.resumed_ms),
            self.resumed_ms.last().copied().unwrap_or_default(),
            self.ended_after_ms
        );
        let Heard { connections, reloads } = self.heard;
        let _ = writeln!(
            text,
            "four clients of event streams: {connections} connections, told to load anew {reloads} times"
        );
        for found in &self.found {
            let _ = writeln!(text, "found: {found}");
        }
        let _ = write!(text, "seed {}: {} in {} s", self.seed, if self.green { "GREEN" } else { "RED" }, self.took_s);
        text
    }
}

/// From the blow's end to the next event: of the service that was struck, else of anybody but the api.
fn resumed(dealt: &Dealt, ledger: &[Entry]) -> Option<i64> {
    let of = match dealt.blow {
        Blow::Crash(Service::ReadProjector, _) | Blow::C26Rebuild => return None,
        Blow::Crash(service, _) | Blow::F52Zombie(service) => Some(service.name()),
        Blow::C27Streams => Some(Service::Api.name()),
        _ => None,
    };
    // A crash is over when the process is back: it was struck somewhere between the two times.
    let from = if dealt.blow.track() == Track::Processes && of.is_some() { dealt.at } else { dealt.healed };
    let next = ledger.iter().find_map(|entry| {
        let time = DateTime::parse_from_rfc3339(&entry.time).ok()?;
        let source = entry.body["source"].as_str()?.trim_start_matches("/paymint/");
        let is_theirs = of.map_or(source != Service::Api.name(), |of| source == of);
        (time > from && is_theirs).then_some(time)
    })?;
    Some((next.to_utc() - from).num_milliseconds())
}

/// The confirmer defers a payment for this reason if its transaction did not charge it and nobody else is the cause.
fn has_failed_on_chain(entry: &Entry) -> bool {
    let (source, reason) = (&entry.body["source"], &entry.body["data"]["reason"]);
    entry.subject.contains(".payment.deferred.") && source == "/paymint/confirmer" && reason == "unexplained"
}

fn middle(sorted: &[i64]) -> i64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn counts(fired: &BTreeMap<String, u64>) -> String {
    let each: Vec<String> = fired.iter().filter(|(_, count)| **count > 0).map(|(id, n)| format!("{id} {n}")).collect();
    each.join(", ")
}

/// The table of a campaign, as Markdown.
pub fn campaign(reports: &[Report]) -> String {
    let mut text = String::from(
        "| seed | purchases | accepted | minted | failed | parked | events | blows | resumed, median | worst | all ended \
         after | verdict |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for report in reports {
        let verdict = if report.green { "green".to_owned() } else { format!("**RED** {}", report.red.join(" ")) };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} ms | {} ms | {} ms | {verdict} |",
            report.seed,
            report.purchases,
            report.accepted,
            report.minted,
            report.failed,
            report.parked,
            report.events,
            report.fired.values().sum::<u64>(),
            middle(&report.resumed_ms),
            report.resumed_ms.last().copied().unwrap_or_default(),
            report.ended_after_ms
        );
    }
    let mut all = BTreeMap::new();
    for (id, count) in reports.iter().flat_map(|report| &report.fired) {
        *all.entry(id.clone()).or_default() += count;
    }
    let green = reports.iter().filter(|report| report.green).count();
    let _ = write!(text, "\n{green} of {} green. Struck: {}.", reports.len(), counts(&all));
    text
}
