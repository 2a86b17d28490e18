//! From events to rows: what the API shows, and that a rebuild shows the same.

use crate::common::{at, begin, history, minted_order, order, recorded, registered, request};
use crate::refunds;
use domain::event::{Actor, Deferral, FailureReason, OrderEvent, PaymentFailure, PaymentProof, WaitReason};
use domain::order::LegState as L;
use domain::{Event, PaymentId, Recorded, Stage, examples};
use sqlx::{Connection, PgConnection};
use store::{CONNECTIONS, PaymentView, READ_MODELS, Stamp, Store, project_history};
use testkit::Database;

/// Three orders in every condition, interleaved.
fn busy_ledger() -> Vec<Recorded> {
    let mut lines: Vec<Vec<Event>> = (1..=40).map(|n| minted_order(n).1).collect();
    for (n, tail) in endings().into_iter().enumerate() {
        let request = request(u8::try_from(100 + n).unwrap());
        let id = request.id();
        let mut line = vec![order(id, OrderEvent::PaymentRequested(Box::new(request)))];
        line.extend(tail.into_iter().map(|event| order(id, event)));
        lines.push(line);
    }
    for (n, ending) in (200..).zip(refunds::endings()) {
        let request = request(n);
        let id = request.id();
        let events = [OrderEvent::PaymentRequested(Box::new(request))].into_iter().chain(ending.events);
        lines.push(events.map(|event| order(id, event)).collect());
    }
    let longest = lines.iter().map(Vec::len).max().unwrap();
    let mut all = vec![registered()];
    all.extend(examples::all().into_iter().filter(|event| matches!(event, Event::Signer(..))));
    for step in 0..longest {
        all.extend(lines.iter().filter_map(|line| line.get(step).cloned()));
    }
    history(1, all)
}

fn endings() -> Vec<Vec<OrderEvent>> {
    use OrderEvent::{
        MintConfirmed, MintDeferred, MintParked, MintRestored, MintReverted, MintSubmitted, PaymentConfirmed,
        PaymentDeferred, PaymentFailed, PaymentParked, PaymentRestored, PaymentReverted, PaymentSubmitted,
    };
    let (tx, why, proof) = (examples::submission, examples::deferral, examples::proof);
    let (gone, mint, around) = (examples::reversal, examples::minted, examples::parked_payment);
    vec![
        vec![],
        vec![PaymentDeferred(1, why())],
        vec![PaymentDeferred(1, why()), PaymentSubmitted(1, tx(1))],
        vec![PaymentDeferred(1, why()), PaymentSubmitted(1, tx(1)), PaymentFailed(examples::failure())],
        vec![PaymentConfirmed(PaymentProof { paid_by: Actor::ThirdParty, ..proof() })],
        vec![PaymentConfirmed(proof()), MintDeferred(1, why())],
        vec![
            PaymentConfirmed(proof()),
            MintDeferred(1, why()),
            MintSubmitted(1, tx(2)),
            MintParked(1, examples::parked()),
        ],
        vec![PaymentConfirmed(proof()), MintParked(1, examples::parked()), MintConfirmed(examples::minted())],
        // Impossible: paid after it failed.
        vec![PaymentFailed(examples::failure()), PaymentConfirmed(proof())],
        vec![PaymentConfirmed(proof()), PaymentReverted(1, gone(7))],
        vec![PaymentConfirmed(proof()), PaymentReverted(1, gone(7)), PaymentRestored(1, proof())],
        vec![PaymentConfirmed(proof()), MintSubmitted(1, tx(8)), PaymentReverted(1, gone(7)), MintDeferred(1, why())],
        vec![PaymentConfirmed(proof()), MintConfirmed(mint()), MintReverted(1, gone(8))],
        // Payment and mint fall out of the chain, and come back in another order.
        vec![
            PaymentConfirmed(proof()),
            MintConfirmed(mint()),
            MintReverted(1, gone(8)),
            PaymentReverted(1, gone(7)),
            PaymentDeferred(1, why()),
            MintRestored(1, mint()),
            PaymentSubmitted(1, tx(9)),
            PaymentRestored(1, proof()),
        ],
        // Impossible: failed while its units stand.
        vec![
            PaymentConfirmed(proof()),
            MintConfirmed(mint()),
            PaymentReverted(1, gone(7)),
            PaymentFailed(examples::failure()),
        ],
        // What becomes of the mint changes nothing about why the payment waits.
        vec![
            PaymentConfirmed(proof()),
            MintSubmitted(1, tx(8)),
            PaymentReverted(1, gone(7)),
            PaymentDeferred(1, why()),
            MintConfirmed(mint()),
        ],
        vec![PaymentDeferred(1, why()), PaymentParked(1, around())],
        vec![PaymentParked(1, around()), PaymentConfirmed(proof())],
        vec![
            PaymentConfirmed(proof()),
            MintSubmitted(1, tx(8)),
            PaymentReverted(1, gone(7)),
            PaymentParked(1, around()),
            MintConfirmed(mint()),
        ],
    ]
}

