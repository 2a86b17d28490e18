//! Waiting orders of a process that is killed or stopped, and orders that it has parked.

use domain::{Event, OpsEvent, OrderEvent, examples};
use ledger::{Answer, Delivery, Expected, Lag, NewEvent};
use runtime::{CancellationToken, Health};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use testkit::{Broker, until};
use tokio::sync::mpsc;
use waits::{Carrier, Job, Limits, Party, WaitStage, Waiting};

const REQUESTED: &str = "payment-sender";
const DEFERRED: &str = "payment-sender-deferred";

fn new(wanted: impl Fn(&OrderEvent) -> bool) -> NewEvent {
    let event = examples::all().into_iter().find(|event| matches!(event, Event::Order(_, event) if wanted(event)));
    NewEvent { event: event.unwrap(), expected: Expected::Absent, trace: None }
}

/// No row names a requested order as waiting. Killed just after it has answered that the order waits for long, a process
/// leaves the order with the consumer.
#[tokio::test(flavor = "multi_thread")]
async fn a_requested_order_that_waits_comes_to_the_next_process_when_this_one_is_killed() {
    let broker = Broker::with_accounts().await;
    let (ops, sender) = (broker.ledger("ops").await, broker.ledger("payment-sender").await);
    let carrier = Carrier::new(sender.clone(), DEFERRED, Health::default());
    let (handled, mut handling) = mpsc::unbounded_channel();
    let carrying = carrier.clone();
    let inbox = sender.inbox(REQUESTED, Health::default()).await.unwrap();
    let first = tokio::spawn(inbox.run(CancellationToken::new(), 8, move |delivery: Delivery| {
        let (carrier, handled) = (carrying.clone(), handled.clone());
        Job::of_message(delivery, Party::default(), move |job| {
            job.later(&carrier, Duration::from_secs(30));
            let _ = handled.send(());
        })
    }));
    ops.append(&[new(|event| matches!(event, OrderEvent::PaymentRequested(_)))]).await.unwrap();
    handling.recv().await.unwrap();
    // The answer has arrived once the message is held for its delay, or acknowledged.
    tokio::time::sleep(Duration::from_millis(300)).await;
    first.abort();
    assert_eq!(carrier.waiting(), 0, "nothing but the index would carry it");
    assert_eq!(ops.lag(REQUESTED).await.unwrap(), Lag { pending: 0, held: 1 });

    let next = broker.ledger("payment-sender").await.inbox(REQUESTED, Health::default()).await.unwrap();
    let (stop, count) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let counted = count.clone();
    let second = tokio::spawn(next.run(stop.clone(), 8, move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Ok(Answer::Done) }
    }));
    until("the next process has it", async || count.load(Ordering::Relaxed) == 1).await;
    stop.cancel();
    second.await.unwrap();
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
    carrier.carry(Waiting { id, party: Party::default(), seq }, 1, Duration::ZERO);
    let (stop, looks) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let (looking, token, counted) = (carrier.clone(), stop.clone(), looks.clone());
    let looking = tokio::spawn(async move {
        let limits = Limits { per_turn: 5, per_turn_max: 5, in_hand: 5 };
        let judge = |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Ok(Answer::Park("hopeless".to_owned())) }
        };
        looking.look(token, limits, judge).await;
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
