//! Mints that nobody paid for, and mints too many (A01, A04).

use super::{forge, found, new, old};
use crate::evidence::tokens::RecordState;
use crate::world::{LANE, STRANGER, TOKEN};
use alloy_primitives::U256;
use serde_json::json;

#[test]
fn a01_a_mint_without_its_payment_or_otherwise_than_paid_is_found() {
    found(&[
        ("nobody paid", forge, "A01", "no pair pays for it"),
        (
            "cancelled",
            |world| {
                world.cancel(&new());
                forge(world);
            },
            "A01",
            "was cancelled in",
        ),
        (
            "paid to oneself",
            |world| {
                let logs = world.pair(&new(), new().payer).to_vec();
                world.tx(STRANGER, TOKEN, Vec::new(), logs);
                forge(world);
            },
            "A01",
            "paid itself in",
        ),
        (
            "paid elsewhere",
            |world| {
                let logs = world.pair(&new(), STRANGER).to_vec();
                world.tx(STRANGER, TOKEN, Vec::new(), logs);
                forge(world);
            },
            "A01",
            "was paid elsewhere",
        ),
        (
            "used without a transfer",
            |world| {
                let [used, _] = world.pair(&new(), TOKEN);
                world.tx(STRANGER, TOKEN, Vec::new(), vec![used]);
                forge(world);
            },
            "A01",
            "without a transfer of its own",
        ),
        (
            "another recipient",
            |world| {
                world.settle(STRANGER, &[new()]);
                world.record(&new()).payer = STRANGER;
                world.mint(STRANGER, &[new()]);
            },
            "A01",
            "has the units",
        ),
        (
            "another quantity",
            |world| {
                world.settle(STRANGER, &[new()]);
                world.record(&new()).units = U256::from(2);
                world.mint(STRANGER, &[new()]);
            },
            "A01",
            "was paid for 2 units, which cost",
        ),
        (
            "minted before it was paid",
            |world| {
                forge(world);
                world.around(&new());
            },
            "A01",
            "and paid in block",
        ),
        (
            "no record",
            |world| {
                world.token().records.remove(&old(11).key());
            },
            "A01",
            "the token has no record of it",
        ),
        ("an open record", |world| world.record(&old(11)).state = RecordState::Open, "A01", "its record says Open"),
    ]);
}

#[test]
fn a04_a_mint_too_many_or_otherwise_than_the_ledger_says_is_found() {
    found(&[
        (
            "minted twice",
            |world| {
                world.record(&old(11)).state = RecordState::Open;
                world.mint(STRANGER, &[old(11)]);
            },
            "A04",
            "was minted twice",
        ),
        (
            "minted and refunded",
            |world| {
                world.refund(STRANGER, &old(11), Some(old(11).payer));
            },
            "A04",
            "and refunded in",
        ),
        (
            "given back and minted",
            |world| {
                world.record(&old(7)).state = RecordState::Open;
                world.mint(STRANGER, &[old(7)]);
            },
            "A04",
            "and refunded in",
        ),
        ("sold beyond its limit", |world| world.token().max_units = U256::from(3), "A04", "has sold"),
        ("another limit", |world| world.token().max_units = U256::from(99), "A04", "largest number of units"),
        ("another unit", |world| world.token().unit = U256::ONE, "A04", "base units of a unit"),
        (
            "never minted",
            |world| {
                world.order(&new());
                let tx = world.settle(LANE, &[new()]);
                world.confirm(&new(), tx, "paymint");
                world.confirm_mint(&new(), tx, "paymint");
            },
            "A04",
            "did not mint it",
        ),
        (
            "another recipient",
            |world| world.retell(&old(1), "mint.confirmed", "to", json!(STRANGER)),
            "A04",
            "were minted, the ledger has",
        ),
        (
            "a stranger's, as our own",
            |world| world.retell(&old(2), "mint.confirmed", "mintedBy", json!("paymint")),
            "A04",
            "minted by our own",
        ),
        (
            "our own, as a stranger's",
            |world| world.retell(&old(1), "mint.confirmed", "mintedBy", json!("third_party")),
            "A04",
            "is our own",
        ),
        (
            "found by a transaction that mints other keys",
            |world| {
                let other = world.mint(LANE, &[old(1)]);
                world.point(&old(2), "mint.confirmed", other);
            },
            "A04",
            "did not find it so",
        ),
        (
            "minted, and not said",
            |world| {
                world.order(&new());
                let tx = world.settle(LANE, &[new()]);
                world.confirm(&new(), tx, "paymint");
                world.mint(LANE, &[new()]);
            },
            "A04",
            "and the ledger does not say so",
        ),
    ]);
}
