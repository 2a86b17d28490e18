//! The money of tokens (A03): what came in, what left, and what every payment became.

use super::fates;
use crate::books::{Books, Entry, Fate, Pair, Place};
use crate::decode::abi::{Said, said};
use crate::evidence::Evidence;
use crate::evidence::tokens::{RecordState, TokenState};
use crate::verdict::{Check, Verdict};
use alloy_primitives::{Address, B256, U256};
use std::collections::{BTreeMap, BTreeSet};

/// A transfer of the asset.
struct Transfer {
    from: Address,
    to: Address,
    value: U256,
    at: Place,
}

/// A sum that a token says it paid out in a transaction.
struct Due {
    what: &'static str,
    /// `None`: any treasury that the factory has named.
    to: Option<Address>,
    amount: U256,
    tx: B256,
}

/// A token's own logs about money, summed up.
#[derive(Default)]
struct Told {
    dues: Vec<Due>,
    withdrawn: U256,
    fee_owed: U256,
}

/// A03: only payments came to a token, nothing left it but what it says itself, to whom it says; what it holds is what it
/// owes and its surplus; and every payment has one fate.
pub fn conserved(evidence: &Evidence, books: &Books) -> Verdict {
    let mut check = Check::new("A03", "tokens hold what they owe and their surplus, and every payment has one fate");
    let logs = evidence.chain.logs.iter().filter(|log| log.address == evidence.run.asset);
    let transfers: Vec<Transfer> = logs
        .filter_map(|log| match said(log)? {
            Said::Transfer { from, to, value } => Some(Transfer { from, to, value, at: Place::of(log) }),
            _ => None,
        })
        .collect();
    for (token, state) in &evidence.chain.tokens {
        let told = told(evidence, books, *token);
        left(books, *token, &told.dues, &transfers, &mut check);
        owes(evidence, *token, state, &told, &mut check);
        came(evidence, books, *token, state, &transfers, &mut check);
    }
    fates::each(evidence, books, &mut check);
    check.verdict("there is no token")
}

/// Compares what left the token with what it says that it paid out, transfer by transfer.
fn left(books: &Books, token: Address, dues: &[Due], transfers: &[Transfer], check: &mut Check) {
    let mut gone: Vec<&Transfer> = transfers.iter().filter(|transfer| transfer.from == token).collect();
    for Due { what, to, amount, tx } in dues {
        let is_it = |transfer: &&Transfer| {
            let to_whom = to.map_or_else(|| books.treasuries.contains(&transfer.to), |to| to == transfer.to);
            (transfer.at.tx, transfer.value) == (*tx, *amount) && to_whom
        };
        let made = gone.iter().position(is_it).map(|at| gone.swap_remove(at));
        check.that(made.is_some(), || {
            let whom = to.map_or_else(|| "the treasury".to_owned(), |to| to.to_string());
            format!("{token} says in {tx} that {amount} went to {whom} as {what}, and no transfer did it")
        });
    }
    for Transfer { to, value, at, .. } in gone {
        check.that(false, || format!("what has left {token}: {value} to {to} in {}, of which it says nothing", at.tx));
    }
}

/// The token's balance is what it owes, and its surplus.
fn owes(evidence: &Evidence, token: Address, state: &TokenState, told: &Told, check: &mut Check) {
    let units = |wanted: RecordState| -> U256 {
        state.records.values().filter(|record| record.state == wanted).map(|record| record.units).sum()
    };
    check.equal(|| format!("open units of {token}"), state.open, units(RecordState::Open));
    check.equal(|| format!("minted units of {token}"), state.units_minted, units(RecordState::Minted));
    check.equal(|| format!("fee that {token} owes"), state.fee_owed, told.fee_owed);
    let earned = state.units_minted.saturating_mul(state.price);
    check.that(told.withdrawn <= earned, || {
        format!("{} was withdrawn from {token}, and its mints have earned {earned}", told.withdrawn)
    });
    let owed = (state.units_minted.saturating_add(state.open)).saturating_mul(state.price);
    let owed = owed.saturating_sub(told.withdrawn).saturating_add(state.fee_owed);
    let held = evidence.chain.asset.get(&token).copied().unwrap_or_default();
    check.equal(|| format!("balance of {token}"), held, owed.saturating_add(state.surplus));
}

