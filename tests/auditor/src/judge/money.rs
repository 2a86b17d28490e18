//! Charges (A02).

use super::confirmed;
use crate::books::Books;
use crate::decode::abi::{Said, said};
use crate::decode::x402::payment_key;
use crate::evidence::Evidence;
use crate::verdict::{Check, Verdict};
use alloy_primitives::{Address, B256, U256};
use std::collections::{BTreeMap, BTreeSet};

/// A02: one pair at most for each authorization, and for each idempotency key; what the ledger says of a charge is so;
/// payers lost what their pairs say.
pub fn charged_twice(evidence: &Evidence, books: &Books) -> Verdict {
    let mut check =
        Check::new("A02", "every order is charged once at most, as the ledger says, and payers lost no more");
    for (key, pairs) in &books.pairs {
        check.that(pairs.len() == 1, || format!("{key} was charged {} times", pairs.len()));
    }
    for ((payer, name), keys) in named_purchases(evidence) {
        let charged = keys.iter().filter(|key| books.pairs.contains_key(*key)).count();
        check.that(charged <= 1, || format!("{payer} was charged {charged} times under the key {name:?}"));
    }
    for (id, order) in &books.orders {
        let fault = confirmed::payment(evidence, books, order);
        check.that(fault.is_none(), || format!("{id}: {}", fault.unwrap_or_default()));
    }
    let genesis = evidence.run.genesis.block;
    let received = received(evidence, genesis);
    let mut own: BTreeMap<Address, U256> = BTreeMap::new();
    for pair in books.pairs.values().flatten().filter(|pair| pair.at.block > genesis) {
        *own.entry(pair.from).or_default() += pair.value;
    }
    let is_token = |account: &Address| evidence.chain.tokens.contains_key(account);
    for (payer, end) in evidence.chain.asset.iter().filter(|(account, _)| !is_token(account)) {
        let start = evidence.run.genesis.asset.get(payer).copied().unwrap_or_default().0;
        let of = |sums: &BTreeMap<Address, U256>| sums.get(payer).copied().unwrap_or_default();
        let (had, paid) = (start + of(&received), of(&own));
        let lost = had.checked_sub(*end);
        check.that(lost == Some(paid), || {
            format!("{payer} had {had}, has {end}, and its pairs say that it paid {paid}")
        });
    }
    check.verdict("nobody could pay")
}

/// Payment keys of what was sent under one idempotency key, by payer and key.
fn named_purchases(evidence: &Evidence) -> BTreeMap<(Address, String), BTreeSet<B256>> {
    let mut named: BTreeMap<(Address, String), BTreeSet<B256>> = BTreeMap::new();
    for request in evidence.journal.requests.iter().filter(|request| request.token.is_some()) {
        let Some(sent) = &request.sent else { continue };
        let key = payment_key(evidence.chain.id, evidence.run.asset, sent.from, sent.nonce);
        let header = request.idempotency_key.as_deref().map(|text| format!("header {text}"));
        let identifier = sent.identifier.as_deref().map(|text| format!("extension {text}"));
        for name in header.into_iter().chain(identifier) {
            named.entry((sent.from, name)).or_default().insert(key);
        }
    }
    named
}

/// The sums of the asset that accounts received after the block `since`.
fn received(evidence: &Evidence, since: u64) -> BTreeMap<Address, U256> {
    let mut received: BTreeMap<Address, U256> = BTreeMap::new();
    for log in evidence.chain.logs.iter().filter(|log| log.address == evidence.run.asset && log.block > since) {
        if let Some(Said::Transfer { to, value, .. }) = said(log) {
            *received.entry(to).or_default() += value;
        }
    }
    received
}
