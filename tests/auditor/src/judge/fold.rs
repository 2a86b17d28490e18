//! The read models as the events make them, column by column as in migrations/: our own fold.

mod counts;
mod row;
#[cfg(test)]
mod tests;

use crate::books::Books;
use crate::decode::event::{Aggregate, Event};
use crate::evidence::tables::{MODELS, Models, Row};
use crate::legal::State;
use chrono::{DateTime, SubsecRound, Utc};
use counts::{pace, totals};
use row::{
    MINTED, PAID, REFUNDED, block, held, minted, paid, refunded, requested, stands, submitted, taken_back, waits,
};
use std::collections::{BTreeMap, BTreeSet};

/// Width of a row of `pace`, seconds.
const PACE_S: i64 = 10;

const COUNTERS: [(&str, &str); 13] = [
    ("order.held", "holds"),
    ("payment.reverted", "payment_reversions"),
    ("mint.reverted", "mint_reversions"),
    ("payment.submitted", "payment_attempts"),
    ("payment.deferred", "payment_deferrals"),
    ("payment.parked", "payment_parkings"),
    ("mint.submitted", "mint_attempts"),
    ("mint.deferred", "mint_deferrals"),
    ("mint.parked", "mint_parkings"),
    ("refund.submitted", "refund_attempts"),
    ("refund.deferred", "refund_deferrals"),
    ("refund.parked", "refund_parkings"),
    ("refund.reverted", "refund_reversions"),
];

/// Rows under way.
#[derive(Debug, Default)]
struct Fold {
    payments: BTreeMap<String, Row>,
    tokens: BTreeMap<String, Row>,
    records: BTreeMap<String, Row>,
    /// Which of [`UNITS`] an order's units are counted in.
    counted: BTreeMap<String, [bool; 3]>,
    pace: BTreeMap<i64, [u128; 4]>,
    /// In the order of their first orders.
    payers: Vec<Row>,
    known: BTreeSet<String>,
    batches: BTreeMap<(String, u64), Row>,
    set_aside: Vec<Row>,
    /// Events that no rule here knows.
    strange: Vec<String>,
}

/// The read models, and the events that this fold has no rule for. `recorded_at` gives the time of an event as the copy
/// has it: a stream that was refilled has other times.
pub fn fold(books: &Books, recorded_at: impl Fn(&Event) -> DateTime<Utc>) -> (Models, Vec<String>) {
    let mut fold = Fold::default();
    for event in &books.events {
        let at = recorded_at(event).trunc_subsecs(6);
        match &event.of {
            Aggregate::Order(id) => fold.order(&id.to_string(), event, books.states.get(&event.seq).copied(), at),
            Aggregate::Token(_) => fold.token(event, at),
            Aggregate::Record(id) => fold.record(&id.to_string(), event, at),
            Aggregate::Signer(signer) => fold.batch(&format!("{signer:#x}"), event, at),
            Aggregate::Ops(_) if event.kind.name == "parked" => {
                fold.set_aside.push(aside(event.seq, "parked_message"));
            }
            Aggregate::Ops(_) | Aggregate::Key(..) => {}
        }
    }
    fold.set_aside.extend(books.unreadable.iter().map(|(seq, ..)| aside(*seq, "undecodable")));
    let totals = totals(&fold.payments);
    let pace = fold.pace.iter().map(|(at, counts)| pace(*at, counts)).collect();
    let tables = [
        fold.payments.into_values().collect(),
        fold.tokens.into_values().collect(),
        fold.records.into_values().collect(),
        fold.set_aside,
        totals,
        pace,
        fold.payers,
        fold.batches.into_values().collect(),
    ];
    (MODELS.map(str::to_owned).into_iter().zip(tables).collect(), fold.strange)
}

