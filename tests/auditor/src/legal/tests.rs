//! Paths that orders may and may not take.

use super::*;
use crate::decode::event::{Data, Event};
use serde_json::Value;
use uuid::Uuid;

/// Walks these events. Returns the stage at the end, and the legs that it hides.
fn walked(names: &str) -> Result<String, String> {
    let mut path = Path::default();
    for (seq, name) in (1..).zip(names.split_whitespace()) {
        path.step(&event(seq, name))?;
    }
    Ok(format!("{}{}", path.state.stage(), path.state.beside()))
}

fn event(seq: u64, name: &str) -> Event {
    let kind = KINDS.iter().find(|kind| kind.name == name).unwrap();
    let (of, data, time) = (Aggregate::Order(Uuid::nil()), Data(Value::Null), Default::default());
    Event { seq, subject: String::new(), kind, of, numbers: Vec::new(), data, time }
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
        // An operator records what went around the token, or tries to.
        ("payment.requested payment.parked payment.submitted payment.confirmed mint.submitted", Ok("minting")),
        ("payment.requested payment.parked payment.submitted payment.parked payment.submitted", Ok("settling")),
        (&format!("{paid} mint.submitted mint.confirmed"), Ok("minted")),
        (&format!("{paid} mint.submitted mint.deferred mint.submitted mint.parked mint.confirmed"), Ok("minted")),
        // A hold moves no leg, and ends with whatever follows.
        ("payment.requested order.held", Ok("requested")),
        ("payment.requested order.held order.held order.released", Ok("requested")),
        ("payment.requested order.held order.released order.released", Err(4)),
        ("payment.requested order.held payment.deferred order.released", Err(4)),
        ("payment.requested order.released", Err(2)),
        ("payment.requested payment.failed order.held order.released", Ok("failed")),
        ("order.held", Err(1)),
        // A parked mint is tried once more where the money is there.
        (&format!("{paid} mint.parked mint.redriven mint.submitted mint.confirmed"), Ok("minted")),
        (&format!("{paid} mint.parked mint.redriven mint.parked mint.redriven"), Ok("paid")),
        (&format!("{paid} mint.parked mint.redriven mint.redriven"), Err(6)),
        (&format!("{paid} mint.redriven"), Err(4)),
        (&format!("{paid} mint.parked refund.requested mint.redriven"), Err(6)),
        (&format!("{paid} mint.parked payment.reverted mint.redriven"), Err(6)),
        (&format!("{paid} mint.submitted payment.reverted"), Ok("reverted, minting")),
        (&format!("{paid} mint.submitted payment.reverted payment.restored"), Ok("minting")),
        (&format!("{paid} mint.submitted mint.confirmed payment.reverted payment.restored"), Ok("minted")),
        ("payment.submitted", Err(1)),
        ("payment.requested payment.requested", Err(2)),
        ("payment.requested payment.submitted payment.submitted", Err(3)),
        ("payment.requested mint.submitted", Err(2)),
        ("payment.requested payment.failed payment.confirmed", Err(3)),
        ("payment.requested payment.parked payment.parked", Err(3)),
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
        (&format!("{paid} mint.submitted mint.confirmed mint.reverted mint.deferred mint.submitted"), Ok("minting")),
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

#[test]
fn a11_money_goes_back_or_units_are_minted_and_never_both() {
    let paid = "payment.requested payment.submitted payment.confirmed";
    let asked: &str = &format!("{paid} refund.requested");
    let around = "payment.requested payment.parked refund.requested";
    let back = &format!("{asked} refund.submitted refund.confirmed");
    for (path, end) in [
        (asked, Ok("refund_requested")),
        (back, Ok("refunded")),
        (&format!("{asked} refund.deferred refund.submitted refund.deferred"), Ok("refund_deferred")),
        (&format!("{asked} refund.parked"), Ok("refund_parked")),
        (&format!("{asked} refund.parked refund.redriven refund.submitted"), Ok("refunding")),
        (&format!("{asked} refund.redriven"), Err(5)),
        (&format!("{asked} refund.submitted refund.parked refund.submitted"), Ok("refunding")),
        (&format!("{paid} mint.deferred refund.requested"), Ok("refund_requested")),
        (&format!("{paid} mint.parked refund.requested refund.submitted refund.confirmed"), Ok("refunded")),
        (&format!("{around} refund.submitted refund.confirmed"), Ok("refunded")),
        (&format!("{around} payment.confirmed refund.submitted"), Ok("refunding")),
        // The payer takes the money back, or an operator whom we do not know returns it.
        ("payment.requested refund.confirmed", Ok("refunded")),
        ("payment.requested payment.parked refund.confirmed", Ok("refunded")),
        ("payment.requested payment.parked payment.submitted refund.confirmed", Ok("refunded")),
        (&format!("{paid} mint.submitted refund.confirmed"), Ok("refunded")),
        (&format!("{paid} mint.parked refund.confirmed"), Ok("refunded")),
        // A mint that was in a block already.
        (&format!("{asked} mint.confirmed"), Ok("minted, refund_requested")),
        (&format!("{asked} refund.parked mint.confirmed"), Ok("minted, refund_requested")),
        (&format!("{asked} mint.confirmed mint.reverted"), Ok("refund_requested")),
        (&format!("{asked} mint.confirmed mint.reverted mint.deferred refund.submitted"), Ok("refunding")),
        // Each leg falls out of the chain on its own.
        (&format!("{back} refund.reverted"), Ok("refunding")),
        (&format!("{back} refund.reverted refund.restored"), Ok("refunded")),
        (&format!("{back} payment.reverted"), Ok("refunded")),
        (&format!("{back} payment.reverted refund.reverted"), Ok("reverted, refunding")),
        (&format!("{back} payment.reverted refund.reverted payment.deferred"), Ok("deferred, refunding")),
        (&format!("{back} payment.reverted refund.reverted refund.parked"), Ok("reverted, refund_requested")),
        (&format!("{back} payment.reverted refund.reverted payment.parked"), Ok("refunding")),
        (&format!("{asked} refund.deferred payment.reverted"), Ok("reverted, refund_requested")),
        (&format!("{asked} refund.deferred payment.reverted payment.restored"), Ok("refund_requested")),
        (&format!("{asked} payment.reverted payment.failed"), Ok("failed, refund_requested")),
        (&format!("{asked} refund.submitted payment.reverted payment.failed"), Err(7)),
        ("payment.requested refund.requested", Err(2)),
        ("payment.requested payment.failed refund.confirmed", Err(3)),
        (&format!("{paid} mint.submitted refund.requested"), Err(5)),
        (&format!("{paid} mint.submitted mint.confirmed refund.requested"), Err(6)),
        (&format!("{paid} mint.submitted mint.confirmed refund.confirmed"), Err(6)),
        (&format!("{paid} refund.submitted"), Err(4)),
        (&format!("{paid} refund.deferred"), Err(4)),
        (&format!("{paid} refund.reverted"), Err(4)),
        (&format!("{asked} refund.requested"), Err(5)),
        (&format!("{asked} mint.submitted"), Err(5)),
        (&format!("{asked} mint.deferred"), Err(5)),
        (&format!("{asked} mint.parked"), Err(5)),
        (&format!("{asked} refund.submitted refund.submitted"), Err(6)),
        (&format!("{asked} refund.parked refund.deferred"), Err(6)),
        (&format!("{asked} payment.reverted refund.submitted"), Err(6)),
        (&format!("{asked} mint.confirmed mint.reverted refund.submitted"), Err(7)),
        (&format!("{asked} mint.confirmed refund.confirmed"), Err(6)),
        (&format!("{around} payment.submitted"), Err(4)),
        (&format!("{back} mint.submitted"), Err(7)),
        (&format!("{back} mint.confirmed"), Err(7)),
        (&format!("{back} refund.confirmed"), Err(7)),
        (&format!("{back} refund.restored"), Err(7)),
        (&format!("{back} refund.reverted refund.confirmed"), Err(8)),
        (&format!("{back} refund.reverted mint.submitted"), Err(8)),
    ] {
        held(path, end);
    }
}

/// The domain's own table, which a test of the domain keeps: an event is legal here if and only if the domain writes
/// it.
#[test]
fn a11_every_stage_allows_exactly_what_the_table_of_the_domain_says() {
    let table: Vec<Vec<&str>> = include_str!("../../../../crates/domain/src/order/table.txt")
        .lines()
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let (columns, rows) = (table[0].len(), &table[2..]);
    let paid = "payment.requested payment.confirmed";
    let paths = [
        ("(none)", String::new()),
        ("requested", "payment.requested".to_owned()),
        ("deferred", "payment.requested payment.deferred".to_owned()),
        ("settling", "payment.requested payment.submitted".to_owned()),
        ("failed", "payment.requested payment.failed".to_owned()),
        ("payment_parked", "payment.requested payment.parked".to_owned()),
        ("paid", paid.to_owned()),
        ("minting", format!("{paid} mint.submitted")),
        ("mint_deferred", format!("{paid} mint.deferred")),
        ("mint_parked", format!("{paid} mint.parked")),
        ("minted", format!("{paid} mint.confirmed")),
        ("refund_requested", format!("{paid} refund.requested")),
        ("refunding", format!("{paid} refund.requested refund.submitted")),
        ("refund_deferred", format!("{paid} refund.requested refund.deferred")),
        ("refund_parked", format!("{paid} refund.requested refund.parked")),
        ("refunded", format!("{paid} refund.confirmed")),
        ("refund_requested, charged around the token", "payment.requested payment.parked refund.requested".to_owned()),
        ("reverted", format!("{paid} payment.reverted")),
        ("reverted, minting", format!("{paid} mint.submitted payment.reverted")),
        ("reverted, minted", format!("{paid} mint.confirmed payment.reverted")),
        ("reverted, refund_requested", format!("{paid} refund.requested payment.reverted")),
        ("reverted, refunding", format!("{paid} refund.requested refund.submitted payment.reverted")),
        ("deferred, refund_requested", format!("{paid} refund.requested payment.reverted payment.deferred")),
        ("requested, held", "payment.requested order.held".to_owned()),
        ("failed, held", "payment.requested payment.failed order.held".to_owned()),
        ("paid, redriven", format!("{paid} mint.parked mint.redriven")),
    ];
    let beside = [", charged around the token", ", held", ", redriven"];
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), paths.each_ref().map(|(stage, _)| *stage));
    let mut legal = 0;
    for (row, (stage, path)) in rows.iter().zip(&paths) {
        let is = if path.is_empty() { "(none)".to_owned() } else { walked(path).unwrap() };
        assert_eq!(is, beside.iter().fold(*stage, |stage, beside| stage.trim_end_matches(beside)));
        for column in 1..columns {
            let is_event = |cell: &&str| KINDS.iter().any(|kind| kind.name == *cell);
            for name in rows.iter().map(|row| row[column]).filter(is_event) {
                let allowed = walked(&format!("{path} {name}")).is_ok();
                assert_eq!(allowed, row[column] == name, "{name} after {stage}, {}", table[0][column]);
                legal += usize::from(allowed);
            }
        }
    }
    assert!(legal > 100, "{legal}");
}

