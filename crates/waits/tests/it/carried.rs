//! Waiting orders of a process that is killed or stopped, and orders that it has parked.

use domain::{Event, OpsEvent, OrderEvent, examples};
use ledger::{Answer, Delivery, Expected, Lag, NewEvent};
use runtime::{CancellationToken, Health};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::{Broker, Database, until};
use tokio::sync::mpsc;
use waits::{Carrier, Due, Job, Limits, Party, WaitStage, Waiting};

const REQUESTED: &str = "payment-sender";
const DEFERRED: &str = "payment-sender-deferred";

fn new(wanted: impl Fn(&OrderEvent) -> bool) -> NewEvent {
    let event = examples::all().into_iter().find(|event| matches!(event, Event::Order(_, event) if wanted(event)));
    NewEvent { event: event.unwrap(), expected: Expected::Absent, trace: None }
}

/// The process is killed between its ack and the row: the row is read-projector's affair, and comes all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_requested_order_whose_message_is_acknowledged_comes_to_the_next_process_by_its_row() {
    let (broker, database) = tokio::join!(Broker::with_accounts(), Database::start());
    let (ops, sender) = (broker.ledger("ops").await, broker.ledger("payment-sender").await);
    let carrier = Carrier::new(sender.clone(), DEFERRED, Health::default());
    let carrying = carrier.clone();
    let inbox = sender.inbox(REQUESTED, Health::default()).await.unwrap();
    let first = tokio::spawn(inbox.run(CancellationToken::new(), 8, move |delivery: Delivery| {
        let carrier = carrying.clone();
        let party = Party { token: examples::TOKEN, payer: examples::PAYER, ..Party::default() };
        Job::of_message(delivery, party, move |job| job.later(&carrier, Duration::from_secs(30)))
    }));
    let seq = ops.append(&[new(|event| matches!(event, OrderEvent::PaymentRequested(_)))]).await.unwrap()[0];
    until("it is carried", async || carrier.waiting() == 1).await;
    until("its message is acknowledged", async || ops.lag(REQUESTED).await.unwrap() == Lag::default()).await;
    first.abort();

    let next = Carrier::new(broker.ledger("payment-sender").await, DEFERRED, Health::default());
    let (stop, judged) = (CancellationToken::new(), Arc::new(Mutex::new(Vec::new())));
    let following = tokio::spawn(next.clone().follow_rows(database.server.url(), WaitStage::Unsent, stop.clone()));
    let mut request = ops.at(seq).await.unwrap().unwrap();
    // A minute ago: until then the row says nothing about who works on the order.
    request.message.recorded_at -= chrono::TimeDelta::minutes(2);
    request.message.seq = 1;
    let start = database.store.open(store::READ_MODELS, chrono::Utc::now()).await.unwrap();
    database.store.apply(&[request], &start).await.unwrap();
    let (looking, token, due) = (next.clone(), stop.clone(), judged.clone());
    let looking = tokio::spawn(async move {
        // Nothing speaks against it, so it needs no share of the pace.
        let limits = Limits { per_turn: 0, per_turn_max: 0, in_hand: 0 };
        let judge = |order: Due| {
            due.lock().unwrap().push((order.id, order.party));
            async { Ok(Answer::Done) }
        };
        looking.look(token, limits, || 1, judge).await;
    });
    until("the next process has it", async || !judged.lock().unwrap().is_empty()).await;
    stop.cancel();
    following.await.unwrap();
    looking.await.unwrap();
    let party = Party::of(&examples::request());
    assert_eq!(*judged.lock().unwrap(), [(examples::request().id(), party)]);
}

/// A short delay is left to the consumer, so that a crash in the first seconds needs no database.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_waits_for_a_moment_stays_with_its_consumer_for_three_deliveries() {
    let broker = Broker::start().await;
    let carrier = Carrier::new(broker.ledger("payment-sender").await, DEFERRED, Health::default());
    let party = Party { token: examples::TOKEN, payer: examples::PAYER, ..Party::default() };
    let waiting = Waiting { id: examples::request().id(), party, seq: 7, is_new: true, watched: None };
    let second = Duration::from_secs(1);
    for deliveries in [1, 2, 3] {
        assert_eq!(carrier.later(waiting, deliveries, second), Answer::Later(second));
    }
    assert_eq!((carrier.waiting(), carrier.later(waiting, 1, 5 * second)), (0, Answer::Done), "longer than ack_wait");
    assert_eq!(carrier.later(waiting, 4, second), Answer::Done, "it would take up the place of another");
    assert_eq!(carrier.waiting(), 1);
}

