//! The chain against the orders: who was charged, who got units, and whether anything else moved.

use super::{expect, text};
use crate::order::{Order, Outcome};
use crate::stack::Stack;
use crate::stream::Entry;
use alloy::rpc::types::Log;
use alloy::sol_types::SolEvent;
use alloy_primitives::{Address, B256, U256};
use chain::abi::{MintToken, UsdcDouble};
use std::collections::{BTreeMap, BTreeSet};

/// Proof of payment (D9): `AuthorizationUsed` and the `Transfer` right after it.
#[derive(Debug, PartialEq, Eq)]
struct Pair {
    from: Address,
    to: Address,
    value: U256,
    nonce: B256,
}

pub(super) async fn check(stack: &Stack, entries: &[Entry], orders: &[Order], found: &mut Vec<String>) {
    let asset = stack.shop.asset;
    let logs = stack.chain.logs_of(asset).await;
    let pairs = pairs(&logs, found);
    let tokens = tokens(entries);
    charged_once(&pairs, orders, &tokens, found);
    conserved(stack, &logs, &pairs, &tokens, orders, found).await;
    for token in &tokens {
        minted_once(stack, *token, entries, orders, found).await;
    }
    lanes(stack, entries, found).await;
}

/// Addresses of all registered tokens.
fn tokens(entries: &[Entry]) -> BTreeSet<Address> {
    let registered = entries.iter().filter(|entry| entry.subject.starts_with("tokens."));
    registered.filter_map(|entry| text(&entry.body["data"], "token").parse().ok()).collect()
}

fn pairs(logs: &[Log], found: &mut Vec<String>) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (at, log) in logs.iter().enumerate() {
        let Ok(used) = UsdcDouble::AuthorizationUsed::decode_log_data(log.data()) else { continue };
        let next = logs.get(at + 1).filter(|next| {
            next.transaction_hash == log.transaction_hash && next.log_index == log.log_index.map(|index| index + 1)
        });
        match next.and_then(|next| UsdcDouble::Transfer::decode_log_data(next.data()).ok()) {
            Some(transfer) if transfer.from == used.authorizer => {
                pairs.push(Pair { from: transfer.from, to: transfer.to, value: transfer.value, nonce: used.nonce })
            }
            _ => found.push(format!("D9 {} used {} without a transfer", used.authorizer, used.nonce)),
        }
    }
    pairs
}

/// A01, A02, A05, A08: each paid order has exactly one pair of its own, the others none, and no pair has no order.
fn charged_once(pairs: &[Pair], orders: &[Order], tokens: &BTreeSet<Address>, found: &mut Vec<String>) {
    for order in orders {
        let own = pairs.iter().filter(|pair| {
            (pair.from, pair.nonce, pair.to, pair.value)
                == (order.payer, order.nonce, order.token, U256::from(order.value))
        });
        let paid = matches!(order.outcome, Outcome::Minted | Outcome::Parked(_));
        expect(found, &format!("A02 times that {} was charged", order.id), own.count(), usize::from(paid));
    }
    let paid = orders.iter().filter(|order| matches!(order.outcome, Outcome::Minted | Outcome::Parked(_))).count();
    let charged = pairs.iter().filter(|pair| tokens.contains(&pair.to)).count();
    expect(found, "A07 charges in favour of tokens", charged, paid);
}

/// A03: balances are what the transfers say, nothing has left a token, and nothing came in but payments, and what somebody
/// made up for losses.
async fn conserved(
    stack: &Stack,
    logs: &[Log],
    pairs: &[Pair],
    tokens: &BTreeSet<Address>,
    orders: &[Order],
    found: &mut Vec<String>,
) {
    let mut balances: BTreeMap<Address, U256> = BTreeMap::new();
    for transfer in logs.iter().filter_map(|log| UsdcDouble::Transfer::decode_log_data(log.data()).ok()) {
        *balances.entry(transfer.to).or_default() += transfer.value;
        let from = balances.entry(transfer.from).or_default();
        *from = from.wrapping_sub(transfer.value); // of nobody's account, from which the double mints
    }
    balances.remove(&Address::ZERO);
    for (account, balance) in &balances {
        let is = stack.chain.usdc_of(stack.shop.asset, *account).await;
        expect(found, &format!("A03 USDC of {account}"), is, *balance);
    }
    for token in tokens {
        let paid: U256 = pairs.iter().filter(|pair| pair.to == *token).map(|pair| pair.value).sum();
        let lost = orders.iter().filter(|order| order.token == *token && matches!(order.outcome, Outcome::Lost(_)));
        let made_up: U256 = lost.map(|order| U256::from(order.value)).sum();
        let holds = balances.get(token).copied().unwrap_or_default();
        expect(found, &format!("A03 escrow of {token}"), holds, paid + made_up);
    }
}

