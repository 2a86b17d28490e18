//! Money and records of tokens (A03).

use super::{found, new, old};
use crate::books::Books;
use crate::evidence::chain::Log;
use crate::evidence::tokens::{Record, RecordState};
use crate::judge::tests::verdict;
use crate::verdict::Outcome;
use crate::world::{MintToken, PRICE, Pay, STRANGER, TOKEN, TREASURY, World, log};
use alloy_primitives::U256;

#[test]
fn a03_money_that_came_or_went_without_a_reason_is_found() {
    found(&[
        (
            "a gift",
            |world| {
                let logs = vec![world.transfer(STRANGER, TOKEN, 5)];
                world.tx(STRANGER, TOKEN, Vec::new(), logs);
            },
            "A03",
            "beside what the pairs brought",
        ),
        (
            "money that left",
            |world| {
                let logs = vec![world.transfer(TOKEN, STRANGER, 5)];
                world.tx(STRANGER, TOKEN, Vec::new(), logs);
            },
            "A03",
            "what has left",
        ),
        (
            "a refund without money",
            |world| {
                world.settle(STRANGER, &[new()]);
                world.refund(STRANGER, &new(), None);
            },
            "A03",
            "as a refund, and no transfer did it",
        ),
        (
            "a refund to somebody else",
            |world| {
                world.settle(STRANGER, &[new()]);
                world.refund(STRANGER, &new(), Some(STRANGER));
            },
            "A03",
            "as a refund, and no transfer did it",
        ),
        (
            "a return without money",
            |world| {
                world.around(&new());
                world.give_back(STRANGER, &new(), None);
            },
            "A03",
            "as a payment that is given back, and no transfer did it",
        ),
        (
            "a fee that went to somebody else",
            |world| {
                let to = STRANGER.into_word();
                let fee = |log: &&mut Log| log.topics.get(2) == Some(&TREASURY.into_word());
                world.evidence.chain.logs.iter_mut().find(fee).unwrap().topics[2] = to;
            },
            "A03",
            "went to the treasury as the fee, and no transfer did it",
        ),
        (
            "a balance that is too small",
            |world| *world.evidence.chain.asset.get_mut(&TOKEN).unwrap() -= U256::ONE,
            "A03",
            "balance of",
        ),
        ("a wrong count of open units", |world| world.token().open += U256::ONE, "A03", "open units of"),
        ("a wrong count of minted units", |world| world.token().units_minted += U256::ONE, "A03", "minted units of"),
        ("a wrong surplus", |world| world.token().surplus += U256::ONE, "A03", "surplus of"),
        ("a fee that nobody owes", |world| world.token().fee_owed += U256::ONE, "A03", "fee that"),
        (
            "more withdrawn than earned",
            |world| {
                world.around(&Pay::new(21, 90));
                world.withdraw(50);
            },
            "A03",
            "was withdrawn from",
        ),
    ]);
}

#[test]
fn a03_a_record_that_is_not_of_its_payment_is_found() {
    found(&[
        (
            "a credit without a payment",
            |world| {
                world.cancel(&new());
                world.credit(STRANGER, &new(), 1);
            },
            "A03",
            "credited to",
        ),
        (
            "surplus that was given to somebody else",
            |world| {
                let thief = Pay { value: old(10).value, ..Pay::new(21, 1) };
                world.cancel(&thief);
                world.give_back(STRANGER, &thief, Some(thief.payer));
            },
            "A03",
            "given back to",
        ),
        (
            "a part of a payment given back",
            |world| {
                world.around(&new());
                let part = Pay { value: PRICE / 2, ..new() };
                world.give_back(STRANGER, &part, Some(part.payer));
            },
            "A03",
            "which cost",
        ),
        (
            "credited before it was paid",
            |world| {
                world.credit(STRANGER, &new(), 1);
                world.around(&new());
            },
            "A03",
            "otherwise than",
        ),
        (
            "credited twice",
            |world| {
                world.around(&new());
                world.credit(STRANGER, &new(), 1);
                world.credit(STRANGER, &new(), 1);
            },
            "A03",
            "was credited 2 times",
        ),
        (
            "a refund of what was never recorded",
            |world| {
                world.settle(STRANGER, &[new()]);
                world.refund(STRANGER, &new(), Some(new().payer));
                world.token().records.remove(&new().key());
            },
            "A03",
            "which has no record of it",
        ),
        (
            "a record of a payment around the token",
            |world| {
                world.around(&new());
                let at = world.evidence.chain.blocks.last().unwrap().time;
                let record = Record { payer: new().payer, units: U256::ONE, paid_at: at, state: RecordState::Open };
                world.token().records.insert(new().key(), record);
            },
            "A03",
            "no settlement of the token made the payment",
        ),
        ("another payer", |world| world.record(&old(9)).payer = STRANGER, "A03", "and the record is of"),
        (
            "another quantity",
            |world| world.record(&old(9)).units = U256::from(9),
            "A03",
            "was paid for 9 units, which cost",
        ),
        ("another time", |world| world.record(&old(9)).paid_at = 1, "A03", "recorded at 1, and block"),
        (
            "refunded by the record alone",
            |world| world.record(&old(9)).state = RecordState::Refunded,
            "A03",
            "says Refunded, and no log says so",
        ),
        (
            "minted by the record alone",
            |world| world.record(&old(9)).state = RecordState::Minted,
            "A03",
            "says Minted, and no log says so",
        ),
        (
            "refunded, and open again",
            |world| world.record(&old(4)).state = RecordState::Open,
            "A03",
            "and the record says Open",
        ),
        ("a strange state", |world| world.record(&old(9)).state = RecordState::Strange, "A03", "says Strange"),
    ]);
}

/// The fee lay at the token's address before the token did, which no log of a payment tells.
#[test]
fn a03_a_fee_that_lay_there_is_no_surplus() {
    let mut world = World::new();
    let logs = &mut world.evidence.chain.logs;
    let used = logs.iter().position(|log| log.topics.len() == 3 && log.data.is_empty()).unwrap();
    logs.remove(used);
    world.rest();
    assert_eq!(verdict(&world, "A03").outcome, Outcome::Green, "{:?}", verdict(&world, "A03").findings);
    let books = Books::of(&world.evidence);
    assert!(books.fee(TOKEN).is_none());
    let owed = log(TOKEN, &MintToken::FeeOwed { amount: U256::from(7) });
    world.tx(STRANGER, TOKEN, Vec::new(), vec![owed]);
    let found = verdict(&world, "A03").findings.concat();
    assert!(found.contains("fee that"), "{found}");
}
