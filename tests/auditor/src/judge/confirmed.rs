//! Confirmations in the ledger, against what the chain shows. Parts of A02, A04 and A05.

use crate::books::{Books, Entry, Fate, Order, Ordered, Place, record};
use crate::decode::abi::{Said, said};
use crate::decode::call::{Deed, calls};
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
    // An operator's transaction may find a record as well, and a credit makes one of what a stranger charged.
    let deeds = &[Deed::Settle, Deed::Credit, Deed::GiveBack, Deed::Refund];
    let done = Done { what: "charged", by: "paidBy", at: recorded, cause: pair.at.tx, also: recorded.tx, deeds };
    Proof { evidence, books, event, ordered }.fault(&done)
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
    let (at, tx) = (mint.at, mint.at.tx);
    // An operator that was to return the money may find the units minted.
    let deeds = &[Deed::Mint, Deed::Credit, Deed::GiveBack, Deed::Refund];
    let done = Done { what: "minted", by: "mintedBy", at, cause: tx, also: tx, deeds };
    Proof { evidence, books, event, ordered }.fault(&done)
}

/// Why what the ledger says of a refund is not so. `None` also if it says nothing.
pub fn refund(evidence: &Evidence, books: &Books, order: &Order) -> Option<String> {
    let (event, ordered) = (order.refunded()?, order.ordered.as_ref()?);
    let of = (ordered.token, ordered.key);
    let state = record(evidence, ordered.token, ordered.key).map(|record| record.state);
    let told = match state {
        Some(RecordState::Refunded) => books.refunds.get(&of),
        Some(RecordState::GivenBack) => books.returns.get(&of),
        _ => return Some(format!("refunded, says the ledger, and the record says {state:?}")),
    };
    let Some(entry) = told.and_then(|entries| entries.first()) else {
        return Some(format!("refunded, says the ledger, and no log of {} says so", ordered.token));
    };
    if !has_moved(evidence, ordered, entry) {
        return Some(format!("refunded, says the ledger, and no money went to {} in {}", ordered.from, entry.at.tx));
    }
    let told = (event.data.get("to"), event.data.decimal("amount"));
    if told != (Some(entry.payer), Some(entry.amount)) {
        return Some(format!("{} went back to {}, the ledger has {told:?}", entry.amount, entry.payer));
    }
    // Where none of ours met the money, the ledger names the transaction that had charged the payer around the token.
    let around = books.pair_to(ordered.token, ordered.key).ok();
    let around = around.filter(|pair| matches!(books.fate(evidence, ordered.key, pair), Fate::GivenBack(_)));
    let also = around.map_or(entry.at.tx, |pair| pair.at.tx);
    let deeds = &[Deed::Mint, Deed::Credit, Deed::GiveBack, Deed::Refund];
    let done = Done { what: "refunded", by: "refundedBy", at: entry.at, cause: entry.at.tx, also, deeds };
    Proof { evidence, books, event, ordered }.fault(&done)
}

/// True if the transaction of the entry holds a transfer of its sum from the token to the payer.
fn has_moved(evidence: &Evidence, ordered: &Ordered, entry: &Entry) -> bool {
    let logs = evidence.chain.logs.iter().filter(|log| log.address == evidence.run.asset && log.tx == entry.at.tx);
    let should = Said::Transfer { from: ordered.token, to: ordered.from, value: entry.amount };
    logs.filter_map(said).any(|said| said == should)
}

/// Something that was done once, as the chain shows it.
struct Done<'a> {
    what: &'static str,
    /// The field of the event that names the actor.
    by: &'static str,
    /// Since when the token's record says so.
    at: Place,
    /// The transaction whose sender is the actor.
    cause: B256,
    /// Another transaction that the event may name, if the actor is a third party.
    also: B256,
    /// Calls that find it done.
    deeds: &'a [Deed],
}

/// An event that names a transaction as its proof.
struct Proof<'a> {
    evidence: &'a Evidence,
    books: &'a Books,
    event: &'a Event,
    ordered: &'a Ordered,
}

impl Proof<'_> {
    /// Why the named transaction proves nothing.
    fn fault(&self, done: &Done<'_>) -> Option<String> {
        let Done { what, by, at, cause, also, .. } = *done;
        let hash = self.event.data.get::<B256>("txHash").unwrap_or_default();
        let Some(tx) = self.named(hash) else {
            return Some(format!("{what} in {hash}, says the ledger, and that is not in the block that it names"));
        };
        let is_ours = self.books.is_ours(self.evidence, hash);
        match self.event.data.text(by).as_deref() {
            Some("paymint") if is_ours && hash == cause => None,
            Some("paymint") => Some(format!("{what} by our own {hash}, says the ledger, and {cause} did it")),
            Some("third_party") if is_ours && hash == cause => {
                Some(format!("{what} by a third party, says the ledger, and {hash} is our own"))
            }
            Some("third_party") if !is_ours && [cause, also].contains(&hash) => {
                let is_final = tx.block <= self.evidence.chain.finalized;
                (!is_final).then(|| format!("{what} by {hash}, which is not final"))
            }
            Some("third_party") => {
                let found = is_ours && tx.block >= at.block && self.looks(tx, done.deeds);
                (!found).then(|| format!("{what} by a third party, says the ledger, and {hash} did not find it so"))
            }
            other => Some(format!("{what} by {other:?}, says the ledger")),
        }
    }

    /// True if a call of the transaction finds it done: one of these of the order's token, with its payment.
    fn looks(&self, tx: &Tx, deeds: &[Deed]) -> bool {
        let (run, ordered) = (&self.evidence.run, self.ordered);
        calls(tx.to.unwrap_or_default(), &tx.input, run.hub).iter().any(|call| {
            call.token == ordered.token
                && deeds.contains(&call.deed)
                && call.keys(self.evidence.chain.id, run.asset).any(|key| key == ordered.key)
        })
    }

    /// The transaction, if it is in the block that the event names.
    fn named(&self, hash: B256) -> Option<&Tx> {
        let data = &self.event.data;
        let tx = self.books.tx(self.evidence, hash).filter(|tx| data.get("block.number") == Some(tx.block))?;
        let block = self.evidence.chain.block(tx.block)?;
        (data.get("block.hash") == Some(block.hash)).then_some(tx)
    }
}
