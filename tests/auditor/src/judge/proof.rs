//! Failed payments: only on proof, and permanently; and payments that were parked, on proof as well (A08).

use crate::books::{Books, Fate, Order, Ordered, record};
use crate::decode::event::Event;
use crate::evidence::Evidence;
use crate::verdict::{Check, Verdict};
use alloy_primitives::{B256, U256};

/// A08: every failure holds its proof (R2) at a block that the chain calls final, for `failed` is never taken back; and
/// no money ever moved for it. A payment is parked only if its money lies at the token, at a final block, without a
/// record.
pub fn failed_falsely(evidence: &Evidence, books: &Books) -> Verdict {
    let mut check =
        Check::new("A08", "every failed payment is proven dead and uncharged, every parked one to be around");
    for (id, order) in books.orders.iter().filter(|(_, order)| order.event("payment.failed").is_some()) {
        let fault = fault(evidence, books, order);
        check.that(fault.is_none(), || format!("{id}: {}", fault.unwrap_or_default()));
    }
    for (id, order) in &books.orders {
        let Some(ordered) = &order.ordered else { continue };
        for event in order.events.iter().filter(|event| event.kind.name == "payment.parked") {
            let fault = parked(evidence, books, ordered, event);
            check.that(fault.is_none(), || format!("{id}: {}", fault.unwrap_or_default()));
        }
    }
    check.verdict("no payment has failed or is parked")
}

fn fault(evidence: &Evidence, books: &Books, order: &Order) -> Option<String> {
    let (event, ordered) = (order.event("payment.failed")?, order.ordered.as_ref());
    let Some(ordered) = ordered else { return Some("failed, and nobody knows what".to_owned()) };
    if books.paid(ordered) > 0 {
        return Some("failed, and charged all the same".to_owned());
    }
    let is_of_another = books.pair_to(ordered.token, ordered.key).is_ok_and(|pair| pair.value != ordered.value);
    if record(evidence, ordered.token, ordered.key).is_some() && !is_of_another {
        return Some("failed, and its token has a record of it".to_owned());
    }
    let (chain, data) = (&evidence.chain, &event.data);
    let number: u64 = data.get("block.number").unwrap_or(u64::MAX);
    let Some(block) = chain.block(number).filter(|block| data.get("block.hash") == Some(block.hash)) else {
        return Some(format!("proven at block {number}, which is not on the chain"));
    };
    if number > chain.finalized || data.get("blockTime") != Some(block.time) {
        return Some(format!("proven at block {number}, which is not final, or of another time"));
    }
    let proving = data.get::<B256>("txHash");
    let used = books.pairs.get(&ordered.key).and_then(|pairs| pairs.first()).map(|pair| (pair.at.tx, pair.at.block));
    let used = used.or_else(|| books.used_alone.get(&ordered.key).map(|log| (log.tx, log.block)));
    let used = used.or_else(|| books.to_self.get(&ordered.key).map(|pair| (pair.at.tx, pair.at.block)));
    let cancelled = books.cancelled.get(&ordered.key).map(|log| (log.tx, log.block));
    let by = |found: Option<(B256, u64)>, what: &str| match found {
        Some((tx, block)) if Some(tx) == proving && block <= number => None,
        Some((tx, _)) => Some(format!("{what} by {tx}, the proof names {proving:?}")),
        None => Some(format!("not {what} anywhere")),
    };
    match data.text("reason").as_deref() {
        Some("expired" | "unfunded_until_expired" | "sold_out") => {
            let dead = U256::from(block.time) >= ordered.valid_before;
            let untouched = [used, cancelled].into_iter().flatten().all(|(_, block)| block > number);
            (!dead || !untouched).then(|| format!("at block {number} its window was open, or its nonce was used"))
        }
        Some("cancelled") => by(cancelled, "cancelled"),
        Some("used_elsewhere") => by(used, "used elsewhere"),
        other => Some(format!("failed for {other:?}, for which no proof is known")),
    }
}

/// Why a payment was parked without reason. That an operator made a record of it later, or returned it, takes
/// nothing back.
fn parked(evidence: &Evidence, books: &Books, ordered: &Ordered, event: &Event) -> Option<String> {
    let reason = event.data.text("reason").unwrap_or_default();
    let pair = match books.pair_to(ordered.token, ordered.key) {
        Ok(pair) => pair,
        Err(why) => return Some(format!("parked for {reason}, and {why}")),
    };
    let named = event.data.get::<B256>("txHash");
    let is_around = match books.fate(evidence, ordered.key, pair) {
        Fate::Surplus | Fate::Credited(..) | Fate::GivenBack(_) => true,
        Fate::Settled(_) | Fate::Fee => false,
    };
    if !is_around || reason != "paid_around_token" {
        Some(format!("parked for {reason}, which is not what became of {}", pair.at.tx))
    } else if pair.at.block > evidence.chain.finalized {
        Some(format!("parked for what {} did in block {}, which is not final", pair.at.tx, pair.at.block))
    } else if named.is_some_and(|named| named != pair.at.tx) {
        Some(format!("parked for what {named:?} did, and it was {}", pair.at.tx))
    } else {
        None
    }
}
