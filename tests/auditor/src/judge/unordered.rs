//! Records without an order, as the ledger tells of them: their path (a part of A11), and the chain's word for it (a part of
//! A05). When a run is at rest, the ledger tells of all of them.

use crate::books::{Books, Fate, Order, Ordered, Place, record};
use crate::decode::event::Event;
use crate::decode::x402::payment_id;
use crate::evidence::Evidence;
use crate::evidence::tables::Row;
use crate::evidence::tokens::{Record, RecordState};
use crate::run::OpenRecords;
use crate::verdict::Check;
use alloy_primitives::{Address, B256, U256};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Each is found once, then ends at most once.
pub fn legal(books: &Books, check: &mut Check) {
    for (id, events) in &books.unordered {
        let names: Vec<&str> = events.iter().map(|event| event.kind.name).collect();
        let is_legal = matches!(names.as_slice(), ["found"] | ["found", "minted" | "returned"]);
        check.that(is_legal, || format!("record {id}: {} is no path", names.join(", ")));
    }
}

/// The ledger says of each record what its token says, at final blocks, and no order stands for it.
pub fn told(evidence: &Evidence, books: &Books, check: &mut Check) {
    for (id, events) in &books.unordered {
        let fault = fault(evidence, books, *id, events);
        check.that(fault.is_none(), || format!("record {id}: {}", fault.unwrap_or_default()));
    }
}

fn fault(evidence: &Evidence, books: &Books, id: Uuid, events: &[Event]) -> Option<String> {
    let found = events.iter().find(|event| event.kind.name == "found")?;
    let (key, token) = (found.data.get::<B256>("paymentKey")?, found.data.get::<Address>("token")?);
    if payment_id(key) != id {
        return Some(format!("{key} has another id"));
    }
    let Some(record) = record(evidence, token, key) else {
        return Some(format!("found, says the ledger, and {token} has no record of {key}"));
    };
    let told = (found.data.get("payer"), found.data.get::<u64>("quantity").map(U256::from));
    if told != (Some(record.payer), Some(record.units)) {
        return Some(format!("{} units of {} are recorded, the ledger has {told:?}", record.units, record.payer));
    }
    let made = books.pair_to(token, key).map(|pair| pair.at).into_iter();
    let made = made.chain(books.credits.get(&(token, key)).into_iter().flatten().map(|entry| entry.at));
    let named = |at: Place| found.data.get("txHash") == Some(at.tx) && found.data.get("block.number") == Some(at.block);
    if !made.into_iter().any(named) {
        return Some("its transaction made no such record".to_owned());
    }
    if let Some(order) = books.orders.get(&id)
        && let Some(ordered) = order.ordered.as_ref().filter(|ordered| stands_for(ordered, token, record.units))
    {
        let since = order.events.first().map(|event| event.seq).unwrap_or_default();
        let failed = order.event("payment.failed").is_some_and(|event| event.seq < found.seq);
        if since < found.seq && !failed {
            return Some(format!("found, says the ledger, and an order of {} stood for it", ordered.from));
        }
    }
    let (minted, returned) = ends(books, token, key);
    events.iter().find_map(|event| {
        let number: u64 = event.data.get("block.number").unwrap_or(u64::MAX);
        let block = evidence.chain.block(number).filter(|block| event.data.get("block.hash") == Some(block.hash));
        if block.is_none() || number > evidence.chain.finalized {
            return Some(format!("{} at block {number}, which is not final, or not on the chain", event.kind.name));
        }
        let at = match event.kind.name {
            "minted" => minted,
            "returned" => returned,
            _ => return None,
        };
        let is_so = at.is_some_and(|at| at.block <= number);
        (!is_so).then(|| format!("{}, says the ledger at block {number}, and the chain does not", event.kind.name))
    })
}

/// Where the units of a record were minted, and where its money went back.
fn ends(books: &Books, token: Address, key: B256) -> (Option<Place>, Option<Place>) {
    let of = (token, key);
    let back = books.refunds.get(&of).or_else(|| books.returns.get(&of)).and_then(|entries| entries.first());
    let minted = books.minted.get(&of).and_then(|at| books.mints.get(*at));
    (minted.map(|mint| mint.at), back.map(|entry| entry.at))
}

