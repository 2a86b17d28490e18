//! Records without an order, and the units that they take in the place of orders.

use crate::common::{begin, history, order, registered, request};
use domain::event::OrderEvent;
use domain::{Event, FoundRecord, PaymentId, Quantity, RecordEnd, RecordEvent, examples};
use testkit::Database;

/// A record of five units with the id of the `n`th request.
fn record(n: u8) -> (PaymentId, [Event; 3]) {
    let request = request(n);
    let (id, quantity) = (request.id(), Quantity::new(5).unwrap());
    let found = FoundRecord { payment_key: request.payment_key, quantity, ..examples::found_record() };
    let end = || RecordEnd { quantity, ..examples::record_end() };
    let events = [RecordEvent::Found(found), RecordEvent::Minted(end()), RecordEvent::Returned(end())];
    (id, events.map(|event| Event::Record(id, event)))
}

/// Units taken, paid and minted after each of `events`, which follow the registration of their token.
async fn units(events: Vec<Event>) -> Vec<(u64, u64, u64)> {
    let database = Database::start().await;
    let mut position = begin(&database.store).await;
    let mut counted = Vec::new();
    for recorded in history(1, std::iter::once(registered()).chain(events)) {
        let applied = database.store.apply(std::slice::from_ref(&recorded), &position).await.unwrap();
        assert_eq!(applied.set_aside, []);
        position = applied.position;
        let token = database.store.token(examples::TOKEN).await.unwrap().unwrap();
        counted.push((token.units_taken, token.units_paid, token.units_minted));
        assert_eq!(database.store.standing().await.unwrap().units_taken[&examples::TOKEN], token.units_taken);
    }
    counted.remove(0);
    counted
}

#[tokio::test]
async fn the_units_of_a_record_are_counted_once_whether_it_or_its_order_is_first() {
    let requested = |n| order(request(n).id(), OrderEvent::PaymentRequested(Box::new(request(n))));
    let (id, [found, minted, _]) = record(1);
    let confirmed = order(id, OrderEvent::PaymentConfirmed(examples::proof()));
    let delivered = order(id, OrderEvent::MintConfirmed(examples::minted()));
    let record_first = vec![found, minted, requested(1), confirmed, delivered];
    assert_eq!(units(record_first).await, [(5, 5, 0), (5, 5, 5), (5, 5, 5), (5, 5, 5), (5, 5, 5)]);
    let (id, [found, _, returned]) = record(2);
    let failed = order(id, OrderEvent::PaymentFailed(examples::failure()));
    let order_first = vec![requested(2), found, failed, returned];
    assert_eq!(units(order_first).await, [(10, 0, 0), (5, 5, 0), (5, 5, 0), (0, 0, 0)]);
}

#[tokio::test]
async fn a_record_is_found_once_and_ends_once_and_anything_else_is_set_aside() {
    let database = Database::start().await;
    let start = begin(&database.store).await;
    let (id, [found, minted, returned]) = record(1);
    let (_, [_, unknown, _]) = record(2);
    let story = history(1, [registered(), found.clone(), found, unknown, minted, returned]);
    let applied = database.store.apply(&story, &start).await.unwrap();
    assert_eq!(applied.set_aside.iter().map(|aside| aside.seq).collect::<Vec<_>>(), [3, 4, 6]);
    assert_eq!(database.store.standing().await.unwrap().found, [id]);
    let dump = database.store.dump_read_models().await.unwrap();
    let rows: Vec<_> = dump.iter().filter(|row| row.table == "records").collect();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].json.contains(r#""stage": "minted""#), "{}", rows[0].json);
}
