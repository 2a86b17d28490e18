//! Debts to those who paid (A05).

use crate::books::{Books, Fate, Order, record};
use crate::evidence::Evidence;
use crate::evidence::tokens::RecordState;
use crate::run::OpenRecords;
use crate::verdict::{Check, Verdict};
use alloy_primitives::U256;
use std::collections::BTreeMap;

/// A05: who has a record that is N blocks deep has the units, or the money back, or waits for an operator who is told. So
/// does, at a final block, who ordered and paid around the token.
pub fn lost(evidence: &Evidence, books: &Books) -> Verdict {
    let mut check = Check::new("A05", "whoever paid has the units, or the money back, or is parked and listed");
    let listed = parked(evidence);
    let (mut waiting, mut open, mut surplus) = (0_usize, Vec::new(), Vec::new());
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
                check.that(evidence.run.bounds.open_records == OpenRecords::Note, || {
                    format!("{} paid {} in {}, has no units, and no order knows of it", pair.from, pair.to, pair.at.tx)
                });
            }
            (Fate::Surplus, None) => surplus.push(pair.value),
        }
    }
    for (id, order) in &books.orders {
        let fault = money_back(evidence, order);
        check.that(fault.is_none(), || format!("{id}: {}", fault.unwrap_or_default()));
    }
    if waiting > 0 {
        check.note(format!("{waiting} payments are not deep enough yet"));
    }
    for (what, found) in [("open units", open), ("atomic units of surplus", surplus)] {
        if !found.is_empty() {
            let sum: U256 = found.iter().copied().sum();
            check.note(format!("{} payments that nobody ordered: {sum} {what}", found.len()));
        }
    }
    check.verdict("nobody has paid")
}

/// Returns what an order lacks to wait for an operator in this stage: to be `parked` so, or to be `listed` so.
fn is_parked(listed: &BTreeMap<&str, &str>, id: &str, order: &Order, stage: &str) -> Option<&'static str> {
    if order.path.state.stage() != stage {
        return Some("parked");
    }
    (listed.get(id) != Some(&stage)).then_some("listed")
}

/// Why an order that is parked because its money went back is so without reason.
fn money_back(evidence: &Evidence, order: &Order) -> Option<String> {
    let (event, ordered) = (order.event("mint.parked")?, order.ordered.as_ref()?);
    let is_so = order.path.state.stage() == "mint_parked" && event.data.text("reason").as_deref() == Some("money_back");
    let record = record(evidence, ordered.token, ordered.key).map(|record| record.state);
    let went = matches!(record, Some(RecordState::Refunded | RecordState::GivenBack));
    (is_so && !went).then(|| format!("parked because the money went back, and the record says {record:?}"))
}

/// Orders that the read models show as parked, with their stages.
fn parked(evidence: &Evidence) -> BTreeMap<&str, &str> {
    let rows = evidence.tables.live.get("payment_rows").into_iter().flatten();
    let stages = rows.filter_map(|row| Some((row.get("id")?.as_deref()?, row.get("stage")?.as_deref()?)));
    stages.filter(|(_, stage)| ["payment_parked", "mint_parked"].contains(stage)).collect()
}