/// The parked message of an order that was carried is the one that its own consumer would have written.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_order_is_parked_once_by_its_message_or_by_its_row() {
    let broker = Broker::with_accounts().await;
    let (ops, sender) = (broker.ledger("ops").await, broker.ledger("payment-sender").await);
    let seq = ops.append(&[new(|event| matches!(event, OrderEvent::PaymentRequested(_)))]).await.unwrap()[0];
    sender.set_aside(REQUESTED, seq, "forged").await.unwrap();
    let carrier = Carrier::new(sender, DEFERRED, Health::default()).with_new_from(REQUESTED);
    let party = Party { token: examples::TOKEN, payer: examples::PAYER, ..Party::default() };
    carrier.carry(Waiting { id: examples::request().id(), party, seq, is_new: true, watched: None }, 0, Duration::ZERO);
    let (stop, looks) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let (looking, token, counted) = (carrier.clone(), stop.clone(), looks.clone());
    let looking = tokio::spawn(async move {
        let limits = Limits { per_turn: 0, per_turn_max: 0, in_hand: 0 };
        let judge = |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Ok(Answer::Park("forged".to_owned())) }
        };
        looking.look(token, limits, || 1, judge).await;
    });
    until("it was looked at", async || looks.load(Ordering::Relaxed) == 1).await;
    stop.cancel();
    looking.await.unwrap();
    assert_eq!(ops.between(seq + 1, seq + 9).await.unwrap().len(), 2, "a hold of the order, and the parked message");
}

/// An order that is being tried again may have moved on.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_tells_its_order_once_and_not_when_it_is_delivered_again() {
    let broker = Broker::with_accounts().await;
    let (ops, sender) = (broker.ledger("ops").await, broker.ledger("payment-sender").await);
    let (handled, mut handling) = mpsc::unbounded_channel();
    let (stop, inbox) = (CancellationToken::new(), sender.inbox(REQUESTED, Health::default()).await.unwrap());
    let running = tokio::spawn(inbox.run(stop.clone(), 8, move |delivery: Delivery| {
        let handled = handled.clone();
        // Without an answer it is handed back.
        Job::of_message(delivery, Party::default(), move |mut job| {
            handled.send([(); 2].map(|()| job.take_newest().is_some())).unwrap();
        })
    }));
    ops.append(new(|event| matches!(event, OrderEvent::PaymentRequested(_)))).await.unwrap();
    assert_eq!(handling.recv().await.unwrap(), [true, false]);
    assert_eq!(handling.recv().await.unwrap(), [false, false], "delivered again");
    stop.cancel();
    running.await.unwrap();
}

/// The row of a parked order still says that it waits, so the index keeps the order.
#[tokio::test(flavor = "multi_thread")]
async fn a_parked_order_stays_in_the_index_so_that_no_pass_over_the_rows_takes_it_over_again() {
    let broker = Broker::with_accounts().await;
    let (ops, sender) = (broker.ledger("ops").await, broker.ledger("payment-sender").await);
    let seq = ops.append(&[new(|event| matches!(event, OrderEvent::PaymentDeferred(..)))]).await.unwrap()[0];
    let carrier = Carrier::new(sender, DEFERRED, Health::default());
    let id = examples::request().id();
    carrier.carry(Waiting { id, party: Party::default(), seq, is_new: false, watched: None }, 1, Duration::ZERO);
    let (stop, looks) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let (looking, token, counted) = (carrier.clone(), stop.clone(), looks.clone());
    let looking = tokio::spawn(async move {
        let limits = Limits { per_turn: 5, per_turn_max: 5, in_hand: 5 };
        let judge = |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Ok(Answer::Park("hopeless".to_owned())) }
        };
        looking.look(token, limits, || 0, judge).await;
    });
    let is_parked = async || {
        let found = ops.between(seq + 1, seq + 9).await.unwrap();
        let of_it = |event: &Event| matches!(event, Event::Ops(OpsEvent::Parked(parked)) if parked.sequence == seq);
        found.iter().any(|recorded| recorded.event.as_ref().is_ok_and(of_it))
    };
    until("it is parked", is_parked).await;
    stop.cancel();
    looking.await.unwrap();
    assert_eq!((carrier.waiting(), looks.load(Ordering::Relaxed)), (1, 1));
}

/// A database that accepts the connection and never answers.
#[tokio::test(flavor = "multi_thread")]
async fn following_the_rows_ends_with_the_process_also_while_the_database_does_not_answer() {
    let broker = Broker::with_accounts().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://user:password@{}/paymint", silent.local_addr().unwrap());
    let carrier = Carrier::new(broker.ledger("payment-sender").await, DEFERRED, Health::default());
    let stop = CancellationToken::new();
    let following = tokio::spawn(carrier.follow_rows(url, WaitStage::Payment, stop.clone()));
    let _asked = silent.accept().await.unwrap();
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(2), following).await.expect("it ends").unwrap();
}