/// A04: each key once, in the right amount, to the payer, and nobody else has any.
async fn minted_once(stack: &Stack, token: Address, entries: &[Entry], orders: &[Order], found: &mut Vec<String>) {
    let registered = entries
        .iter()
        .find(|entry| entry.subject.starts_with("tokens.") && text(&entry.body["data"], "token").parse() == Ok(token));
    let unit: U256 = registered.map(|entry| entry.text("unit").parse().unwrap()).unwrap_or_default();
    let minted: Vec<&Order> = orders.iter().filter(|order| order.token == token && order.is_minted()).collect();
    let logs = stack.chain.logs_of(token).await;
    let mut keys: Vec<B256> = Vec::new();
    for batch in logs.iter().filter_map(|log| MintToken::MintBatch::decode_log_data(log.data()).ok()) {
        let results = batch.paymentKeys.iter().zip(batch.results.iter());
        keys.extend(results.filter(|(_, result)| **result == 0).map(|(key, _)| *key));
    }
    let mut wanted: Vec<B256> = minted.iter().map(|order| order.key.0).collect();
    keys.sort_unstable();
    wanted.sort_unstable();
    expect(found, &format!("A04 keys minted by {token}"), keys, wanted);

    let mut owed: BTreeMap<Address, U256> = BTreeMap::new();
    for order in &minted {
        *owed.entry(order.payer).or_default() += U256::from(order.quantity) * unit;
    }
    let supply = stack.chain.supply_of(token).await;
    expect(found, &format!("A04 supply of {token}"), supply, owed.values().copied().sum());
    for payer in orders.iter().map(|order| order.payer).collect::<BTreeSet<_>>() {
        let holds = stack.chain.tokens_of(token, payer).await;
        expect(found, &format!("A04 {token} of {payer}"), holds, owed.get(&payer).copied().unwrap_or_default());
    }
}

/// A12: what a lane sent is what the ledger says it signed: of the transactions for a nonce one is in a block and has
/// succeeded, and none where the nonce was lost to somebody else; no nonce is left out.
async fn lanes(stack: &Stack, entries: &[Entry], found: &mut Vec<String>) {
    let mut signed: BTreeMap<(Address, u64), Vec<B256>> = BTreeMap::new();
    let mut used: BTreeMap<Address, BTreeSet<u64>> = BTreeMap::new();
    let mut lost: BTreeSet<(Address, u64)> = BTreeSet::new();
    for entry in entries {
        let parts: Vec<&str> = entry.subject.split('.').collect();
        let ["signers", signer, _, _, kind, number, ..] = parts.as_slice() else { continue };
        let (signer, nonce): (Address, u64) = (signer.parse().unwrap(), number.parse().unwrap());
        // Of a lane that was only claimed, nothing may be on the chain.
        let used = used.entry(signer).or_default();
        if !["signed", "replaced", "lost"].contains(kind) {
            continue;
        }
        if *kind != "lost" {
            used.insert(nonce);
            signed.entry((signer, nonce)).or_default().push(entry.text("txHash").parse().unwrap());
        } else if signed.contains_key(&(signer, nonce)) {
            lost.insert((signer, nonce));
        } else {
            used.extend(nonce..entry.body["data"]["accountNonce"].as_u64().unwrap());
        }
    }
    for ((signer, nonce), hashes) in signed {
        let mut mined = Vec::new();
        for hash in hashes {
            mined.extend(stack.chain.receipt(hash).await.map(|receipt| receipt.status()));
        }
        let should = if lost.contains(&(signer, nonce)) { vec![] } else { vec![true] };
        expect(found, &format!("A12 outcomes of nonce {nonce} of {signer}"), mined, should);
    }
    for (signer, used) in used {
        let count = used.len() as u64;
        expect(found, &format!("A12 nonces of {signer}"), used, (0..count).collect());
        expect(found, &format!("A12 transactions of {signer}"), stack.chain.nonce(signer).await, count);
    }
}