#[tokio::test]
async fn every_stage_has_its_row_and_the_states_of_its_legs() {
    use Stage as S;
    let database = Database::start().await;
    let start = begin(&database.store).await;
    database.store.apply(&busy_ledger(), &start).await.unwrap();
    let expected = [
        (S::Requested, L::Owed, L::Owed, None),
        (S::Deferred, L::Deferred, L::Owed, Some("unfunded")),
        (S::Settling, L::Submitted, L::Owed, None),
        (S::Failed, L::Failed, L::Owed, Some("expired")),
        (S::Paid, L::Done, L::Owed, None),
        (S::MintDeferred, L::Done, L::Deferred, Some("unfunded")),
        (S::MintParked, L::Done, L::Parked, Some("inconsistent")),
        (S::Minted, L::Done, L::Done, None),
        (S::Failed, L::Failed, L::Owed, Some("expired")),
        (S::Reverted, L::Reverted, L::Owed, None),
        (S::Paid, L::Done, L::Owed, None),
        (S::Reverted, L::Reverted, L::Owed, None),
        (S::Minting, L::Done, L::Reverted, None),
        (S::Minted, L::Done, L::Done, None),
        (S::Reverted, L::Reverted, L::Done, None),
        (S::Deferred, L::Deferred, L::Done, Some("unfunded")),
        (S::PaymentParked, L::Parked, L::Owed, Some("paid_around_token")),
        (S::Paid, L::Done, L::Owed, None),
        (S::PaymentParked, L::Parked, L::Done, Some("paid_around_token")),
    ];
    for (n, (stage, paid, minted, reason)) in expected.into_iter().enumerate() {
        let id = request(u8::try_from(100 + n).unwrap()).id();
        let payment = database.store.payment(id).await.unwrap().unwrap();
        assert_eq!((payment.stage, payment.reason.as_deref()), (stage, reason), "{n}");
        assert_eq!((payment.payment_state, payment.mint_state), (paid, minted), "{n}");
        let waits = matches!(stage, S::Deferred | S::MintDeferred);
        assert_eq!(payment.retry_at, waits.then(|| examples::deferral().retry_at), "{n}");
        let around = (stage == S::PaymentParked).then(|| examples::parked_payment().tx_hash.unwrap());
        assert_eq!(payment.parked_tx_hash, around, "{n}");
    }
    assert_eq!(database.store.payment(PaymentId(uuid::Uuid::nil())).await.unwrap(), None);
}

