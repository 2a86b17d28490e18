//! Debts to those who paid (A05).

use super::{confirmed, unordered};
use crate::books::{Books, Fate, Order};
use crate::evidence::Evidence;
use crate::run::OpenRecords;
use crate::verdict::{Check, Verdict};
use alloy_primitives::U256;
use std::collections::BTreeMap;

/// Stages in which a person must look. The read models list these orders.
const LISTED: [&str; 3] = ["payment_parked", "mint_parked", "refund_parked"];

/// Stages in which the money is on its way back.
const GOING_BACK: [&str; 3] = ["refund_requested", "refunding", "refund_deferred"];

/// A05: who has a record that is N blocks deep has the units, or the money back, or waits for it, or waits for a person
/// who is told. So does, at a final block, who ordered and paid around the token. A refund that the ledger tells of was
/// paid.
pub fn lost(evidence: &Evidence, books: &Books) -> Verdict {
    let mut check = Check::new("A05", "whoever paid has the units, or the money back, or is parked and listed");
    let listed = parked(evidence);
    let (mut waiting, mut going_back) = (0_usize, 0_usize);
    let (mut open, mut surplus) = (Vec::new(), Vec::new());
    for (key, pair) in books.paid_to_tokens(evidence) {
        let of = (pair.to, *key);
        let fate = books.fate(evidence, *key, pair);
        let order = books.order_of(pair.to, *key).map(|(id, order)| (id.to_string(), order));
        let is_deep = match fate.recorded(pair) {
            Some(recorded) => evidence.run.is_deep(recorded.block, evidence.chain.head),
            None => pair.at.block <= evidence.chain.finalized,
        };
        if !is_deep {
            waiting += 1;
            continue;
        }
        match (fate, order) {
            (Fate::Fee | Fate::GivenBack(_), _) => check.that(true, String::new),
            (Fate::Settled(_) | Fate::Credited(..), _)
                if books.minted.contains_key(&of) || books.refunds.contains_key(&of) =>
            {
                check.that(true, String::new);
            }
            (Fate::Settled(_) | Fate::Credited(..) | Fate::Surplus, Some((_, order)))
                if GOING_BACK.contains(&order.path.state.stage()) =>
            {
                going_back += 1;
                check.that(true, String::new);
            }
            (Fate::Settled(_) | Fate::Credited(..), Some((id, order))) => {
                let fault = is_parked(&listed, &id, order, "mint_parked");
                check.that(fault.is_none(), || match fault {
                    Some("listed") => format!("{id} is parked, and is not listed"),
                    _ => format!("{id} was paid in {} and has no units", pair.at.tx),
                });
            }
            (Fate::Surplus, Some((id, order))) => {
                let fault = is_parked(&listed, &id, order, "payment_parked");
                check.that(fault.is_none(), || match fault {
                    Some("listed") => format!("{id} is parked, and is not listed"),
                    _ => format!("{id} was paid around its token in {}, and is not parked", pair.at.tx),
                });
            }
            (Fate::Settled(record) | Fate::Credited(record, _), None) => {
                open.push(record.units);
                let is_final = fate.recorded(pair).is_some_and(|at| at.block <= evidence.chain.finalized);
                let may_wait = !is_final || evidence.run.bounds.open_records == OpenRecords::Note;
                check.that(may_wait, || {
                    format!("{} paid {} in {}, has no units, and no order knows of it", pair.from, pair.to, pair.at.tx)
                });
            }
            (Fate::Surplus, None) => surplus.push(pair.value),
        }
    }
    for (id, order) in &books.orders {
        let fault = confirmed::refund(evidence, books, order);
        check.that(fault.is_none(), || format!("{id}: {}", fault.unwrap_or_default()));
    }
    unordered::told(evidence, books, &mut check);
    unordered::complete(evidence, books, &mut check);
    said(evidence, books, &mut check);
    for (count, what) in [(waiting, "payments are not deep enough yet"), (going_back, "refunds are under way")] {
        if count > 0 {
            check.note(format!("{count} {what}"));
        }
    }
    for (what, found) in [("open units", open), ("atomic units of surplus", surplus)] {
        if !found.is_empty() {
            let sum: U256 = found.iter().copied().sum();
            check.note(format!("{} payments that nobody ordered: {sum} {what}", found.len()));
        }
    }
    check.verdict("nobody has paid")
}

/// Checks that the ledger says of every refund by our own operator, N blocks deep, that it was made.
fn said(evidence: &Evidence, books: &Books, check: &mut Check) {
    for ((token, key), entries) in books.refunds.iter().chain(&books.returns) {
        let Some((id, order)) = books.order_of(*token, *key) else { continue };
        for entry in entries.iter().filter(|entry| books.is_ours(evidence, entry.at.tx)) {
            if evidence.run.is_deep(entry.at.block, evidence.chain.head) {
                check.that(order.refunded().is_some(), || {
                    format!("{id} was refunded by our own {}, and the ledger does not say so", entry.at.tx)
                });
            }
        }
    }
}

/// Returns what an order lacks to wait for a person, in this stage or for its refund: to be `parked` so, or to be
/// `listed` so.
fn is_parked(listed: &BTreeMap<&str, &str>, id: &str, order: &Order, stage: &str) -> Option<&'static str> {
    let is = order.path.state.stage();
    if ![stage, "refund_parked"].contains(&is) {
        return Some("parked");
    }
    (listed.get(id) != Some(&is)).then_some("listed")
}

/// Orders that the read models show as parked, with their stages.
fn parked(evidence: &Evidence) -> BTreeMap<&str, &str> {
    let rows = evidence.tables.live.get("payment_rows").into_iter().flatten();
    let stages = rows.filter_map(|row| Some((row.get("id")?.as_deref()?, row.get("stage")?.as_deref()?)));
    stages.filter(|(_, stage)| LISTED.contains(stage)).collect()
}
