//! The consumer loop on a real server: answers become acks, naks and parked messages, and no message in hand is
//! delivered a second time.

use crate::common::{Served, moved, name, new, thief};
use domain::{Event, OpsEvent, Order, OrderEvent, Stage, examples};
use futures_util::StreamExt;
use ledger::{Answer, Delivery, Expected, Lag, Ledger, Loaded, NewEvent, STREAM, encode, event_type, subject};
use runtime::Undone;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use testkit::{Broker, eventually};

const SENDER: &str = "payment-sender";

fn signed(lane: u8) -> Event {
    moved(examples::all().into_iter().find(|event| name(event) == "signer.signed").unwrap(), lane)
}

async fn until_nothing_is_left(ledger: &Ledger, durable: &str) {
    eventually("nothing is pending or in hand", async || {
        (ledger.lag(durable).await.unwrap() == Lag::default()).then_some(())
    })
    .await;
}

async fn parked(ledger: &Ledger, seq: u64) -> domain::event::ParkedMessage {
    eventually("it is parked", async || {
        let newest = ledger.between(seq + 1, seq + 50).await.unwrap();
        newest.into_iter().find_map(|recorded| match recorded.event {
            Ok(Event::Ops(OpsEvent::Parked(parked))) if parked.sequence == seq => Some(parked),
            _ => None,
        })
    })
    .await
}

/// Every kind of answer and every kind of error, with the consumer's reaction.
#[tokio::test]
async fn answers_become_acks_naks_and_parked_messages_by_one_policy() {
    let broker = Broker::with_accounts().await;
    let ops = broker.ledger("ops").await;
    let mut served = Served::by(&broker, "confirmer", "confirmer", |delivery| async move {
        let Event::Signer(lane, _) = &delivery.event else { return Ok(Answer::Park("no lane".to_owned())) };
        match (lane.signer.0[0], delivery.deliveries) {
            (2, 1) => Ok(Answer::Later(Duration::from_millis(10))),
            (3, 1) => Err(Undone::Stale),
            (4, 1) => Err(Undone::NotYet),
            (5, 1) => Err(Undone::transient("no answer")),
            (6, _) => Ok(Answer::Park("by the handler".to_owned())),
            (7, _) => Err(Undone::corrupt("an impossible past")),
            (8, 1) => panic!("a mistake in a handler"),
            _ => Ok(Answer::Done),
        }
    })
    .await;
    let expected = [(1, 1), (2, 2), (3, 2), (4, 2), (5, 2), (6, 1), (7, 1), (8, 2)];
    let mut sequences = Vec::new();
    for (lane, _) in expected {
        sequences.extend(ops.append(&[new(signed(lane))]).await.unwrap());
    }
    let mut told = Vec::new();
    for _ in 0..expected.iter().map(|(_, deliveries)| deliveries).sum() {
        told.push(served.next().await);
    }
    until_nothing_is_left(&ops, "confirmer").await;
    assert!(served.more().is_empty());
    for ((lane, deliveries), seq) in expected.into_iter().zip(&sequences) {
        assert_eq!(told.iter().filter(|delivery| delivery.seq == *seq).count(), deliveries, "lane {lane}");
    }
    assert_eq!(parked(&ops, sequences[5]).await.reason, "by the handler");
    assert_eq!(parked(&ops, sequences[6]).await.reason, "an impossible past");
    served.end().await;
}

