//! Direct get over a connection that loses something: half an answer does not count as an answer.

use crate::common::new;
use domain::{Event, PaymentId, examples};
use faults::{Faults, NatsProxy, TcpProxy, Wire};
use futures_util::StreamExt;
use ledger::{Batch, Ledger, LedgerConfig, LedgerError};
use std::net::SocketAddr;
use testkit::{Broker, eventually};

/// Appends an order with one event of every type. Returns its id and the number of events.
async fn order(broker: &Broker) -> (PaymentId, usize) {
    let events: Vec<Event> = examples::all().into_iter().filter(|event| matches!(event, Event::Order(..))).collect();
    let ops = broker.ledger("ops").await;
    ops.append(Batch::unordered(events.iter().cloned().map(new))).await.unwrap();
    (examples::request().id(), events.len())
}

fn address(broker: &Broker) -> SocketAddr {
    broker.nats.url().trim_start_matches("nats://").parse().unwrap()
}

async fn through(broker: &Broker, proxy: SocketAddr) -> Ledger {
    let url = format!("nats://confirmer:p-confirmer@{proxy}");
    let config = LedgerConfig { url, monitor_url: broker.nats.monitor_url() };
    Ledger::connect(&config, "/paymint/test").await.unwrap()
}

#[tokio::test]
async fn f18_an_answer_that_lost_a_message_is_no_answer() {
    let broker = Broker::with_accounts().await;
    let (id, count) = order(&broker).await;
    let proxy = NatsProxy::before(address(&broker)).await.unwrap();
    let ledger = through(&broker, proxy.address()).await;
    for n in 1..=count {
        proxy.lose(u64::try_from(n).unwrap());
        let history = ledger.order_history(id).await;
        assert!(matches!(history, Err(LedgerError::Transient { .. })), "without its {n}. message: {history:?}");
        proxy.lose(u64::try_from(n).unwrap());
        assert!(matches!(ledger.between(1, 100).await, Err(LedgerError::Transient { .. })), "a page without its {n}.");
        proxy.lose(u64::try_from(n).unwrap());
        let mut news = ledger.read_from(1).await.unwrap();
        for seq in 1..=u64::try_from(count).unwrap() {
            assert_eq!(news.next().await.unwrap().unwrap().seq, seq, "asked again");
        }
    }
    assert_eq!(proxy.lost(), 3 * u64::try_from(count).unwrap());
    assert_eq!(ledger.order_history(id).await.unwrap().len(), count);
}

#[tokio::test]
async fn f18_an_answer_that_is_cut_is_no_answer() {
    let broker = Broker::with_accounts().await;
    let (id, count) = order(&broker).await;
    let proxy = TcpProxy::before(address(&broker)).await.unwrap();
    let ledger = through(&broker, proxy.address()).await;
    let whole = ledger.order_history(id).await.unwrap();
    assert_eq!(whole.len(), count);
    let last = usize::try_from(proxy.connections()).unwrap() - 1;
    let bytes: usize = whole.iter().map(|recorded| recorded.payload.len()).sum();
    proxy.set_for(last, Faults { down: Wire { cut_after: Some(bytes / 2), ..Wire::default() }, ..Faults::default() });
    let history = ledger.order_history(id).await;
    assert!(matches!(history, Err(LedgerError::Transient { .. })), "{history:?}");
    let again = eventually("the connection is back", async || ledger.order_history(id).await.ok()).await;
    assert_eq!(again.len(), count);
}
