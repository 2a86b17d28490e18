//! Which events there are, and which may follow which: two tables, so that a new event is a new row in each.

use crate::decode::event::{Aggregate, Event};
use std::collections::BTreeMap;

/// How the name of an event is numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbered {
    /// Not: it happens once.
    Once,
    /// `.<n>`, from 1, without a gap.
    Counted,
    /// `.<n>`, the number of the event that it answers: never more of them than of those.
    Answers(&'static str),
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
/// `payment.reverted`: the settlement fell out of the chain; `payment.restored`: it is back; `mint.…` the same of a mint. `replaced`: a further transaction for the same nonce with the same call data;
/// `lost`: somebody else's transaction used the nonce; `reverted` and `resettled`: its block is gone, and it is in another.
#[rustfmt::skip]
pub static KINDS: &[Kind] = &[
    order("payment.requested", Numbered::Once),
    order("payment.submitted", Numbered::Counted),
    order("payment.deferred",  Numbered::Counted),
    order("payment.parked",    Numbered::Counted),
    order("payment.confirmed", Numbered::Once).in_queue("owed"),
    order("payment.failed",    Numbered::Once),
    order("payment.reverted",  Numbered::Counted),
    order("payment.restored",  Numbered::Answers("payment.reverted")).in_queue("owed"),
    order("mint.submitted",    Numbered::Counted),
    order("mint.deferred",     Numbered::Counted).in_queue("owed"),
    order("mint.parked",       Numbered::Counted),
    order("mint.confirmed",    Numbered::Once),
    order("mint.reverted",     Numbered::Counted),
    order("mint.restored",     Numbered::Answers("mint.reverted")),
    other("signers", "claimed",    "signer.claimed",   Numbered::Counted),
    other("signers", "signed",     "signer.signed",    Numbered::Nonce),
    other("signers", "settled",    "signer.settled",   Numbered::Nonce).in_queue("mined"),
    other("signers", "replaced",   "signer.replaced",  Numbered::NonceCounted),
    other("signers", "lost",       "signer.lost",      Numbered::Nonce),
    other("signers", "reverted",   "signer.reverted",  Numbered::NonceCounted),
    other("signers", "resettled",  "signer.resettled", Numbered::NonceCounted).in_queue("mined"),
    other("tokens",  "registered", "token.registered", Numbered::Once),
    other("keys",    "bound",      "key.bound",        Numbered::Once),
    other("ops",     "parked",     "ops.parked",       Numbered::Once),
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

/// Where the payment of an order stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Payment {
    /// Nothing has happened yet.
    #[default]
    New,
    Requested,
    Deferred,
    /// Made around the token.
    Parked,
    Settling,
    Reverted,
    Paid,
    Failed,
}

/// Where its mint stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mint {
    /// Nothing was paid so far.
    #[default]
    NotYet,
    /// In no transaction.
    Owed,
    Minting,
    Deferred,
    Parked,
    Minted,
}

/// An order: its payment and its mint go their own ways once the payment has fallen out of the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub payment: Payment,
    pub mint: Mint,
}

/// Stages in which an order may rest for good; in any other somebody still owes it something.
const ENDS: [&str; 4] = ["failed", "payment_parked", "minted", "mint_parked"];

/// Neither proven nor dead, and nobody has looked at it yet.
const OPEN: &[Payment] = &[Payment::Requested, Payment::Deferred, Payment::Settling, Payment::Reverted];
/// Neither proven nor dead.
const UNPAID: &[Payment] =
    &[Payment::Requested, Payment::Deferred, Payment::Settling, Payment::Reverted, Payment::Parked];
const ALIVE: &[Payment] =
    &[Payment::Requested, Payment::Deferred, Payment::Settling, Payment::Reverted, Payment::Parked, Payment::Paid];
const ANY: &[Mint] = &[Mint::NotYet, Mint::Owed, Mint::Minting, Mint::Deferred, Mint::Parked, Mint::Minted];
const UNMINTED: &[Mint] = &[Mint::Owed, Mint::Minting, Mint::Deferred, Mint::Parked];

