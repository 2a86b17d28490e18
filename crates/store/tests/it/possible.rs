//! Every history that an order can have, as far as a row can tell them apart. One row that the tables refuse would stop the
//! projection permanently, so there may be none.

use crate::common::{at, begin, history, order, registered, request_with};
use alloy_primitives::B256;
use domain::event::{Deferral, OrderEvent, WaitReason};
use domain::order::{LegState, Progress, Stage};
use domain::{PaymentId, examples};
use std::collections::BTreeSet;
use store::{PaymentView, Stamp, UnitsHold, project};
use testkit::Database;

/// Every event that could follow `progress` by its number. Most of them cannot follow by its states.
fn candidates(Progress { payment, mint, refund, hold }: Progress) -> Vec<OrderEvent> {
    use OrderEvent as E;
    let (tx, why, parked, gone) = (examples::submission, examples::deferral, examples::parked, examples::reversal);
    vec![
        E::PaymentSubmitted(payment.counts.submitted + 1, tx(7)),
        E::PaymentDeferred(payment.counts.deferred + 1, why()),
        E::PaymentDeferred(payment.counts.deferred + 1, not_attempted()),
        E::PaymentParked(payment.counts.parked + 1, examples::parked_payment()),
        E::PaymentConfirmed(examples::proof()),
        E::PaymentReverted(payment.counts.reverted + 1, gone(7)),
        E::PaymentRestored(payment.counts.reverted, examples::own_proof()),
        E::PaymentFailed(examples::failure()),
        E::MintSubmitted(mint.counts.submitted + 1, tx(8)),
        E::MintDeferred(mint.counts.deferred + 1, why()),
        E::MintParked(mint.counts.parked + 1, parked()),
        E::MintRedriven(mint.counts.parked, examples::redrive()),
        E::OrderHeld(hold.count + 1, examples::order_hold()),
        E::OrderReleased(hold.count, examples::redrive()),
        E::MintConfirmed(examples::minted()),
        E::MintReverted(mint.counts.reverted + 1, gone(8)),
        E::MintRestored(mint.counts.reverted, examples::own_mint()),
        E::RefundRequested(examples::refund_request()),
        E::RefundSubmitted(refund.counts.submitted + 1, tx(9)),
        E::RefundDeferred(refund.counts.deferred + 1, why()),
        E::RefundParked(refund.counts.parked + 1, parked()),
        E::RefundRedriven(refund.counts.parked, examples::redrive()),
        E::RefundConfirmed(examples::refunded()),
        E::RefundReverted(refund.counts.reverted + 1, gone(9)),
        E::RefundRestored(refund.counts.reverted, examples::refunded()),
    ]
}

/// The reason for which a payment waits and keeps its units.
fn not_attempted() -> Deferral {
    Deferral { reason: WaitReason::NotAttempted, ..examples::deferral() }
}

/// Everything about a row that the tables' rules look at: states, which values are there, and if units are held.
fn shape(row: &PaymentView) -> (Vec<&'static str>, Vec<bool>) {
    let legs = row.progress();
    let state = |state: LegState| match state {
        LegState::Unasked => "unasked",
        LegState::Owed => "owed",
        LegState::Submitted => "submitted",
        LegState::Deferred => "deferred",
        LegState::Parked => "parked",
        LegState::Done => "done",
        LegState::Reverted => "reverted",
        LegState::Failed => "failed",
    };
    let states = vec![state(legs.payment.state), state(legs.mint.state), state(legs.refund.state), row.stage.name()];
    let counted = [legs.payment, legs.mint, legs.refund].map(|leg| leg.counts.reverted > 0);
    let there = [
        row.reason.is_some(),
        row.detail.is_some(),
        row.parked_tx_hash.is_some(),
        row.retry_at.is_some(),
        row.settle_signer.is_some(),
        row.settle_tx_hash.is_some(),
        row.settle_block_hash.is_some(),
        row.paid_at.is_some(),
        row.failed_block_hash.is_some(),
        row.mint_signer.is_some(),
        row.mint_tx_hash.is_some(),
        row.minted_at.is_some(),
        row.refund_reason.is_some(),
        row.refund_signer.is_some(),
        row.refund_tx_hash.is_some(),
        row.refund_block_hash.is_some(),
        row.refunded_at.is_some(),
        row.hold().holds(),
        row.held_by.is_some(),
    ];
    (states, counted.into_iter().chain(there).collect())
}

/// One history for every shape that a row can have.
fn histories(id: PaymentId, request: &OrderEvent) -> Vec<Vec<OrderEvent>> {
    let stamp = |seq| Stamp { seq, recorded_at: at(seq) };
    let first = project(None, id, request, stamp(1)).unwrap();
    let (mut seen, mut found) = (BTreeSet::from([shape(&first)]), vec![(first, Vec::new())]);
    let mut next = 0;
    while next < found.len() {
        let (row, events) = found[next].clone();
        next += 1;
        for event in candidates(row.progress()) {
            let Ok(after) = project(Some(&row), id, &event, stamp(row.last_seq + 1)) else { continue };
            if seen.insert(shape(&after)) {
                found.push((after, events.iter().cloned().chain([event]).collect()));
            }
        }
    }
    found.into_iter().map(|(_, events)| events).collect()
}

#[tokio::test]
async fn no_possible_history_is_refused_by_the_tables() {
    let database = Database::start().await;
    let start = begin(&database.store).await;
    let mut position = database.store.apply(&history(1, [registered()]), &start).await.unwrap().position;
    let request = examples::request();
    let histories = histories(request.id(), &OrderEvent::PaymentRequested(Box::new(request)));
    let mut events = Vec::new();
    for (n, history) in (1_u64..).zip(&histories) {
        let request = request_with(B256::left_padding_from(&n.to_be_bytes()));
        let id = request.id();
        events.push(order(id, OrderEvent::PaymentRequested(Box::new(request))));
        events.extend(history.iter().map(|event| order(id, event.clone())));
    }
    for batch in history(2, events).chunks(1_000) {
        let applied = database.store.apply(batch, &position).await.unwrap();
        assert_eq!(applied.set_aside, []);
        position = applied.position;
    }
    let totals = database.store.overview().await.unwrap().stages;
    assert_eq!(totals.values().map(|total| total.orders).sum::<u64>(), u64::try_from(histories.len()).unwrap());
    assert!(Stage::ALL.iter().all(|stage| totals[stage].orders > 0), "every stage was there: {totals:?}");
}

/// A process that follows the ledger counts by events, and the rows count by the states of the legs.
#[test]
fn an_order_holds_its_units_by_its_events_as_by_its_row() {
    let request = examples::request();
    let (id, request) = (request.id(), OrderEvent::PaymentRequested(Box::new(request)));
    let mut held = BTreeSet::new();
    for history in histories(id, &request) {
        let (mut row, mut hold) = (None, UnitsHold::NONE);
        for (seq, event) in (1..).zip([&request].into_iter().chain(&history)) {
            let after = project(row.as_ref(), id, event, Stamp { seq, recorded_at: at(seq) }).unwrap();
            hold = hold.after(event);
            assert_eq!(hold, after.hold(), "after {:?} of {history:?}", event.name());
            held.insert((after.stage, hold.holds()));
            row = Some(after);
        }
    }
    let both = [Stage::Deferred, Stage::Reverted, Stage::Settling]
        .map(|stage| [true, false].map(|holds| held.contains(&(stage, holds))));
    assert_eq!(both, [[true, true], [true, false], [true, false]], "only what waits gives units back");
}