#[test]
fn a15_a_payment_around_the_token_is_an_end_only_where_no_operator_is_at_work() {
    let ends = |names: &str, operator| {
        let mut path = Path::default();
        for (seq, name) in (1..).zip(names.split_whitespace()) {
            path.step(&event(seq, name)).unwrap();
        }
        path.state.is_end(operator)
    };
    let paid = "payment.requested payment.confirmed";
    for (path, alone, with_operator) in [
        ("payment.requested payment.parked".to_owned(), true, false),
        ("payment.requested payment.parked payment.submitted".to_owned(), false, false),
        ("payment.requested payment.failed".to_owned(), true, true),
        (paid.to_owned(), false, false),
        (format!("{paid} mint.parked"), true, true),
        (format!("{paid} mint.confirmed"), true, true),
        (format!("{paid} refund.requested"), false, false),
        (format!("{paid} refund.requested refund.submitted"), false, false),
        (format!("{paid} refund.requested refund.deferred"), false, false),
        (format!("{paid} refund.requested refund.parked"), true, true),
        (format!("{paid} refund.confirmed"), true, true),
    ] {
        assert_eq!((ends(&path, false), ends(&path, true)), (alone, with_operator), "{path}");
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
    let types: Vec<String> =
        names.filter_map(|name| Some(name.strip_prefix("io.paymint.")?.strip_suffix(".v1.json")?.to_owned())).collect();
    assert!(types.len() >= 15, "{types:?}");
    for event_type in types {
        assert!(KINDS.iter().any(|kind| kind.event_type == event_type), "{event_type} has no row in KINDS");
    }
}
