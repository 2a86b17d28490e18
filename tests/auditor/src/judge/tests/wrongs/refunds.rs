//! Refunds that are not as the ledger says (A05), or as the token's record says (A03), and refunds of what is minted.

use super::{found, new, old};
use crate::decode::abi::{Said, said};
use crate::evidence::tokens::RecordState;
use crate::judge::tests::{good, verdict};
use crate::world::{LANE, PRICE, Pay, STRANGER, World, refund_input};
use alloy_primitives::{Address, B256};
use serde_json::json;

/// An order that we charged, that its buyer wants to give up, and whose refund pays this account.
fn refunded(world: &mut World, to: Option<Address>) -> B256 {
    world.order(&new());
    let tx = world.settle(LANE, &[new()]);
    world.confirm(&new(), tx, "paymint");
    world.ask_back(&new(), "operator");
    world.refund(LANE, &new(), to)
}

#[test]
fn a05_a_refund_that_is_not_as_the_ledger_says_is_found() {
    found(&[
        (
            "open",
            |world| world.record(&old(13)).state = RecordState::Open,
            "A05",
            "refunded, says the ledger, and the record says Some(Open)",
        ),
        (
            "never paid",
            |world| {
                world.order(&new());
                let ours = world.find(LANE, refund_input(&new()));
                world.confirm_refund(&new(), ours, "paymint");
            },
            "A05",
            "refunded, says the ledger, and the record says None",
        ),
        (
            "no log",
            |world| {
                let key = old(13).key();
                let logs = &mut world.evidence.chain.logs;
                logs.retain(|log| !matches!(said(log), Some(Said::Refunded { key: of, .. }) if of == key));
            },
            "A05",
            "refunded, says the ledger, and no log of",
        ),
        (
            "no money",
            |world| {
                let tx = refunded(world, None);
                world.confirm_refund(&new(), tx, "paymint");
            },
            "A05",
            "refunded, says the ledger, and no money went to",
        ),
        (
            "money for somebody else",
            |world| {
                let tx = refunded(world, Some(STRANGER));
                world.confirm_refund(&new(), tx, "paymint");
            },
            "A05",
            "refunded, says the ledger, and no money went to",
        ),
        (
            "surplus given to nobody",
            |world| {
                world.order(&new());
                let around = world.around(&new());
                world.give_back(STRANGER, &new(), None);
                world.confirm_refund(&new(), around, "third_party");
            },
            "A05",
            "refunded, says the ledger, and no money went to",
        ),
        (
            "another amount",
            |world| world.retell(&old(13), "refund.confirmed", "amount", json!("1")),
            "A05",
            "the ledger has",
        ),
        (
            "another recipient",
            |world| world.retell(&old(7), "refund.confirmed", "to", json!(STRANGER)),
            "A05",
            "the ledger has",
        ),
        (
            "minted",
            |world| {
                let tx = world.mint(LANE, &[old(9)]);
                world.confirm_refund(&old(1), tx, "third_party");
            },
            "A05",
            "refunded, says the ledger, and the record says Some(Minted)",
        ),
        (
            "made by us, and not said",
            |world| {
                refunded(world, Some(new().payer));
            },
            "A05",
            "and the ledger does not say so",
        ),
    ]);
}

#[test]
fn a05_a_refund_that_names_a_transaction_which_did_not_make_it_or_find_it_is_found() {
    found(&[
        (
            "a stranger's, as our own",
            |world| world.retell(&old(4), "refund.confirmed", "refundedBy", json!("paymint")),
            "A05",
            "refunded by our own",
        ),
        (
            "our own, as a stranger's",
            |world| world.retell(&old(13), "refund.confirmed", "refundedBy", json!("third_party")),
            "A05",
            "is our own",
        ),
        (
            "another block",
            |world| world.retell(&old(7), "refund.confirmed", "block", json!({ "number": 1, "hash": B256::ZERO })),
            "A05",
            "not in the block that it names",
        ),
        (
            "found by a transaction that has other payments",
            |world| {
                let other = world.find(LANE, refund_input(&old(13)));
                world.point(&old(4), "refund.confirmed", other);
            },
            "A05",
            "did not find it so",
        ),
        (
            "found by a transaction that was before it",
            |world| {
                world.order(&new());
                world.settle(STRANGER, &[new()]);
                let before = world.find(LANE, refund_input(&new()));
                world.refund(STRANGER, &new(), Some(new().payer));
                world.confirm_refund(&new(), before, "third_party");
            },
            "A05",
            "did not find it so",
        ),
        (
            "found by the payment, and recorded",
            |world| {
                world.order(&new());
                let charged = world.settle(STRANGER, &[new()]);
                world.refund(STRANGER, &new(), Some(new().payer));
                world.confirm_refund(&new(), charged, "third_party");
            },
            "A05",
            "did not find it so",
        ),
    ]);
    let mut world = good();
    world.evidence.chain.finalized = 0;
    let early = verdict(&world, "A05").findings.concat();
    assert!(early.contains("which is not final"), "given back by a stranger: {early}");
}

#[test]
fn a03_a04_a11_a_refund_of_another_amount_or_of_what_is_minted_is_found() {
    found(&[
        (
            "a part",
            |world| {
                let two = Pay::new(20, 2);
                world.settle(LANE, &[two]);
                world.refund(LANE, &Pay { value: PRICE, ..new() }, Some(new().payer));
            },
            "A03",
            "is due to",
        ),
        (
            "minted by the chain, then refunded",
            |world| {
                world.settle(LANE, &[new()]);
                world.mint(LANE, &[new()]);
                world.refund(LANE, &new(), Some(new().payer));
            },
            "A04",
            "and refunded in",
        ),
        (
            "refunded by the chain, then minted",
            |world| {
                world.record(&old(13)).state = RecordState::Open;
                let tx = world.mint(LANE, &[old(13)]);
                world.confirm_mint(&old(13), tx, "paymint");
            },
            "A04",
            "and refunded in",
        ),
        (
            "minted after the refund, says the ledger",
            |world| {
                let tx = world.mint(LANE, &[old(9)]);
                world.confirm_mint(&old(13), tx, "paymint");
            },
            "A11",
            "after refunded",
        ),
        (
            "refunded after the mint, says the ledger",
            |world| {
                let tx = world.find(LANE, refund_input(&old(1)));
                world.confirm_refund(&old(1), tx, "paymint");
            },
            "A11",
            "after minted",
        ),
    ]);
}