/// An event, the payments and mints that it may follow, and what they are then; `None`: what they were.
type Step = (&'static str, &'static [Payment], &'static [Mint], Option<Payment>, Option<Mint>);

/// Which step an order may take: the first row that fits. A payment that falls out keeps a mint that is in a transaction
/// or there; one that waited is simply owed again. A mint without its payment is settled by its transaction alone. A
/// payment fails only while its mint is merely owed, because units are minted by the record of their payment.
#[rustfmt::skip]
static STEPS: &[Step] = {
    use Mint::{Minted, Minting, NotYet, Owed, Parked};
    use Payment::{Deferred, Failed, New, Paid, Requested, Reverted, Settling};
    &[
        ("payment.requested", &[New],                 &[NotYet],                            Some(Requested), None),
        ("payment.submitted", &[Requested, Deferred], ANY,                                  Some(Settling),  None),
        ("payment.deferred",  OPEN,                   ANY,                                  Some(Deferred),  None),
        ("payment.parked",    OPEN,                   ANY,                                  Some(Payment::Parked), None),
        ("payment.confirmed", UNPAID,                 &[NotYet],                            Some(Paid),      Some(Owed)),
        ("payment.failed",    OPEN,                   &[NotYet, Owed],                      Some(Failed),    None),
        ("payment.reverted",  &[Paid],                &[Minting, Minted],                   Some(Reverted),  None),
        ("payment.reverted",  &[Paid],                UNMINTED,                             Some(Reverted),  Some(Owed)),
        ("payment.restored",  UNPAID,                 &[Owed, Minting, Minted],             Some(Paid),      None),
        ("mint.submitted",    &[Paid],                &[Owed, Mint::Deferred],              None,            Some(Minting)),
        ("mint.deferred",     &[Paid],                &[Owed, Mint::Deferred, Minting],     None,            Some(Mint::Deferred)),
        ("mint.deferred",     UNPAID,                 &[Minting],                           None,            Some(Owed)),
        ("mint.parked",       &[Paid],                &[Owed, Mint::Deferred, Minting],     None,            Some(Parked)),
        ("mint.parked",       UNPAID,                 &[Minting],                           None,            Some(Owed)),
        ("mint.confirmed",    ALIVE,                  UNMINTED,                             None,            Some(Minted)),
        ("mint.reverted",     ALIVE,                  &[Minted],                            None,            Some(Minting)),
        ("mint.restored",     ALIVE,                  UNMINTED,                             None,            Some(Minted)),
    ]
};

impl State {
    /// The one name that the order's row has.
    pub const fn stage(self) -> &'static str {
        match (self.payment, self.mint) {
            (Payment::New, _) => "nothing",
            (Payment::Requested, _) => "requested",
            (Payment::Deferred, _) => "deferred",
            (Payment::Parked, _) => "payment_parked",
            (Payment::Settling, _) => "settling",
            (Payment::Reverted, _) => "reverted",
            (Payment::Failed, _) => "failed",
            (Payment::Paid, Mint::NotYet | Mint::Owed) => "paid",
            (Payment::Paid, Mint::Minting) => "minting",
            (Payment::Paid, Mint::Deferred) => "mint_deferred",
            (Payment::Paid, Mint::Parked) => "mint_parked",
            (Payment::Paid, Mint::Minted) => "minted",
        }
    }

    /// The state of the mint while the payment is open.
    pub fn ahead(self) -> Option<&'static str> {
        match self.mint {
            _ if !UNPAID.contains(&self.payment) => None,
            Mint::Minting => Some("minting"),
            Mint::Minted => Some("minted"),
            Mint::NotYet | Mint::Owed | Mint::Deferred | Mint::Parked => None,
        }
    }

    /// Returns `true` if an order may stay here permanently.
    pub fn is_end(self) -> bool {
        ENDS.contains(&self.stage())
    }
}

/// The history of an order so far.
#[derive(Clone, Debug, Default)]
pub struct Path {
    pub state: State,
    /// How often each event came.
    said: BTreeMap<&'static str, u64>,
}

impl Path {
    /// One event further. An event that may not come leaves everything as it was; the error says after what it came.
    pub fn step(&mut self, event: &Event) -> Result<State, String> {
        let said = |name: &str| self.said.get(name).copied().unwrap_or_default();
        let in_turn = match event.kind.numbered {
            Numbered::Once => said(event.kind.name) == 0,
            Numbered::Answers(what) => said(event.kind.name) < said(what),
            Numbered::Counted | Numbered::Nonce | Numbered::NonceCounted => true,
        };
        let State { payment, mint } = self.state;
        let step = STEPS.iter().find(|(name, payments, mints, ..)| {
            *name == event.kind.name && payments.contains(&payment) && mints.contains(&mint)
        });
        let Some((.., next_payment, next_mint)) = step.filter(|_| in_turn) else {
            let ahead = self.state.ahead().map(|ahead| format!(", {ahead}")).unwrap_or_default();
            return Err(format!("{} at sequence {} after {}{ahead}", event.kind.name, event.seq, self.state.stage()));
        };
        self.state = State { payment: next_payment.unwrap_or(payment), mint: next_mint.unwrap_or(mint) };
        let count = self.said.entry(event.kind.name).or_default();
        *count = count.saturating_add(1);
        Ok(self.state)
    }
}

