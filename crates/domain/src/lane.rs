//! A signer lane: one key, its nonces in order, and the transactions that are signed and not yet settled. Pure; the
//! crate `lanes` does the I/O.
//!
//! The ledger is the fence of a nonce: `signed.<nonce>` and `replaced.<nonce>.<n>` can be stored once. The fold says
//! which nonce is next and which transactions are under way, and [`tend`] says what to do about them.

mod fees;
mod tend;
#[cfg(test)]
mod tests;

pub use fees::{COST_MAX_WEI, FeePolicy, Fees};
pub use tend::{CALL_GAS, Look, NonceStatus, Rest, STUCK_BLOCKS, Step, tend};

use crate::event::{Claimed, OpenTx, Purpose, SignerEvent};
use alloy_primitives::Address;
use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

/// A lane: a key and its purpose. The first claim of a key decides its purpose permanently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId {
    /// The account of the key.
    pub signer: Address,
    /// The purpose of the key.
    pub purpose: Purpose,
}

impl LaneId {
    /// The lane of `signer` for `purpose`.
    pub const fn new(signer: Address, purpose: Purpose) -> Self {
        Self { signer, purpose }
    }
}

/// Prints the account, which is enough in a log.
impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.signer.fmt(f)
    }
}

/// State of a lane after the events so far. Built only by [`evolve`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Number of the last claim.
    pub epoch: u32,
    /// The purpose of the lane.
    pub purpose: Purpose,
    /// The nonce to sign for next.
    pub next_nonce: u64,
    /// Transactions that are signed and not settled, by nonce.
    pub open: BTreeMap<u64, Open>,
    /// Nonces that are open again after a reorg. Their bytes are in the ledger, and [`reopen`] adds them.
    pub reopened: BTreeSet<u64>,
}

/// A nonce under way, with every transaction that was signed for it. All of them make the same call, and any of them
/// may be mined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    first: OpenTx,
    replacements: Vec<OpenTx>,
}

impl Open {
    /// A nonce for which one transaction was signed.
    pub fn new(first: OpenTx) -> Self {
        Self { first, replacements: Vec::new() }
    }

    /// The transaction to broadcast, which has the highest fees.
    pub fn latest(&self) -> &OpenTx {
        self.replacements.last().unwrap_or(&self.first)
    }

    /// All transactions of the nonce, the latest first.
    pub fn attempts(&self) -> impl Iterator<Item = &OpenTx> {
        self.replacements.iter().rev().chain([&self.first])
    }

