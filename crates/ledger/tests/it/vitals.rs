//! The facts that the api must know of the ledger before it accepts an order, read with the api's own permissions.

use crate::common::{Served, moved, new};
use domain::{Event, examples};
use ledger::{AppendError, Batch, Expected, GroupCommit, Lag, NewEvent};
use testkit::{Broker, until};

#[tokio::test]
async fn l5_the_api_is_told_how_many_orders_wait_and_how_full_the_storage_is() {
    let broker = Broker::with_accounts().await;
    let api = broker.ledger("api").await;
    assert_eq!(api.lag("payment-sender").await.unwrap(), Lag { pending: 0, held: 0 });
    let empty = api.storage().await.unwrap();
    assert!(empty.max > empty.used);
    api.append(&[new(examples::all().remove(2))]).await.unwrap();
    // The server counts for a consumer a moment after it has stored.
    let waiting = Lag { pending: 1, held: 0 };
    until("the order waits", async || api.lag("payment-sender").await.is_ok_and(|lag| lag == waiting)).await;
    let mut served = Served::by(&broker, "payment-sender", "payment-sender", |_| std::future::pending()).await;
    served.next().await;
    assert_eq!(api.lag("payment-sender").await.unwrap(), Lag { pending: 0, held: 1 });
    assert!(api.storage().await.unwrap().used > empty.used);
    assert!(api.lag("confirmer").await.is_err(), "others are nobody's business");
}

/// An order and the keys that name it are appended together. If a key is taken, the order is not written either.
#[tokio::test]
async fn d11_what_is_appended_together_is_there_together_or_not_at_all() {
    let broker = Broker::with_accounts().await;
    let api = broker.ledger("api").await;
    let commit = GroupCommit::start(api.clone());
    let key = |payer| moved(examples::all().into_iter().find(|event| matches!(event, Event::Key(..))).unwrap(), payer);
    let order = NewEvent { expected: Expected::Version(0), ..new(examples::all().remove(2)) };
    commit.append(new(key(1))).await.unwrap();
    let taken: Event = match key(1) {
        Event::Key(key, _) => {
            let other = domain::PaymentId::of(domain::PaymentKey(alloy_primitives::B256::repeat_byte(9)));
            Event::Key(key, domain::KeyEvent::Bound(domain::KeyBound { payment_id: other }))
        }
        other => other,
    };
    let before = api.state().await.unwrap().1;
    let refused = commit.append(Batch::unordered([order.clone(), new(taken)])).await;
    assert!(matches!(refused, Err(AppendError::WrongVersion)), "{refused:?}");
    assert_eq!(api.state().await.unwrap().1, before);
    // Many concurrent appends, and the same again: each is stored once.
    let many = (2..60).map(|payer| commit.append(new(key(payer))));
    assert!(futures_util::future::join_all(many).await.iter().all(Result::is_ok));
    commit.append(Batch::unordered([order.clone(), new(key(60))])).await.unwrap();
    commit.append(Batch::unordered([order, new(key(60))])).await.unwrap();
    assert_eq!(api.state().await.unwrap().1, before + 58 + 2);
}
