//! The stream by itself: contiguous, every event as its schema says, every order on a legal path to its one end.

use super::{expect, text};
use crate::order::{Order, Outcome};
use crate::stream::Entry;
use jsonschema::Validator;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

/// By type, from `schemas/`.
static SCHEMAS: LazyLock<HashMap<String, Validator>> = LazyLock::new(|| {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas");
    let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let schemas = files.filter_map(|path| {
        let event_type = path.file_name()?.to_str()?.strip_suffix(".json").filter(|name| !name.ends_with("example"))?;
        let schema: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap();
        Some((event_type.to_owned(), validator))
    });
    schemas.collect()
});

pub(super) fn check(entries: &[Entry], orders: &[Order], found: &mut Vec<String>) {
    for (entry, seq) in entries.iter().zip(1..) {
        expect(found, "A09 sequence", entry.seq, seq);
    }
    for entry in entries.iter().filter(|entry| !is_set_aside(entries, entry)) {
        schema(entry, found);
    }
    let mut histories: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| !is_set_aside(entries, entry)) {
        if let Some(id) = entry.subject.strip_prefix("orders.").and_then(|rest| rest.split('.').nth(1)) {
            histories.entry(id).or_default().push(entry);
        }
    }
    for order in orders {
        match histories.remove(order.id.to_string().as_str()) {
            Some(history) => one(order, &history, found),
            None => found.push(format!("A06 {} was answered with 202 and is not in the ledger", order.id)),
        }
    }
    for phantom in histories.keys() {
        found.push(format!("A07 {phantom} is in the ledger and nobody ordered it"));
    }
}

/// A message that is no event of ours, and of which a consumer has said so.
fn is_set_aside(entries: &[Entry], entry: &Entry) -> bool {
    entry.body.is_null()
        && entries.iter().any(|other| {
            other.subject.starts_with("ops.parked.") && other.body["data"]["sequence"].as_u64() == Some(entry.seq)
        })
}

fn schema(entry: &Entry, found: &mut Vec<String>) {
    match SCHEMAS.get(text(&entry.body, "type")) {
        Some(validator) => {
            found.extend(validator.iter_errors(&entry.body).map(|e| format!("{}: schema: {e}", entry.subject)));
        }
        None => found.push(format!("{}: no schema for {}", entry.subject, entry.body)),
    }
    expect(found, "the id is the subject", text(&entry.body, "id"), entry.subject.as_str());
}

/// One order's history: a legal path (A11), one end, the end that the story knows of.
fn one(order: &Order, history: &[&Entry], found: &mut Vec<String>) {
    let mut counts: HashMap<String, u32> = HashMap::new();
    let mut before = "";
    for entry in history {
        let parts: Vec<&str> = entry.subject.split('.').skip(3).collect();
        let name = parts[..2].join(".");
        if let Some(n) = parts.get(2) {
            let count = counts.entry(name.clone()).or_default();
            *count += 1;
            expect(found, &format!("A11 number of {}", entry.subject), *n, &count.to_string());
        }
        if !may_follow(before, &name) {
            found.push(format!("A11 {}: {name} after {before:?}", order.id));
        }
        before = match name.as_str() {
            "payment.requested" => "payment.requested",
            "payment.submitted" => "payment.submitted",
            "payment.deferred" => "payment.deferred",
            "payment.confirmed" => "payment.confirmed",
            "payment.failed" => "payment.failed",
            "mint.submitted" => "mint.submitted",
            "mint.deferred" => "mint.deferred",
            "mint.parked" => "mint.parked",
            "mint.confirmed" => "mint.confirmed",
            _ => "?",
        };
    }
    let is = history.last().map(|entry| (before, text(&entry.body["data"], "reason")));
    let should = match order.outcome {
        Outcome::Minted => ("mint.confirmed", ""),
        Outcome::Failed(reason) => ("payment.failed", reason),
        Outcome::Parked(reason) => ("mint.parked", reason),
        Outcome::Waiting(reason) => ("payment.deferred", reason),
    };
    expect(found, &format!("{} ends", order.id), is, Some(should));
    let paid_by = history.iter().find_map(|entry| entry.body["data"]["paidBy"].as_str());
    if let Some(paid_by) = paid_by {
        let should = if order.third_party { "third_party" } else { "paymint" };
        expect(found, &format!("D10 {} is paid by", order.id), paid_by, should);
    }
}

fn may_follow(before: &str, name: &str) -> bool {
    match name {
        "payment.requested" => before.is_empty(),
        "payment.submitted" => matches!(before, "payment.requested" | "payment.deferred"),
        "payment.deferred" | "payment.confirmed" | "payment.failed" => {
            matches!(before, "payment.requested" | "payment.deferred" | "payment.submitted")
        }
        "mint.submitted" => matches!(before, "payment.confirmed" | "mint.deferred"),
        "mint.deferred" | "mint.parked" => {
            matches!(before, "payment.confirmed" | "mint.deferred" | "mint.submitted")
        }
        "mint.confirmed" => matches!(before, "payment.confirmed" | "mint.submitted" | "mint.deferred" | "mint.parked"),
        _ => false,
    }
}
