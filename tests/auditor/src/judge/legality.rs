//! The paths that orders and lanes took (A11).

use super::unordered;
use crate::books::Books;
use crate::decode::event::Aggregate;
use crate::legal::Numbered;
use crate::verdict::{Check, Verdict};
use std::collections::BTreeMap;

/// A11: every message is an event that we know, every order took a legal path, and numbers count without a gap.
pub fn legal(books: &Books) -> Verdict {
    let mut check = Check::new("A11", "every event is known, and every order took a legal path to one end");
    for (seq, subject, why) in &books.unreadable {
        check.that(false, || format!("sequence {seq} ({subject}): {why}"));
    }
    for (id, order) in &books.orders {
        check.that(order.wrong.is_none(), || format!("{id}: {}", order.wrong.clone().unwrap_or_default()));
    }
    numbers(books, &mut check);
    unordered::legal(books, &mut check);
    lanes(books, &mut check);
    let said = |name: &str| {
        books.events.iter().filter(|event| matches!(event.of, Aggregate::Ops(_)) && event.kind.name == name).count()
    };
    let (parked, stopped) = (said("parked"), said("stopped"));
    if parked > 0 {
        check.note(format!("{parked} messages are parked: a person must look"));
    }
    if stopped > 0 {
        check.note(format!("payouts were stopped {stopped} times: the ledger was not what it had been"));
    }
    check.verdict("there is no event")
}

/// Numbers begin at 1 and have no gap.
fn numbers(books: &Books, check: &mut Check) {
    let mut counts: BTreeMap<(&Aggregate, &str, u64), u64> = BTreeMap::new();
    for event in &books.events {
        let (of_nonce, n) = match (event.kind.numbered, event.numbers.as_slice()) {
            (Numbered::Counted | Numbered::Answers(_), [n]) => (0, *n),
            // The number of the latest event that it is about.
            (Numbered::Of(what), [n]) => {
                let latest = counts.get(&(&event.of, what, 0)).copied().unwrap_or_default();
                check.equal(|| format!("number of {}", event.subject), *n, latest);
                continue;
            }
            (Numbered::NonceCounted, [nonce, n]) => (*nonce, *n),
            _ => continue,
        };
        let count = counts.entry((&event.of, event.kind.name, of_nonce)).or_default();
        *count = count.saturating_add(1);
        check.equal(|| format!("number of {}", event.subject), n, *count);
    }
}

/// For each nonce, `signed` comes first, and `settled` or `lost` last. A nonce that somebody else used before it was
/// signed for is lost immediately. A nonce whose block is gone is open again, and then `resettled` or `lost`.
fn lanes(books: &Books, check: &mut Check) {
    let mut nonces: BTreeMap<(&Aggregate, u64), (bool, bool)> = BTreeMap::new();
    for event in books.events.iter().filter(|event| matches!(event.of, Aggregate::Signer(_))) {
        let (Some(nonce), false) = (event.numbers.first(), event.kind.name == "claimed") else { continue };
        let known = nonces.get(&(&event.of, *nonce)).copied();
        let (open, settled) = known.unwrap_or_default();
        let legal = match event.kind.name {
            "signed" => known.is_none(),
            "lost" => known.is_none() || open,
            "settled" => open && !settled,
            "reverted" => !open && settled,
            "resettled" => open && settled,
            _ => open,
        };
        check.that(legal, || format!("{} at sequence {}: out of order", event.subject, event.seq));
        let ends = matches!(event.kind.name, "settled" | "resettled" | "lost");
        nonces.insert((&event.of, *nonce), (!ends, settled || event.kind.name == "settled"));
    }
}
