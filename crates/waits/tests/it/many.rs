//! Fifty thousand waiting orders on a real server: they hold no pending message and delay no other order.

use alloy_primitives::{Address, B256};
use domain::event::Deferral;
use domain::{Event, OrderEvent, PaymentId, PaymentKey, examples};
use ledger::{Answer, Batch, Expected, Lag, NewEvent};
use runtime::{CancellationToken, Health};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use testkit::{Broker, until};
use waits::{Carrier, Limits, Party, Waiting};

const COUNT: usize = 50_000;
const DEFERRED: &str = "payment-sender-deferred";
const REQUESTED: &str = "payment-sender";

/// Id and keys of the `n`-th order. Each payer has sixteen orders.
fn order(n: usize) -> (PaymentId, Party) {
    let id = PaymentId::of(PaymentKey(B256::left_padding_from(&n.to_be_bytes())));
    (
        id,
        Party {
            token: examples::TOKEN,
            payer: Address::left_padding_from(&(n / 16).to_be_bytes()),
            ..Party::default()
        },
    )
}

fn deferred(n: usize) -> NewEvent {
    let event = OrderEvent::PaymentDeferred(1, Deferral { detail: n.to_string(), ..examples::deferral() });
    NewEvent { event: Event::Order(order(n).0, event), expected: Expected::Absent, trace: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn c2_fifty_thousand_waiting_orders_hold_no_pending_message_and_delay_nobody() {
    let broker = Broker::with_accounts().await;
    let (ops, sender) = (broker.ledger("ops").await, broker.ledger("payment-sender").await);

    let (stop, health) = (CancellationToken::new(), Health::default());
    let carrier = Carrier::new(sender.clone(), DEFERRED, health.clone());
    let deferrals = sender.inbox(DEFERRED, health.clone()).await.unwrap();
    let carrying = carrier.clone();
    let waiting = tokio::spawn(deferrals.run(stop.clone(), 256, move |delivery| {
        let carrier = carrying.clone();
        async move {
            let Event::Order(id, OrderEvent::PaymentDeferred(_, why)) = &delivery.event else { unreachable!() };
            let (same, party) = order(why.detail.parse().unwrap());
            assert_eq!(*id, same);
            let waiting = Waiting { id: *id, party, seq: delivery.seq, is_new: false, watched: None };
            Ok(carrier.later(waiting, delivery.deliveries, Duration::from_secs(6)))
        }
    }));
    let looks = Arc::new(AtomicUsize::new(0));
    let (looking, counted, token) = (carrier.clone(), looks.clone(), stop.clone());
    let limits = Limits { per_turn: 2, per_turn_max: 100, in_hand: 50 };
    let looking = tokio::spawn(async move {
        looking
            .look(
                token,
                limits,
                || 0,
                |_| {
                    counted.fetch_add(1, Ordering::Relaxed);
                    async { Ok(Answer::Later(Duration::from_secs(6))) }
                },
            )
            .await;
    });
    let handled = Arc::new(AtomicUsize::new(0));
    let counted = handled.clone();
    let requests = sender.inbox(REQUESTED, health.clone()).await.unwrap();
    let handling = tokio::spawn(requests.run(stop.clone(), 256, move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Ok(Answer::Done) }
    }));

    for first in (0..COUNT).step_by(500) {
        let batch = Batch::unordered((first..first + 500).map(deferred));
        ops.append(batch).await.unwrap();
    }
    until("all are carried by time", async || carrier.waiting() == COUNT).await;
    until("no message is pending or held", async || sender.lag(DEFERRED).await.unwrap() == Lag::default()).await;

    // A new order, and one more that begins to wait, are handled as if nothing else waited.
    let began = Instant::now();
    let request =
        examples::all().into_iter().find(|event| matches!(event, Event::Order(_, OrderEvent::PaymentRequested(_))));
    ops.append(&[NewEvent { event: request.unwrap(), expected: Expected::Absent, trace: None }]).await.unwrap();
    ops.append(&[deferred(COUNT)]).await.unwrap();
    until("both are handled", async || handled.load(Ordering::Relaxed) == 1 && carrier.waiting() == COUNT + 1).await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());

    // Hopeless looks cost a fixed number a second, and no order is lost by them.
    let (before, began) = (looks.load(Ordering::Relaxed), Instant::now());
    until("looks go on", async || looks.load(Ordering::Relaxed) >= before + 60).await;
    let a_second = 60.0 / began.elapsed().as_secs_f64();
    assert!(a_second < 25.0, "{a_second} looks a second");
    assert_eq!(carrier.waiting(), COUNT + 1);
    assert_eq!(sender.lag(DEFERRED).await.unwrap(), Lag::default());
    stop.cancel();
    for task in [waiting, looking, handling] {
        tokio::time::timeout(Duration::from_secs(20), task).await.unwrap().unwrap();
    }
}
