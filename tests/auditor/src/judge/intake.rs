//! Requests compared with the ledger: nothing acknowledged is missing (A06), and nothing is there that was not asked
//! for, and we charged nobody who did not order, and returned nothing that nobody wanted back (A07).

use crate::books::{Books, Fate, Ordered};
use crate::decode::event::Aggregate;
use crate::decode::x402::{key_digest, payment_id, payment_key};
use crate::evidence::Evidence;
use crate::evidence::journal::Request;
use crate::verdict::{Check, Verdict};
use alloy_primitives::{Address, B256, U256};
use std::collections::BTreeSet;

/// A06: every 202 names an order that is in the ledger, word for word what was sent.
pub fn acknowledged(evidence: &Evidence, books: &Books) -> Verdict {
    let mut check = Check::new("A06", "every 202 is in the ledger, as it was sent");
    let purchases = evidence.journal.requests.iter().filter(|request| request.token.is_some());
    for request in purchases.filter(|request| request.status == Some(202)) {
        let fault = fault(evidence, books, request);
        check.that(fault.is_none(), || format!("line {}: {}", request.line, fault.unwrap_or_default()));
    }
    check.verdict("nothing was answered with 202")
}

fn fault(evidence: &Evidence, books: &Books, request: &Request) -> Option<String> {
    let Some(id) = request.answered_id else { return Some("202 without an id".to_owned()) };
    let Some(ordered) = books.orders.get(&id).and_then(|order| order.ordered.as_ref()) else {
        return Some(format!("{id} was answered with 202 and is not in the ledger"));
    };
    let Some(sent) = &request.sent else { return Some(format!("{id}: 202 for a payment that nobody can read")) };
    let own = payment_id(payment_key(evidence.chain.id, evidence.run.asset, sent.from, sent.nonce));
    if own == id {
        let same = asks_for(request, ordered);
        return (!same).then(|| format!("{id} is in the ledger as {ordered:?}, sent was {sent:?}"));
    }
    // Another id: then the purchase was made before, under the same key, with another authorization.
    let before = evidence.journal.requests.iter().any(|other| share_key(request, other) && asks_for(other, ordered));
    (!before).then(|| format!("{id} was answered for a payment of {own}, and no key names both"))
}

/// Returns `true` if both have one payer and one idempotency key, in header or extension.
fn share_key(one: &Request, other: &Request) -> bool {
    let (Some(sent), Some(other_sent)) = (&one.sent, &other.sent) else { return false };
    let same = |one: &Option<String>, other: &Option<String>| one.is_some() && one == other;
    sent.from == other_sent.from
        && (same(&one.idempotency_key, &other.idempotency_key) || same(&sent.identifier, &other_sent.identifier))
}

/// Returns `true` if this request, as sent, is this order.
fn asks_for(request: &Request, ordered: &Ordered) -> bool {
    let Some(sent) = &request.sent else { return false };
    (sent.from, sent.to, sent.value, sent.nonce) == (ordered.from, ordered.to, ordered.value, ordered.nonce)
        && (sent.valid_after, sent.valid_before) == (ordered.valid_after, ordered.valid_before)
        && sent.signature == ordered.signature
        && request.token == Some(ordered.token)
        && request.quantity.map(U256::from) == Some(ordered.quantity)
}

/// A07: every order, and every key that names one, was sent by the load generator and not refused; what our own
/// transactions charged was ordered; and what they credited or returned belongs to an order that asked for it. A
/// stranger may settle what nobody ordered, and another operator may return what nobody asked for.
pub fn phantoms(evidence: &Evidence, books: &Books) -> Verdict {
    let mut check = Check::new("A07", "every order in the ledger was asked for, and every key that names one");
    for (id, order) in &books.orders {
        let Some(ordered) = &order.ordered else {
            check.that(false, || format!("{id} has events and no request that can be read"));
            continue;
        };
        let key = payment_key(evidence.chain.id, evidence.run.asset, ordered.from, ordered.nonce);
        check.that(key == ordered.key && payment_id(key) == *id, || format!("{id} does not follow from its payment"));
        let asked = books.asked.get(&key).into_iter().flatten().filter_map(|at| evidence.journal.requests.get(*at));
        let asked: Vec<&Request> = asked.filter(|request| asks_for(request, ordered)).collect();
        let any = !asked.is_empty();
        let taken = asked.iter().any(|request| request.is_unknown() || request.status == Some(202));
        check.that(taken, || match any {
            true => format!("{id} is in the ledger, and every time that it was sent it was refused"),
            false => format!("{id} is in the ledger, and nobody sent it"),
        });
    }
    let mut keys: BTreeSet<(Address, B256)> = BTreeSet::new();
    for (request, sent) in
        evidence.journal.requests.iter().filter_map(|request| Some((request, request.sent.as_ref()?)))
    {
        let header = request.idempotency_key.as_deref().map(|text| key_digest("idempotency-key", text));
        let extension = sent.identifier.as_deref().map(|text| key_digest("payment-identifier", text));
        keys.extend(header.into_iter().chain(extension).map(|digest| (sent.from, digest)));
    }
    for event in &books.events {
        if let Aggregate::Key(payer, digest) = &event.of {
            let named = keys.contains(&(*payer, *digest));
            check.that(named, || format!("{} is in the ledger, and nobody sent that key", event.subject));
        }
    }
    for (key, pair) in books.paid_to_tokens(evidence).filter(|(_, pair)| books.is_ours(evidence, pair.at.tx)) {
        let settled = matches!(books.fate(evidence, *key, pair), Fate::Settled(_));
        check.that(settled && books.order_of(pair.to, *key).is_some(), || {
            format!("{} was charged by our own {}, and no order knows of it", pair.from, pair.at.tx)
        });
    }
    operated(evidence, books, &mut check);
    check.verdict("there is no order")
}

/// Checks that our own operator did what an order asked for.
fn operated(evidence: &Evidence, books: &Books, check: &mut Check) {
    for (what, list, asked) in [
        ("credited", &books.credits, "payment.parked"),
        ("refunded", &books.refunds, "refund.requested"),
        ("given back", &books.returns, "refund.requested"),
    ] {
        for ((token, key), entries) in list {
            for entry in entries.iter().filter(|entry| books.is_ours(evidence, entry.at.tx)) {
                let order = books.order_of(*token, *key).map(|(_, order)| order);
                check.that(order.is_some_and(|order| order.event(asked).is_some()), || {
                    format!("{} was {what} by our own {}, and no order asked for that", entry.payer, entry.at.tx)
                });
            }
        }
    }
}
