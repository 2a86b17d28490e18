//! The tables against the stream: the copy is the stream, and the read models are what the events say (A09, A10).

use super::{expect, text};
use crate::stack::Stack;
use crate::stream::Entry;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row as _};
use std::collections::BTreeMap;

/// One row of a read model: table, key, columns.
pub type Row = (String, String, Value);

impl Stack {
    /// Sequence up to which the read models of `schema` are built; 0 where there are none.
    pub async fn projected(&self, schema: &str) -> u64 {
        let query = format!("SELECT seq FROM {schema}.projections");
        let seq = sqlx::query_scalar::<_, i64>(AssertSqlSafe(query)).fetch_optional(&self.tables).await;
        seq.ok().flatten().map_or(0, |seq| u64::try_from(seq).unwrap())
    }
}

/// Every row of every read model of `schema`.
pub async fn rows(stack: &Stack, schema: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let views = [("payment_rows", "id"), ("mints", "id"), ("token_rows", "token"), ("set_aside", "seq")];
    let counters =
        [("stage_totals", "stage"), ("pace", "begins_at"), ("payers", "payer"), ("mint_batches", "signed_seq")];
    for (table, key) in views.into_iter().chain(counters) {
        let query = format!("SELECT {key}::text AS key, to_jsonb(r)::text AS row FROM {schema}.{table} r ORDER BY 1");
        for row in sqlx::query(AssertSqlSafe(query)).fetch_all(&stack.tables).await.unwrap() {
            let columns: String = row.get("row");
            rows.push((table.to_owned(), row.get("key"), serde_json::from_str(&columns).unwrap()));
        }
    }
    rows
}

pub(super) async fn check(stack: &Stack, entries: &[Entry], found: &mut Vec<String>) {
    let copy =
        sqlx::query("SELECT seq, subject, payload FROM ledger ORDER BY seq").fetch_all(&stack.tables).await.unwrap();
    expect(found, "A09 events in the copy", copy.len(), entries.len());
    for (row, entry) in copy.iter().zip(entries) {
        let (seq, subject, payload): (i64, Vec<u8>, Vec<u8>) = (row.get(0), row.get(1), row.get(2));
        let same =
            u64::try_from(seq) == Ok(entry.seq) && subject == entry.subject.as_bytes() && payload == entry.payload;
        expect(found, &format!("A09 the copy of sequence {}", entry.seq), same, true);
    }
    let folded = fold(entries);
    let stored: BTreeMap<String, Value> = rows(stack, "public")
        .await
        .into_iter()
        .filter(|(table, ..)| table == "payment_rows")
        .map(|(_, key, row)| (key, row))
        .collect();
    expect(found, "A10 payments", stored.keys().collect::<Vec<_>>(), folded.keys().collect::<Vec<_>>());
    for (id, wanted) in &folded {
        let Some(row) = stored.get(id) else { continue };
        for (column, value) in wanted.as_object().unwrap() {
            expect(found, &format!("A10 {column} of {id}"), &row[column], value);
        }
    }
}

/// What the events say of each payment, folded by the auditor's own hand.
fn fold(entries: &[Entry]) -> BTreeMap<String, Value> {
    let mut payments: BTreeMap<String, Value> = BTreeMap::new();
    for entry in entries {
        let parts: Vec<&str> = entry.subject.split('.').collect();
        let (["orders", _, id, "mint", rest @ ..], false) = (parts.as_slice(), entry.body.is_null()) else { continue };
        let (name, data) = (rest[..2].join("."), &entry.body["data"]);
        let row = payments.entry((*id).to_owned()).or_insert_with(|| json!({}));
        row["last_seq"] = json!(entry.seq);
        let (reason, is_paid) = (row["reason"].take(), row["status"] == "completed");
        row["reason"] = data.get("reason").cloned().unwrap_or(Value::Null);
        let count: u64 = rest.get(2).map_or(0, |n| n.parse().unwrap());
        let (stage, status) = match name.as_str() {
            "payment.requested" => {
                requested(row, entry);
                ("requested".to_owned(), "pending")
            }
            "payment.submitted" => {
                row["payment_attempts"] = json!(count);
                ("settling".to_owned(), "sent")
            }
            "payment.deferred" => {
                row["payment_deferrals"] = json!(count);
                ("deferred".to_owned(), "pending")
            }
            "payment.failed" if row["ahead"] == "minted" => {
                row["ahead"] = Value::Null;
                ("lost".to_owned(), "failed")
            }
            "payment.failed" => ("failed".to_owned(), "failed"),
            "payment.confirmed" | "payment.restored" => {
                row["paid_seq"] = json!(entry.seq);
                row["paid_by"] = data["paidBy"].clone();
                row["settle_tx_hash"] = data["txHash"].clone();
                row["settle_block_hash"] = data["block"]["hash"].clone();
                let ahead = row["ahead"].take();
                (ahead.as_str().unwrap_or("paid").to_owned(), "completed")
            }
            "payment.reverted" => {
                row["payment_reversions"] = json!(count);
                let stage = &row["stage"];
                row["ahead"] = if stage == "minting" || stage == "minted" { stage.clone() } else { Value::Null };
                for gone in ["paid_seq", "paid_by", "settle_block_hash"] {
                    row[gone] = Value::Null;
                }
                ("reverted".to_owned(), "pending")
            }
            _ => {
                let stage = minting(row, &name, data, count);
                if is_paid {
                    (stage.to_owned(), "completed")
                } else {
                    // The payment stays where it is, and so does why it waits.
                    row["ahead"] = if stage.starts_with("mint_") { Value::Null } else { json!(stage) };
                    row["reason"] = reason;
                    continue;
                }
            }
        };
        row["stage"] = json!(stage);
        row["status"] = json!(status);
    }
    payments
}

/// An event of the mint, and the stage that it leads to.
fn minting(row: &mut Value, name: &str, data: &Value, count: u64) -> &'static str {
    match name {
        "mint.submitted" => {
            row["mint_attempts"] = json!(count);
            "minting"
        }
        "mint.deferred" => {
            row["mint_deferrals"] = json!(count);
            "mint_deferred"
        }
        "mint.parked" => {
            row["mint_parkings"] = json!(count);
            "mint_parked"
        }
        "mint.confirmed" | "mint.restored" => {
            row["mint_tx_hash"] = data["txHash"].clone();
            row["mint_block_hash"] = data["block"]["hash"].clone();
            "minted"
        }
        "mint.reverted" => {
            row["mint_reversions"] = json!(count);
            row["mint_block_hash"] = Value::Null;
            "minting"
        }
        _ => "?",
    }
}

fn requested(row: &mut Value, entry: &Entry) {
    let data = &entry.body["data"];
    row["requested_seq"] = json!(entry.seq);
    row["payment_key"] = data["paymentKey"].clone();
    row["payer"] = data["authorization"]["from"].clone();
    row["value"] = data["authorization"]["value"].clone();
    row["nonce"] = data["authorization"]["nonce"].clone();
    row["token"] = json!(text(&data["purchase"], "token"));
    row["quantity"] = data["purchase"]["quantity"].clone();
    let counters = ["payment_attempts", "payment_deferrals", "payment_reversions"];
    for counter in counters.into_iter().chain(["mint_attempts", "mint_deferrals", "mint_parkings", "mint_reversions"]) {
        row[counter] = json!(0);
    }
}
