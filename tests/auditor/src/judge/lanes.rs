//! The relayers' books (A12).

use crate::books::Books;
use crate::decode::call::calls;
use crate::decode::event::{Aggregate, Event};
use crate::decode::tx::{self, Raw};
use crate::decode::x402::payment_id;
use crate::evidence::Evidence;
use crate::evidence::chain::Tx;
use crate::verdict::{Check, Verdict};
use alloy_primitives::{Address, B256, U256};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A12: what a key sent is what the ledger says that it signed, byte for byte, and its money went for gas.
pub fn relayers(evidence: &Evidence, books: &Books) -> Verdict {
    let mut check = Check::new("A12", "relayers sent what the ledger says they signed, and paid for gas alone");
    let relayers: BTreeSet<Address> = evidence.run.relayers.iter().copied().collect();
    for event in &books.events {
        if let Aggregate::Signer(signer) = &event.of {
            check.that(relayers.contains(signer), || format!("{} is of no relayer", event.subject));
        }
    }
    let (mut reverted, mut sent) = (0_u64, 0_u64);
    for relayer in &relayers {
        let txs: Vec<&Tx> = evidence.chain.txs.iter().filter(|tx| tx.from == *relayer).collect();
        sent = sent.saturating_add(u64::try_from(txs.len()).unwrap_or(u64::MAX));
        reverted =
            reverted.saturating_add(u64::try_from(txs.iter().filter(|tx| !tx.succeeded).count()).unwrap_or(u64::MAX));
        one(evidence, books, *relayer, &txs, &mut check);
    }
    if sent > 0 {
        let limit = evidence.run.bounds.reverted_max_percent;
        let within = reverted.saturating_mul(100) <= sent.saturating_mul(limit);
        check.that(within, || format!("{reverted} of {sent} transactions reverted, {limit} % may"));
    }
    check.verdict("no relayer is named")
}

fn one(evidence: &Evidence, books: &Books, relayer: Address, txs: &[&Tx], check: &mut Check) {
    let genesis = evidence.run.genesis.nonces.get(&relayer).copied().unwrap_or_default();
    let since: Vec<&&Tx> = txs.iter().filter(|tx| tx.nonce >= genesis).collect();
    for (tx, nonce) in since.iter().zip(genesis..) {
        check.equal(|| format!("nonce of {} of {relayer}", tx.hash), tx.nonce, nonce);
    }
    let count = genesis.saturating_add(u64::try_from(since.len()).unwrap_or(u64::MAX));
    let nonce = evidence.chain.nonces.get(&relayer).copied().unwrap_or_default();
    check.equal(|| format!("transactions of {relayer}"), nonce, count);

    let events: Vec<&Event> = books.events.iter().filter(|event| event.of == Aggregate::Signer(relayer)).collect();
    let signed = signed(evidence, books, &events, check);
    let lost = lost(evidence, &events, &signed, check);
    for tx in &since {
        let known = signed.get(&tx.nonce).is_some_and(|raws| raws.iter().any(|raw| raw.hash == tx.hash));
        check.that(known != lost.contains(&tx.nonce), || match known {
            true => format!("nonce {} of {relayer} is lost, says the ledger, and {} is our own", tx.nonce, tx.hash),
            false => {
                format!("{} of {relayer}, nonce {}, is not in the ledger: sent by somebody else", tx.hash, tx.nonce)
            }
        });
        if known {
            let of_nonce = |event: &&&Event| event.numbers.first() == Some(&tx.nonce) && event.kind.name != "claimed";
            let settled = events.iter().rev().find(of_nonce);
            let settled = settled.filter(|event| matches!(event.kind.name, "settled" | "resettled"));
            let says = |event: &&&Event| {
                event.data.get("txHash") == Some(tx.hash) && event.data.get("succeeded") == Some(tx.succeeded)
            };
            check.that(settled.is_some_and(|event| says(&event)), || {
                format!("{} of {relayer}, nonce {}, is in a block, and the ledger does not say so", tx.hash, tx.nonce)
            });
        }
        check.that(tx.value.is_zero(), || format!("{} of {relayer} sent {} wei", tx.hash, tx.value));
        if let Some(raw) = signed.get(&tx.nonce).into_iter().flatten().find(|raw| raw.hash == tx.hash) {
            let same = (Some(raw.to), raw.input.as_slice(), raw.value) == (tx.to, tx.input.as_ref(), tx.value);
            check.that(same, || format!("{} does on chain what its bytes in the ledger do not say", tx.hash));
        }
    }
    if !lost.is_empty() {
        check.note(format!(
            "{relayer} lost {} nonces to somebody else, as the ledger says: its key is used elsewhere",
            lost.len()
        ));
    }
    for nonce in signed.keys() {
        check.that(since.iter().any(|tx| tx.nonce == *nonce), || {
            format!("nonce {nonce} of {relayer} is signed, and in no block")
        });
    }
    let start = evidence.run.genesis.wei.get(&relayer).copied().unwrap_or_default().0;
    let end = evidence.chain.wei.get(&relayer).copied().unwrap_or_default();
    let gas: U256 = since.iter().map(|tx| tx.cost_wei.saturating_add(tx.value)).sum();
    check.that(start.checked_sub(end) == Some(gas), || {
        format!("{relayer} had {start} wei and has {end}, and its transactions cost {gas}")
    });
}

