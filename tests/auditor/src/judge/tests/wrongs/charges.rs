//! Charges that are not as the ledger says (A02).

use super::{forge, found, new, old};
use crate::judge::tests::{good, verdict};
use crate::world::{LANE, Pay, STRANGER, World, credit_input, give_back_input};
use alloy_primitives::{B256, Bytes, U256};
use serde_json::json;
use std::slice::from_ref;

#[test]
fn a02_a_charge_that_is_not_as_the_ledger_says_is_found() {
    found(&[
        (
            "no record",
            |world| {
                world.token().records.remove(&old(1).key());
            },
            "A02",
            "has no record of it",
        ),
        (
            "no payment",
            |world| {
                world.order(&new());
                forge(world);
                let tx = world.evidence.chain.txs.last().unwrap().hash;
                world.confirm(&new(), tx, "third_party");
            },
            "A02",
            "no pair pays for it",
        ),
        ("another quantity", |world| world.record(&old(1)).units = U256::from(7), "A02", "and recorded as 7 units"),
        (
            "another time",
            |world| world.retell(&old(1), "payment.confirmed", "recordedAt", json!(1)),
            "A02",
            "the ledger has another time",
        ),
        (
            "another block",
            |world| world.retell(&old(1), "payment.confirmed", "block", json!({ "number": 1, "hash": B256::ZERO })),
            "A02",
            "not in the block that it names",
        ),
        (
            "a stranger's, as our own",
            |world| world.retell(&old(3), "payment.confirmed", "paidBy", json!("paymint")),
            "A02",
            "charged by our own",
        ),
        (
            "our own, as a stranger's",
            |world| world.retell(&old(1), "payment.confirmed", "paidBy", json!("third_party")),
            "A02",
            "is our own",
        ),
        (
            "found by a transaction that has other payments",
            |world| {
                let other = world.settle(LANE, &[old(1)]);
                world.point(&old(3), "payment.confirmed", other);
            },
            "A02",
            "did not find it so",
        ),
        (
            "found by a transaction that was before the record",
            |world| {
                let before = world.settle(LANE, &[]);
                world.evidence.chain.txs.last_mut().unwrap().input = looking(&new());
                world.order(&new());
                world.settle(STRANGER, &[new()]);
                world.confirm(&new(), before, "third_party");
            },
            "A02",
            "did not find it so",
        ),
        (
            "given back",
            |world| {
                let given = world.find(LANE, give_back_input(&old(7)));
                world.confirm(&old(7), given, "third_party");
            },
            "A02",
            "and given back in",
        ),
        (
            "a stranger's charge that we credited, as our own",
            |world| world.retell(&old(6), "payment.confirmed", "paidBy", json!("paymint")),
            "A02",
            "charged by our own",
        ),
        (
            "credited by a transaction that has other payments",
            |world| {
                let other = world.find(LANE, credit_input(&old(5), 1));
                world.point(&old(6), "payment.confirmed", other);
            },
            "A02",
            "did not find it so",
        ),
        (
            "a credit that only the ledger knows",
            |world| {
                world.order(&new());
                let ours = world.find(LANE, credit_input(&new(), 1));
                let data = world.proof(ours, &json!({ "recordedAt": 1, "paidBy": "third_party" }));
                world.say(&new(), "payment.confirmed", &data);
            },
            "A02",
            "has no record of it",
        ),
    ]);
    let mut world = good();
    world.evidence.chain.finalized = 0;
    let early = verdict(&world, "A02").findings.concat();
    assert!(early.contains("which is not final"), "charged by a stranger: {early}");
}

/// Call data of a settlement of this payment.
fn looking(pay: &Pay) -> Bytes {
    let mut elsewhere = World::new();
    elsewhere.settle(LANE, from_ref(pay));
    elsewhere.evidence.chain.txs.pop().unwrap().input
}
