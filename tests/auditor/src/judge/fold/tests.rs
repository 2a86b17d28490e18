//! Rows of orders whose money goes back.

use super::fold;
use crate::books::Books;
use crate::evidence::tables::Row;
use crate::world::{LANE, Pay, STRANGER, World};
use alloy_primitives::B256;
use serde_json::{Value, json};

fn pay() -> Pay {
    Pay::new(1, 2)
}

/// An order with these events, whose data need not be so.
fn order(events: &[(&str, Value)]) -> World {
    let mut world = World::new();
    world.order(&pay());
    for (name, data) in events {
        world.say(&pay(), name, data);
    }
    world
}

/// The only row of a table.
fn row(world: &World, table: &str) -> Row {
    let (models, strange) = fold(&Books::of(&world.evidence), |event| event.time);
    assert!(strange.is_empty() && models["set_aside"].is_empty(), "{strange:?}, {:?}", models["set_aside"]);
    let [row] = models[table].as_slice() else { panic!("{table} has {} rows", models[table].len()) };
    row.clone()
}

/// Checks columns of the order's row after these events. An empty text is NULL.
fn shows(events: &[(&str, Value)], columns: &[(&str, &str)]) {
    let row = row(&order(events), "payment_rows");
    for (column, value) in columns {
        let shown = row[*column].as_deref().unwrap_or_default();
        assert_eq!(shown, *value, "{column} after {:?}", events.iter().map(|(name, _)| name).collect::<Vec<_>>());
    }
}

fn paid() -> (&'static str, Value) {
    ("payment.confirmed", done(1, &json!({ "recordedAt": 5, "paidBy": "paymint" })))
}

/// Data that name a transaction and its block.
fn done(tx: u8, with: &Value) -> Value {
    let mut data =
        json!({ "txHash": B256::repeat_byte(tx), "block": { "number": 7, "hash": B256::repeat_byte(tx + 1) } });
    data.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
    data
}

fn sent(tx: u8, nonce: u64) -> Value {
    json!({ "signer": LANE, "nonce": nonce, "txHash": B256::repeat_byte(tx) })
}

fn back(name: &str, tx: u8) -> (&str, Value) {
    (name, done(tx, &json!({ "refundedBy": "third_party", "to": STRANGER, "amount": "20000" })))
}

fn waits(name: &str) -> (&str, Value) {
    let detail = format!("{name}\0");
    (name, json!({ "reason": "unexplained", "detail": detail, "retryAt": "2030-01-01T00:00:00.1234567Z" }))
}

fn parked(name: &str) -> (&str, Value) {
    (name, json!({ "reason": "inconsistent", "detail": name, "txHash": B256::repeat_byte(9) }))
}

fn asked() -> (&'static str, Value) {
    ("refund.requested", json!({ "reason": "operator", "by": "0xAl\0ice", "detail": "0xNo" }))
}

