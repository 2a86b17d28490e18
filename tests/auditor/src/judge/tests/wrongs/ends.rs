//! Payers who got nothing, charges that nobody ordered, and false ends (A05, A07, A08).

use super::{found, new, old};
use crate::judge::tests::{good, verdict};
use crate::world::{LANE, STRANGER};
use alloy_primitives::B256;
use serde_json::json;

#[test]
fn a05_a_payer_who_waits_for_nobody_is_found() {
    found(&[
        (
            "a record without units",
            |world| {
                world.order(&new());
                let tx = world.settle(LANE, &[new()]);
                world.confirm(&new(), tx, "paymint");
            },
            "A05",
            "and has no units",
        ),
        (
            "credited, and parked all the same",
            |world| {
                world.credit(STRANGER, &old(5), 3);
            },
            "A05",
            "and has no units",
        ),
        (
            "around the token, and not parked",
            |world| {
                world.order(&new());
                world.around(&new());
            },
            "A05",
            "is not parked",
        ),
        ("parked, and not listed", |world| world.evidence.tables.live.clear(), "A05", "is not listed"),
        (
            "a refund that is parked, and not listed",
            |world| {
                let rows = world.evidence.tables.live.get_mut("payment_rows").unwrap();
                rows.retain(|row| row["stage"].as_deref() != Some("refund_parked"));
            },
            "A05",
            "is not listed",
        ),
    ]);
}

#[test]
fn a07_a08_charges_that_nobody_ordered_and_false_ends_are_found() {
    found(&[
        (
            "charged by us, ordered by nobody",
            |world| {
                world.settle(LANE, &[new()]);
            },
            "A07",
            "was charged by our own",
        ),
        (
            "credited by us, and not parked before",
            |world| {
                world.order(&new());
                world.around(&new());
                world.credit(LANE, &new(), 1);
            },
            "A07",
            "was credited by our own",
        ),
        (
            "refunded by us, and ordered by nobody",
            |world| {
                world.settle(STRANGER, &[new()]);
                world.refund(LANE, &new(), Some(new().payer));
            },
            "A07",
            "was refunded by our own",
        ),
        (
            "given back by us, and nobody asked for it",
            |world| {
                world.give_back(LANE, &old(5), Some(old(5).payer));
            },
            "A07",
            "was given back by our own",
        ),
        (
            "failed, and charged late",
            |world| {
                world.around(&old(8));
            },
            "A08",
            "charged all the same",
        ),
        (
            "failed, and recorded",
            |world| {
                let record = *world.record(&old(1));
                world.token().records.insert(old(8).key(), record);
            },
            "A08",
            "has a record of it",
        ),
        (
            "failed, while its window was open",
            |world| world.evidence.chain.blocks.iter_mut().for_each(|block| block.time = 1_800_000_001),
            "A08",
            "or of another time",
        ),
        (
            "parked, and settled",
            |world| {
                world.order(&new());
                let tx = world.settle(STRANGER, &[new()]);
                world.say(&new(), "payment.parked.1", &json!({ "reason": "paid_around_token", "txHash": tx }));
            },
            "A08",
            "which is not what became of",
        ),
        (
            "parked, and never paid",
            |world| {
                world.order(&new());
                world.say(&new(), "payment.parked.1", &json!({ "reason": "paid_around_token" }));
            },
            "A08",
            "no pair pays for it",
        ),
        (
            "parked for another reason",
            |world| world.retell(&old(5), "payment.parked.1", "reason", json!("inconsistent")),
            "A08",
            "which is not what became of",
        ),
        (
            "parked for another transaction",
            |world| world.retell(&old(5), "payment.parked.1", "txHash", json!(B256::ZERO)),
            "A08",
            "and it was",
        ),
    ]);
    let mut world = good();
    world.order(&new());
    let tx = world.around(&new());
    world.say(&new(), "payment.parked.1", &json!({ "reason": "paid_around_token", "txHash": tx }));
    let early = verdict(&world, "A08").findings.concat();
    assert!(early.contains("which is not final"), "parked too early: {early}");
}
