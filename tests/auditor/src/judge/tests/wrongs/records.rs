//! Records without an order, of which the ledger tells what is not so (A05, A11).

use super::{found, new, old};
use crate::judge::tests::{good, verdict};
use crate::run::OpenRecords;
use crate::verdict::Outcome;
use crate::world::{LANE, Pay, STRANGER, World};
use serde_json::json;

/// A stranger settles a payment that nobody orders, and the ledger tells it when it is final.
fn settled(world: &mut World) {
    let tx = world.settle(STRANGER, &[new()]);
    world.rest();
    world.tell_found(&new(), tx);
}

/// A payment of the same nonce, for more units than any other of this run.
fn large() -> Pay {
    Pay { value: 5 * new().value, ..new() }
}

/// Our lane mints it.
fn minted(world: &mut World) {
    settled(world);
    world.mint(LANE, &[new()]);
    world.rest();
    world.tell_end(&new(), "minted");
}

#[test]
fn a05_a10_a11_a_record_that_was_found_and_minted_is_green_and_counts_once() {
    let mut world = World::new();
    world.evidence.run.bounds.open_records = OpenRecords::Wrong;
    // The payer has signed two payments with one nonce, and ordered the other.
    let ordered = Pay { value: 3 * new().value, ..new() };
    world.order(&ordered);
    let tx = world.settle(STRANGER, &[new()]);
    world.rest();
    world.tell_found(&new(), tx);
    assert_eq!(verdict(&world, "A05").findings.len(), 1, "it is open");
    world.mint(LANE, &[new()]);
    world.rest();
    world.tell_end(&new(), "minted");
    let block = world.proof(tx, &json!({ "reason": "used_elsewhere", "blockTime": 0 }));
    world.say(&ordered, "payment.failed", &block);
    for id in ["A01", "A03", "A04", "A05", "A11"] {
        assert_eq!(verdict(&world, id).outcome, Outcome::Green, "{id}: {:?}", verdict(&world, id).findings);
    }
    let books = crate::books::Books::of(&world.evidence);
    let (rows, strange) = crate::judge::fold::fold(&books, |event| event.time);
    let token = &rows["token_rows"][0];
    let units = ["units_taken", "units_paid", "units_minted"].map(|column| token[column].clone().unwrap());
    assert_eq!((units, strange.len()), (["1", "1", "1"].map(str::to_owned), 0));
    assert_eq!(rows["record_rows"][0]["stage"].as_deref(), Some("minted"));
}

#[test]
fn a05_a11_a_record_that_is_otherwise_than_the_ledger_says_is_found() {
    found(&[
        ("no record", |world| tell(world, new()), "A05", "has no record of"),
        (
            "other units",
            |world| {
                world.settle(STRANGER, &[new()]);
                tell(world, Pay { value: 2 * new().value, ..new() });
            },
            "A05",
            "are recorded, the ledger has",
        ),
        (
            "another transaction",
            |world| {
                world.settle(STRANGER, &[new()]);
                tell(world, new());
            },
            "A05",
            "made no such record",
        ),
        (
            "ordered",
            |world| {
                let ours = world.evidence.chain.txs[1].hash;
                world.tell_found(&old(1), ours);
            },
            "A05",
            "stood for it",
        ),
        (
            "not minted",
            |world| {
                settled(world);
                world.tell_end(&new(), "minted");
            },
            "A05",
            "and the chain does not",
        ),
        (
            "not returned",
            |world| {
                settled(world);
                world.tell_end(&new(), "returned");
            },
            "A05",
            "and the chain does not",
        ),
        (
            "two ends",
            |world| {
                minted(world);
                world.tell_end(&new(), "returned");
            },
            "A11",
            "is no path",
        ),
        (
            "an end without a beginning",
            |world| {
                world.rest();
                world.tell_end(&new(), "minted");
            },
            "A11",
            "is no path",
        ),
    ]);
}

/// A run at rest tells of every record and of every end, at final blocks.
#[test]
fn a05_what_the_ledger_does_not_tell_of_a_record_is_found() {
    found(&[
        (
            "a mint that nobody told",
            |world| {
                settled(world);
                world.mint(LANE, &[new()]);
            },
            "A05",
            "it was minted in",
        ),
        (
            "a refund that nobody told",
            |world| {
                settled(world);
                world.refund(STRANGER, &new(), Some(new().payer));
            },
            "A05",
            "it was returned in",
        ),
        (
            "a record that nobody found, minted by a stranger",
            |world| {
                world.evidence.run.bounds.open_records = OpenRecords::Wrong;
                world.settle(STRANGER, &[large()]);
                world.mint(STRANGER, &[large()]);
            },
            "A05",
            "is a record of 5 units, no order stands for it, and nobody found it",
        ),
        (
            "a record of other units than its payer ordered",
            |world| {
                world.evidence.run.bounds.open_records = OpenRecords::Wrong;
                world.order(&new());
                world.settle(STRANGER, &[large()]);
                world.mint(STRANGER, &[large()]);
            },
            "A05",
            "is a record of 5 units, no order stands for it, and nobody found it",
        ),
        ("units that nobody counts", |world| world.count_taken(3), "A05", "and the read models count 3 as taken"),
    ]);
}

/// Until a record is final nobody has to know of it, and a record beyond the budget is only noted.
#[test]
fn a05_a_record_that_is_not_final_or_that_may_wait_is_no_fault() {
    let mut world = good();
    world.count_taken(100);
    let before = verdict(&world, "A05");
    assert_eq!(before.outcome, Outcome::Green, "{:?}", before.findings);
    assert!(before.notes.iter().any(|note| note.contains("3 records without an order are not in the ledger")));

    let mut world = World::new();
    world.evidence.run.bounds.open_records = OpenRecords::Wrong;
    let tx = world.settle(STRANGER, &[new()]);
    assert_eq!(verdict(&world, "A05").findings, Vec::<String>::new(), "not final");
    world.rest();
    world.tell_found(&new(), tx);
    world.mint(LANE, &[new()]);
    world.count_taken(1);
    assert_eq!(verdict(&world, "A05").findings, Vec::<String>::new(), "its mint is not final");
    world.rest();
    world.tell_end(&new(), "minted");
    assert_eq!(verdict(&world, "A05").outcome, Outcome::Green, "{:?}", verdict(&world, "A05").findings);
}

/// Tells of a record that the first transaction of the chain is said to have made.
fn tell(world: &mut World, pay: Pay) {
    world.rest();
    let first = world.evidence.chain.txs[0].hash;
    world.tell_found(&pay, first);
}
