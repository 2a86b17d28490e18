//! A good run in memory, and the same with one wrong at a time: the checks of money, records and mints.

mod lanes;
mod wrongs;

use super::fold::fold;
use super::judge;
use crate::books::Books;
use crate::run::OpenRecords;
use crate::verdict::{Outcome, Verdict, table};
use crate::world::{LANE, Pay, STRANGER, World, give_back_input};
use chrono::TimeDelta;
use serde_json::json;

/// Checks that a run in memory has evidence for.
const JUDGED: [&str; 8] = ["A01", "A02", "A03", "A04", "A05", "A07", "A08", "A11"];

/// A run with every fate of a payment. The orders, by the number of their payers: 1 is ours throughout; 2 was minted by
/// a stranger, and 3 settled by one, before us; 4 was settled by a stranger without us, and refunded; 5 to 7 were paid
/// around the token, then credited (6) and given back (7) by our operator; 8 has expired. Nobody ordered 9 to 12:
/// settled, paid around, settled and minted, credited with change and minted. The money of 13 to 15 is wanted back: 13
/// has it, and 14 and 15 wait, 15 for a person. 16 and 17 were paid around the token, and given back by a stranger
/// before us.
fn good() -> World {
    let mut world = World::new();
    let pay = |n: u8| Pay::new(n, 1 + u64::from(n) % 3);
    for n in (1..=8).chain(13..=17) {
        world.order(&pay(n));
    }
    let ours = world.settle(LANE, &[1, 2, 13, 14, 15].map(pay));
    let theirs = world.settle(STRANGER, &[pay(3), pay(4)]);
    let found = world.settle_through_hub(LANE, &[pay(3)]);
    let strangers = world.settle(STRANGER, &[pay(9)]);
    assert_ne!(strangers, found);
    world.rest();
    for n in [1, 2, 13, 14, 15] {
        world.confirm(&pay(n), ours, "paymint");
    }
    world.confirm(&pay(3), found, "third_party");
    world.confirm(&pay(4), theirs, "third_party");
    world.mint(STRANGER, &[pay(2)]);
    world.refund(STRANGER, &pay(4), Some(pay(4).payer));
    let minted = world.mint(LANE, &[1, 2, 3, 4].map(pay));
    for (n, by) in [(1, "paymint"), (2, "third_party"), (3, "paymint")] {
        world.say(&pay(n), "mint.submitted.1", &json!({}));
        world.confirm_mint(&pay(n), minted, by);
    }
    world.say(&pay(4), "mint.submitted.1", &json!({}));
    world.confirm_refund(&pay(4), minted, "third_party");
    around(&mut world, pay);
    wanted_back(&mut world, pay);
    world.expire(&pay(8), "sold_out");
    world.around(&pay(10));
    world.settle(STRANGER, &[pay(11)]);
    let odd = Pay { value: pay(12).value + 5_000, ..pay(12) };
    world.around(&odd);
    world.credit(STRANGER, &odd, 1);
    world.mint(STRANGER, &[pay(11), odd]);
    world.withdraw(3);
    world.rest();
    world
}

/// Orders that were paid around the token: our operator finds that they wait, or a stranger's was faster.
fn around(world: &mut World, pay: impl Fn(u8) -> Pay) {
    for n in [5, 6, 7, 17] {
        let tx = world.around(&pay(n));
        world.rest();
        world.say(&pay(n), "payment.parked.1", &json!({ "reason": "paid_around_token", "txHash": tx }));
    }
    world.list(&pay(5), "payment_parked");
    world.say(&pay(6), "payment.submitted.1", &json!({}));
    let credited = world.credit(LANE, &pay(6), 1);
    world.confirm(&pay(6), credited, "third_party");
    let minted = world.mint(LANE, &[pay(6)]);
    world.confirm_mint(&pay(6), minted, "paymint");
    for n in [7, 17] {
        world.ask_back(&pay(n), "sold_out");
        world.say(&pay(n), "refund.submitted.1", &json!({}));
    }
    let ours = world.give_back(LANE, &pay(7), Some(pay(7).payer));
    world.confirm_refund(&pay(7), ours, "paymint");
    world.give_back(STRANGER, &pay(17), Some(pay(17).payer));
    let found = world.find(LANE, give_back_input(&pay(17)));
    world.confirm_refund(&pay(17), found, "third_party");
    let charged = world.around(&pay(16));
    world.give_back(STRANGER, &pay(16), Some(pay(16).payer));
    world.rest();
    world.confirm_refund(&pay(16), charged, "third_party");
}

/// Orders whose money a person wants to go back.
fn wanted_back(world: &mut World, pay: impl Fn(u8) -> Pay) {
    for n in [13, 14, 15] {
        world.ask_back(&pay(n), "operator");
    }
    world.say(&pay(13), "refund.submitted.1", &json!({}));
    let ours = world.refund(LANE, &pay(13), Some(pay(13).payer));
    world.confirm_refund(&pay(13), ours, "paymint");
    world.say(&pay(14), "refund.deferred.1", &json!({ "reason": "blacklisted" }));
    world.say(&pay(15), "refund.parked.1", &json!({ "reason": "inconsistent" }));
    world.list(&pay(15), "refund_parked");
}