#[tokio::test]
async fn a_purchase_shows_both_transactions_and_counts_for_its_token() {
    let database = Database::start().await;
    let start = begin(&database.store).await;
    let (id, events) = minted_order(1);
    let story = history(2, events.clone());
    let batch: Vec<_> = [recorded(1, registered())].into_iter().chain(story.clone()).collect();
    database.store.apply(&batch, &start).await.unwrap();

    let payment = database.store.payment(id).await.unwrap().unwrap();
    assert_eq!(payment.settle_tx_hash, Some(examples::proof().tx_hash));
    assert_eq!(payment.settle_signer, None, "the transaction that charged is not the one that was signed last");
    assert_eq!((payment.settle_recorded_at, payment.paid_by), (Some(1_800_000_000), Some(Actor::Paymint)));
    assert_eq!((payment.mint_tx_hash, payment.minted_by), (Some(examples::minted().tx_hash), Some(Actor::Paymint)));
    assert_eq!((payment.requested_seq, payment.paid_seq, payment.last_seq), (2, Some(4), 6));
    assert_eq!((payment.requested_at, payment.minted_at), (micros(2), Some(micros(6))));

    // What the API shows before the read models have it is what they will show.
    let history = story.iter().filter_map(|recorded| match &recorded.event {
        Ok(Event::Order(_, event)) => Some((Stamp { seq: recorded.seq, recorded_at: recorded.recorded_at }, event)),
        _ => None,
    });
    assert_eq!(project_history(id, history), Some(payment));

    let token = database.store.token(examples::TOKEN).await.unwrap().unwrap();
    assert_eq!((token.units_taken, token.units_paid, token.units_minted, token.last_seq), (10, 10, 10, 6));
    let terms = examples::terms();
    assert_eq!((token.factory, token.item_version, token.fee), (terms.factory, 1, terms.fee));
    assert_eq!((token.metadata_hash, token.salt), (terms.metadata_hash, terms.salt));
    assert_eq!(database.store.tokens().await.unwrap(), [token]);
    assert_eq!(database.store.token(examples::PAYER).await.unwrap(), None);
}

#[tokio::test]
async fn a10_read_models_rebuilt_from_sequence_1_equal_the_live_ones_row_by_row() {
    let database = Database::start().await;
    let ledger = busy_ledger();
    let mut live = begin(&database.store).await;
    let mut rest = ledger.as_slice();
    for size in [1, 2, 3, 5, 8, 13, 21].into_iter().cycle() {
        let (batch, left) = rest.split_at(size.min(rest.len()));
        live = database.store.apply(batch, &live).await.unwrap().position;
        rest = left;
        if rest.is_empty() {
            break;
        }
    }

    let beside = Store::connect_schema(&database.server.url(), "read_v2", CONNECTIONS).await.unwrap();
    beside.migrate().await.unwrap();
    assert_eq!(beside.position(READ_MODELS).await.unwrap(), None, "its position is its own");
    let start = begin(&beside).await;
    let rebuilt = beside.apply(&ledger, &start).await.unwrap().position;

    assert_eq!(rebuilt, live);
    let rows = database.store.dump_read_models().await.unwrap();
    assert_eq!(beside.dump_read_models().await.unwrap(), rows);
    let count = |table: &str| rows.iter().filter(|row| row.table == table).count();
    assert_eq!((count("payments"), count("tokens"), count("set_aside")), (79, 1, 2));
}

