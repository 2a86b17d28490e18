//! The one fate of each payment to a token.

use super::{Books, Created, Entry, Pair, Place};
use crate::evidence::Evidence;
use crate::evidence::tokens::Record;
use alloy_primitives::{Address, B256};

/// The one fate of a pair in favour of a token.
#[derive(Clone, Copy, Debug)]
pub enum Fate<'a> {
    /// The token made the payment itself, and recorded it.
    Settled(&'a Record),
    /// Made around `settle`; an operator had it recorded.
    Credited(&'a Record, &'a Entry),
    /// Made around `settle`; an operator had it returned.
    GivenBack(&'a Entry),
    /// The price of the token's deployment.
    Fee,
    /// Made around `settle`; it belongs to nobody since.
    Surplus,
}

impl Fate<'_> {
    /// The place from which on the token has a record of the payment.
    pub const fn recorded(&self, pair: &Pair) -> Option<Place> {
        match self {
            Self::Settled(_) => Some(pair.at),
            Self::Credited(_, entry) | Self::GivenBack(entry) => Some(entry.at),
            Self::Fee | Self::Surplus => None,
        }
    }
}

impl Books {
    /// The fate of a pair in favour of a token.
    pub fn fate<'a>(&'a self, evidence: &'a Evidence, key: B256, pair: &Pair) -> Fate<'a> {
        let of = (pair.to, key);
        let first = |entries: Option<&'a Vec<Entry>>| entries.and_then(|entries| entries.first());
        let record = record(evidence, pair.to, key);
        if let Some(entry) = first(self.returns.get(&of)) {
            return Fate::GivenBack(entry);
        }
        match (record, first(self.credits.get(&of))) {
            (Some(record), Some(entry)) => Fate::Credited(record, entry),
            (Some(record), None) => Fate::Settled(record),
            (None, _) if self.fee(pair.to).is_some_and(|fee| fee.at == pair.at) => Fate::Fee,
            (None, _) => Fate::Surplus,
        }
    }

    /// The pair that paid for the deployment of a token: of the right sum, in the transaction that created it, before
    /// that. `None` if there was no fee, or if it lay there already.
    pub fn fee(&self, token: Address) -> Option<&Pair> {
        let Created { fee, at } = self.created.get(&token)?;
        let paid = |pair: &&Pair| (pair.to, pair.at.tx, pair.value) == (token, at.tx, *fee) && pair.at < *at;
        self.pairs.values().flatten().filter(paid).min_by_key(|pair| pair.at)
    }

    /// The one pair that pays a token for this key. The error says what there is instead, as far as the chain tells.
    pub fn pair_to(&self, token: Address, key: B256) -> Result<&Pair, String> {
        match self.pairs.get(&key).map_or(&[][..], Vec::as_slice) {
            [pair] if pair.to == token => Ok(pair),
            [pair] => Err(format!("its nonce was paid elsewhere, to {} in {}", pair.to, pair.at.tx)),
            [] => Err(self.no_pair(key)),
            more => Err(format!("{} pairs pay for it", more.len())),
        }
    }

    fn no_pair(&self, key: B256) -> String {
        if let Some(pair) = self.to_self.get(&key) {
            format!("{} paid itself in {}", pair.from, pair.at.tx)
        } else if let Some(log) = self.cancelled.get(&key) {
            format!("its authorization was cancelled in {}", log.tx)
        } else if let Some(log) = self.used_alone.get(&key) {
            format!("its authorization was used in {} without a transfer of its own", log.tx)
        } else {
            "no pair pays for it".to_owned()
        }
    }
}

/// A token's own record of a key, at the head.
pub fn record(evidence: &Evidence, token: Address, key: B256) -> Option<&Record> {
    evidence.chain.tokens.get(&token)?.records.get(&key)
}
