//! The read models against the fold of the stream, row by row (A10).

use super::fold::{fold, time};
use crate::books::Books;
use crate::evidence::Evidence;
use crate::evidence::tables::{MODELS, Models, Row};
use crate::verdict::{Check, Verdict};
use alloy_primitives::keccak256;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};

/// Which column names a row, and which is for people only.
const KEYS: [(&str, &str); 8] = [
    ("payment_rows", "id"),
    ("token_rows", "token"),
    ("record_rows", "id"),
    ("set_aside", "seq"),
    ("stage_totals", "stage"),
    ("pace", "begins_at"),
    ("payers", "payer"),
    ("mint_batches", "signed_seq"),
];

/// A10: every table is what the events make of it; and a rebuild, where there is one, is the same.
pub fn folded(evidence: &Evidence, books: &Books) -> Verdict {
    let mut check = Check::new("A10", "the read models are the fold of the stream, row by row");
    let recorded: BTreeMap<u64, DateTime<Utc>> =
        evidence.tables.copy.iter().map(|row| (row.seq, row.recorded_at)).collect();
    let (own, strange) = fold(books, |event| recorded.get(&event.seq).copied().unwrap_or(event.time));
    for subject in strange {
        check.that(false, || format!("{subject}: the auditor knows no fold for it"));
    }
    compare(&mut check, "live", &evidence.tables.live, &own);
    match &evidence.tables.rebuilt {
        Some(rebuilt) => {
            compare(&mut check, "rebuilt", rebuilt, &own);
            check.note("the rebuilt read models were compared, too");
        }
        None => check.note("no rebuilt read models were given: the fold stands for them"),
    }
    let canonical = |models: &Models| keccak256(MODELS.map(|table| canonical(models, table)).concat());
    check.note(format!("hash of the canonical rows: {}", canonical(&evidence.tables.live)));
    check.verdict("there are no read models")
}

fn compare(check: &mut Check, which: &str, is: &Models, should: &Models) {
    for (table, key) in KEYS {
        let (is, should) = (by_key(is, table, key), by_key(should, table, key));
        for name in is.keys().chain(should.keys()).collect::<BTreeSet<_>>() {
            let fault = match (is.get(name), should.get(name)) {
                (Some(is), Some(should)) => differs(is, should),
                (Some(_), None) => Some("no event made it".to_owned()),
                (None, _) => Some("it is missing".to_owned()),
            };
            check.that(fault.is_none(), || format!("{which} {table} {name}: {}", fault.unwrap_or_default()));
        }
    }
}

/// The first column that is another.
fn differs(is: &Row, should: &Row) -> Option<String> {
    let columns: BTreeSet<&String> = is.keys().chain(should.keys()).collect();
    columns.into_iter().find(|column| is.get(*column) != should.get(*column)).map(|column| {
        let shown = |row: &Row| format!("{:?}", row.get(column).and_then(Option::as_deref));
        format!("{column} is {}, not {}", shown(is), shown(should))
    })
}

fn by_key(models: &Models, table: &str, key: &str) -> BTreeMap<String, Row> {
    let rows = models.get(table).into_iter().flatten().map(plain);
    rows.map(|row| (row.get(key).cloned().flatten().unwrap_or_default(), row)).collect()
}

/// Times in one spelling; what is only for people, and the time at which a set-aside message was recorded, left out.
fn plain(row: &Row) -> Row {
    let set_aside = row.contains_key("kind");
    let kept = row.iter().filter(|(column, _)| !set_aside || matches!(column.as_str(), "seq" | "kind"));
    kept.map(|(column, value)| {
        let spelt = match value {
            Some(text) if column.ends_with("_at") => Some(one_spelling(text)),
            other => other.clone(),
        };
        (column.clone(), spelt)
    })
    .collect()
}

fn one_spelling(text: &str) -> String {
    DateTime::parse_from_rfc3339(text).map_or_else(|_| text.to_owned(), |at| time(at.with_timezone(&Utc)))
}

/// Canonical JSON of a table: rows sorted, columns sorted.
fn canonical(models: &Models, table: &str) -> String {
    let rows = models.get(table).into_iter().flatten().map(plain);
    let mut rows: Vec<String> = rows.map(|row| serde_json::to_string(&row).unwrap_or_default()).collect();
    rows.sort();
    format!("{table}[{}]", rows.join(","))
}
