//! Which events there are, and which may follow which: two tables, so that a new event is a new row in each. The second
//! is `STEPS` of [`path`].

mod path;
#[cfg(test)]
mod tests;

pub use path::{Mint, Path, Payment, Refund, State};

use crate::decode::event::Aggregate;

/// How the name of an event is numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbered {
    /// Not: it happens once.
    Once,
    /// `.<n>`, from 1, without a gap.
    Counted,
    /// `.<n>`, the number of the event that it answers: never more of them than of those.
    Answers(&'static str),
    /// `.<n>`, the number of the latest event of the other name: at most once for each.
    Of(&'static str),
    /// `.<nonce>`: once a nonce.
    Nonce,
    /// `.<nonce>.<n>`: from 1 for each nonce.
    NonceCounted,
}

/// One event.
#[derive(Debug)]
pub struct Kind {
    /// First token of its subject.
    pub aggregate: &'static str,
    /// The word before its name in the subject, if there is one.
    pub queue: Option<&'static str>,
    /// Its name in the subject, without numbers.
    pub name: &'static str,
    /// Its CloudEvents type between `io.paymint.` and `.v1`.
    pub event_type: &'static str,
    pub numbered: Numbered,
}

/// Aggregate, name, type, number. `payment.parked`: it was made around the token, and an operator must look;
/// `payment.reverted`: the settlement fell out of the chain; `payment.restored`: it is back; `mint.…` and `refund.…`
/// the same of a mint and of money that goes back. `replaced`: a further transaction for the same nonce with the same
/// call data; `lost`: somebody else's transaction used the nonce; `reverted` and `resettled`: its block is gone, and it
/// is in another. `found`:
/// a record that no order stands for.
#[rustfmt::skip]
pub static KINDS: &[Kind] = &[
    order("payment.requested", Numbered::Once),
    order("order.held",        Numbered::Counted),
    order("order.released",    Numbered::Of("order.held")),
    order("payment.submitted", Numbered::Counted),
    order("payment.deferred",  Numbered::Counted),
    order("payment.parked",    Numbered::Counted).in_queue("operator"),
    order("payment.confirmed", Numbered::Once).in_queue("owed"),
    order("payment.failed",    Numbered::Once),
    order("payment.reverted",  Numbered::Counted),
    order("payment.restored",  Numbered::Answers("payment.reverted")).in_queue("owed"),
    order("mint.submitted",    Numbered::Counted),
    order("mint.deferred",     Numbered::Counted).in_queue("owed"),
    order("mint.parked",       Numbered::Counted),
    order("mint.redriven",     Numbered::Of("mint.parked")).in_queue("owed"),
    order("mint.confirmed",    Numbered::Once),
    order("mint.reverted",     Numbered::Counted),
    order("mint.restored",     Numbered::Answers("mint.reverted")),
    order("refund.requested",  Numbered::Once).in_queue("operator"),
    order("refund.submitted",  Numbered::Counted),
    order("refund.deferred",   Numbered::Counted).in_queue("operator"),
    order("refund.parked",     Numbered::Counted),
    order("refund.redriven",   Numbered::Of("refund.parked")).in_queue("operator"),
    order("refund.confirmed",  Numbered::Once),
    order("refund.reverted",   Numbered::Counted),
    order("refund.restored",   Numbered::Answers("refund.reverted")),
    other("signers", "claimed",    "signer.claimed",   Numbered::Counted),
    other("signers", "signed",     "signer.signed",    Numbered::Nonce),
    other("signers", "settled",    "signer.settled",   Numbered::Nonce).in_queue("mined"),
    other("signers", "replaced",   "signer.replaced",  Numbered::NonceCounted),
    other("signers", "lost",       "signer.lost",      Numbered::Nonce),
    other("signers", "reverted",   "signer.reverted",  Numbered::NonceCounted),
    other("signers", "resettled",  "signer.resettled", Numbered::NonceCounted).in_queue("mined"),
    other("tokens",  "registered", "token.registered", Numbered::Once),
    other("records", "found",      "record.found",     Numbered::Once),
    other("records", "minted",     "record.minted",    Numbered::Once),
    other("records", "returned",   "record.returned",  Numbered::Once),
    other("keys",    "bound",      "key.bound",        Numbered::Once),
    other("ops",     "parked",     "ops.parked",       Numbered::Once),
    other("ops",     "redriven",   "ops.redriven",     Numbered::Counted),
    other("ops",     "stopped",    "ops.stopped",      Numbered::Counted),
    other("ops",     "resumed",    "ops.resumed",      Numbered::Counted),
];

const fn order(name: &'static str, numbered: Numbered) -> Kind {
    Kind { aggregate: "orders", queue: None, name, event_type: name, numbered }
}

const fn other(aggregate: &'static str, name: &'static str, event_type: &'static str, numbered: Numbered) -> Kind {
    Kind { aggregate, queue: None, name, event_type, numbered }
}

impl Kind {
    const fn in_queue(self, queue: &'static str) -> Self {
        Self { queue: Some(queue), ..self }
    }
}

/// The row of an event of `of` with these tokens behind it, and its numbers.
pub fn kind(of: &Aggregate, named: &[&str]) -> Option<(&'static Kind, Vec<u64>)> {
    let aggregate = match of {
        Aggregate::Order(_) => "orders",
        Aggregate::Signer(_) => "signers",
        Aggregate::Token(_) => "tokens",
        Aggregate::Record(_) => "records",
        Aggregate::Key(..) => "keys",
        Aggregate::Ops(_) => "ops",
    };
    KINDS.iter().filter(|kind| kind.aggregate == aggregate).find_map(|kind| {
        let words: Vec<&str> = kind.queue.into_iter().chain(kind.name.split('.')).collect();
        let numbers = named.strip_prefix(words.as_slice())?;
        let wanted = match kind.numbered {
            Numbered::Once => 0,
            Numbered::Counted | Numbered::Answers(_) | Numbered::Of(_) | Numbered::Nonce => 1,
            Numbered::NonceCounted => 2,
        };
        let read: Option<Vec<u64>> = numbers.iter().map(|text| text.parse().ok()).collect();
        read.filter(|read| read.len() == wanted).map(|read| (kind, read))
    })
}
