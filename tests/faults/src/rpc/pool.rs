//! The rules of a common node's pool, which anvil does not have: it lets one wei more replace, and takes any number.

use super::tx::Tx;
use alloy::primitives::Address;
use std::collections::{BTreeMap, HashMap};

/// Transactions of an account, gaps included. Source: reth's `--txpool.max-account-slots`, geth's `AccountSlots`.
pub(super) const SLOTS: usize = 16;

/// A replacement pays this much more, on both fees. Source: geth's and reth's `pricebump`.
const BUMP_PERCENT: u128 = 10;

/// The pool's content by account and nonce. A gap is kept, and waits.
#[derive(Debug, Default)]
pub(super) struct Pool(HashMap<Address, BTreeMap<u64, Tx>>);

impl Pool {
    /// Returns `true` if the pool holds these bytes at this nonce.
    pub(super) fn holds(&self, tx: &Tx) -> bool {
        self.0.get(&tx.from).and_then(|account| account.get(&tx.nonce)).is_some_and(|held| held.hash == tx.hash)
    }

    /// The node lost it.
    pub(super) fn forget(&mut self, tx: &Tx) {
        if let Some(account) = self.0.get_mut(&tx.from) {
            account.remove(&tx.nonce);
        }
    }

    /// Takes it, or says why not, in geth's words (reth's for a full account), with the nonce that the account has.
    pub(super) fn take(&mut self, tx: &Tx, next: u64) -> Result<(), String> {
        let account = self.0.entry(tx.from).or_default();
        account.retain(|nonce, _| *nonce >= next);
        if tx.nonce < next {
            return Err(format!("nonce too low: next nonce {next}, tx nonce {}", tx.nonce));
        }
        match account.get(&tx.nonce) {
            Some(held) if held.hash == tx.hash => return Err("already known".to_owned()),
            Some(held) if !replaces(tx, held) => return Err("replacement transaction underpriced".to_owned()),
            None if account.len() >= SLOTS => return Err("txpool is full".to_owned()),
            Some(_) | None => {}
        }
        account.insert(tx.nonce, tx.clone());
        Ok(())
    }
}

fn replaces(tx: &Tx, held: &Tx) -> bool {
    let is_more = |new: u128, old: u128| new > old && new >= old.saturating_mul(100 + BUMP_PERCENT) / 100;
    is_more(tx.max_fee_wei, held.max_fee_wei) && is_more(tx.tip_wei, held.tip_wei)
}