/// Checks that all money came by payments, and is minted, open, refunded, given back, the fee, or surplus.
fn came(
    evidence: &Evidence,
    books: &Books,
    token: Address,
    state: &TokenState,
    transfers: &[Transfer],
    check: &mut Check,
) {
    let pairs: Vec<(&B256, &Pair)> = books.paid_to_tokens(evidence).filter(|(_, pair)| pair.to == token).collect();
    let paired: BTreeSet<(u64, u64)> =
        pairs.iter().map(|(_, pair)| (pair.at.block, pair.at.index.saturating_add(1))).collect();
    let inward = || transfers.iter().filter(|transfer| transfer.to == token);
    let beside: Vec<&Transfer> = inward().filter(|got| !paired.contains(&(got.at.block, got.at.index))).collect();
    let sum = |transfers: &[&Transfer]| -> U256 { transfers.iter().map(|transfer| transfer.value).sum() };

    // A fee that no payment brought lay there before the token: in any form.
    let created = books.created.get(&token);
    let fee = created.map(|created| created.fee).unwrap_or_default();
    let lay_there = if books.fee(token).is_some() { U256::ZERO } else { fee };
    let before = |transfer: &&&Transfer| created.is_some_and(|created| transfer.at < created.at);
    let early: Vec<&Transfer> = beside.iter().filter(before).copied().collect();
    let brought = sum(&beside);
    check.equal(
        || format!("what {token} received, beside what the pairs brought"),
        brought,
        sum(&early).min(lay_there),
    );

    let unclaimed = pairs.iter().filter(|(key, pair)| matches!(books.fate(evidence, **key, pair), Fate::Surplus));
    let unclaimed: U256 = unclaimed.map(|(_, pair)| pair.value).sum();
    let surplus = unclaimed.saturating_add(brought).saturating_sub(lay_there);
    check.equal(|| format!("surplus of {token}"), state.surplus, surplus);

    let recorded: U256 = state.records.values().map(|record| record.units).sum();
    let of_token = |list: &BTreeMap<(Address, B256), Vec<Entry>>| -> U256 {
        list.iter().filter(|((of, _), _)| *of == token).flat_map(|(_, entries)| entries).map(|entry| entry.amount).sum()
    };
    let went = [recorded.saturating_mul(state.price), of_token(&books.credits), of_token(&books.returns), fee];
    let went = went.into_iter().fold(state.surplus, U256::saturating_add);
    let all: U256 = inward().map(|transfer| transfer.value).sum();
    check.equal(|| format!("what {token} received, against what its records, returns, fee and surplus say"), all, went);
}

/// Reads the token's logs about money.
fn told(evidence: &Evidence, books: &Books, token: Address) -> Told {
    let mut told = Told::default();
    let created = books.created.get(&token);
    let mut handed_on = created.map(|created| created.fee).filter(|fee| !fee.is_zero());
    for log in evidence.chain.logs.iter().filter(|log| log.address == token) {
        let due = match said(log) {
            Some(Said::Refunded { payer, amount, .. }) => ("a refund", payer, amount),
            Some(Said::GivenBack { payer, amount, .. }) => ("a payment that is given back", payer, amount),
            Some(Said::Credited { payer, change, .. }) if !change.is_zero() => ("change", payer, change),
            Some(Said::Withdrawn { to, amount }) => {
                told.withdrawn = told.withdrawn.saturating_add(amount);
                ("earnings", to, amount)
            }
            Some(Said::FeeOwed { amount }) => {
                told.fee_owed = told.fee_owed.saturating_add(amount);
                handed_on = None;
                continue;
            }
            Some(Said::FeeSwept { treasury, amount }) => {
                told.fee_owed = told.fee_owed.saturating_sub(amount);
                ("the fee", treasury, amount)
            }
            _ => continue,
        };
        let (what, to, amount) = due;
        told.dues.push(Due { what, to: Some(to), amount, tx: log.tx });
    }
    if let Some((amount, created)) = handed_on.zip(created) {
        told.dues.push(Due { what: "the fee", to: None, amount, tx: created.at.tx });
    }
    told
}
