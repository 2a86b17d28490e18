//! What the queue shows: open orders, a payer's list, totals, batches.
#![allow(clippy::unwrap_used)]

mod common;

use common::{begin, database, entries, minted_order, order, registered, request};
use domain::event::OrderEvent;
use domain::{Event, examples};
use std::collections::BTreeMap;
use store::{CONNECTIONS, Entry, READ_MODELS, StageName, Stamp, Store, StoreError, project};

/// 60 orders, each stopped at another step, interleaved.
fn half_done() -> Vec<Entry> {
    let lines: Vec<Vec<Event>> = (0..60_usize)
        .map(|n| {
            let (id, mut events) = minted_order(u8::try_from(n).unwrap());
            match n % 7 {
                6 => events.truncate(1),
                5 => events = vec![events[0].clone(), order(id, OrderEvent::PaymentFailed(examples::failure()))],
                steps => events.truncate(steps + 1),
            }
            events
        })
        .collect();
    let mut all = vec![registered()];
    for step in 0..5 {
        all.extend(lines.iter().filter_map(|line| line.get(step).cloned()));
    }
    entries(1, all)
}

#[tokio::test]
async fn open_orders_are_those_of_the_position_beside_them() {
    let database = database().await;
    assert!(matches!(database.store.open_orders().await, Err(StoreError::NotBegun)));
    let start = begin(&database.store).await;
    let story = half_done();
    let writer = Store::connect(&database.server.url(), CONNECTIONS).await.unwrap();
    let projector = tokio::spawn({
        let story = story.clone();
        async move {
            let mut position = start;
            for batch in story.chunks(3) {
                position = writer.apply(batch, &position).await.unwrap().position;
            }
        }
    });
    let mut looks = 0;
    while !projector.is_finished() || looks == 0 {
        let (position, open) = database.store.open_orders().await.unwrap();
        let read = &story[..usize::try_from(position.seq).unwrap()];
        let expected = folded(read);
        let found: Vec<_> = open.iter().map(|o| (o.requested_seq, o.id, o.stage, o.paid_seq)).collect();
        assert_eq!(found, expected, "at sequence {}", position.seq);
        assert!(open.iter().all(|o| (o.payer, o.token) == (examples::PAYER, examples::TOKEN)));
        looks += 1;
    }
    projector.await.unwrap();
    let (position, open) = database.store.open_orders().await.unwrap();
    assert_eq!(database.store.position(READ_MODELS).await.unwrap(), Some(position));
    assert_eq!((position.seq, open.len()), (u64::try_from(story.len()).unwrap(), 44));
}

/// What is open after these events, by the sequence of the request.
fn folded(story: &[Entry]) -> Vec<(u64, domain::PaymentId, StageName, Option<u64>)> {
    let mut rows = BTreeMap::new();
    for entry in story {
        if let Ok(Event::Order(id, event)) = &entry.event {
            let at = Stamp { seq: entry.seq, recorded_at: entry.recorded_at };
            let row = project(rows.get(id), *id, event, at).unwrap();
            rows.insert(*id, row);
        }
    }
    let open = rows.into_values().filter(|row| !matches!(row.stage, StageName::Failed | StageName::Minted));
    let mut open: Vec<_> = open.map(|row| (row.requested_seq, row.id, row.stage, row.paid_seq)).collect();
    open.sort_unstable_by_key(|row| row.0);
    open
}

#[tokio::test]
async fn a_purchase_is_known_by_its_payer_and_token() {
    let database = database().await;
    let start = begin(&database.store).await;
    database.store.apply(&half_done(), &start).await.unwrap();
    let (known, unknown) = (request(3).id(), request(200).id());
    let found = database.store.purchases(&[known, unknown, known]).await.unwrap();
    assert_eq!(found, [(known, examples::PAYER, examples::TOKEN)]);
    assert_eq!(database.store.purchases(&[]).await.unwrap(), []);
}
