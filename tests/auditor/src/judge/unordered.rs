//! Records without an order, as the ledger tells of them: their path (a part of A11), and the chain's word for it (a part of
//! A05).

use crate::books::{Books, Ordered, Place, record};
use crate::decode::event::Event;
use crate::decode::x402::payment_id;
use crate::evidence::Evidence;
use crate::verdict::Check;
use alloy_primitives::{Address, B256, U256};
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
    let of = (token, key);
    let first = |list: Option<&Vec<crate::books::Entry>>| list.and_then(|list| list.first()).map(|entry| entry.at);
    let minted = books.minted.get(&of).and_then(|at| books.mints.get(*at)).map(|mint| mint.at);
    let returned = first(books.refunds.get(&of)).or_else(|| first(books.returns.get(&of)));
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

fn stands_for(ordered: &Ordered, token: Address, units: U256) -> bool {
    (ordered.token, ordered.quantity) == (token, units)
}
