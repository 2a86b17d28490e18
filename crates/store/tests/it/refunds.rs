//! The rows of orders whose money goes back: asked for, on its way, back, and back in the chain or out of it.

use crate::common::{at, begin, history, order, registered, request};
use domain::Stage as S;
use domain::event::{Actor, Deferral, OrderEvent, RefundReason, RefundRequest, Refunded, WaitReason};
use domain::order::LegState as L;
use domain::{Event, PaymentId, Usdc, examples};
use sqlx::{Connection, PgConnection};
use store::{PaymentView, WaitStage};
use testkit::Database;

/// An order after its request: its further events, the stage that they lead to, the state of the refund, and the reason in
/// the row.
pub struct Ending {
    pub events: Vec<OrderEvent>,
    stage: S,
    refund: L,
    reason: Option<&'static str>,
}

pub fn endings() -> Vec<Ending> {
    use OrderEvent::{
        MintDeferred, MintParked, MintSubmitted, PaymentConfirmed, PaymentDeferred, PaymentParked, PaymentRestored,
        PaymentReverted, RefundConfirmed, RefundDeferred, RefundParked, RefundRequested, RefundRestored,
        RefundReverted, RefundSubmitted,
    };
    let paid = || PaymentConfirmed(examples::proof());
    let asked = || RefundRequested(examples::refund_request());
    let sent = |n| RefundSubmitted(n, examples::submission(9));
    let refused = |n| RefundDeferred(n, blacklisted());
    let back = || RefundConfirmed(examples::refunded());
    let gone = |n| RefundReverted(n, examples::reversal(9));
    let waits = || PaymentDeferred(1, examples::deferral());
    let paid_gone = || PaymentReverted(1, examples::reversal(7));
    let around = || PaymentParked(1, examples::parked_payment());
    let sold_out = || RefundRequested(RefundRequest { reason: RefundReason::SoldOut, ..examples::refund_request() });
    let end = |stage, refund, reason, events: Vec<OrderEvent>| Ending { events, stage, refund, reason };
    vec![
        end(S::RefundRequested, L::Owed, None, vec![paid(), asked()]),
        end(S::Refunding, L::Submitted, None, vec![paid(), asked(), sent(1)]),
        end(S::RefundDeferred, L::Deferred, Some("blacklisted"), vec![paid(), asked(), refused(1)]),
        end(
            S::RefundParked,
            L::Parked,
            Some("inconsistent"),
            vec![paid(), asked(), sent(1), RefundParked(1, parked())],
        ),
        end(S::Refunded, L::Done, None, vec![paid(), asked(), refused(1), sent(1), back()]),
        end(S::Refunding, L::Reverted, None, vec![paid(), asked(), sent(1), back(), gone(1)]),
        end(S::Refunded, L::Done, None, vec![paid(), back(), gone(1), RefundRestored(1, examples::refunded())]),
        // A mint that waits does so no longer.
        end(S::RefundRequested, L::Owed, None, vec![paid(), MintDeferred(1, examples::deferral()), asked()]),
        // The payer's own way out, from a mint that is parked, and from one that is in a transaction.
        end(S::Refunded, L::Done, None, vec![paid(), MintParked(1, examples::parked()), back()]),
        end(
            S::Refunded,
            L::Done,
            None,
            vec![paid(), MintSubmitted(1, examples::submission(8)), back(), MintDeferred(1, examples::deferral())],
        ),
        // Charged around the token, and given back.
        end(S::RefundRequested, L::Owed, None, vec![around(), sold_out()]),
        end(S::RefundDeferred, L::Deferred, Some("blacklisted"), vec![around(), sold_out(), refused(1)]),
        end(S::Refunded, L::Done, None, vec![around(), sold_out(), refused(1), sent(1), back()]),
        // Credited after all: recorded, and on its way back all the same.
        end(S::RefundRequested, L::Owed, None, vec![around(), sold_out(), paid()]),
        // A payment that waits keeps its reason while its payer has the money back.
        end(S::Refunded, L::Done, Some("unfunded"), vec![waits(), back()]),
        end(S::Deferred, L::Reverted, Some("unfunded"), vec![waits(), back(), gone(1)]),
        end(S::Refunded, L::Done, Some("unfunded"), vec![paid(), back(), paid_gone(), waits()]),
        end(S::Deferred, L::Owed, Some("unfunded"), vec![paid(), asked(), sent(1), paid_gone(), waits(), refused(1)]),
        end(S::Reverted, L::Owed, None, vec![paid(), asked(), refused(1), paid_gone()]),
        end(
            S::RefundRequested,
            L::Owed,
            None,
            vec![paid(), asked(), refused(1), paid_gone(), PaymentRestored(1, examples::own_proof())],
        ),
    ]
}

fn blacklisted() -> Deferral {
    Deferral { reason: WaitReason::Blacklisted, ..examples::deferral() }
}