    /// The number of the next replacement.
    pub fn next_replacement(&self) -> u32 {
        u32::try_from(self.replacements.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    fn replace(&mut self, n: u32, tx: &OpenTx) -> Result<(), ImpossibleLane> {
        if n != self.next_replacement() {
            return Err(ImpossibleLane::ReplacedOutOfTurn {
                nonce: tx.nonce,
                expected: self.next_replacement(),
                found: n,
            });
        }
        let call = |tx: &OpenTx| (tx.purpose, tx.target, tx.gas_limit, tx.items.clone());
        if call(tx) != call(&self.first) {
            return Err(ImpossibleLane::AnotherCall(tx.nonce));
        }
        self.replacements.push(tx.clone());
        Ok(())
    }
}

/// A history that no decider could have written. The lane stops, and others go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImpossibleLane {
    /// The first event is not a claim, or it is a claim that names open transactions which were not passed to the fold.
    #[error("the lane's history does not begin with a claim")]
    NotClaimed,
    /// A nonce was signed out of turn.
    #[error("nonce {found} was signed where {expected} was next")]
    NonceOutOfTurn {
        /// The next nonce.
        expected: u64,
        /// The signed nonce.
        found: u64,
    },
    /// The greatest number was signed for. No account can use it (EIP-2681).
    #[error("nonce 18446744073709551615 was signed for, and no account has it")]
    NoNonceLeft,
    /// The number of a replacement is not the next one.
    #[error("replacement {found} of nonce {nonce} where {expected} was next")]
    ReplacedOutOfTurn {
        /// The nonce.
        nonce: u64,
        /// The next number.
        expected: u32,
        /// The written number.
        found: u32,
    },
    /// A replacement makes another call.
    #[error("the replacement of nonce {0} makes another call")]
    AnotherCall(u64),
    /// A nonce that is not under way was replaced or lost.
    #[error("nonce {0} is not under way")]
    NotOpen(u64),
}

/// Folds one event. A fold may also start at the latest claim, see [`resume`].
///
/// # Errors
/// [`ImpossibleLane`]: no worker of Paymint wrote this event.
pub fn evolve(lane: Option<Lane>, event: &SignerEvent) -> Result<Option<Lane>, ImpossibleLane> {
    let Some(mut lane) = lane else {
        return match event {
            SignerEvent::Claimed(claim) if claim.open.is_empty() => Ok(Some(resume(claim, []))),
            _ => Err(ImpossibleLane::NotClaimed),
        };
    };
    match event {
        SignerEvent::Claimed(claim) => lane.epoch = claim.epoch,
        SignerEvent::Signed(tx) => {
            if tx.nonce != lane.next_nonce {
                return Err(ImpossibleLane::NonceOutOfTurn { expected: lane.next_nonce, found: tx.nonce });
            }
            lane.next_nonce = tx.nonce.checked_add(1).ok_or(ImpossibleLane::NoNonceLeft)?;
            lane.open.insert(tx.nonce, Open::new(tx.clone()));
        }
        // The bytes of a reopened nonce are read together with all of its replacements. A nonce that is not open was
        // settled after the worker of the lane had looked, because settling expects no version of the lane.
        SignerEvent::Replaced(n, tx) => match lane.open.get_mut(&tx.nonce) {
            Some(open) => open.replace(*n, tx)?,
            None if tx.nonce < lane.next_nonce => {}
            None => return Err(ImpossibleLane::NotOpen(tx.nonce)),
        },
        SignerEvent::Lost(lost) if lost.nonce == lane.next_nonce && lost.account_nonce > lost.nonce => {
            lane.next_nonce = lost.account_nonce;
        }
        SignerEvent::Lost(lost) if lost.nonce >= lane.next_nonce => return Err(ImpossibleLane::NotOpen(lost.nonce)),
        SignerEvent::Lost(lost) => {
            lane.reopened.remove(&lost.nonce);
            lane.open.remove(&lost.nonce);
        }
        SignerEvent::Settled(settled) | SignerEvent::Resettled(_, settled) => {
            lane.open.remove(&settled.nonce);
            lane.reopened.remove(&settled.nonce);
        }
        SignerEvent::Reverted(_, reversal) => {
            if reversal.nonce < lane.next_nonce && !lane.open.contains_key(&reversal.nonce) {
                lane.reopened.insert(reversal.nonce);
            }
        }
    }
    Ok(Some(lane))
}

/// The lane at a claim. `open` are the transactions that were open then, for each nonce in the order in which they were
/// signed. Events before the claim need not be read.
pub fn resume(claim: &Claimed, open: impl IntoIterator<Item = OpenTx>) -> Lane {
    later(claim, claim.next_nonce, open.into_iter().filter(|tx| claim.open.contains(&tx.nonce)))
}

/// The lane some time after its latest `claim`. `next_nonce` is the next nonce at that time, and `open` are the
/// transactions of the nonces that are open at that time, for each nonce in the order in which they were signed.
/// Transactions that were signed and settled in between are not needed.
pub fn later(claim: &Claimed, next_nonce: u64, open: impl IntoIterator<Item = OpenTx>) -> Lane {
    let (open, reopened) = (under_way(open), BTreeSet::new());
    Lane { epoch: claim.epoch, purpose: claim.purpose, next_nonce, open, reopened }
}

/// Adds the transactions of nonces that are open again, for each nonce in the order in which they were signed. From now
/// on these nonces are like any other open one.
pub fn reopen(lane: &mut Lane, txs: impl IntoIterator<Item = OpenTx>) {
    for (nonce, open) in under_way(txs) {
        if lane.reopened.remove(&nonce) {
            lane.open.insert(nonce, open);
        }
    }
}

fn under_way(txs: impl IntoIterator<Item = OpenTx>) -> BTreeMap<u64, Open> {
    let mut under_way: BTreeMap<u64, Open> = BTreeMap::new();
    for tx in txs {
        match under_way.get_mut(&tx.nonce) {
            Some(open) => open.replacements.push(tx),
            None => {
                under_way.insert(tx.nonce, Open::new(tx));
            }
        }
    }
    under_way
}

/// The claim with which `instance` takes over `lane`, or opens it at the account's nonce on chain.
pub fn claim(lane: Option<&Lane>, purpose: Purpose, chain_id: u64, instance: &str, chain_nonce: u64) -> Claimed {
    Claimed {
        // There is no number after the greatest one. The claim repeats it, and the ledger refuses that as a duplicate.
        epoch: lane.map_or(1, |lane| lane.epoch.saturating_add(1)),
        purpose,
        chain_id,
        instance: instance.to_owned(),
        next_nonce: lane.map_or(chain_nonce, |lane| lane.next_nonce),
        open: lane.map_or_else(Vec::new, |lane| lane.open.keys().chain(&lane.reopened).copied().collect()),
    }
}
