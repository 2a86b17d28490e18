//! Which events there are, and which may follow which: a table, so that a new event is a new row.

use crate::decode::event::{Aggregate, Event};

/// How the name of an event is numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbered {
    /// Not: it happens once.
    Once,
    /// `.<n>`, from 1, without a gap.
    Counted,
    /// `.<nonce>`: once a nonce.
    Nonce,
    /// `.<nonce>.<n>`: from 1 for each nonce.
    NonceCounted,
}

/// Where an event leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leads {
    /// To this stage.
    To(&'static str),
    /// Back to where the order was before the event that led here.
    Back,
}

/// One event.
#[derive(Debug)]
pub struct Kind {
    /// First token of its subject.
    pub aggregate: &'static str,
    /// Its name in the subject, without numbers.
    pub name: &'static str,
    /// Its CloudEvents type between `io.paymint.` and `.v1`.
    pub event_type: &'static str,
    pub numbered: Numbered,
    /// Stages after which it may come; `NEW` where nothing has happened yet.
    pub after: &'static [&'static str],
    pub leads: Leads,
}

/// Nothing has happened yet.
pub const NEW: &str = "";

/// Stages in which an order may rest for good; in any other somebody still owes it something.
pub const ENDS: [&str; 3] = ["failed", "minted", "mint_parked"];

const UNPAID: &[&str] = &["requested", "deferred", "settling"];
const OWED: &[&str] = &["paid", "minting", "mint_deferred"];
const CHARGED: &[&str] = &["paid", "minting", "mint_deferred", "mint_parked", "minted"];

/// Aggregate, name, type, number, what it may come after, where it leads. `payment.reverted`: the settlement fell out of
/// the chain; `payment.restored`: it is back; `mint.…` the same of a mint. A payment that is open again and its mint go
/// ways of their own, which a line of stages cannot say: the simplest are known here, others are reported. `replaced`: a
/// further transaction for the same nonce with the same call data; `lost`: somebody else's transaction used the nonce.
#[rustfmt::skip]
pub static KINDS: &[Kind] = &[
    order("payment.requested", Numbered::Once,    &[NEW],                     Leads::To("requested")),
    order("payment.submitted", Numbered::Counted, &["requested", "deferred"], Leads::To("settling")),
    order("payment.deferred",  Numbered::Counted, UNPAID,                     Leads::To("deferred")),
    order("payment.confirmed", Numbered::Once,    UNPAID,                     Leads::To("paid")),
    order("payment.failed",    Numbered::Once,    UNPAID,                     Leads::To("failed")),
    order("payment.reverted",  Numbered::Counted, CHARGED,                    Leads::To("reverted")),
    order("payment.restored",  Numbered::Counted, &["reverted"],              Leads::Back),
    order("mint.submitted",    Numbered::Counted, &["paid", "mint_deferred"], Leads::To("minting")),
    order("mint.deferred",     Numbered::Counted, OWED,                       Leads::To("mint_deferred")),
    order("mint.parked",       Numbered::Counted, OWED,                       Leads::To("mint_parked")),
    order("mint.reverted",     Numbered::Counted, &["minted", "reverted"],    Leads::To("minting")),
    order("mint.restored",     Numbered::Counted, &["paid", "minting", "mint_deferred", "mint_parked", "reverted"], Leads::To("minted")),
    order("mint.confirmed",    Numbered::Once,    &["paid", "minting", "mint_deferred", "mint_parked"], Leads::To("minted")),
    other("signers", "claimed",    "signer.claimed",   Numbered::Counted),
    other("signers", "signed",     "signer.signed",    Numbered::Nonce),
    other("signers", "settled",    "signer.settled",   Numbered::Nonce),
    other("signers", "replaced",   "signer.replaced",  Numbered::NonceCounted),
    other("signers", "lost",       "signer.lost",      Numbered::Nonce),
    other("signers", "reverted",   "signer.reverted",  Numbered::NonceCounted),
    other("signers", "resettled",  "signer.resettled", Numbered::NonceCounted),
    other("tokens",  "registered", "token.registered", Numbered::Once),
    other("keys",    "bound",      "key.bound",        Numbered::Once),
    other("ops",     "parked",     "ops.parked",       Numbered::Once),
    other("ops",     "stopped",    "ops.stopped",      Numbered::Counted),
    other("ops",     "resumed",    "ops.resumed",      Numbered::Counted),
];

