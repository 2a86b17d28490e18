//! Entries that follow from the logs of the chain.

use super::Books;
use crate::decode::abi::{Said, said};
use crate::decode::x402::payment_key;
use crate::evidence::Evidence;
use crate::evidence::chain::Log;
use alloy_primitives::{Address, B256, U256};

/// The place of a log. Places are ordered as the chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub block: u64,
    /// Index of the log in its block.
    pub index: u64,
    pub tx: B256,
}

/// Money that was moved by an authorization: `AuthorizationUsed`, and as the very next log of the receipt `Transfer` from
/// the same account. It stands at the place of the former.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub from: Address,
    pub nonce: B256,
    pub to: Address,
    pub value: U256,
    pub at: Place,
}

/// A key that a token has minted. It stands at the place of `MintBatch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mint {
    pub token: Address,
    pub key: B256,
    pub to: Address,
    /// Base units. `None` if the token logged no transfer.
    pub amount: Option<U256>,
    pub at: Place,
}

/// A token's log about one key, beside its settlements and mints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub payer: Address,
    /// Units that were credited; zero for any other log.
    pub units: U256,
    /// Money that went to the payer: the refund, the change of a credit, the sum that was given back.
    pub amount: U256,
    pub at: Place,
}

/// The creation of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    pub fee: U256,
    pub at: Place,
}

impl Place {
    pub fn of(log: &Log) -> Self {
        Self { block: log.block, index: log.index, tx: log.tx }
    }
}

impl Books {
    pub(super) fn enter_chain(&mut self, evidence: &Evidence) {
        self.txs = evidence.chain.txs.iter().enumerate().map(|(at, tx)| (tx.hash, at)).collect();
        self.enter_asset(evidence);
        self.enter_factory(evidence);
        self.enter_mints(evidence);
        self.enter_tokens(evidence);
    }

    fn enter_asset(&mut self, evidence: &Evidence) {
        let (chain, asset) = (&evidence.chain, evidence.run.asset);
        for (at, log) in chain.logs.iter().enumerate().filter(|(_, log)| log.address == asset) {
            match said(log) {
                Some(Said::Canceled { from, nonce }) => {
                    self.cancelled.insert(payment_key(chain.id, asset, from, nonce), log.clone());
                }
                Some(Said::Used { from, nonce }) => {
                    let key = payment_key(chain.id, asset, from, nonce);
                    let next = chain.logs.get(at + 1).filter(|next| {
                        (next.address, next.tx, next.index) == (asset, log.tx, log.index.saturating_add(1))
                    });
                    match next.and_then(said) {
                        Some(Said::Transfer { from: payer, to, value }) if payer == from => {
                            let pair = Pair { from, nonce, to, value, at: Place::of(log) };
                            if from == to {
                                self.to_self.insert(key, pair);
                            } else {
                                self.pairs.entry(key).or_default().push(pair);
                            }
                        }
                        _ => {
                            self.used_alone.insert(key, log.clone());
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn enter_factory(&mut self, evidence: &Evidence) {
        for log in evidence.chain.logs.iter().filter(|log| log.address == evidence.run.factory) {
            match said(log) {
                Some(Said::Treasury(account)) => {
                    self.treasuries.insert(account);
                }
                Some(Said::Created { token, fee }) => {
                    self.created.insert(token, Created { fee, at: Place::of(log) });
                }
                _ => {}
            }
        }
    }

    /// Enters the mints of every token, registered or not. A batch logs its keys after its transfers.
    fn enter_mints(&mut self, evidence: &Evidence) {
        let mut made: Vec<(Address, B256, Address, U256)> = Vec::new();
        for log in evidence.chain.logs.iter().filter(|log| evidence.chain.tokens.contains_key(&log.address)) {
            match said(log) {
                Some(Said::Transfer { from: Address::ZERO, to, value }) => made.push((log.address, log.tx, to, value)),
                Some(Said::MintBatch(items)) => {
                    let mut transfers = made.extract_if(.., |(token, tx, ..)| (*token, *tx) == (log.address, log.tx));
                    for (key, _) in items.into_iter().filter(|(_, result)| *result == 0) {
                        let transfer = transfers.next();
                        self.minted.entry((log.address, key)).or_insert(self.mints.len());
                        self.mints.push(Mint {
                            token: log.address,
                            key,
                            to: transfer.map_or(Address::ZERO, |(_, _, to, _)| to),
                            amount: transfer.map(|(_, _, _, value)| value),
                            at: Place::of(log),
                        });
                    }
                    drop(transfers.collect::<Vec<_>>());
                }
                _ => {}
            }
        }
    }

    fn enter_tokens(&mut self, evidence: &Evidence) {
        for log in evidence.chain.logs.iter().filter(|log| evidence.chain.tokens.contains_key(&log.address)) {
            let at = Place::of(log);
            let (list, key, entry) = match said(log) {
                Some(Said::Batch) => {
                    self.settlements.entry((log.address, log.tx)).or_default().push(at);
                    continue;
                }
                Some(Said::Refunded { key, payer, amount }) => {
                    (&mut self.refunds, key, Entry { payer, units: U256::ZERO, amount, at })
                }
                Some(Said::Credited { key, payer, units, change }) => {
                    (&mut self.credits, key, Entry { payer, units, amount: change, at })
                }
                Some(Said::GivenBack { key, payer, amount }) => {
                    (&mut self.returns, key, Entry { payer, units: U256::ZERO, amount, at })
                }
                _ => continue,
            };
            list.entry((log.address, key)).or_default().push(entry);
        }
    }
}