/// A handler that takes longer than `ack_wait`, and one that computes for as long where it says so: no message is
/// delivered twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_message_in_hand_is_kept_while_its_handler_queues_or_computes() {
    let broker = Broker::with_accounts().await;
    let ops = broker.ledger("ops").await;
    let mut served = Served::by(&broker, "confirmer", "confirmer", |delivery| async move {
        match &delivery.event {
            Event::Signer(lane, _) if lane.signer.0[0] == 1 => {
                tokio::task::block_in_place(|| std::thread::sleep(Duration::from_secs(7)));
            }
            _ => tokio::time::sleep(Duration::from_secs(7)).await,
        }
        Ok(Answer::Done)
    })
    .await;
    ops.append(&[new(signed(1))]).await.unwrap();
    ops.append(&[new(signed(2))]).await.unwrap();
    let deliveries = [served.next().await.deliveries, served.next().await.deliveries];
    assert_eq!(deliveries, [1, 1]);
    until_nothing_is_left(&ops, "confirmer").await;
    assert!(served.more().is_empty());
    served.end().await;
}

/// A killed process answers nothing, so its message is delivered to another process after `ack_wait`. A process that
/// stops in order hands back the messages that it has not begun.
#[tokio::test]
async fn what_a_process_leaves_behind_is_delivered_to_the_next_one() {
    let broker = Broker::with_accounts().await;
    let ops = broker.ledger("ops").await;
    let first = Served::by(&broker, "confirmer", "confirmer", |_| std::future::pending()).await;
    ops.append(&[new(signed(1))]).await.unwrap();
    eventually("it is in hand", async || (ops.lag("confirmer").await.unwrap().held == 1).then_some(())).await;
    first.kill();
    let mut second = Served::by(&broker, "confirmer", "confirmer", |_| async { Ok(Answer::Done) }).await;
    assert_eq!(second.next().await.deliveries, 2);
    until_nothing_is_left(&ops, "confirmer").await;
    second.end().await;
}

/// No more messages are in hand than allowed, and the others are handled meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn handlers_run_concurrently_up_to_the_limit() {
    let broker = Broker::with_accounts().await;
    let ops = broker.ledger("ops").await;
    for lane in 0..8 {
        ops.append(&[new(signed(lane))]).await.unwrap();
    }
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let inbox = broker.ledger("confirmer").await.inbox("confirmer", runtime::Health::default()).await.unwrap();
    let stop = runtime::CancellationToken::new();
    let (counted, seen) = (now.clone(), most.clone());
    let running = tokio::spawn(inbox.run(stop.clone(), 3, move |_| {
        let (now, most) = (counted.clone(), seen.clone());
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(300)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(Answer::Done)
        }
    }));
    until_nothing_is_left(&ops, "confirmer").await;
    assert_eq!((most.load(Ordering::SeqCst), now.load(Ordering::SeqCst)), (3, 0));
    stop.cancel();
    running.await.unwrap();
}

/// A first delivery saves reading the order. How often a payment was sent is missing, and no event of a mint needs it.
#[tokio::test]
async fn a_first_delivery_tells_a_new_order_and_with_its_request_a_paid_one() {
    let broker = Broker::with_accounts().await;
    let ops = broker.ledger("ops").await;
    let twice = |delivery: Delivery| async move {
        Ok(if delivery.deliveries == 1 { Answer::Later(Duration::from_millis(10)) } else { Answer::Done })
    };
    let mut sender = Served::by(&broker, SENDER, SENDER, twice).await;
    let mut minter = Served::by(&broker, "mint-projector", "mint-projector", twice).await;
    let id = examples::request().id();
    let mut states: Vec<Loaded<Order>> = vec![Loaded::default()];
    for event in [
        OrderEvent::PaymentRequested(Box::new(examples::request())),
        OrderEvent::PaymentDeferred(1, examples::deferral()),
        OrderEvent::PaymentSubmitted(1, examples::submission(7)),
        OrderEvent::PaymentConfirmed(examples::proof()),
    ] {
        let expected = Expected::Version(states.last().unwrap().version);
        ops.append(NewEvent { event: Event::Order(id, event), expected, trace: None }).await.unwrap();
        states.push(ops.load_order(id).await.unwrap());
    }
    let new = sender.next().await.newest().unwrap().new_order().unwrap();
    assert_eq!((&new.state, new.version, new.since), (&states[1].state, states[1].version, states[1].since));

    let told = minter.next().await.newest().unwrap();
    assert!(told.clone().new_order().is_none(), "not the first event");
    let requested = ops.requested(&[id]).await.unwrap().remove(&id).unwrap();
    assert_eq!((&requested.state, requested.version), (&states[1].state, states[1].version));
    let (paid, read) = (told.after_request(requested).unwrap(), states.pop().unwrap());
    assert_eq!((paid.version, paid.since), (read.version, read.since));
    let (paid, read) = (paid.state.unwrap(), read.state.unwrap());
    assert_eq!((&paid.request, paid.payment.done(), &paid.mint), (&read.request, read.payment.done(), &read.mint));
    assert_eq!((paid.stage(), read.stage()), (Stage::Paid, Stage::Paid));
    for served in [&mut sender, &mut minter] {
        assert!(served.next().await.newest().is_none(), "delivered again");
    }
}