/// Nothing is missing in the ledger: the end of each record that was found and has ended, each record without an order, and
/// the units of all. Everything is judged at final blocks. A record beyond its token's budget is not found, so the run file
/// says whether a record that nobody found is wrong (`openRecords`).
pub fn complete(evidence: &Evidence, books: &Books, check: &mut Check) {
    for (id, events) in &books.unordered {
        let fault = untold(evidence, books, events);
        check.that(fault.is_none(), || format!("record {id}: {}", fault.unwrap_or_default()));
    }
    let mut taken: BTreeMap<Address, U256> = BTreeMap::new();
    let mut not_found = 0_usize;
    for (token, key, record) in holding(evidence, books) {
        let id = payment_id(key);
        let is_ordered = books.orders.get(&id).is_some_and(|order| covers(order, token, record));
        if is_ordered || books.unordered.contains_key(&id) {
            *taken.entry(token).or_default() += record.units;
            continue;
        }
        not_found += 1;
        let may_be = evidence.run.bounds.open_records == OpenRecords::Note;
        check.that(may_be, || {
            format!(
                "{key} at {token} is a record of {} units, no order stands for it, and nobody found it",
                record.units
            )
        });
    }
    for (token, units) in taken {
        let counted = counted(evidence, token);
        check.that(counted.is_none_or(|counted| counted >= units), || {
            let counted = counted.unwrap_or_default();
            format!("{token} holds or has minted {units} units, and the read models count {counted} as taken")
        });
    }
    if not_found > 0 {
        check.note(format!("{not_found} records without an order are not in the ledger"));
    }
}

/// The end of a found record that is final on the chain, and that the ledger does not tell.
fn untold(evidence: &Evidence, books: &Books, events: &[Event]) -> Option<String> {
    let [found] = events else { return None };
    let (minted, returned) = ends(books, found.data.get("token")?, found.data.get("paymentKey")?);
    let (what, at) = minted.map(|at| ("minted", at)).or_else(|| returned.map(|at| ("returned", at)))?;
    let is_final = at.block <= evidence.chain.finalized;
    is_final.then(|| format!("it was {what} in {}, and the ledger does not say so", at.tx))
}

/// Records that a final block made, and that hold units: open ones, and minted ones.
fn holding<'a>(evidence: &'a Evidence, books: &'a Books) -> impl Iterator<Item = (Address, B256, &'a Record)> {
    books.paid_to_tokens(evidence).filter_map(|(key, pair)| {
        let fate = books.fate(evidence, *key, pair);
        let (Fate::Settled(record) | Fate::Credited(record, _)) = fate else { return None };
        let is_final = fate.recorded(pair).is_some_and(|at| at.block <= evidence.chain.finalized);
        let holds = matches!(record.state, RecordState::Open | RecordState::Minted);
        (is_final && holds).then_some((pair.to, *key, record))
    })
}

/// Returns whether an order has not failed, and stands for this record.
fn covers(order: &Order, token: Address, record: &Record) -> bool {
    let is_its_own = |ordered: &Ordered| stands_for(ordered, token, record.units) && ordered.from == record.payer;
    order.ordered.as_ref().is_some_and(is_its_own) && order.event("payment.failed").is_none()
}

/// Units of a token that are taken, as the read models have it. `None` if they do not know the token.
fn counted(evidence: &Evidence, token: Address) -> Option<U256> {
    let mut rows = evidence.tables.live.get("token_rows").into_iter().flatten();
    let text = |column: &str, row: &Row| row.get(column).cloned().flatten();
    let row = rows.find(|row| text("token", row).and_then(|text| text.parse().ok()) == Some(token))?;
    text("units_taken", row)?.parse().ok()
}

fn stands_for(ordered: &Ordered, token: Address, units: U256) -> bool {
    (ordered.token, ordered.quantity) == (token, units)
}