/// A process that starts sells the rest: the rows must have counted every step.
#[tokio::test]
async fn units_are_taken_from_the_request_until_the_payment_fails_or_waits() {
    let database = Database::start().await;
    let start = begin(&database.store).await;
    let mut position = database.store.apply(&history(1, [registered()]), &start).await.unwrap().position;
    let mut step = async |n, event| {
        let story = history(position.seq + 1, [order(request(n).id(), event)]);
        position = database.store.apply(&story, &position).await.unwrap().position;
        let token = database.store.token(examples::TOKEN).await.unwrap().unwrap();
        (token.units_taken, token.units_paid, token.units_minted)
    };
    let requested = |n| OrderEvent::PaymentRequested(Box::new(request(n)));
    let paid = || OrderEvent::PaymentConfirmed(examples::proof());
    assert_eq!(step(1, requested(1)).await, (10, 0, 0));
    assert_eq!(step(2, requested(2)).await, (20, 0, 0));
    assert_eq!(step(1, OrderEvent::PaymentFailed(examples::failure())).await, (10, 0, 0));
    assert_eq!(step(2, paid()).await, (10, 10, 0));
    assert_eq!(
        step(2, OrderEvent::MintParked(1, examples::parked())).await,
        (10, 10, 0),
        "an operator may have it minted"
    );
    assert_eq!(step(2, OrderEvent::PaymentReverted(1, examples::reversal(7))).await, (10, 0, 0));
    assert_eq!(step(2, OrderEvent::PaymentRestored(1, examples::proof())).await, (10, 10, 0));
    assert_eq!(step(2, OrderEvent::MintConfirmed(examples::minted())).await, (10, 10, 10));
    assert_eq!(step(3, requested(3)).await, (20, 10, 10));
    let around = OrderEvent::PaymentParked(1, examples::parked_payment());
    assert_eq!(step(3, around).await, (20, 10, 10), "an operator may still record it");
    let waits = |n, reason| OrderEvent::PaymentDeferred(n, Deferral { reason, ..examples::deferral() });
    assert_eq!(step(4, requested(4)).await, (30, 10, 10));
    assert_eq!(step(4, waits(1, WaitReason::Unfunded)).await, (20, 10, 10), "nobody waits for its payer");
    assert_eq!(step(4, waits(2, WaitReason::SoldOut)).await, (20, 10, 10));
    assert_eq!(step(4, OrderEvent::PaymentSubmitted(1, examples::submission(7))).await, (30, 10, 10), "funded");
    assert_eq!(step(4, waits(3, WaitReason::NotAttempted)).await, (30, 10, 10), "it is sent again immediately");
    assert_eq!(step(4, waits(4, WaitReason::Blacklisted)).await, (20, 10, 10));
    assert_eq!(step(4, paid()).await, (30, 20, 10), "somebody else settled it");
    assert_eq!(step(5, requested(5)).await, (40, 20, 10));
    assert_eq!(step(5, waits(1, WaitReason::Unfunded)).await, (30, 20, 10));
    assert_eq!(step(5, OrderEvent::PaymentFailed(examples::failure())).await, (30, 20, 10), "given back once");
    let (gone, unfunded) = (OrderEvent::PaymentReverted(2, examples::reversal(7)), waits(1, WaitReason::Unfunded));
    assert_eq!(step(2, OrderEvent::MintReverted(1, examples::reversal(8))).await, (30, 20, 0));
    assert_eq!((step(2, gone).await, step(2, unfunded).await), ((30, 10, 0), (20, 10, 0)), "all of it is gone");
    assert_eq!(step(2, OrderEvent::MintRestored(1, examples::minted())).await, (30, 10, 10), "minted units stand");
}

/// The tables refuse what no fold of ours writes.
#[tokio::test]
async fn a_row_without_the_evidence_of_its_state_is_refused() {
    let database = Database::start().await;
    let start = begin(&database.store).await;
    let story = history(1, [registered()].into_iter().chain(minted_order(1).1));
    database.store.apply(&story, &start).await.unwrap();
    let mut connection = PgConnection::connect(&database.server.url()).await.unwrap();
    let statements = [
        "UPDATE payments SET settle_recorded_at = NULL",
        "UPDATE payments SET paid_by = NULL",
        "UPDATE payments SET minted_by = NULL",
        "UPDATE payments SET minted_by = 'somebody'",
        "UPDATE payments SET parked_tx_hash = settle_tx_hash",
        "UPDATE payments SET stage = 'lost'",
        "UPDATE payments SET stage = 'payment_parked', payment_state = 'parked'",
        "UPDATE payments SET payment_parkings = -1",
        "UPDATE payments SET stage = 'failed', payment_state = 'failed', reason = 'expired', detail = '', paid_seq = NULL, \
         paid_at = NULL, failed_block_number = 1, failed_block_hash = settle_block_hash",
        "UPDATE tokens SET item_version = 256",
        "UPDATE tokens SET salt = '\\x00'",
        "UPDATE tokens SET units_minted = 11",
    ];
    for statement in statements {
        let refused = sqlx::raw_sql(statement).execute(&mut connection).await.unwrap_err();
        let code = refused.as_database_error().and_then(|e| e.code()).unwrap_or_default().into_owned();
        assert_eq!(code, "23514", "{statement}: {refused}");
    }
}