fn parked() -> domain::event::Parked {
    domain::event::Parked { tx_hash: Some(examples::submission(9).tx_hash), ..examples::parked() }
}

fn story(n: u8, events: Vec<OrderEvent>) -> (PaymentId, Vec<Event>) {
    let request = request(n);
    let id = request.id();
    let events = [OrderEvent::PaymentRequested(Box::new(request))].into_iter().chain(events);
    (id, events.map(|event| order(id, event)).collect())
}

#[tokio::test]
async fn every_way_of_a_refund_has_its_row() {
    let database = Database::start().await;
    let mut position = begin(&database.store).await;
    for (n, ending) in (0..).zip(endings()) {
        let (id, events) = story(n, ending.events);
        position = database.store.apply(&history(position.seq + 1, events), &position).await.unwrap().position;
        let row = database.store.payment(id).await.unwrap().unwrap();
        assert_eq!(
            (row.stage, row.refund_state, row.reason.as_deref()),
            (ending.stage, ending.refund, ending.reason),
            "{n}"
        );
        let waits = [row.payment_state, row.mint_state, row.refund_state].contains(&L::Deferred);
        assert_eq!(row.retry_at, waits.then(|| examples::deferral().retry_at), "{n}");
        assert_eq!(row.parked_tx_hash, (ending.refund == L::Parked).then(|| parked().tx_hash).flatten(), "{n}");
        let evidence = (row.refunded_by, row.refund_amount, row.refund_block_number, row.refunded_at.is_some());
        let back = (Some(Actor::Paymint), Some(Usdc(100_000)), Some(41), true);
        assert_eq!(evidence, if ending.refund == L::Done { back } else { (None, None, None, false) }, "{n}");
        let shown = row.clone().shown();
        let told =
            if ending.stage == S::Refunded { (None, None, None) } else { (row.reason, row.detail, row.retry_at) };
        assert_eq!((shown.reason, shown.detail, shown.retry_at), told, "{n}");
    }
    assert_eq!(database.store.set_aside(10).await.unwrap(), []);
}

#[tokio::test]
async fn a_refunded_order_says_who_decided_who_returned_what_and_when() {
    let database = Database::start().await;
    let start = begin(&database.store).await;
    let hostile = RefundRequest { by: "a\0b".to_owned(), detail: "c\0d".to_owned(), ..examples::refund_request() };
    let found =
        Refunded { refunded_by: Actor::ThirdParty, tx_hash: examples::submission(8).tx_hash, ..examples::refunded() };
    let (id, events) = story(
        1,
        vec![
            OrderEvent::PaymentConfirmed(examples::proof()),
            OrderEvent::RefundRequested(hostile),
            OrderEvent::RefundSubmitted(1, examples::submission(9)),
            OrderEvent::RefundConfirmed(found),
            OrderEvent::RefundReverted(1, examples::reversal(9)),
            OrderEvent::RefundRestored(1, examples::refunded()),
        ],
    );
    let story = history(1, events);
    let sent = database.store.apply(&story[..4], &start).await.unwrap().position;
    let row = async || database.store.payment(id).await.unwrap().unwrap();
    let lane = |row: &PaymentView| (row.refund_signer, row.refund_nonce, row.refund_tx_hash);
    let ours = (Some(examples::SIGNER), Some(9), Some(examples::submission(9).tx_hash));
    assert_eq!((row().await.refund_attempts, lane(&row().await)), (1, ours));
    let found = database.store.apply(&story[..5], &sent).await.unwrap().position;
    let back = row().await;
    assert_eq!(lane(&back), (None, None, Some(examples::submission(8).tx_hash)), "no transaction of that lane");
    assert_eq!((back.refunded_by, back.refund_amount), (Some(Actor::ThirdParty), Some(Usdc(100_000))));
    assert_eq!(back.refunded_at, Some(chrono::SubsecRound::trunc_subsecs(at(5), 6)));
    assert_eq!(back.refund_reason, Some(RefundReason::Operator));
    assert_eq!((back.refund_by.as_deref(), back.refund_detail.as_deref()), (Some("a\u{fffd}b"), Some("c\u{fffd}d")));
    let gone = database.store.apply(&story[..6], &found).await.unwrap().position;
    let again = row().await;
    assert_eq!((again.stage, lane(&again), again.refunded_at), (S::Refunding, ours, None));
    assert_eq!((again.refund_amount, again.refund_block_hash, again.refunded_by), (None, None, None));
    database.store.apply(&story, &gone).await.unwrap();
    let restored = row().await;
    assert_eq!((restored.stage, lane(&restored), restored.refund_reversions), (S::Refunded, ours, 1));
    assert_eq!(restored.refund_block_hash, Some(examples::refunded().block.hash));
}

