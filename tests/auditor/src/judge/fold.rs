//! The read models as the events make them, column by column as in migrations/: our own fold.

use crate::books::Books;
use crate::decode::event::{Aggregate, Event};
use crate::evidence::tables::{MODELS, Models, Row};
use crate::legal::{Mint, Payment, State};
use chrono::{DateTime, SubsecRound, Utc};
use std::collections::{BTreeMap, BTreeSet};

/// Width of a row of `pace`, seconds.
const PACE_S: i64 = 10;

const STAGES: [&str; 11] = [
    "requested",
    "deferred",
    "settling",
    "reverted",
    "failed",
    "lost",
    "paid",
    "minting",
    "mint_deferred",
    "mint_parked",
    "minted",
];

/// Columns of a payment that are empty until an event fills them.
const LATER: [&str; 20] = [
    "reason",
    "detail",
    "retry_at",
    "settle_signer",
    "settle_nonce",
    "settle_tx_hash",
    "settle_block_number",
    "settle_block_hash",
    "settle_log_index",
    "paid_by",
    "failed_block_number",
    "failed_block_hash",
    "failed_tx_hash",
    "mint_signer",
    "mint_nonce",
    "mint_tx_hash",
    "mint_block_number",
    "mint_block_hash",
    "paid_at",
    "minted_at",
];

/// Columns that a proof of payment fills, and its reversal empties.
const PAID: [&str; 6] =
    ["settle_block_number", "settle_block_hash", "settle_log_index", "paid_by", "paid_at", "paid_seq"];

/// Columns that are set when a mint is confirmed.
const MINTED: [&str; 3] = ["mint_block_number", "mint_block_hash", "minted_at"];

const COUNTERS: [(&str, &str); 7] = [
    ("payment.reverted", "payment_reversions"),
    ("mint.reverted", "mint_reversions"),
    ("payment.submitted", "payment_attempts"),
    ("payment.deferred", "payment_deferrals"),
    ("mint.submitted", "mint_attempts"),
    ("mint.deferred", "mint_deferrals"),
    ("mint.parked", "mint_parkings"),
];

