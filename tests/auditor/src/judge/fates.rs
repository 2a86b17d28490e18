//! Every record of a token against the payment that it is of, and against what became of it. A part of A03.

use crate::books::{Books, Entry, Fate, Pair, record};
use crate::evidence::Evidence;
use crate::evidence::tokens::{Record, RecordState};
use crate::verdict::Check;
use alloy_primitives::{Address, B256, U256};

/// Judges every record, and every refund, credit and return.
pub fn each(evidence: &Evidence, books: &Books, check: &mut Check) {
    for (token, state) in &evidence.chain.tokens {
        for (key, record) in &state.records {
            let subject = Subject { evidence, books, token: *token, price: state.price, key: *key, record };
            let fault = subject.fault();
            check.that(fault.is_none(), || format!("{key} at {token}: {}", fault.unwrap_or_default()));
        }
    }
    for (what, list) in [("refunded", &books.refunds), ("credited", &books.credits), ("given back", &books.returns)] {
        for ((token, key), entries) in list {
            check.that(entries.len() == 1, || format!("{key} was {what} {} times by {token}", entries.len()));
            check.that(record(evidence, *token, *key).is_some(), || {
                format!("{key} was {what} by {token}, which has no record of it")
            });
        }
    }
}

/// One record.
struct Subject<'a> {
    evidence: &'a Evidence,
    books: &'a Books,
    token: Address,
    price: U256,
    key: B256,
    record: &'a Record,
}

impl Subject<'_> {
    fn fault(&self) -> Option<String> {
        match self.books.pair_to(self.token, self.key) {
            Ok(pair) => self.otherwise_paid(pair).or_else(|| self.otherwise_ended(pair)),
            Err(why) => Some(format!("{}, and {why}", self.said())),
        }
    }

    /// The token's own word for a record.
    fn said(&self) -> String {
        let of = (self.token, self.key);
        let to = |entries: &Vec<Entry>| entries.first().map(|entry| entry.payer).unwrap_or_default();
        if let Some(payer) = self.books.credits.get(&of).map(to) {
            format!("credited to {payer}")
        } else if let Some(payer) = self.books.returns.get(&of).map(to) {
            format!("given back to {payer}")
        } else {
            format!("recorded as {} units of {}", self.record.units, self.record.payer)
        }
    }

    fn worth(&self) -> U256 {
        self.record.units.saturating_mul(self.price)
    }

    /// Why the record is not what the pair paid for.
    fn otherwise_paid(&self, pair: &Pair) -> Option<String> {
        let Record { payer, units, paid_at, .. } = *self.record;
        let fate = self.books.fate(self.evidence, self.key, pair);
        let (recorded, extra) = match fate {
            Fate::Settled(_) => {
                let settlements = self.books.settlements.get(&(self.token, pair.at.tx));
                if !settlements.into_iter().flatten().any(|end| *end > pair.at) {
                    return Some(format!(
                        "recorded, and no settlement of the token made the payment in {}",
                        pair.at.tx
                    ));
                }
                (pair.at, U256::ZERO)
            }
            Fate::Credited(_, entry) | Fate::GivenBack(entry) => {
                if entry.at < pair.at
                    || entry.payer != pair.from
                    || (matches!(fate, Fate::Credited(..)) && entry.units != units)
                {
                    return Some(format!("{} in {}, otherwise than {} paid it", self.said(), entry.at.tx, pair.from));
                }
                (entry.at, entry.amount)
            }
            Fate::Fee | Fate::Surplus => return None,
        };
        if payer != pair.from {
            return Some(format!("{} paid, and the record is of {payer}", pair.from));
        }
        let cost = self.worth().saturating_add(extra);
        if pair.value != cost {
            return Some(format!("{} was paid for {units} units, which cost {cost}", pair.value));
        }
        let time = self.evidence.chain.block(recorded.block).map(|block| block.time);
        (time != Some(paid_at)).then(|| format!("recorded at {paid_at}, and block {} has {time:?}", recorded.block))
    }

    /// Why the record has not ended as it says.
    fn otherwise_ended(&self, pair: &Pair) -> Option<String> {
        let of = (self.token, self.key);
        let state = self.record.state;
        let first = |entries: Option<&Vec<Entry>>| entries.and_then(|entries| entries.first()).cloned();
        if let Some(refund) = first(self.books.refunds.get(&of)) {
            let right = refund.payer == pair.from && refund.amount == self.worth() && refund.at > pair.at;
            let says = (state != RecordState::Refunded)
                .then(|| format!("refunded in {}, and the record says {state:?}", refund.at.tx));
            return says.or_else(|| {
                (!right).then(|| {
                    format!(
                        "{} was refunded to {}, {} is due to {}",
                        refund.amount,
                        refund.payer,
                        self.worth(),
                        pair.from
                    )
                })
            });
        }
        let minted = self.books.minted.contains_key(&of);
        let returned = self.books.returns.contains_key(&of);
        match state {
            RecordState::Open if !minted && !returned => None,
            RecordState::Minted if minted => None,
            RecordState::GivenBack if returned => None,
            _ => Some(format!("the record says {state:?}, and no log says so")),
        }
    }
}
