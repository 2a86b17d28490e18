//! Mints of the tokens: recorded and paid for (A01), and once (A04).

use super::confirmed;
use crate::books::{Books, Mint, record};
use crate::evidence::Evidence;
use crate::evidence::tokens::RecordState;
use crate::verdict::{Check, Verdict};
use alloy_primitives::{Address, U256};
use std::collections::{BTreeMap, BTreeSet};

/// A01: every minted key has a record of its payer and its units, which exactly one pair paid for, no later than the
/// mint.
pub fn unpaid(evidence: &Evidence, books: &Books) -> Verdict {
    let mut check = Check::new("A01", "every mint is of a record that one canonical pair paid for, in time");
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
    check.verdict("nothing was minted")
}

fn fault(evidence: &Evidence, books: &Books, mint: &Mint) -> Option<String> {
    let pair = match books.pair_to(mint.token, mint.key) {
        Ok(pair) => pair,
        Err(why) => return Some(why),
    };
    let Some(token) = evidence.chain.tokens.get(&mint.token) else { return Some("no token of ours".to_owned()) };
    let Some(record) = record(evidence, mint.token, mint.key) else {
        return Some("the token has no record of it".to_owned());
    };
    let Some(amount) = mint.amount else { return Some("no transfer tells whom it went to".to_owned()) };
    let units = amount.checked_div(token.unit).unwrap_or_default();
    let fate = books.fate(evidence, mint.key, pair);
    let change =
        books.credits.get(&(mint.token, mint.key)).and_then(|entries| entries.first()).map(|entry| entry.amount);
    let price = units.saturating_mul(token.price);
    if pair.value.checked_sub(change.unwrap_or_default()) != Some(price) {
        Some(format!("{} was paid for {units} units, which cost {price}", pair.value))
    } else if pair.from != mint.to {
        Some(format!("{} paid, and {} has the units", pair.from, mint.to))
    } else if (record.payer, record.units) != (mint.to, units) || record.state != RecordState::Minted {
        Some(format!("its record says {:?}, {} units, of {}", record.state, record.units, record.payer))
    } else if fate.recorded(pair).is_none_or(|recorded| recorded > mint.at) || pair.at > mint.at {
        Some(format!("it was minted in block {} and paid in block {}", mint.at.block, pair.at.block))
    } else if evidence.chain.block(mint.at.block).is_none_or(|block| record.paid_at > block.time) {
        Some(format!("it was minted in block {}, and recorded at {} only", mint.at.block, record.paid_at))
    } else if token.asset != U256::from_be_slice(evidence.run.asset.as_slice()) {
        Some("the token is paid in another asset".to_owned())
    } else {
        None
    }
}

/// A04: keys once, and not refunded as well; never more than the token may sell; supply and balances are the sum of
/// what was minted; the ledger and the chain agree on it.
pub fn minted_twice(evidence: &Evidence, books: &Books) -> Verdict {
    let mut check = Check::new("A04", "every key is minted once, and supply and balances are what was owed");
    let mut seen = BTreeSet::new();
    let mut made: BTreeMap<(Address, Address), U256> = BTreeMap::new();
    for mint in &books.mints {
        check.that(seen.insert(mint.key), || format!("{} was minted twice, again in {}", mint.key, mint.at.tx));
        let of = (mint.token, mint.key);
        let refund = books.refunds.get(&of).or_else(|| books.returns.get(&of)).and_then(|entries| entries.first());
        check.that(refund.is_none(), || {
            let refunded = refund.map(|entry| entry.at.tx).unwrap_or_default();
            format!("{} was minted in {} and refunded in {refunded}", mint.key, mint.at.tx)
        });
        *made.entry((mint.token, mint.to)).or_default() += mint.amount.unwrap_or_default();
        owed(evidence, books, mint, &mut check);
    }
    for (address, token) in &evidence.chain.tokens {
        if let Some(terms) = books.tokens.get(address) {
            check.equal(|| format!("base units of a unit of {address}"), token.unit, terms.unit);
            check.equal(|| format!("price of a unit of {address}"), token.price, terms.unit_price);
            check.equal(|| format!("largest number of units of {address}"), token.max_units, terms.max_units);
        }
        let sold = token.units_minted.saturating_add(token.open);
        check.that(sold <= token.max_units, || format!("{address} has sold {sold} units of {}", token.max_units));
        let sum: U256 = made.iter().filter(|((of, _), _)| of == address).map(|(_, amount)| *amount).sum();
        check.equal(|| format!("supply of {address}"), token.supply, sum);
        for (holder, balance) in &token.balances {
            let should = made.get(&(*address, *holder)).copied().unwrap_or_default();
            check.equal(|| format!("{address} of {holder}"), *balance, should);
        }
    }
    for (id, order) in &books.orders {
        let fault = confirmed::mint(evidence, books, order);
        check.that(fault.is_none(), || format!("{id}: {}", fault.unwrap_or_default()));
    }
    let unordered = books.mints.iter().filter(|mint| books.order_of(mint.token, mint.key).is_none()).count();
    if unordered > 0 {
        check.note(format!("{unordered} mints are of payments that strangers settled, and that nobody ordered"));
    }
    check.verdict("nothing was minted")
}

/// The order that a deep mint belongs to says so, in the same amount. A stranger may have settled a payment that nobody
/// ordered, or another one with the nonce of an order.
fn owed(evidence: &Evidence, books: &Books, mint: &Mint, check: &mut Check) {
    let Some((_, order)) = books.order_of(mint.token, mint.key) else { return };
    let (Some(ordered), Some(terms)) = (&order.ordered, books.tokens.get(&mint.token)) else {
        return check.that(false, || format!("{} was minted by {}, which is not registered", mint.key, mint.token));
    };
    let should = (ordered.token, ordered.from, Some(ordered.quantity.saturating_mul(terms.unit)));
    check.that((mint.token, mint.to, mint.amount) == should, || {
        format!("{} was minted as {:?} to {}, ordered were {:?}", mint.key, mint.amount, mint.to, should)
    });
    check.equal(|| format!("price that {} was ordered at", mint.key), ordered.unit_price, terms.unit_price);
    if evidence.run.is_deep(mint.at.block, evidence.chain.head) {
        check.that(order.minted().is_some(), || {
            format!("{} was minted in block {}, and the ledger does not say so", mint.key, mint.at.block)
        });
    }
}
