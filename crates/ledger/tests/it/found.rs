//! Reads of the ledger for the search for records without an order, on a real server.

use crate::common::{new, thief};
use alloy_primitives::B256;
use domain::record::RecordStage;
use domain::{Event, OrderEvent, PaymentId, PaymentKey, RecordEvent, examples};
use ledger::{AppendError, Batch, Bookmark, Expected};
use std::collections::HashMap;
use testkit::Broker;

#[tokio::test]
async fn an_order_that_failed_stands_for_nothing_and_a_record_is_in_the_state_of_its_last_event() {
    let broker = Broker::with_accounts().await;
    let (ops, minter) = (broker.ledger("ops").await, broker.ledger("mint-projector").await);
    let (id, other) = (examples::request().id(), PaymentId::of(PaymentKey(B256::repeat_byte(9))));
    assert!(minter.unfailed(&[id, other]).await.unwrap().is_empty());
    ops.append(&[new(Event::Order(id, OrderEvent::PaymentRequested(Box::new(examples::request()))))]).await.unwrap();
    ops.append(&[new(Event::Order(id, OrderEvent::PaymentDeferred(1, examples::deferral())))]).await.unwrap();
    let orders = minter.unfailed(&[id, other]).await.unwrap();
    assert_eq!(orders.keys().collect::<Vec<_>>(), [&id]);
    assert_eq!(orders[&id].as_ref().unwrap().request, examples::request());
    ops.append(&[new(Event::Order(id, OrderEvent::PaymentFailed(examples::failure())))]).await.unwrap();
    assert!(minter.unfailed(&[id, other]).await.unwrap()[&id].is_none());

    let found = examples::found_record();
    let of = PaymentId::of(found.payment_key);
    let event = |event| new(Event::Record(of, event));
    let both =
        Batch::led_by([event(RecordEvent::Found(found))]).then([event(RecordEvent::Minted(examples::record_end()))]);
    minter.append(&both).await.unwrap();
    let mut raced = new(Event::Record(id, RecordEvent::Minted(examples::record_end())));
    raced.expected = Expected::Version(0);
    assert!(matches!(minter.append(&[raced]).await, Err(AppendError::WrongVersion)), "an order was faster");
    assert_eq!(minter.append(&both).await.unwrap().len(), 2, "written again, it is the same");
    assert_eq!(minter.found_records(&[of, other]).await.unwrap(), HashMap::from([(of, RecordStage::Minted)]));
}

#[tokio::test]
async fn a_bookmark_is_kept_and_counts_for_its_own_ledger_only() {
    let broker = Broker::with_accounts().await;
    let minter = broker.ledger("mint-projector").await;
    assert_eq!(minter.bookmark().await.unwrap(), None);
    for block in [7, 9] {
        let bookmark = Bookmark { block, registered: 3 };
        minter.keep_bookmark(bookmark).await.unwrap();
        assert_eq!(minter.bookmark().await.unwrap(), Some(bookmark));
    }
    let sender = broker.ledger("payment-sender").await;
    assert!(sender.keep_bookmark(Bookmark::default()).await.is_err(), "not its own");
    let (ops, _) = thief(&broker, "ops").await;
    ops.request("leases.mint.bookmark", "junk".into()).await.unwrap();
    assert_eq!(minter.bookmark().await.unwrap(), None, "it cannot be read: the search begins again");
}
