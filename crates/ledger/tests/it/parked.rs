//! A message that a consumer gives up is recorded in every order concerned, and is handled once more when a person says so.

use crate::common::{Served, name, new};
use alloy_primitives::B256;
use domain::event::{OpenTx, Redrive, RedrivenMessage};
use domain::order::Holds;
use domain::{
    Event, OpsEvent, OrderEvent, PaymentId, PaymentKey, PaymentRequest, RequestFields, SignerEvent, examples,
};
use ledger::{Answer, Expected, Lag, Ledger, NewEvent};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use testkit::{Broker, eventually};

const SENDER: &str = "payment-sender";

/// Writes the request of order number `nth`. Returns its id and its sequence.
async fn requested(ledger: &Ledger, nth: u8) -> (PaymentId, u64) {
    let nonce = B256::with_last_byte(nth);
    let mut fields: RequestFields = examples::request().into_fields();
    fields.authorization.nonce = nonce;
    fields.payment_key = PaymentKey::new(examples::CHAIN_ID, examples::ASSET, examples::PAYER, nonce);
    let request = PaymentRequest::new(fields).unwrap();
    let id = request.id();
    let event = Event::Order(id, OrderEvent::PaymentRequested(Box::new(request)));
    (id, ledger.append(&[new(event)]).await.unwrap()[0])
}

async fn names(ledger: &Ledger, from: u64) -> Vec<String> {
    let found = ledger.between(from, from + 30).await.unwrap();
    found.iter().map(|recorded| name(recorded.event.as_ref().unwrap())).collect()
}

async fn holds(ledger: &Ledger, id: PaymentId) -> Holds {
    ledger.held_order(id).await.unwrap().unwrap().holds
}

fn redriven(n: u32, consumer: &str, sequence: u64) -> NewEvent {
    let (consumer, by, detail) = (consumer.to_owned(), "alice".to_owned(), "it is well again".to_owned());
    new(Event::Ops(OpsEvent::Redriven(n, RedrivenMessage { consumer, sequence, by, detail })))
}

/// Every order in a transaction is told, also one whose history is impossible. One without a request has no payer to be told.
#[tokio::test]
async fn a_message_that_is_given_up_is_recorded_once_and_holds_every_order_that_it_concerns() {
    let broker = Broker::with_accounts().await;
    let (ops, confirmer) = (broker.ledger("ops").await, broker.ledger("confirmer").await);
    let (first, _) = requested(&ops, 1).await;
    let (impossible, _) = requested(&ops, 2).await;
    ops.append(&[new(Event::Order(impossible, OrderEvent::MintConfirmed(examples::minted())))]).await.unwrap();
    let unknown = PaymentId::of(PaymentKey(B256::repeat_byte(9)));
    let tx = OpenTx { items: vec![first, impossible, unknown], ..examples::open_tx(7) };
    let seq = ops.append(&[new(Event::Signer(examples::LANE, SignerEvent::Signed(tx)))]).await.unwrap()[0];
    assert!(confirmer.load_order(impossible).await.is_err());
    for _ in 0..2 {
        confirmer.set_aside("confirmer", seq, "the chain and the ledger disagree").await.unwrap();
        assert_eq!(names(&ops, seq + 1).await, ["order.held", "order.held", "ops.parked"]);
    }
    for id in [first, impossible] {
        let present = holds(&ops, id).await.present().cloned().unwrap();
        assert_eq!((present.consumer.as_str(), present.sequence), ("confirmer", seq));
    }
    // As another message of the consumer, as one that came back by its row: nothing is new.
    let other = ops.append(&[new(Event::Order(unknown, OrderEvent::PaymentDeferred(1, examples::deferral())))]).await;
    let own = ops.between(1, 1).await.unwrap()[0].seq;
    confirmer.set_aside("confirmer", own, "once more").await.unwrap();
    assert_eq!(ops.state().await.unwrap().1, other.unwrap()[0]);
}

/// The service gives the message up, is told to try once more, gives it up again, and handles it at the second redrive.
/// A redrive that is delivered twice does the same again.
#[tokio::test(flavor = "multi_thread")]
async fn a_redriven_message_is_handled_as_if_delivered_and_can_be_given_up_again() {
    let broker = Broker::with_accounts().await;
    let (ops, is_well) = (broker.ledger("ops").await, Arc::new(AtomicBool::new(false)));
    let well = is_well.clone();
    let mut served = Served::by(&broker, SENDER, SENDER, move |delivery| {
        let answer = match (well.load(Ordering::Relaxed), delivery.deliveries) {
            (false, _) => Answer::Park("not today".to_owned()),
            (true, 1) => Answer::Later(Duration::from_millis(10)),
            (true, _) => Answer::Done,
        };
        async { Ok(answer) }
    })
    .await;
    let (id, seq) = requested(&ops, 1).await;
    let given_up = async |times: u32| {
        eventually("it is given up", async || {
            let found = ops.given_up().await.unwrap().pop()?;
            (found.is_set_aside() && found.parked.redrives == times).then_some(found)
        })
        .await
    };
    assert_eq!(given_up(0).await.parked.reason, "not today");
    let release = async |n| {
        let order = ops.held_order(id).await.unwrap().unwrap();
        let event = order.holds.release(Redrive { by: "alice".to_owned(), detail: "well".to_owned() }).unwrap();
        let event =
            NewEvent { event: Event::Order(id, event), expected: Expected::Version(order.version), trace: None };
        ops.append(&[event]).await.unwrap();
        ops.append(&[redriven(n, SENDER, seq)]).await.unwrap();
    };
    release(1).await;
    assert_eq!(given_up(1).await.redrives.len(), 1);
    assert_eq!(holds(&ops, id).await.progress().count, 2, "held again");
    is_well.store(true, Ordering::Relaxed);
    release(2).await;
    let answered = async || (ops.lag("payment-sender-redriven").await.unwrap() == Lag::default()).then_some(());
    eventually("it is handled", answered).await;
    let told: Vec<(u64, bool)> = served.more().iter().map(|delivery| (delivery.seq, delivery.is_redriven)).collect();
    assert_eq!(told, [(seq, false), (seq, true), (seq, true), (seq, true)]);
    let last = ops.given_up().await.unwrap().pop().unwrap();
    assert!(!last.is_set_aside() && !holds(&ops, id).await.progress().is_held);
    served.end().await;
}

/// Every consumer has its redrives, with the rights of its service.
#[tokio::test(flavor = "multi_thread")]
async fn s19_every_service_handles_the_redrives_of_its_own_consumers() {
    let broker = Broker::with_accounts().await;
    let ops = broker.ledger("ops").await;
    let (_, seq) = requested(&ops, 1).await;
    for (user, consumer, durable) in [
        (SENDER, SENDER, "payment-sender-redriven"),
        (SENDER, "payment-sender-deferred", "payment-sender-deferred-redriven"),
        ("confirmer", "confirmer", "confirmer-redriven"),
        ("confirmer", "confirmer-deferred", "confirmer-deferred-redriven"),
        ("confirmer", "confirmer-watch", "confirmer-watch-redriven"),
        ("mint-projector", "mint-projector", "mint-projector-redriven"),
        ("operator", "operator", "operator-redriven"),
    ] {
        let mut served = Served::by(&broker, user, consumer, |_| async { Ok(Answer::Done) }).await;
        ops.append(&[redriven(1, consumer, seq)]).await.unwrap();
        while !served.next().await.is_redriven {}
        let answered = async || (ops.lag(durable).await.unwrap() == Lag::default()).then_some(());
        eventually("it is acknowledged", answered).await;
        served.end().await;
    }
}