/// Rows under way.
#[derive(Debug, Default)]
struct Fold {
    payments: BTreeMap<String, Row>,
    tokens: BTreeMap<String, Row>,
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
        if event.kind.name == "payment.requested" && state.is_some() {
            let row = requested(id, event, at);
            let payer = row.get("payer").cloned().flatten().unwrap_or_default();
            self.pace_at(at)[0] += 1;
            self.payers(&payer, event.seq);
            self.payments.insert(id.to_owned(), row);
            return;
        }
        // What may not follow what was before changes nothing.
        let (Some(row), Some(state)) = (self.payments.get_mut(id), state) else {
            return self.set_aside.push(aside(event.seq, "impossible"));
        };
        if let Some((_, counter)) = COUNTERS.iter().find(|(name, _)| *name == event.kind.name) {
            set(row, counter, event.numbers.first().map(ToString::to_string));
        }
        let stage = state.stage();
        // A waiting payment keeps its reason, whatever happens to a mint that went ahead of it.
        let is_of_mint = event.kind.name.starts_with("mint.");
        if !(is_of_mint && state.payment != Payment::Paid) {
            waits(row, event);
        }
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
            "payment.deferred" | "mint.deferred" | "mint.parked" => {}
            _ => return self.strange.push(event.subject.clone()),
        }
        set(row, "stage", Some(stage.to_owned()));
        set(row, "payment_state", Some(payment_state(state.payment).to_owned()));
        let was_reverted = row.get("mint_state").and_then(Option::as_deref) == Some("reverted");
        let is_reverted = event.kind.name == "mint.reverted" || (was_reverted && !is_of_mint);
        set(row, "mint_state", Some(mint_state(state.mint, is_reverted).to_owned()));
        set(row, "updated_at", Some(time(at)));
        set(row, "last_seq", Some(event.seq.to_string()));
        let seqs = row.get("event_seqs").cloned().flatten().unwrap_or_default();
        set(row, "event_seqs", Some(format!("{}, {}]", seqs.trim_end_matches(']'), event.seq)));
        let quantity = number(row, "quantity");
        let token = row.get("token").cloned().flatten().unwrap_or_default();
        match event.kind.name {
            "payment.confirmed" | "payment.restored" => {
                self.pace_at(at)[1] += 1;
                self.units(&token, "units_paid", event.seq, |units| units.saturating_add(quantity));
            }
            "mint.confirmed" | "mint.restored" => {
                let pace = self.pace_at(at);
                pace[2] += 1;
                pace[3] += quantity;
                self.units(&token, "units_minted", event.seq, |units| units.saturating_add(quantity));
            }
            // The pace is what happened when; that it was taken back later does not change it.
            "payment.reverted" => self.units(&token, "units_paid", event.seq, |units| units.saturating_sub(quantity)),
            "mint.reverted" => self.units(&token, "units_minted", event.seq, |units| units.saturating_sub(quantity)),
            _ => {}
        }
    }

    fn token(&mut self, event: &Event, at: DateTime<Utc>) {
        let data = &event.data;
        let mut row = Row::new();
        for (column, field) in [
            ("token", "token"),
            ("chain_id", "chainId"),
            ("asset", "asset"),
            ("name", "name"),
            ("symbol", "symbol"),
            ("unit", "unit"),
            ("max_units", "maxUnits"),
            ("unit_price", "unitPrice"),
            ("creator", "creator"),
            ("payment_key", "paymentKey"),
            ("config_hash", "configHash"),
            ("block_number", "block.number"),
            ("block_hash", "block.hash"),
        ] {
            set(&mut row, column, data.text(field));
        }
        for column in ["units_paid", "units_minted"] {
            set(&mut row, column, Some("0".to_owned()));
        }
        set(&mut row, "registered_at", Some(time(at)));
        set(&mut row, "registered_seq", Some(event.seq.to_string()));
        set(&mut row, "last_seq", Some(event.seq.to_string()));
        self.tokens.insert(data.text("token").unwrap_or_default(), row);
    }

    fn units(&mut self, token: &str, column: &str, seq: u64, change: impl FnOnce(u128) -> u128) {
        if let Some(row) = self.tokens.get_mut(token) {
            let units = change(number(row, column));
            set(row, column, Some(units.to_string()));
            set(row, "last_seq", Some(seq.to_string()));
        }
    }

    /// Mint transactions from the lanes' events. bytea is shown as `\x...`.
    fn batch(&mut self, signer: &str, event: &Event, at: DateTime<Utc>) {
        let (data, bytes) = (&event.data, |text: Option<String>| text.map(|text| text.replacen("0x", "\\x", 1)));
        let Some(nonce) = event.numbers.first().copied() else { return };
        let key = (signer.to_owned(), nonce);
        match (event.kind.name, data.text("purpose").as_deref()) {
            ("signed", Some("mint")) => {
                let items = data.get::<Vec<String>>("items").unwrap_or_default().len();
                let row = [
                    ("signed_seq", Some(event.seq.to_string())),
                    ("signer", bytes(Some(signer.to_owned()))),
                    ("nonce", Some(nonce.to_string())),
                    ("tx_hash", bytes(data.text("txHash"))),
                    ("token", bytes(data.text("target"))),
                    ("mint_count", Some(items.to_string())),
                    ("status", Some("processing".to_owned())),
                    ("signed_at", Some(time(at))),
                    ("settled_at", None),
                    ("block_number", None),
                ];
                self.batches.insert(key, row.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
            }
            ("reverted", _) => {
                let Some(row) = self.batches.get_mut(&key) else { return };
                set(row, "tx_hash", bytes(data.text("txHash")));
                set(row, "status", Some("processing".to_owned()));
                set(row, "settled_at", None);
                set(row, "block_number", None);
            }
            ("settled" | "resettled" | "lost", _) => {
                let Some(row) = self.batches.get_mut(&key) else { return };
                // Of several transactions for the nonce, the one that was mined.
                if let Some(mined) = bytes(data.text("txHash")) {
                    set(row, "tx_hash", Some(mined));
                }
                let completed = data.get("succeeded") == Some(true);
                set(row, "status", Some(if completed { "completed" } else { "failed" }.to_owned()));
                set(row, "settled_at", Some(time(at)));
                set(row, "block_number", data.text("block.number"));
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

fn requested(id: &str, event: &Event, at: DateTime<Utc>) -> Row {
    let data = &event.data;
    let mut row: Row = LATER.iter().map(|column| ((*column).to_owned(), None)).collect();
    for (column, field) in [
        ("payment_key", "paymentKey"),
        ("chain_id", "chainId"),
        ("asset", "asset"),
        ("payer", "authorization.from"),
        ("token", "purchase.token"),
        ("quantity", "purchase.quantity"),
        ("unit_price", "purchase.unitPrice"),
        ("value", "authorization.value"),
        ("nonce", "authorization.nonce"),
        ("valid_after", "authorization.validAfter"),
        ("valid_before", "authorization.validBefore"),
    ] {
        set(&mut row, column, data.text(field));
    }
    for (_, counter) in COUNTERS {
        set(&mut row, counter, Some("0".to_owned()));
    }
    set(&mut row, "id", Some(id.to_owned()));
    set(&mut row, "stage", Some("requested".to_owned()));
    for column in ["payment_state", "mint_state"] {
        set(&mut row, column, Some("owed".to_owned()));
    }
    set(&mut row, "paid_seq", None);
    for column in ["requested_at", "updated_at"] {
        set(&mut row, column, Some(time(at)));
    }
    for column in ["requested_seq", "last_seq"] {
        set(&mut row, column, Some(event.seq.to_string()));
    }
    set(&mut row, "event_seqs", Some(format!("[{}]", event.seq)));
    row
}

/// The transaction that it is in.
fn submitted(row: &mut Row, prefix: &str, event: &Event) {
    for (column, field) in [("signer", "signer"), ("nonce", "nonce"), ("tx_hash", "txHash")] {
        set(row, &format!("{prefix}_{column}"), event.data.text(field));
    }
}

/// The transaction that did it, and its block; signer and nonce stay only if it is the one that was submitted last.
fn done(row: &mut Row, prefix: &str, event: &Event) {
    let (hash, tx) = (event.data.text("txHash"), format!("{prefix}_tx_hash"));
    if row.get(&tx).cloned().flatten() != hash {
        set(row, &format!("{prefix}_signer"), None);
        set(row, &format!("{prefix}_nonce"), None);
    }
    set(row, &tx, hash);
    block(row, prefix, event);
}

fn block(row: &mut Row, prefix: &str, event: &Event) {
    set(row, &format!("{prefix}_block_number"), event.data.text("block.number"));
    set(row, &format!("{prefix}_block_hash"), event.data.text("block.hash"));
}

fn paid(row: &mut Row, event: &Event, at: DateTime<Utc>) {
    done(row, "settle", event);
    set(row, "settle_log_index", event.data.text("logIndex"));
    set(row, "paid_by", event.data.text("paidBy"));
    set(row, "paid_at", Some(time(at)));
    set(row, "paid_seq", Some(event.seq.to_string()));
}

fn minted(row: &mut Row, event: &Event, at: DateTime<Utc>) {
    done(row, "mint", event);
    set(row, "minted_at", Some(time(at)));
}

/// The block is gone: its transaction is open again, and what it proved is not so.
fn taken_back(row: &mut Row, prefix: &str, proved: &[&str], event: &Event) {
    submitted(row, prefix, event);
    for column in proved {
        set(row, column, None);
    }
}

/// Why it waits, has failed or is parked; of any other event nothing.
fn waits(row: &mut Row, event: &Event) {
    set(row, "reason", event.data.text("reason"));
    set(row, "detail", event.data.get("detail"));
    set(row, "retry_at", event.data.get::<DateTime<Utc>>("retryAt").map(|at| time(at.trunc_subsecs(6))));
}

/// The state of the payment as the tables spell it.
fn payment_state(payment: Payment) -> &'static str {
    match payment {
        Payment::New | Payment::Requested => "owed",
        Payment::Deferred => "deferred",
        Payment::Settling => "submitted",
        Payment::Reverted => "reverted",
        Payment::Paid => "done",
        Payment::Failed => "failed",
    }
}

/// The state of the mint as the tables spell it. A mint that fell out of the chain is in a transaction again.
fn mint_state(mint: Mint, is_reverted: bool) -> &'static str {
    match mint {
        Mint::NotYet | Mint::Owed => "owed",
        Mint::Minting if is_reverted => "reverted",
        Mint::Minting => "submitted",
        Mint::Deferred => "deferred",
        Mint::Parked => "parked",
        Mint::Minted => "done",
    }
}

fn totals(payments: &BTreeMap<String, Row>) -> Vec<Row> {
    let total = |stage: &str| {
        let of_stage: Vec<&Row> =
            payments.values().filter(|row| row.get("stage").and_then(Option::as_deref) == Some(stage)).collect();
        let sum = |column: &str| of_stage.iter().map(|row| number(row, column)).sum::<u128>().to_string();
        let columns = [
            ("stage", stage.to_owned()),
            ("orders", of_stage.len().to_string()),
            ("units", sum("quantity")),
            ("value", sum("value")),
        ];
        columns.into_iter().map(|(name, value)| (name.to_owned(), Some(value))).collect()
    };
    STAGES.iter().map(|stage| total(stage)).collect()
}

fn pace(at: i64, [requested, paid, minted, units]: &[u128; 4]) -> Row {
    let columns = [
        ("begins_at", DateTime::from_timestamp(at, 0).map(time)),
        ("requested", Some(requested.to_string())),
        ("paid", Some(paid.to_string())),
        ("minted", Some(minted.to_string())),
        ("units_minted", Some(units.to_string())),
    ];
    columns.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
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
