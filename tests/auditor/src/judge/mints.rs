//! Mints of the tokens: paid for (A01), once (A04), and never owed in vain (A05).

use super::money::is_proof;
use crate::books::{Books, Mint, Order, Pair};
use crate::evidence::Evidence;
use crate::verdict::{Check, Verdict};
use alloy_primitives::{Address, B256, U256};
use std::collections::{BTreeMap, BTreeSet};

/// A01: every minted key has exactly one pair that moved enough money to its token, no later than the mint, unless it was
/// there before, was taken back and came back later.
pub fn unpaid(evidence: &Evidence, books: &Books) -> Verdict {
    let mut check = Check::new("A01", "every mint is paid for by exactly one canonical pair, in time");
    if !books.mints.is_empty() {
        let decimals = evidence.chain.asset_decimals;
        check.equal(|| "decimals of the asset".to_owned(), decimals, U256::from(6));
    }
    for mint in &books.mints {
        let fault = fault(evidence, books, mint);
        check.that(fault.is_none(), || {
            format!("{} was minted by {}: {}", mint.key, mint.token, fault.unwrap_or_default())
        });
    }
    let pair = |mint: &Mint| books.pairs.get(&mint.key).and_then(|pairs| pairs.first());
    let early = books.mints.iter().filter(|mint| pair(mint).is_some_and(|pair| is_late(pair, mint))).count();
    if early > 0 {
        check.note(format!("{early} mints stand before their payments, which a reorganisation has moved"));
    }
    check.verdict("nothing was minted")
}

fn fault(evidence: &Evidence, books: &Books, mint: &Mint) -> Option<String> {
    let pairs = books.pairs.get(&mint.key).map_or(&[][..], Vec::as_slice);
    let pair = match pairs {
        [pair] => pair,
        [] => return Some(no_pair(books, mint.key)),
        more => return Some(format!("{} pairs pay for it", more.len())),
    };
    let Some(token) = evidence.chain.tokens.get(&mint.token) else { return Some("no token of ours".to_owned()) };
    let Some(amount) = mint.amount else { return Some("no transfer tells whom it went to".to_owned()) };
    let units = amount.checked_div(token.unit).unwrap_or_default();
    let price = units.saturating_mul(token.price);
    if pair.to != mint.token {
        Some(format!("its nonce was paid elsewhere, to {} in {}", pair.to, pair.tx))
    } else if pair.value < price {
        Some(format!("{} was paid for {units} units, which cost {price}", pair.value))
    } else if is_late(pair, mint) && !came_back(books, mint.key, pair) {
        Some(format!("it was minted in block {} and paid in block {}", mint.block, pair.block))
    } else if pair.from != mint.to {
        Some(format!("{} paid, and {} has the units", pair.from, mint.to))
    } else if token.asset != U256::from_be_slice(evidence.run.asset.as_slice()) {
        Some("the token is paid in another asset".to_owned())
    } else {
        None
    }
}

/// Returns `true` if the money came after the units.
fn is_late(pair: &Pair, mint: &Mint) -> bool {
    (pair.block, pair.index) > (mint.block, mint.index)
}

/// Returns `true` if the ledger says that this pair is a payment which was taken back and is there again. Its mint was
/// begun on the first proof, and the order in which a reorg includes both again is arbitrary (ADR 16).
fn came_back(books: &Books, key: B256, pair: &Pair) -> bool {
    let order = books.by_key.get(&key).and_then(|id| books.orders.get(id));
    let proof = order.and_then(Order::charged).filter(|event| event.kind.name == "payment.restored");
    proof.is_some_and(|event| is_proof(event, pair))
}

/// Why there is none, as far as the chain tells.
fn no_pair(books: &Books, key: B256) -> String {
    if let Some(pair) = books.to_self.get(&key) {
        format!("{} paid itself in {}", pair.from, pair.tx)
    } else if let Some(log) = books.cancelled.get(&key) {
        format!("its authorization was cancelled in {}", log.tx)
    } else if let Some(log) = books.used_alone.get(&key) {
        format!("its authorization was used in {} without a transfer of its own", log.tx)
    } else {
        "no pair pays for it".to_owned()
    }
}

