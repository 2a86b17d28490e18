//! Charges (A02), and that no money appeared or disappeared (A03).

use crate::books::{Books, Order, Pair};
use crate::decode::abi::{Said, said};
use crate::decode::event::Event;
use crate::decode::x402::payment_key;
use crate::evidence::Evidence;
use crate::verdict::{Check, Verdict};
use alloy_primitives::{Address, B256, U256};
use std::collections::{BTreeMap, BTreeSet};

/// The sums that an account has sent and received since the genesis block.
#[derive(Clone, Copy, Debug, Default)]
struct Moved {
    inward: U256,
    outward: U256,
}

/// A02: one pair at most for each authorization, and for each idempotency key; payers lost what their pairs say.
pub fn charged_twice(evidence: &Evidence, books: &Books) -> Verdict {
    let mut check = Check::new("A02", "every order is charged once at most, and payers lost what their pairs say");
    for (key, pairs) in &books.pairs {
        check.that(pairs.len() == 1, || format!("{key} was charged {} times", pairs.len()));
    }
    for ((payer, name), keys) in named_purchases(evidence) {
        let charged = keys.iter().filter(|key| books.pairs.contains_key(*key)).count();
        check.that(charged <= 1, || format!("{payer} was charged {charged} times under the key {name:?}"));
    }
    for (id, order) in &books.orders {
        let fault = confirmed(books, order);
        check.that(fault.is_none(), || format!("{id}: {}", fault.unwrap_or_default()));
    }
    let moved = moved(evidence);
    let genesis = evidence.run.genesis.block;
    let mut own: BTreeMap<Address, U256> = BTreeMap::new();
    for pair in books.pairs.values().flatten().filter(|pair| pair.block > genesis) {
        *own.entry(pair.from).or_default() += pair.value;
    }
    let is_token = |account: &Address| evidence.chain.tokens.contains_key(account);
    for (payer, end) in evidence.chain.asset.iter().filter(|(account, _)| !is_token(account)) {
        let start = evidence.run.genesis.asset.get(payer).copied().unwrap_or_default().0;
        let received = moved.get(payer).copied().unwrap_or_default().inward;
        let (had, paid) = (start + received, own.get(payer).copied().unwrap_or_default());
        let lost = had.checked_sub(*end);
        check.that(lost == Some(paid), || {
            format!("{payer} had {had}, has {end}, and its pairs say that it paid {paid}")
        });
    }
    check.verdict("nobody could pay")
}

/// Why what the ledger says of a charge is not what stands on the chain.
fn confirmed(books: &Books, order: &Order) -> Option<String> {
    let (event, ordered) = (order.charged()?, order.ordered.as_ref()?);
    let Some(pair) = books.pairs.get(&ordered.key).and_then(|pairs| pairs.first()) else {
        return Some("charged, says the ledger, and no pair did it".to_owned());
    };
    let same = (pair.to, pair.value) == (ordered.to, ordered.value) && is_proof(event, pair);
    (!same).then(|| format!("charged otherwise than the ledger says, in {}", pair.tx))
}

/// Returns `true` if this is the pair that a proof of payment names.
pub fn is_proof(event: &Event, pair: &Pair) -> bool {
    event.data.get("txHash") == Some(pair.tx)
        && event.data.get("block.number") == Some(pair.block)
        && event.data.get("logIndex") == Some(pair.index)
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

/// A03: a token has what the pairs brought; nothing else came, and nothing left but what it says itself.
pub fn conserved(evidence: &Evidence, books: &Books) -> Verdict {
    let mut check = Check::new("A03", "tokens hold what the pairs brought, and nothing has left them");
    let genesis = evidence.run.genesis.block;
    let moved = moved(evidence);
    for token in evidence.chain.tokens.keys() {
        let start = evidence.run.genesis.asset.get(token).copied().unwrap_or_default().0;
        let end = evidence.chain.asset.get(token).copied().unwrap_or_default();
        let of_token = books.paid_to_tokens(evidence).map(|(_, pair)| pair);
        let paid: U256 = of_token.filter(|pair| pair.to == *token && pair.block > genesis).map(|pair| pair.value).sum();
        let Moved { inward, outward } = moved.get(token).copied().unwrap_or_default();
        let said_out = let_out(evidence, *token);
        check.equal(|| format!("what {token} received, beside what the pairs brought"), inward, paid);
        check.equal(|| format!("what has left {token}, beside its refunds and withdrawals"), outward, said_out);
        check.equal(|| format!("balance of {token}"), end.saturating_add(outward), start.saturating_add(paid));
    }
    check.verdict("there is no token")
}

/// Transfers of the asset since the genesis block, by account.
fn moved(evidence: &Evidence) -> BTreeMap<Address, Moved> {
    let mut moved: BTreeMap<Address, Moved> = BTreeMap::new();
    let logs = evidence.chain.logs.iter();
    for log in logs.filter(|log| log.address == evidence.run.asset && log.block > evidence.run.genesis.block) {
        if let Some(Said::Transfer { from, to, value }) = said(log) {
            moved.entry(from).or_default().outward += value;
            moved.entry(to).or_default().inward += value;
        }
    }
    moved
}

/// The sum that a token reports as refunded or withdrawn since the genesis block.
fn let_out(evidence: &Evidence, token: Address) -> U256 {
    let logs = evidence.chain.logs.iter();
    let of_token = logs.filter(|log| log.address == token && log.block > evidence.run.genesis.block);
    of_token
        .filter_map(|log| match said(log)? {
            Said::Refunded { amount, .. } | Said::Withdrawn { amount } => Some(amount),
            _ => None,
        })
        .sum()
}