#[test]
fn a10_the_columns_of_a_refund_follow_its_steps() {
    let hash = |byte: u8| B256::repeat_byte(byte).to_string();
    let empty = |columns: &[&'static str]| columns.iter().map(|column| (*column, "")).collect::<Vec<_>>();
    let done = ["refund_block_number", "refund_block_hash", "refunded_by", "refund_amount", "refunded_at"];
    let of_request = ["refund_reason", "refund_by", "refund_detail"];
    shows(&[], &[("refund_state", "unasked"), ("refund_attempts", "0"), ("refund_reversions", "0")]);
    shows(&[paid()], &[&empty(&of_request)[..], &[("refund_state", "unasked"), ("stage", "paid")]].concat());
    let mut events = vec![paid(), asked()];
    let who = [("refund_reason", "operator"), ("refund_by", "0xAl\u{fffd}ice"), ("refund_detail", "0xNo")];
    let rest = [("refund_state", "owed"), ("stage", "refund_requested"), ("refund_tx_hash", "")];
    shows(&events, &[&who[..], &rest, &empty(&done)].concat());
    events.push(("refund.submitted.1", sent(3, 8)));
    let (lane, three) = (format!("{LANE:#x}"), hash(3));
    let own = [("refund_signer", lane.as_str()), ("refund_nonce", "8"), ("refund_tx_hash", three.as_str())];
    let rest = [("refund_state", "submitted"), ("stage", "refunding"), ("refund_attempts", "1")];
    shows(&events, &[&who[..], &own, &rest, &empty(&done)].concat());
    let block = hash(4);
    let moved = [
        ("refund_block_number", "7"),
        ("refund_block_hash", block.as_str()),
        ("refunded_by", "third_party"),
        ("refund_amount", "20000"),
        ("refund_state", "done"),
        ("stage", "refunded"),
    ];
    events.push(back("refund.confirmed", 3));
    shows(&events, &[&who[..], &own, &moved].concat());
    assert!(row(&order(&events), "payment_rows")["refunded_at"].is_some());
    events.push(("refund.reverted.1", sent(3, 8)));
    let rest = [("refund_state", "reverted"), ("stage", "refunding"), ("refund_reversions", "1")];
    shows(&events, &[&who[..], &own, &rest, &empty(&done)].concat());
    // Found by another transaction, which has no nonce that we know.
    events.push(back("refund.restored.1", 5));
    let five = hash(5);
    shows(&events, &[("refund_signer", ""), ("refund_nonce", ""), ("refund_tx_hash", &five), ("stage", "refunded")]);
    shows(&[paid(), back("refund.confirmed", 5)], &empty(&of_request));
}

#[test]
fn a10_the_reason_is_of_the_leg_that_waits_and_stays_while_another_leg_moves() {
    let none = [("reason", ""), ("detail", ""), ("parked_tx_hash", ""), ("retry_at", "")];
    let waiting = |detail| [("reason", "unexplained"), ("detail", detail), ("retry_at", "2030-01-01T00:00:00.123456Z")];
    let nine = B256::repeat_byte(9).to_string();
    let stuck = |detail| [("reason", "inconsistent"), ("detail", detail), ("parked_tx_hash", &nine), ("retry_at", "")];
    let asked_back = [paid(), asked()];
    let with = |more: Vec<(&'static str, Value)>| [asked_back.to_vec(), more].concat();
    shows(&asked_back, &none);
    shows(&with(vec![waits("refund.deferred.1")]), &waiting("refund.deferred.1\u{fffd}"));
    shows(&with(vec![waits("refund.deferred.1"), ("refund.submitted.1", sent(3, 8))]), &none);
    shows(&with(vec![parked("refund.parked.1")]), &stuck("refund.parked.1"));
    let reverted = ("payment.reverted.1", sent(1, 0));
    shows(&with(vec![waits("refund.deferred.1"), reverted.clone()]), &none);
    let refunding = ("refund.submitted.1", sent(3, 8));
    shows(&with(vec![refunding, reverted.clone(), waits("refund.deferred.1")]), &none);
    // A mint that waited is owed again, and nobody waits for it.
    shows(&[paid(), waits("mint.deferred.1"), asked()], &none);
    // A parked payment is the refund's affair once its money is wanted back.
    let around = parked("payment.parked.1");
    shows(std::slice::from_ref(&around), &stuck("payment.parked.1"));
    shows(&[around.clone(), asked()], &none);
    shows(&[around, asked(), waits("refund.deferred.1")], &waiting("refund.deferred.1\u{fffd}"));
    // The payer has the money, and the payment waits on: it shows again if the refund falls out of the chain.
    let mut events = vec![waits("payment.deferred.1"), back("refund.confirmed", 3)];
    shows(&events, &[&waiting("payment.deferred.1\u{fffd}")[..], &[("stage", "refunded")]].concat());
    events.push(("refund.reverted.1", sent(3, 8)));
    shows(&events, &[&waiting("payment.deferred.1\u{fffd}")[..], &[("stage", "deferred")]].concat());
    // So does a payment whose mint goes on without it.
    let events = [paid(), ("mint.submitted.1", sent(2, 0)), reverted, waits("payment.deferred.1")];
    let minted = ("mint.confirmed", done(2, &json!({ "mintedBy": "paymint" })));
    shows(&[&events[..], &[minted]].concat(), &waiting("payment.deferred.1\u{fffd}"));
}

#[test]
fn a10_units_come_back_with_the_money_and_are_taken_again_without_it() {
    let units = |events: &[(&str, Value)]| {
        let token = row(&order(events), "token_rows");
        ["units_taken", "units_paid", "units_minted"].map(|column| token[column].clone().unwrap())
    };
    let mut events = vec![paid(), asked()];
    assert_eq!(units(&events), ["2", "2", "0"]);
    events.push(back("refund.confirmed", 3));
    assert_eq!(units(&events), ["0", "0", "0"]);
    events.push(("refund.reverted.1", sent(3, 8)));
    assert_eq!(units(&events), ["2", "2", "0"]);
    events.push(("payment.reverted.1", sent(1, 0)));
    assert_eq!(units(&events), ["2", "0", "0"]);
    events.push(back("refund.restored.1", 3));
    assert_eq!(units(&events), ["0", "0", "0"]);
}