/// A04: keys once; supply and balances are the sum of what was minted; the ledger and the chain agree on it.
pub fn minted_twice(evidence: &Evidence, books: &Books) -> Verdict {
    let mut check = Check::new("A04", "every key is minted once, and supply and balances are what was owed");
    let mut seen = BTreeSet::new();
    let mut made: BTreeMap<(Address, Address), U256> = BTreeMap::new();
    for mint in &books.mints {
        check.that(seen.insert(mint.key), || format!("{} was minted twice, again in {}", mint.key, mint.tx));
        *made.entry((mint.token, mint.to)).or_default() += mint.amount.unwrap_or_default();
        owed(evidence, books, mint, &mut check);
    }
    for (address, token) in &evidence.chain.tokens {
        if let Some(terms) = books.tokens.get(address) {
            check.equal(|| format!("base units of a unit of {address}"), token.unit, terms.unit);
            check.equal(|| format!("price of a unit of {address}"), token.price, terms.unit_price);
        }
        let sum: U256 = made.iter().filter(|((of, _), _)| of == address).map(|(_, amount)| *amount).sum();
        check.equal(|| format!("supply of {address}"), token.supply, sum);
        for (holder, balance) in &token.balances {
            let should = made.get(&(*address, *holder)).copied().unwrap_or_default();
            check.equal(|| format!("{address} of {holder}"), *balance, should);
        }
    }
    let made: BTreeSet<(B256, B256)> = books.mints.iter().map(|mint| (mint.key, mint.tx)).collect();
    for (id, order) in &books.orders {
        let Some((event, ordered)) = order.minted().zip(order.ordered.as_ref()) else { continue };
        let tx = event.data.get::<B256>("txHash").unwrap_or_default();
        check.that(made.contains(&(ordered.key, tx)), || format!("{id} is minted, says the ledger, and {tx} did not"));
    }
    check.verdict("nothing was minted")
}

/// The order that a deep mint belongs to says so, in the same amount.
fn owed(evidence: &Evidence, books: &Books, mint: &Mint, check: &mut Check) {
    let Some(order) = books.by_key.get(&mint.key).and_then(|id| books.orders.get(id)) else {
        return check.that(false, || format!("{} was minted in {}, and nobody ordered it", mint.key, mint.tx));
    };
    let (Some(ordered), Some(terms)) = (&order.ordered, books.tokens.get(&mint.token)) else {
        return check.that(false, || format!("{} was minted by {}, which is not registered", mint.key, mint.token));
    };
    let should = (ordered.token, ordered.from, Some(ordered.quantity.saturating_mul(terms.unit)));
    check.that((mint.token, mint.to, mint.amount) == should, || {
        format!("{} was minted as {:?} to {}, ordered were {:?}", mint.key, mint.amount, mint.to, should)
    });
    check.equal(|| format!("price that {} was ordered at", mint.key), ordered.unit_price, terms.unit_price);
    if evidence.run.is_deep(mint.block, evidence.chain.head) {
        check.that(order.minted().is_some(), || {
            format!("{} was minted in block {}, and the ledger does not say so", mint.key, mint.block)
        });
    }
}

/// A05: who paid a token, N blocks deep, has its units, or is parked and listed.
pub fn lost(evidence: &Evidence, books: &Books) -> Verdict {
    let mut check = Check::new("A05", "whoever paid, N blocks deep, has the units, or is parked and listed");
    let minted: BTreeSet<B256> = books.mints.iter().map(|mint| mint.key).collect();
    let listed: BTreeSet<&str> = parked(evidence).collect();
    let mut waiting = 0_usize;
    for (key, pair) in books.paid_to_tokens(evidence) {
        if !evidence.run.is_deep(pair.block, evidence.chain.head) {
            waiting += 1;
            continue;
        }
        let id = books.by_key.get(key);
        let order = id.and_then(|id| books.orders.get(id));
        let is_parked = order.is_some_and(|order| order.path.state.stage() == "mint_parked");
        let is_listed = id.is_some_and(|id| listed.contains(id.to_string().as_str()));
        check.that(minted.contains(key) || (is_parked && is_listed), || match (id, is_parked) {
            (None, _) => format!("{} paid {} in {}, and no order knows of it", pair.from, pair.to, pair.tx),
            (Some(id), true) => format!("{id} is parked, and is not listed"),
            (Some(id), false) => format!("{id} was paid in {} and has no units", pair.tx),
        });
    }
    if waiting > 0 {
        check.note(format!("{waiting} pairs are not {} blocks deep yet", evidence.run.confirmations));
    }
    check.verdict("nobody has paid")
}

/// Ids of the orders that the read models show as parked.
fn parked(evidence: &Evidence) -> impl Iterator<Item = &str> {
    let rows = evidence.tables.live.get("payment_rows").into_iter().flatten();
    let parked = rows.filter(|row| row.get("stage").and_then(Option::as_deref) == Some("mint_parked"));
    parked.filter_map(|row| row.get("id").and_then(Option::as_deref))
}
