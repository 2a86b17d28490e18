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

/// How far an order's payment and its mint have come: each the name of its last event, without the context.
#[derive(Clone, Debug, Default)]
struct Path {
    payment: String,
    mint: String,
    counts: HashMap<String, u32>,
}

impl Path {
    fn count(&self, name: &str) -> u32 {
        self.counts.get(name).copied().unwrap_or_default()
    }

    /// A payment that fell out of the chain leaves its mint where it is, so the two go their own ways from then on.
    fn may_go_on(&self, name: &str, n: Option<u32>) -> bool {
        let payment = |names: &[&str]| names.contains(&self.payment.as_str());
        let mint = |names: &[&str]| names.contains(&self.mint.as_str());
        let is_paid = payment(&["confirmed", "restored"]);
        let was_reverted = self.count("payment.reverted") > 0;
        match name {
            "payment.requested" => payment(&[""]),
            "payment.submitted" => payment(&["requested", "deferred"]),
            "payment.deferred" | "payment.failed" => payment(&["requested", "deferred", "submitted", "reverted"]),
            "payment.confirmed" => payment(&["requested", "deferred", "submitted"]) && !was_reverted,
            "payment.reverted" => is_paid,
            "payment.restored" => {
                payment(&["deferred", "submitted", "reverted"]) && n == Some(self.count("payment.reverted"))
            }
            "mint.submitted" => is_paid && (mint(&["", "deferred"]) || (was_reverted && mint(&["parked"]))),
            "mint.deferred" | "mint.parked" if is_paid => mint(&["", "deferred", "submitted", "reverted"]),
            "mint.deferred" | "mint.parked" => was_reverted && mint(&["submitted", "reverted"]),
            "mint.confirmed" => (is_paid || was_reverted) && mint(&["", "submitted", "deferred", "parked"]),
            "mint.reverted" => mint(&["confirmed", "restored"]),
            "mint.restored" => {
                mint(&["reverted", "submitted", "deferred", "parked"]) && n == Some(self.count("mint.reverted"))
            }
            _ => false,
        }
    }
}

/// One order's history: a legal path (A11), one end, the end that the story knows of.
fn one(order: &Order, history: &[&Entry], found: &mut Vec<String>) {
    let mut path = Path::default();
    let mut reason = "";
    for entry in history {
        let parts: Vec<&str> = entry.subject.split('.').skip(4).collect();
        let name = parts[..2].join(".");
        let n: Option<u32> = parts.get(2).and_then(|n| n.parse().ok());
        if !path.may_go_on(&name, n) {
            found.push(format!("A11 {}: {name} after {path:?}", order.id));
        }
        let count = path.counts.entry(name.clone()).or_default();
        *count += 1;
        // What comes back bears the number of what was taken back.
        if let Some(n) = n.filter(|_| parts[1] != "restored") {
            expect(found, &format!("A11 number of {}", entry.subject), n, *count);
        }
        let track = if parts[0] == "payment" { &mut path.payment } else { &mut path.mint };
        parts[1].clone_into(track);
        reason = text(&entry.body["data"], "reason");
    }
    let is = (path.payment.as_str(), path.mint.as_str(), reason);
    let paid = matches!(is.0, "confirmed" | "restored");
    let right = match order.outcome {
        Outcome::Minted => paid && matches!(is.1, "confirmed" | "restored"),
        Outcome::Failed(reason) => (is.0, is.2) == ("failed", reason) && !matches!(is.1, "confirmed" | "restored"),
        Outcome::Lost(reason) => (is.0, is.2) == ("failed", reason) && matches!(is.1, "confirmed" | "restored"),
        Outcome::Parked(reason) => paid && (is.1, is.2) == ("parked", reason),
        Outcome::Waiting(reason) => (is.0, is.2) == ("deferred", reason),
    };
    expect(found, &format!("{} ends {is:?} as {:?}", order.id, order.outcome), right, true);
    let paid_by = history.iter().rev().find_map(|entry| entry.body["data"]["paidBy"].as_str());
    if let Some(paid_by) = paid_by {
        let should = if order.third_party { "third_party" } else { "paymint" };
        expect(found, &format!("D10 {} is paid by", order.id), paid_by, should);
    }
}