/// One event must not stop the projection permanently, whatever its texts and numbers.
#[tokio::test]
async fn an_event_with_hostile_values_is_projected_all_the_same() {
    let database = Database::start().await;
    let start = begin(&database.store).await;
    let mut hostile = request(1).into_fields();
    hostile.authorization.valid_before = u64::MAX;
    hostile.authorization.value = domain::Usdc(u64::MAX);
    let domain::Purchase::Mint { quantity, unit_price, .. } = &mut hostile.purchase;
    (*quantity, *unit_price) = (domain::Quantity::new(5).unwrap(), domain::Usdc(u64::MAX / 5));
    let hostile = domain::PaymentRequest::new(hostile).unwrap();
    let id = hostile.id();
    let retry_at = chrono::DateTime::<chrono::Utc>::MAX_UTC;
    let detail = "a\0b \\u0000 \\x00 ' \u{202e}".to_owned();
    let why = Deferral { detail: detail.clone(), retry_at, ..examples::deferral() };
    let block = domain::BlockRef { number: u64::MAX, ..examples::proof().block };
    let failure = PaymentFailure { reason: FailureReason::Expired, detail, block, ..examples::failure() };
    let mut terms = examples::terms();
    terms.name = "\0".to_owned();
    terms.unit = u128::MAX;
    terms.max_units = u64::MAX;
    let events = [
        Event::Token(terms.token, domain::TokenEvent::Registered(Box::new(terms))),
        order(id, OrderEvent::PaymentRequested(Box::new(hostile))),
        order(id, OrderEvent::PaymentDeferred(1, why)),
        order(id, OrderEvent::PaymentFailed(failure)),
    ];
    let story = history(1, events);
    let deferred = database.store.apply(&story[..3], &start).await.unwrap();
    let payment = database.store.payment(id).await.unwrap().unwrap();
    assert_eq!(payment.valid_before, u64::MAX);
    assert_eq!(payment.retry_at.unwrap().to_rfc3339(), "9999-12-31T00:00:00+00:00");
    assert_eq!(payment.detail.as_deref(), Some("a\u{fffd}b \\u0000 \\x00 ' \u{202e}"));
    let failed = database.store.apply(&story, &deferred.position).await.unwrap();
    let payment: PaymentView = database.store.payment(id).await.unwrap().unwrap();
    assert_eq!((failed.position.seq, payment.failed_block_number), (4, Some(u64::MAX)));
    assert_eq!(database.store.tokens().await.unwrap()[0].unit, u128::MAX);
}

#[tokio::test]
async fn migrating_again_and_twice_at_once_changes_nothing() {
    let database = Database::start().await;
    let (one, two) = tokio::join!(database.store.migrate(), database.store.migrate());
    one.unwrap();
    two.unwrap();
    for bad in ["", "1a", "read-v2", "a;b", "Read", "public\"", &"x".repeat(64)] {
        assert!(Store::connect_schema(&database.server.url(), bad, 1).await.is_err(), "{bad}");
    }
}

fn micros(seconds: u64) -> chrono::DateTime<chrono::Utc> {
    chrono::SubsecRound::trunc_subsecs(at(seconds), 6)
}
