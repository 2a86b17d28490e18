//! Rows that sum up: tokens with their units, mint transactions, stages, and the pace.

use super::{Fold, aside, number, set, time};
use crate::decode::event::Event;
use crate::evidence::tables::Row;
use crate::legal::{Mint, Payment, Refund, State};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

const STAGES: [&str; 16] = [
    "requested",
    "deferred",
    "payment_parked",
    "settling",
    "reverted",
    "failed",
    "paid",
    "minting",
    "mint_deferred",
    "mint_parked",
    "minted",
    "refund_requested",
    "refunding",
    "refund_deferred",
    "refund_parked",
    "refunded",
];

/// Units of a token that are ordered, paid, and minted. A payment that failed, waits or went back counts as neither of the
/// first two.
const UNITS: [&str; 3] = ["units_taken", "units_paid", "units_minted"];

impl Fold {
    pub(super) fn token(&mut self, event: &Event, at: DateTime<Utc>) {
        let data = &event.data;
        let mut row = Row::new();
        for (column, field) in [
            ("token", "token"),
            ("chain_id", "chainId"),
            ("asset", "asset"),
            ("factory", "factory"),
            ("item_version", "itemVersion"),
            ("unit", "unit"),
            ("max_units", "maxUnits"),
            ("unit_price", "unitPrice"),
            ("creator", "creator"),
            ("fee", "fee"),
            ("metadata_hash", "metadataHash"),
            ("salt", "salt"),
            ("block_number", "block.number"),
            ("block_hash", "block.hash"),
        ] {
            set(&mut row, column, data.text(field));
        }
        for column in ["name", "symbol"] {
            set(&mut row, column, data.prose(column));
        }
        for column in UNITS {
            set(&mut row, column, Some("0".to_owned()));
        }
        set(&mut row, "registered_at", Some(time(at)));
        set(&mut row, "registered_seq", Some(event.seq.to_string()));
        set(&mut row, "last_seq", Some(event.seq.to_string()));
        self.tokens.insert(data.text("token").unwrap_or_default(), row);
    }

    /// Counts the units of an order that is now in this state. An order from before the token's registration counts
    /// nothing.
    pub(super) fn units(&mut self, id: &str, state: State, seq: u64) {
        // The record counts in the place of its order.
        if self.records.contains_key(id) {
            return;
        }
        let Some(order) = self.payments.get(id) else { return };
        let text = |column: &str| order.get(column).cloned().flatten().unwrap_or_default();
        let (quantity, requested) = (number(order, "quantity"), number(order, "requested_seq"));
        let (is_back, is_minted) = (state.refund == Refund::Back, state.mint == Mint::Minted);
        // A payment that waits holds no units, but for the one that is sent again immediately.
        let waits = state.payment == Payment::Deferred && text("reason") != "not_attempted";
        let taken = is_minted || !(state.payment == Payment::Failed || waits || is_back);
        let after = [taken, state.payment == Payment::Paid && !is_back, is_minted];
        let Some(token) = self.tokens.get_mut(&text("token")) else { return };
        if requested < number(token, "registered_seq") {
            return;
        }
        let before = self.counted.insert(id.to_owned(), after).unwrap_or_default();
        moved(token, quantity, before, after, seq);
    }

    /// A record without an order. Its units count from now on, and those of an order with its id no longer.
    pub(super) fn record(&mut self, id: &str, event: &Event, at: DateTime<Utc>) {
        let data = &event.data;
        let stage = self.records.get(id).map(|row| row.get("stage").cloned().flatten().unwrap_or_default());
        let (before, after) = match (event.kind.name, stage.as_deref()) {
            ("found", None) => ([false; 3], [true, true, false]),
            ("minted", Some("found")) => ([true, true, false], [true; 3]),
            ("returned", Some("found")) => ([true, true, false], [false; 3]),
            _ => return self.set_aside.push(aside(event.seq, "impossible")),
        };
        if event.kind.name == "found"
            && let Some(order) = self.payments.get(id)
            && let Some(token) = order.get("token").cloned().flatten().and_then(|token| self.tokens.get_mut(&token))
        {
            moved(token, number(order, "quantity"), self.counted.remove(id).unwrap_or_default(), [false; 3], event.seq);
        }
        let row = self.records.entry(id.to_owned()).or_default();
        if event.kind.name == "found" {
            set(row, "id", Some(id.to_owned()));
            for (column, field) in [
                ("payment_key", "paymentKey"),
                ("token", "token"),
                ("payer", "payer"),
                ("quantity", "quantity"),
                ("tx_hash", "txHash"),
                ("block_number", "block.number"),
                ("block_hash", "block.hash"),
            ] {
                set(row, column, data.text(field));
            }
            for column in ["ended_block_number", "ended_block_hash", "ended_at"] {
                set(row, column, None);
            }
            set(row, "found_at", Some(time(at)));
            set(row, "found_seq", Some(event.seq.to_string()));
        } else {
            set(row, "ended_block_number", data.text("block.number"));
            set(row, "ended_block_hash", data.text("block.hash"));
            set(row, "ended_at", Some(time(at)));
        }
        set(row, "stage", Some(event.kind.name.to_owned()));
        set(row, "last_seq", Some(event.seq.to_string()));
        let (quantity, token) = (number(row, "quantity"), row.get("token").cloned().flatten().unwrap_or_default());
        if let Some(token) = self.tokens.get_mut(&token) {
            moved(token, quantity, before, after, event.seq);
        }
    }

    /// Mint transactions from the lanes' events. bytea is shown as `\x...`.
    pub(super) fn batch(&mut self, signer: &str, event: &Event, at: DateTime<Utc>) {
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
}

/// Moves units between the counters of a token.
fn moved(token: &mut Row, quantity: u128, before: [bool; 3], after: [bool; 3], seq: u64) {
    for ((column, was), _) in UNITS.into_iter().zip(before).zip(after).filter(|((_, was), is)| was != is) {
        let units = number(token, column);
        let units = if was { units.saturating_sub(quantity) } else { units.saturating_add(quantity) };
        set(token, column, Some(units.to_string()));
        set(token, "last_seq", Some(seq.to_string()));
    }
}

pub fn totals(payments: &BTreeMap<String, Row>) -> Vec<Row> {
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

pub fn pace(at: i64, [requested, paid, minted, units]: &[u128; 4]) -> Row {
    let columns = [
        ("begins_at", DateTime::from_timestamp(at, 0).map(time)),
        ("requested", Some(requested.to_string())),
        ("paid", Some(paid.to_string())),
        ("minted", Some(minted.to_string())),
        ("units_minted", Some(units.to_string())),
    ];
    columns.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