/// A process that starts sells the rest: the rows must have counted every step.
#[tokio::test]
async fn units_come_back_with_the_money_and_are_taken_again_if_the_refund_falls_out_of_the_chain() {
    let database = Database::start().await;
    let start = begin(&database.store).await;
    let mut position = database.store.apply(&history(1, [registered()]), &start).await.unwrap().position;
    let mut step = async |event| {
        let story = history(position.seq + 1, [order(request(1).id(), event)]);
        position = database.store.apply(&story, &position).await.unwrap().position;
        let token = database.store.token(examples::TOKEN).await.unwrap().unwrap();
        (token.units_taken, token.units_paid, token.units_minted)
    };
    assert_eq!(step(OrderEvent::PaymentRequested(Box::new(request(1)))).await, (10, 0, 0));
    assert_eq!(step(OrderEvent::PaymentConfirmed(examples::proof())).await, (10, 10, 0));
    assert_eq!(step(OrderEvent::RefundRequested(examples::refund_request())).await, (10, 10, 0));
    assert_eq!(step(OrderEvent::RefundSubmitted(1, examples::submission(9))).await, (10, 10, 0));
    assert_eq!(step(OrderEvent::RefundConfirmed(examples::refunded())).await, (0, 0, 0), "the money is back");
    assert_eq!(step(OrderEvent::RefundReverted(1, examples::reversal(9))).await, (10, 10, 0), "and no longer");
    assert_eq!(step(OrderEvent::RefundRestored(1, examples::refunded())).await, (0, 0, 0));
    assert_eq!(step(OrderEvent::PaymentReverted(1, examples::reversal(7))).await, (0, 0, 0));
    assert_eq!(step(OrderEvent::RefundReverted(2, examples::reversal(9))).await, (10, 0, 0));
    assert_eq!(step(OrderEvent::PaymentRestored(1, examples::own_proof())).await, (10, 10, 0));
    assert_eq!(step(OrderEvent::MintConfirmed(examples::minted())).await, (10, 10, 10), "minted after all");
}

#[tokio::test]
async fn an_operators_lane_finds_what_waits_for_it_and_nothing_else() {
    let database = Database::start().await;
    let start = begin(&database.store).await;
    let mut events = Vec::new();
    let mut expected = Vec::new();
    for (n, ending) in (0..).zip(endings()) {
        let (id, story) = story(n, ending.events);
        events.extend(story);
        expected.extend(matches!(ending.stage, S::RefundRequested | S::RefundDeferred).then_some(id));
    }
    let (parked, story) = story(200, vec![OrderEvent::PaymentParked(1, examples::parked_payment())]);
    events.extend(story);
    expected.push(parked);
    database.store.apply(&history(1, events), &start).await.unwrap();
    let waiting = database.store.waiting(WaitStage::Refund, None, 0, 100).await.unwrap();
    assert_eq!(waiting.iter().map(|waiting| waiting.id).collect::<Vec<_>>(), expected);
    let open = database.store.standing().await.unwrap().open;
    let back = |id: &PaymentId| open.iter().find(|open| open.id == *id).unwrap().goes_back;
    assert!(expected.iter().all(|id| back(id) == (*id != parked)), "a payment that is parked may still be credited");
    assert!(!open.iter().any(|open| open.stage == S::Refunded));
}

/// The tables refuse what no fold of ours writes.
#[tokio::test]
async fn a_refund_without_the_evidence_of_its_state_is_refused() {
    let database = Database::start().await;
    let start = begin(&database.store).await;
    let refunded = endings().swap_remove(4).events;
    database.store.apply(&history(1, [registered()].into_iter().chain(story(1, refunded).1)), &start).await.unwrap();
    let mut connection = PgConnection::connect(&database.server.url()).await.unwrap();
    let statements = [
        "UPDATE payments SET refund_amount = NULL",
        "UPDATE payments SET refunded_by = NULL",
        "UPDATE payments SET refunded_at = NULL",
        "UPDATE payments SET refunded_by = 'somebody'",
        "UPDATE payments SET refund_reason = NULL",
        "UPDATE payments SET refund_reason = 'whim'",
        "UPDATE payments SET refund_by = NULL",
        "UPDATE payments SET refund_state = 'unasked'",
        "UPDATE payments SET refund_state = 'owed'",
        "UPDATE payments SET payment_state = 'unasked'",
        "UPDATE payments SET mint_state = 'unasked'",
        "UPDATE payments SET refund_attempts = -1",
        "UPDATE payments SET reason = 'blacklisted', detail = ''",
        "UPDATE payments SET retry_at = paid_at",
        "UPDATE payments SET mint_state = 'done', mint_tx_hash = settle_tx_hash, mint_block_number = 1, \
         mint_block_hash = settle_block_hash, minted_by = 'paymint', minted_at = paid_at",
        "UPDATE tokens SET units_paid = 10",
    ];
    for statement in statements {
        let refused = sqlx::raw_sql(statement).execute(&mut connection).await.unwrap_err();
        let code = refused.as_database_error().and_then(|e| e.code()).unwrap_or_default().into_owned();
        assert_eq!(code, "23514", "{statement}: {refused}");
    }
}