/// Transactions that are signed in the ledger, by nonce: the first one and its replacements.
fn signed(evidence: &Evidence, books: &Books, events: &[&Event], check: &mut Check) -> BTreeMap<u64, Vec<Raw>> {
    let mut signed: BTreeMap<u64, Vec<Raw>> = BTreeMap::new();
    for event in events.iter().filter(|event| matches!(event.kind.name, "signed" | "replaced")) {
        let Some(nonce) = event.numbers.first().copied() else { continue };
        let Some(raw) = event.data.bytes("rawTx").and_then(|bytes| tx::decode(&bytes)) else {
            check.that(false, || format!("{} has no transaction that can be read", event.subject));
            continue;
        };
        check.that(event.data.get::<B256>("txHash") == Some(raw.hash), || {
            format!("{}: txHash is of other bytes", event.subject)
        });
        let ours = raw.to == evidence.run.hub || books.tokens.contains_key(&raw.to);
        let fits = raw.nonce == U256::from(nonce) && raw.chain_id == U256::from(evidence.chain.id);
        check.that(ours && fits && raw.value.is_zero(), || {
            format!("{}: signs nonce {} for {} with {} wei", event.subject, raw.nonce, raw.to, raw.value)
        });
        let (purpose, calls) = (purpose(event), calls(raw.to, &raw.input, evidence.run.hub));
        let other = calls.iter().map(|call| call.deed).find(|deed| deed.purpose() != purpose);
        check.that(other.is_none(), || format!("{}: a lane to {purpose} signs {other:?}", event.subject));
        let items = event.data.get::<Vec<Uuid>>("items").unwrap_or_default();
        let inside = calls.iter().flat_map(|call| call.keys(evidence.chain.id, evidence.run.asset));
        let inside: Vec<B256> = inside.collect();
        let (ordered, beside) = inside.split_at(items.len().min(inside.len()));
        let is_found = |key: &B256| purpose == "mint" && books.is_found_before(*key, event.seq);
        let same = ordered.iter().copied().map(payment_id).eq(items.iter().copied());
        check.that(same && beside.iter().all(is_found), || {
            format!("{}: the orders in its call data are not its items", event.subject)
        });
        if let Some(first) = signed.get(&nonce).and_then(|raws| raws.first()) {
            check.that((first.to, &first.input) == (raw.to, &raw.input), || {
                format!("{} does something else than what it replaces", event.subject)
            });
        }
        signed.entry(nonce).or_default().push(raw);
    }
    signed
}

/// The purpose of the lane that an event is of.
fn purpose(event: &Event) -> &str {
    event.subject.split('.').nth(3).unwrap_or_default()
}

/// Nonces that somebody else used, as the ledger says: one that was signed for, or all from the next one to the
/// account's nonce.
fn lost(evidence: &Evidence, events: &[&Event], signed: &BTreeMap<u64, Vec<Raw>>, check: &mut Check) -> BTreeSet<u64> {
    let mut lost = BTreeSet::new();
    for event in events.iter().filter(|event| event.kind.name == "lost") {
        let (nonce, up_to) = (event.numbers.first().copied(), event.data.get::<u64>("accountNonce"));
        let block = event.data.get("block.number").and_then(|number| evidence.chain.block(number));
        let proven = block.is_some_and(|block| event.data.get("block.hash") == Some(block.hash));
        let Some((nonce, up_to)) = nonce.zip(up_to).filter(|(nonce, up_to)| proven && nonce < up_to) else {
            check.that(false, || format!("{} proves nothing", event.subject));
            continue;
        };
        lost.extend(if signed.contains_key(&nonce) { nonce..nonce.saturating_add(1) } else { nonce..up_to });
    }
    lost
}