/// The verdict of this check.
fn verdict(world: &World, id: &str) -> Verdict {
    judge(&world.evidence).into_iter().find(|verdict| verdict.id == id).unwrap()
}

#[test]
fn a01_a02_a03_a04_a05_a07_a08_a11_a_good_run_with_every_fate_of_a_payment_is_green() {
    let world = good();
    let verdicts = judge(&world.evidence);
    let judged = || verdicts.iter().filter(|verdict| JUDGED.contains(&verdict.id));
    assert!(judged().all(|verdict| verdict.outcome == Outcome::Green), "{}", table(&verdicts));
    assert_eq!(judged().count(), JUDGED.len());
    let notes = verdict(&world, "A05").notes.concat();
    assert!(notes.contains("1 payments that nobody ordered: 1 open units"), "{notes}");
    assert!(notes.contains("1 payments that nobody ordered: 20000 atomic units of surplus"), "{notes}");
    assert!(notes.contains("1 refunds are under way"), "{notes}");
}

#[test]
fn a05_an_open_record_that_nobody_ordered_is_noted_or_wrong_as_the_run_says() {
    let mut world = good();
    assert_eq!(verdict(&world, "A05").outcome, Outcome::Green);
    world.evidence.run.bounds.open_records = OpenRecords::Wrong;
    let found = verdict(&world, "A05").findings;
    let count = |words: &str| found.iter().filter(|finding| finding.contains(words)).count();
    assert_eq!([count("no order knows of it"), count("nobody found it"), found.len()], [1, 3, 4], "{found:?}");
}

#[test]
fn a05_a_record_of_another_amount_is_not_of_the_order_with_its_nonce() {
    let mut world = good();
    world.order(&Pay::new(22, 5));
    world.settle(STRANGER, &[Pay::new(22, 3)]);
    world.rest();
    let found = verdict(&world, "A05");
    assert_eq!(found.outcome, Outcome::Green, "{:?}", found.findings);
    assert!(found.notes.concat().contains("2 payments that nobody ordered: 4 open units"), "{:?}", found.notes);
}

#[test]
fn a05_what_is_not_deep_yet_is_owed_nothing() {
    let mut world = good();
    for n in [20, 21] {
        world.order(&Pay::new(n, 1));
    }
    world.around(&Pay::new(20, 1));
    world.settle(LANE, &[Pay::new(21, 1)]);
    let shallow = verdict(&world, "A05");
    assert_eq!(shallow.outcome, Outcome::Green, "{:?}", shallow.findings);
    world.rest();
    assert_eq!(verdict(&world, "A05").findings.len(), 2);
}

#[test]
fn a10_units_are_taken_until_the_payment_fails_or_the_money_is_back() {
    let (rows, strange) = fold(&Books::of(&good().evidence), |event| event.time);
    assert!(strange.is_empty(), "{strange:?}");
    let text = |table: &str, at: usize, column: &str| rows[table][at][column].clone().unwrap();
    // Of the 28 units that were ordered, 3 have not been paid for, and 11 went back: of 4, 7, 13, 16 and 17.
    let units = ["units_taken", "units_paid", "units_minted"].map(|column| text("token_rows", 0, column));
    assert_eq!(units, ["14", "11", "7"]);
    let parked: Vec<_> =
        rows["payment_rows"].iter().filter(|row| row["stage"].as_deref() == Some("payment_parked")).collect();
    assert!(parked.len() == 1 && parked[0]["parked_tx_hash"].is_some());
    assert_eq!(parked[0]["reason"].as_deref(), Some("paid_around_token"));
    let refunded = rows["stage_totals"].iter().find(|row| row["stage"].as_deref() == Some("refunded")).unwrap();
    assert_eq!((refunded["orders"].as_deref(), refunded["units"].as_deref()), (Some("5"), Some("11")));
}

#[test]
fn a15_a_payment_around_the_token_has_not_ended_where_an_operator_is_at_work() {
    let mut world = good();
    world.evidence.run.bounds.terminal_within_s = 3_600;
    let open = |world: &World| verdict(world, "A15").findings;
    let waits = format!("{} has not ended: its last event is refund.deferred", Pay::new(14, 1).id());
    assert_eq!(open(&world), [waits]);
    world.evidence.run.bounds.operator = true;
    assert_eq!(open(&world).len(), 2, "{:?}", open(&world));
}

/// A person may think for long. What an operator's lane decides is to be quick.
#[test]
fn a15_the_time_of_a_refund_counts_from_the_request_of_a_person() {
    let mut world = World::new();
    let pay = Pay::new(1, 1);
    world.order(&pay);
    let tx = world.settle(LANE, std::slice::from_ref(&pay));
    world.confirm(&pay, tx, "paymint");
    world.ask_back(&pay, "operator");
    let tx = world.refund(LANE, &pay, Some(pay.payer));
    world.confirm_refund(&pay, tx, "paymint");
    for message in world.evidence.stream.found.iter_mut().filter(|message| message.subject.contains("refund")) {
        message.time += TimeDelta::hours(1);
    }
    assert_eq!(verdict(&world, "A15").outcome, Outcome::Green, "{:?}", verdict(&world, "A15").findings);
    world.retell(&pay, "refund.requested", "reason", json!("sold_out"));
    let late = verdict(&world, "A15").findings.concat();
    assert!(late.contains("ended after 3605 s"), "{late}");
}