/// An unknown event type in our namespace was written by a newer build. The message waits and is never parked, the
/// process reports it, and other messages go on. A message that is no event of ours is parked.
#[tokio::test]
async fn an_unknown_type_of_ours_waits_for_an_upgrade_and_a_foreign_message_is_parked() {
    let broker = Broker::with_accounts().await;
    let (thief, _) = thief(&broker, "ops").await;
    let ops = broker.ledger("ops").await;
    let example = examples::all().into_iter().find(|event| name(event) == "payment.requested").unwrap();
    let known = String::from_utf8(encode(&example, "/paymint/api", None, chrono::Utc::now()).unwrap()).unwrap();
    let put = async |subject: String, payload: String| -> u64 {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Content-Type", "application/cloudevents+json");
        let ack = thief.request_with_headers(subject, headers, payload.into()).await.unwrap();
        serde_json::from_slice::<Value>(&ack.payload).unwrap()["seq"].as_u64().unwrap()
    };
    let newer = known.replace(&event_type(&example), &event_type(&example).replace(".v1", ".v2"));
    assert_ne!(newer, known);
    let newer = put(subject(&example), newer).await;
    let foreign = put(subject(&example).replace(&examples::request().id().to_string(), "no-order"), known).await;
    let signed = ops.append(&[new(signed(1))]).await.unwrap()[0];

    let served = Served::by(&broker, SENDER, SENDER, |_| async { Ok(Answer::Done) }).await;
    let reason = eventually("health says what it waits for", async || {
        served.health.problems().get("consumer payment-sender").cloned()
    })
    .await;
    assert!(reason.contains("io.paymint.payment.requested.v2") && reason.contains("upgrade"), "{reason}");
    parked(&ops, foreign).await;
    assert_eq!(ops.lag(SENDER).await.unwrap(), Lag { pending: 0, held: 1 });
    let after = ops.between(signed + 1, signed + 50).await.unwrap();
    let of_newer = |event: &Event| matches!(event, Event::Ops(OpsEvent::Parked(parked)) if parked.sequence == newer);
    assert!(!after.iter().any(|recorded| recorded.event.as_ref().is_ok_and(of_newer)), "never parked");

    // A build that knows the type takes the message: nothing was lost. Here the client library stands in for that
    // build.
    served.end().await;
    let pull = format!("$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{SENDER}");
    // A delivered message keeps its own subject, so the client's shared inbox for requests would not recognise it.
    let taken = eventually("it is delivered again", async || {
        let inbox = thief.new_inbox();
        let mut answers = thief.subscribe(inbox.clone()).await.ok()?;
        thief.publish_with_reply(pull.clone(), inbox, r#"{"batch":1,"expires":1000000000}"#.into()).await.ok()?;
        let answer = tokio::time::timeout(Duration::from_secs(2), answers.next()).await.ok()??;
        answer.status.is_none().then_some(answer)
    })
    .await;
    assert!(String::from_utf8_lossy(&taken.payload).contains("payment.requested.v2"));
}