/// The row of an event of `of` with these tokens behind it, and its numbers.
pub fn kind(of: &Aggregate, named: &[&str]) -> Option<(&'static Kind, Vec<u64>)> {
    let aggregate = match of {
        Aggregate::Order(_) => "orders",
        Aggregate::Signer(_) => "signers",
        Aggregate::Token(_) => "tokens",
        Aggregate::Key(..) => "keys",
        Aggregate::Ops(_) => "ops",
    };
    KINDS.iter().filter(|kind| kind.aggregate == aggregate).find_map(|kind| {
        let words: Vec<&str> = kind.queue.into_iter().chain(kind.name.split('.')).collect();
        let numbers = named.strip_prefix(words.as_slice())?;
        let wanted = match kind.numbered {
            Numbered::Once => 0,
            Numbered::Counted | Numbered::Answers(_) | Numbered::Nonce => 1,
            Numbered::NonceCounted => 2,
        };
        let read: Option<Vec<u64>> = numbers.iter().map(|text| text.parse().ok()).collect();
        read.filter(|read| read.len() == wanted).map(|read| (kind, read))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::event::Data;
    use serde_json::Value;
    use uuid::Uuid;

    /// Events of these names, in this order, and where they end: the stage, and what of the mint is ahead.
    fn walked(names: &str) -> Result<String, String> {
        let mut path = Path::default();
        for (seq, name) in (1..).zip(names.split_whitespace()) {
            let kind = KINDS.iter().find(|kind| kind.name == name).unwrap();
            let (of, data, time) = (Aggregate::Order(Uuid::nil()), Data(Value::Null), Default::default());
            path.step(&Event { seq, subject: String::new(), kind, of, numbers: Vec::new(), data, time })?;
        }
        let ahead = path.state.ahead().map(|ahead| format!(", {ahead}"));
        Ok(format!("{}{}", path.state.stage(), ahead.unwrap_or_default()))
    }

    #[test]
    fn a11_paths_end_where_they_may_and_break_where_they_may_not() {
        let paid = "payment.requested payment.submitted payment.confirmed";
        for (path, end) in [
            ("payment.requested", Ok("requested")),
            ("payment.requested payment.failed", Ok("failed")),
            ("payment.requested payment.deferred payment.submitted payment.deferred payment.confirmed", Ok("paid")),
            ("payment.requested payment.submitted payment.deferred payment.parked", Ok("payment_parked")),
            ("payment.requested payment.parked payment.confirmed mint.submitted mint.confirmed", Ok("minted")),
            (&format!("{paid} mint.submitted mint.confirmed"), Ok("minted")),
            (&format!("{paid} mint.submitted mint.deferred mint.submitted mint.parked mint.confirmed"), Ok("minted")),
            (&format!("{paid} mint.submitted payment.reverted"), Ok("reverted, minting")),
            (&format!("{paid} mint.submitted payment.reverted payment.restored"), Ok("minting")),
            (&format!("{paid} mint.submitted mint.confirmed payment.reverted payment.restored"), Ok("minted")),
            ("payment.submitted", Err(1)),
            ("payment.requested payment.requested", Err(2)),
            ("payment.requested payment.submitted payment.submitted", Err(3)),
            ("payment.requested mint.submitted", Err(2)),
            ("payment.requested payment.failed payment.confirmed", Err(3)),
            ("payment.requested payment.parked payment.parked", Err(3)),
            ("payment.requested payment.parked payment.submitted", Err(3)),
            ("payment.requested payment.parked payment.deferred", Err(3)),
            ("payment.requested payment.parked payment.failed", Err(3)),
            (&format!("{paid} payment.parked"), Err(4)),
            (&format!("{paid} payment.failed"), Err(4)),
            (&format!("{paid} mint.submitted mint.submitted"), Err(5)),
            (&format!("{paid} mint.submitted mint.confirmed mint.confirmed"), Err(6)),
            (&format!("{paid} payment.reverted mint.submitted"), Err(5)),
            (&format!("{paid} payment.restored"), Err(4)),
        ] {
            held(path, end);
        }
    }

    /// A reorg deeper than N takes steps back, with the mint in every possible place.
    #[test]
    fn a11_a_payment_and_its_mint_are_taken_back_and_come_back_each_on_its_own() {
        let paid = "payment.requested payment.submitted payment.confirmed";
        let open = &format!("{paid} payment.reverted");
        let minting = &format!("{paid} mint.submitted payment.reverted");
        let minted = &format!("{paid} mint.submitted mint.confirmed payment.reverted");
        for (path, end) in [
            (open, Ok("reverted")),
            (&format!("{open} payment.restored"), Ok("paid")),
            (&format!("{open} payment.deferred payment.submitted"), Ok("settling")),
            (&format!("{open} payment.deferred payment.submitted payment.restored mint.submitted"), Ok("minting")),
            (&format!("{open} payment.failed"), Ok("failed")),
            (&format!("{open} mint.confirmed"), Ok("reverted, minted")),
            (&format!("{open} payment.restored payment.reverted payment.restored"), Ok("paid")),
            (&format!("{minting} mint.confirmed"), Ok("reverted, minted")),
            (&format!("{minting} mint.confirmed payment.restored"), Ok("minted")),
            (&format!("{minting} mint.confirmed mint.reverted payment.restored mint.restored"), Ok("minted")),
            (&format!("{minting} mint.deferred"), Ok("reverted")),
            (&format!("{minting} mint.deferred payment.restored"), Ok("paid")),
            (&format!("{minting} mint.parked payment.restored mint.parked"), Ok("mint_parked")),
            (&format!("{minting} payment.deferred"), Ok("deferred, minting")),
            (&format!("{minting} payment.deferred payment.submitted mint.confirmed"), Ok("settling, minted")),
            (&format!("{minted} payment.parked"), Ok("payment_parked, minted")),
            (&format!("{minted} payment.parked mint.reverted mint.deferred"), Ok("payment_parked")),
            (&format!("{minted} payment.parked payment.restored"), Ok("minted")),
            (&format!("{minted} mint.reverted mint.deferred payment.failed"), Ok("failed")),
            (&format!("{minted} mint.reverted"), Ok("reverted, minting")),
            (&format!("{minted} mint.reverted mint.restored payment.restored"), Ok("minted")),
            (&format!("{paid} mint.submitted mint.confirmed mint.reverted"), Ok("minting")),
            (
                &format!("{paid} mint.submitted mint.confirmed mint.reverted mint.deferred mint.submitted"),
                Ok("minting"),
            ),
            (&format!("{paid} mint.submitted mint.confirmed mint.reverted mint.restored mint.reverted"), Ok("minting")),
            // What waited for a person is owed again once the payment is back, and may be parked again.
            (&format!("{paid} mint.parked payment.reverted payment.restored"), Ok("paid")),
            (&format!("{paid} mint.parked payment.reverted payment.restored mint.parked"), Ok("mint_parked")),
            (&format!("{paid} mint.deferred payment.reverted"), Ok("reverted")),
            // Once confirmed, a payment or mint is restored, as often as it was taken back and no more.
            (&format!("{open} payment.confirmed"), Err(5)),
            (&format!("{open} payment.restored payment.restored"), Err(6)),
            (&format!("{open} payment.reverted"), Err(5)),
            (&format!("{open} mint.restored"), Err(5)),
            (&format!("{open} mint.deferred"), Err(5)),
            (&format!("{open} mint.parked"), Err(5)),
            (&format!("{open} mint.reverted"), Err(5)),
            (&format!("{open} payment.failed payment.restored"), Err(6)),
            (&format!("{open} payment.failed mint.confirmed"), Err(6)),
            // Units go with the record of their payment, and that is recorded first.
            (&format!("{minting} payment.failed"), Err(6)),
            (&format!("{minted} payment.failed"), Err(7)),
            (&format!("{minting} mint.submitted"), Err(6)),
            (&format!("{minted} mint.confirmed"), Err(7)),
            (&format!("{minted} mint.deferred"), Err(7)),
            (&format!("{minted} mint.reverted mint.confirmed"), Err(8)),
            (&format!("{minted} mint.reverted mint.deferred payment.failed payment.restored"), Err(10)),
            (&format!("{paid} mint.submitted mint.confirmed mint.reverted mint.confirmed"), Err(7)),
            (&format!("{paid} mint.submitted mint.confirmed mint.restored"), Err(6)),
            (&format!("{paid} mint.submitted mint.restored"), Err(5)),
        ] {
            held(path, end);
        }
    }

    fn held(path: &str, end: Result<&str, u64>) {
        match (walked(path), end) {
            (Ok(stage), Ok(end)) => assert_eq!(stage, end, "{path}"),
            (Err(why), Err(at)) => assert!(why.contains(&format!("sequence {at} ")), "{path}: {why}"),
            (walked, _) => panic!("{path}: {walked:?}"),
        }
    }

    #[test]
    fn every_type_of_schemas_has_a_row() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas");
        let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let types: Vec<String> = names
            .filter_map(|name| Some(name.strip_prefix("io.paymint.")?.strip_suffix(".v1.json")?.to_owned()))
            .collect();
        assert!(types.len() >= 15, "{types:?}");
        for event_type in types {
            assert!(KINDS.iter().any(|kind| kind.event_type == event_type), "{event_type} has no row in KINDS");
        }
    }
}
