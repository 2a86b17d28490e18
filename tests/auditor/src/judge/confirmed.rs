//! Confirmations in the ledger, against what the chain shows. Parts of A02 and A04.

use crate::books::{Books, Order, Place, record};
use crate::decode::call::{Call, calls};
use crate::decode::event::Event;
use crate::evidence::Evidence;
use crate::evidence::chain::Tx;
use crate::evidence::tokens::RecordState;
use alloy_primitives::{B256, U256};

/// Why what the ledger says of a charge is not so. `None` also if it says nothing.
pub fn payment(evidence: &Evidence, books: &Books, order: &Order) -> Option<String> {
    let (event, ordered) = (order.charged()?, order.ordered.as_ref()?);
    let Some(record) = record(evidence, ordered.token, ordered.key) else {
        return Some(format!("charged, says the ledger, and {} has no record of it", ordered.token));
    };
    let pair = match books.pair_to(ordered.token, ordered.key) {
        Ok(pair) => pair,
        Err(why) => return Some(format!("charged, says the ledger, and {why}")),
    };
    let recorded = books.fate(evidence, ordered.key, pair).recorded(pair)?;
    if record.state == RecordState::GivenBack {
        return Some(format!("charged, says the ledger, and given back in {}", recorded.tx));
    }
    if (record.payer, record.units) != (ordered.from, ordered.quantity) {
        return Some(format!("charged, says the ledger, and recorded as {} units of {}", record.units, record.payer));
    }
    if event.data.get("recordedAt") != Some(record.paid_at) {
        return Some(format!("recorded at {}, the ledger has another time", record.paid_at));
    }
    let contains = |call: &Call| match call {
        Call::Settle { token, items } => *token == ordered.token && items.contains(&(ordered.from, ordered.nonce)),
        Call::Mint { .. } => false,
    };
    Proof { evidence, books, event }.fault("paidBy", "charged", recorded, pair.at.tx, contains)
}

/// Why what the ledger says of a mint is not so. `None` also if it says nothing.
pub fn mint(evidence: &Evidence, books: &Books, order: &Order) -> Option<String> {
    let (event, ordered) = (order.minted()?, order.ordered.as_ref()?);
    let of = (ordered.token, ordered.key);
    let mint = books.minted.get(&of).and_then(|at| books.mints.get(*at));
    let record = record(evidence, ordered.token, ordered.key).filter(|record| record.state == RecordState::Minted);
    let Some((mint, record)) = mint.zip(record) else {
        return Some(format!("minted, says the ledger, and {} did not mint it", ordered.token));
    };
    let told = (event.data.get("to"), event.data.get::<u64>("quantity").map(U256::from));
    if told != (Some(record.payer), Some(record.units)) {
        return Some(format!("{} units of {} were minted, the ledger has {told:?}", record.units, record.payer));
    }
    let contains = |call: &Call| match call {
        Call::Mint { token, keys } => *token == ordered.token && keys.contains(&ordered.key),
        Call::Settle { .. } => false,
    };
    Proof { evidence, books, event }.fault("mintedBy", "minted", mint.at, mint.at.tx, contains)
}

/// An event that names a transaction as its proof.
struct Proof<'a> {
    evidence: &'a Evidence,
    books: &'a Books,
    event: &'a Event,
}

impl Proof<'_> {
    /// Why the named transaction proves nothing. `did` is the place where it was done, `moved` the transaction that moved
    /// the money or the units; `contains` recognises the call that does it, or would find it done.
    fn fault(&self, by: &str, done: &str, did: Place, moved: B256, contains: impl Fn(&Call) -> bool) -> Option<String> {
        let hash = self.event.data.get::<B256>("txHash").unwrap_or_default();
        let Some(tx) = self.named(hash) else {
            return Some(format!("{done} in {hash}, says the ledger, and that is not in the block that it names"));
        };
        let is_ours = self.books.is_ours(self.evidence, hash);
        match self.event.data.text(by).as_deref() {
            Some("paymint") if is_ours && hash == did.tx => None,
            Some("paymint") => Some(format!("{done} by our own {hash}, says the ledger, and {} did it", did.tx)),
            Some("third_party") if hash == did.tx || hash == moved => {
                if is_ours {
                    Some(format!("{done} by a third party, says the ledger, and {hash} is our own"))
                } else {
                    let is_final = tx.block <= self.evidence.chain.finalized;
                    (!is_final).then(|| format!("{done} by {hash}, which is not final"))
                }
            }
            Some("third_party") => {
                let to = tx.to.unwrap_or_default();
                let looked = calls(to, &tx.input, self.evidence.run.hub).iter().any(contains);
                let found = is_ours && looked && tx.block >= did.block;
                (!found).then(|| format!("{done} by a third party, says the ledger, and {hash} did not find it so"))
            }
            other => Some(format!("{done} by {other:?}, says the ledger")),
        }
    }

    /// The transaction, if it is in the block that the event names.
    fn named(&self, hash: B256) -> Option<&Tx> {
        let data = &self.event.data;
        let tx = self.books.tx(self.evidence, hash).filter(|tx| data.get("block.number") == Some(tx.block))?;
        let block = self.evidence.chain.block(tx.block)?;
        (data.get("block.hash") == Some(block.hash)).then_some(tx)
    }
}