impl Fold {
    fn order(&mut self, id: &str, event: &Event, state: Option<State>, at: DateTime<Utc>) {
        if let ("payment.requested", Some(state)) = (event.kind.name, state) {
            let row = requested(id, event, at);
            let payer = row.get("payer").cloned().flatten().unwrap_or_default();
            self.pace_at(at)[0] += 1;
            self.payers(&payer, event.seq);
            self.payments.insert(id.to_owned(), row);
            return self.units(id, state, event.seq);
        }
        // What may not follow what was before changes nothing.
        let (Some(row), Some(state)) = (self.payments.get_mut(id), state) else {
            return self.set_aside.push(aside(event.seq, "impossible"));
        };
        if let Some((_, counter)) = COUNTERS.iter().find(|(name, _)| *name == event.kind.name) {
            set(row, counter, event.numbers.first().map(ToString::to_string));
        }
        waits(row, state, event);
        held(row, event);
        match event.kind.name {
            "payment.submitted" => submitted(row, "settle", event),
            "mint.submitted" => submitted(row, "mint", event),
            "payment.confirmed" | "payment.restored" => paid(row, event, at),
            "payment.reverted" => taken_back(row, "settle", &PAID, event),
            "mint.confirmed" | "mint.restored" => minted(row, event, at),
            "mint.reverted" => taken_back(row, "mint", &MINTED, event),
            "payment.failed" => {
                block(row, "failed", event);
                set(row, "failed_tx_hash", event.data.text("txHash"));
            }
            "refund.requested" => {
                set(row, "refund_reason", event.data.text("reason"));
                set(row, "refund_by", event.data.prose("by"));
                set(row, "refund_detail", event.data.prose("detail"));
            }
            "refund.submitted" => submitted(row, "refund", event),
            "refund.confirmed" | "refund.restored" => refunded(row, event, at),
            "refund.reverted" => taken_back(row, "refund", &REFUNDED, event),
            "payment.deferred" | "payment.parked" | "mint.deferred" | "mint.parked" | "refund.deferred"
            | "refund.parked" | "mint.redriven" | "refund.redriven" | "order.held" | "order.released" => {}
            _ => return self.strange.push(event.subject.clone()),
        }
        stands(row, state);
        set(row, "updated_at", Some(time(at)));
        set(row, "last_seq", Some(event.seq.to_string()));
        let seqs = row.get("event_seqs").cloned().flatten().unwrap_or_default();
        set(row, "event_seqs", Some(format!("{}, {}]", seqs.trim_end_matches(']'), event.seq)));
        let quantity = number(row, "quantity");
        self.units(id, state, event.seq);
        // The pace is what happened when; that it was taken back later does not change it.
        match event.kind.name {
            "payment.confirmed" | "payment.restored" => self.pace_at(at)[1] += 1,
            "mint.confirmed" | "mint.restored" => {
                let pace = self.pace_at(at);
                pace[2] += 1;
                pace[3] += quantity;
            }
            _ => {}
        }
    }

    fn pace_at(&mut self, at: DateTime<Utc>) -> &mut [u128; 4] {
        let seconds = at.timestamp();
        self.pace.entry(seconds - seconds.rem_euclid(PACE_S)).or_default()
    }

    fn payers(&mut self, payer: &str, seq: u64) {
        if self.known.insert(payer.to_owned()) {
            let payer = Some(payer.replacen("0x", "\\x", 1));
            let nth = self.payers.len().saturating_add(1);
            let columns = [("payer", payer), ("nth", Some(nth.to_string())), ("first_seq", Some(seq.to_string()))];
            self.payers.push(columns.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        }
    }
}

/// Sequence and kind; the reason is for people, and the service's own.
fn aside(seq: u64, kind: &str) -> Row {
    Row::from([("seq".to_owned(), Some(seq.to_string())), ("kind".to_owned(), Some(kind.to_owned()))])
}

fn set(row: &mut Row, column: &str, value: Option<String>) {
    row.insert(column.to_owned(), value);
}

fn number(row: &Row, column: &str) -> u128 {
    row.get(column).and_then(Option::as_deref).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// One spelling of a time, with microseconds.
pub fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