const fn order(name: &'static str, numbered: Numbered, after: &'static [&'static str], leads: Leads) -> Kind {
    Kind { aggregate: "orders", name, event_type: name, numbered, after, leads }
}

const fn other(aggregate: &'static str, name: &'static str, event_type: &'static str, numbered: Numbered) -> Kind {
    Kind { aggregate, name, event_type, numbered, after: &[], leads: Leads::Back }
}

/// The stage that an order is in after these events, or the first step that may not be.
pub fn walk<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<&'static str, String> {
    let (mut stage, mut before) = (NEW, NEW);
    for event in events {
        if !event.kind.after.contains(&stage) {
            let stage = if stage == NEW { "nothing" } else { stage };
            return Err(format!("{} at sequence {} after {stage}", event.kind.name, event.seq));
        }
        (before, stage) = match event.kind.leads {
            Leads::To(next) => (stage, next),
            Leads::Back => (stage, before),
        };
    }
    Ok(stage)
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
        let words: Vec<&str> = kind.name.split('.').collect();
        let numbers = named.strip_prefix(words.as_slice())?;
        let wanted = match kind.numbered {
            Numbered::Once => 0,
            Numbered::Counted | Numbered::Nonce => 1,
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

    /// Events of these names, in this order.
    fn walked(names: &str) -> Result<&'static str, String> {
        let of = Aggregate::Order(Uuid::nil());
        let events: Vec<Event> = (1..)
            .zip(names.split_whitespace())
            .map(|(seq, name)| {
                let kind = KINDS.iter().find(|kind| kind.name == name).unwrap();
                let (data, time) = (Data(Value::Null), Default::default());
                Event { seq, subject: String::new(), kind, of: of.clone(), numbers: Vec::new(), data, time }
            })
            .collect();
        walk(&events)
    }

    #[test]
    fn a11_paths_end_where_they_may_and_break_where_they_may_not() {
        let paid = "payment.requested payment.submitted payment.confirmed";
        for (path, end) in [
            ("payment.requested", Ok("requested")),
            ("payment.requested payment.failed", Ok("failed")),
            ("payment.requested payment.deferred payment.submitted payment.deferred payment.confirmed", Ok("paid")),
            (&format!("{paid} mint.submitted mint.confirmed"), Ok("minted")),
            (&format!("{paid} mint.submitted mint.deferred mint.submitted mint.parked mint.confirmed"), Ok("minted")),
            (&format!("{paid} mint.submitted payment.reverted"), Ok("reverted")),
            (&format!("{paid} mint.submitted payment.reverted payment.restored"), Ok("minting")),
            (&format!("{paid} mint.submitted mint.confirmed payment.reverted payment.restored"), Ok("minted")),
            ("payment.submitted", Err(1)),
            ("payment.requested payment.requested", Err(2)),
            ("payment.requested payment.submitted payment.submitted", Err(3)),
            ("payment.requested mint.submitted", Err(2)),
            ("payment.requested payment.failed payment.confirmed", Err(3)),
            (&format!("{paid} payment.failed"), Err(4)),
            (&format!("{paid} mint.submitted mint.submitted"), Err(5)),
            (&format!("{paid} mint.submitted mint.confirmed mint.confirmed"), Err(6)),
            (&format!("{paid} payment.reverted mint.submitted"), Err(5)),
            (&format!("{paid} payment.restored"), Err(4)),
        ] {
            match (walked(path), end) {
                (Ok(stage), Ok(end)) => assert_eq!(stage, end, "{path}"),
                (Err(why), Err(at)) => assert!(why.contains(&format!("sequence {at} ")), "{path}: {why}"),
                (walked, _) => panic!("{path}: {walked:?}"),
            }
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
