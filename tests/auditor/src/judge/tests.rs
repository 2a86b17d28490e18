//! A good run in memory, and the same with one wrong at a time: the checks of money, records and mints.

mod wrongs;

use super::fold::fold;
use super::judge;
use crate::books::Books;
use crate::run::OpenRecords;
use crate::verdict::{Outcome, Verdict, table};
use crate::world::{LANE, Pay, STRANGER, World};
use serde_json::json;

/// Checks that a run in memory has evidence for.
const JUDGED: [&str; 7] = ["A01", "A02", "A03", "A04", "A05", "A07", "A08"];

/// A run with every fate of a payment. The orders, by the number of their payers: 1 is ours throughout; 2 was minted by a
/// stranger, and 3 settled by one, before us; 4 was settled by a stranger without us, and refunded; 5 to 7 were paid
/// around the token, then credited (6) and given back (7); 8 has expired. Nobody ordered 9 to 12: settled, paid around,
/// settled and minted, credited with change and minted.
fn good() -> World {
    let mut world = World::new();
    let pay = |n: u8| Pay::new(n, 1 + u64::from(n) % 3);
    for n in 1..=8 {
        world.order(&pay(n));
    }
    let ours = world.settle(LANE, &[pay(1), pay(2)]);
    world.settle(STRANGER, &[pay(3), pay(4)]);
    let found = world.settle_through_hub(LANE, &[pay(3)]);
    let strangers = world.settle(STRANGER, &[pay(9)]);
    assert_ne!(strangers, found);
    world.rest();
    for (n, tx, by) in [(1, ours, "paymint"), (2, ours, "paymint"), (3, found, "third_party")] {
        world.confirm(&pay(n), tx, by);
    }
    let settled_four = world.evidence.chain.txs[2].hash;
    world.confirm(&pay(4), settled_four, "third_party");
    world.mint(STRANGER, &[pay(2)]);
    let minted = world.mint(LANE, &[pay(1), pay(2), pay(3)]);
    for (n, by) in [(1, "paymint"), (2, "third_party"), (3, "paymint")] {
        world.say(&pay(n), "mint.submitted.1", &json!({}));
        world.confirm_mint(&pay(n), minted, by);
    }
    world.refund(&pay(4), Some(pay(4).payer));
    world.say(&pay(4), "mint.parked.1", &json!({ "reason": "money_back" }));
    world.list(&pay(4), "mint_parked");
    for n in 5..=7 {
        let tx = world.around(&pay(n));
        world.rest();
        world.say(&pay(n), "payment.parked.1", &json!({ "reason": "paid_around_token", "txHash": tx }));
    }
    world.list(&pay(5), "payment_parked");
    world.list(&pay(7), "payment_parked");
    let credited = world.credit(&pay(6), 1);
    world.confirm(&pay(6), credited, "third_party");
    world.give_back(&pay(7), Some(pay(7).payer));
    let minted = world.mint(LANE, &[pay(6)]);
    world.confirm_mint(&pay(6), minted, "paymint");
    world.expire(&pay(8), "sold_out");
    world.around(&pay(10));
    world.settle(STRANGER, &[pay(11)]);
    let odd = Pay { value: pay(12).value + 5_000, ..pay(12) };
    world.around(&odd);
    world.credit(&odd, 1);
    world.mint(STRANGER, &[pay(11), odd]);
    world.withdraw(3);
    world.rest();
    world
}

/// The verdict of this check.
fn verdict(world: &World, id: &str) -> Verdict {
    judge(&world.evidence).into_iter().find(|verdict| verdict.id == id).unwrap()
}

#[test]
fn a01_a02_a03_a04_a05_a07_a08_a_good_run_with_every_fate_of_a_payment_is_green() {
    let world = good();
    let verdicts = judge(&world.evidence);
    let judged = || verdicts.iter().filter(|verdict| JUDGED.contains(&verdict.id));
    assert!(judged().all(|verdict| verdict.outcome == Outcome::Green), "{}", table(&verdicts));
    assert_eq!(judged().count(), JUDGED.len());
    let notes = verdict(&world, "A05").notes.concat();
    assert!(notes.contains("1 payments that nobody ordered: 1 open units"), "{notes}");
    assert!(notes.contains("1 payments that nobody ordered: 20000 atomic units of surplus"), "{notes}");
}

#[test]
fn a05_an_open_record_that_nobody_ordered_is_noted_or_wrong_as_the_run_says() {
    let mut world = good();
    assert_eq!(verdict(&world, "A05").outcome, Outcome::Green);
    world.evidence.run.bounds.open_records = OpenRecords::Wrong;
    let found = verdict(&world, "A05").findings;
    assert!(found.len() == 1 && found[0].contains("no order knows of it"), "{found:?}");
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
    // Ordered were 2, 3, 1, 2, 3, 1, 2 and 3 units; the fourth payer has the money back, the eighth has not paid.
    let units = ["units_taken", "units_paid", "units_minted"].map(|column| text("token_rows", 0, column));
    assert_eq!(units, ["12", "9", "7"]);
    let parked = rows["payment_rows"].iter().filter(|row| row["stage"].as_deref() == Some("payment_parked"));
    assert!(parked.clone().count() == 2 && parked.clone().all(|row| row["parked_tx_hash"].is_some()));
    assert!(parked.clone().all(|row| row["reason"].as_deref() == Some("paid_around_token")));
}
