//! The copy and the position: contiguous, chained, moved once.

use crate::common::{at, begin, history, incarnation, minted_order, recorded, registered};
use alloy_primitives::B256;
use chrono::SubsecRound;
use domain::{Recorded, StoredMessage, Undecodable};
use sqlx::{Connection, PgConnection};
use store::{CONNECTIONS, READ_MODELS, SetAsideKind, Store, StoreError, chain_hash};
use testkit::Database;

fn story() -> Vec<Recorded> {
    let orders = (1..=3).flat_map(|n| minted_order(n).1);
    history(1, [registered()].into_iter().chain(orders))
}

async fn sql(database: &Database, statement: &'static str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(&database.server.url()).await.unwrap();
    sqlx::raw_sql(statement).execute(&mut connection).await.map(|_| ())
}

#[tokio::test]
async fn f15_a_gap_in_the_sequence_is_refused_by_name_and_nothing_is_applied() {
    let database = Database::start().await;
    let start = begin(&database.store).await;
    let mut story = story();
    let lost = story.remove(4);
    match database.store.apply(&story, &start).await {
        Err(StoreError::Gap { expected, found }) => assert_eq!((expected, found), (lost.seq, lost.seq + 1)),
        other => panic!("{other:?}"),
    }
    match database.store.apply(&story[2..], &start).await {
        Err(StoreError::Gap { expected: 1, found: 3 }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(database.store.position(READ_MODELS).await.unwrap(), Some(start));
    assert!(database.store.ledger_tail(10).await.unwrap().is_empty());
    assert!(database.store.dump_read_models().await.unwrap().is_empty());
}

#[tokio::test]
async fn of_two_projectors_one_is_fenced_and_changes_nothing() {
    let database = Database::start().await;
    let start = begin(&database.store).await;
    let second = Store::connect(&database.server.url(), CONNECTIONS).await.unwrap();
    let story = story();
    let (one, two) = tokio::join!(database.store.apply(&story, &start), second.apply(&story[..2], &start));
    let (winner, loser) = if one.is_ok() { (one, two) } else { (two, one) };
    let winner = winner.unwrap();
    assert!(matches!(loser, Err(StoreError::Fenced { expected: 0 })), "{loser:?}");
    assert_eq!(database.store.position(READ_MODELS).await.unwrap(), Some(winner.position));
    let copied = database.store.ledger_tail(100).await.unwrap();
    assert_eq!(u64::try_from(copied.len()).unwrap(), winner.position.seq);
}

#[tokio::test]
async fn c24_a10_a_replay_changes_nothing() {
    let database = Database::start().await;
    let start = begin(&database.store).await;
    let story = story();
    let applied = database.store.apply(&story[..9], &start).await.unwrap();
    let rows = database.store.dump_read_models().await.unwrap();

    // The same events again, after a crash that came before the answer.
    let again = database.store.apply(&story[..9], &applied.position).await.unwrap();
    assert_eq!(again.position, applied.position);
    assert_eq!(database.store.dump_read_models().await.unwrap(), rows);
    // Some known, some new.
    let overlapping = database.store.apply(&story[5..], &applied.position).await.unwrap();
    assert_eq!(overlapping.position.seq, story.last().unwrap().seq);
    let rows = database.store.dump_read_models().await.unwrap();
    // A zombie with the old position.
    let zombie = database.store.apply(&story, &start).await;
    assert!(matches!(zombie, Err(StoreError::Fenced { expected: 0 })), "{zombie:?}");
    assert_eq!(database.store.dump_read_models().await.unwrap(), rows);
    let whole = database.store.ledger_range(1, u64::MAX / 2).await.unwrap();
    assert_eq!(whole.len(), story.len());
}

#[tokio::test]
async fn a09_the_copy_is_byte_exact_and_chained() {
    let database = Database::start().await;
    let start = begin(&database.store).await;
    let mut story = story();
    story[1].message.payload = vec![0, 0xff, 0xfe, b'\\', b'x', 0].into();
    story[1].message.headers = Some(vec![0, 1, 2, 0xc3]);
    story[2].message.payload = Vec::new().into();
    story[2].message.headers = Some(Vec::new());
    story[3].message.headers = None;
    story[4].message.subject = "test.\0'\\x".to_owned();
    database.store.apply(&story, &start).await.unwrap();

    let rows = database.store.ledger_range(1, 1000).await.unwrap();
    let mut hash = B256::ZERO;
    for (row, recorded) in rows.iter().zip(&story) {
        assert!(row.follows(hash), "{}", row.message.seq);
        hash = chain_hash(hash, recorded);
        assert_eq!((row.message.seq, row.hash), (recorded.seq, hash));
        let recorded_at = recorded.recorded_at.trunc_subsecs(6);
        assert_eq!(row.message, StoredMessage { recorded_at, ..recorded.message.clone() });
    }
    assert_eq!(rows.len(), story.len());
    assert_eq!(database.store.position(READ_MODELS).await.unwrap().unwrap().hash, hash);
    assert_eq!(database.store.ledger_tail(2).await.unwrap(), rows[rows.len() - 2..]);

    // Nobody changes it by accident; who does it on purpose breaks the chain.
    for statement in ["UPDATE ledger SET payload = ''", "DELETE FROM ledger", "TRUNCATE ledger CASCADE"] {
        assert!(sql(&database, statement).await.is_err(), "{statement}");
    }
    sql(&database, "SET session_replication_role = replica; UPDATE ledger SET payload = '' WHERE seq = 5")
        .await
        .unwrap();
    let tampered = database.store.ledger_range(4, 6).await.unwrap();
    assert!(!tampered[1].follows(tampered[0].hash));
}

/// The bytes that migrations/0001_ledger.sql promises: a change of them is a new chain.
#[test]
fn the_chain_hashes_the_documented_bytes() {
    let message =
        StoredMessage { seq: 258, subject: "ab".to_owned(), headers: None, payload: "xyz".into(), recorded_at: at(0) };
    // printf of 32 x 11, 0000000000000102, 00000002 "ab", ffffffff, "xyz" | sha256sum
    let expected = "0x64671db090978252ff9e411836d6eace4d19c0ee45ed2a5d83bb593f17eaf851";
    assert_eq!(chain_hash(B256::repeat_byte(0x11), &message).to_string(), expected);
    let with_headers = StoredMessage { headers: Some(b"h".to_vec()), ..message };
    let expected = "0x643b1f786b5d9ab509c3498f651799d26f44a06c977aa034aed3ec60a66200b0";
    assert_eq!(chain_hash(B256::repeat_byte(0x11), &with_headers).to_string(), expected);
}

#[tokio::test]
async fn f13_another_incarnation_of_the_stream_is_refused() {
    let database = Database::start().await;
    let start = begin(&database.store).await;
    database.store.apply(&story(), &start).await.unwrap();
    let found = at(60);
    match database.store.open(READ_MODELS, found).await {
        Err(StoreError::IncarnationChanged { stored, .. }) => assert_eq!(stored, start.incarnation),
        other => panic!("{other:?}"),
    }
    let position = database.store.open(READ_MODELS, incarnation()).await.unwrap();
    // The stream's time has nanoseconds, the table's has not.
    assert!(position.incarnation != incarnation() && position.is_of(incarnation()) && !position.is_of(found));
}

#[tokio::test]
async fn f15_another_event_at_the_position_is_noticed() {
    let database = Database::start().await;
    let start = begin(&database.store).await;
    let story = story();
    for (from, to) in [(0, 1), (1, 9)] {
        let previous = database.store.position(READ_MODELS).await.unwrap().unwrap();
        let position = database.store.apply(&story[from..to], &previous).await.unwrap().position;
        let last = &story[to - 1];
        database.store.verify(&position, last).await.unwrap();
        let reused = StoredMessage { payload: "another".into(), ..last.message.clone() };
        for other in [&reused, &story[to].message] {
            let verdict = database.store.verify(&position, other).await;
            assert!(matches!(verdict, Err(StoreError::Diverged { seq }) if seq == last.seq), "{verdict:?}");
        }
    }
    assert_eq!(start.seq, 0);
}

#[tokio::test]
async fn what_cannot_be_read_is_copied_and_set_aside() {
    let database = Database::start().await;
    let start = begin(&database.store).await;
    let (_, events) = minted_order(1);
    let mut batch = history(1, events[..2].iter().cloned());
    let unreadable = Err(Undecodable::NotACloudEvent(format!("\0{}", "x".repeat(60_000))));
    batch.push(Recorded { event: unreadable, ..recorded(3, registered()) });
    batch.push(recorded(4, events[4].clone()));
    batch.push(recorded(5, events[2].clone()));
    let parked = domain::examples::all().into_iter().find(|event| event.name() == "ops.parked").unwrap();
    batch.push(recorded(6, parked));
    let applied = database.store.apply(&batch, &start).await.unwrap();
    let kinds: Vec<_> = applied.set_aside.iter().map(|s| (s.seq, s.kind)).collect();
    let expected = [(3, SetAsideKind::Undecodable), (4, SetAsideKind::Impossible), (6, SetAsideKind::ParkedMessage)];
    assert_eq!(kinds, expected);
    let mut stored = database.store.set_aside(10).await.unwrap();
    stored.reverse();
    assert_eq!(stored, applied.set_aside);
    assert_eq!(stored[0].reason.chars().count(), 500);
    assert_eq!(applied.position.seq, 6);
    assert_eq!(database.store.ledger_range(1, 6).await.unwrap().len(), 6);
}

#[tokio::test]
async fn c25_after_a_lost_database_the_position_says_what_was_applied() {
    let mut database = Database::start().await;
    let start = begin(&database.store).await;
    let story = story();
    let applied = database.store.apply(&story[..4], &start).await.unwrap();
    database.server.kill();
    let lost = database.store.apply(&story[4..], &applied.position).await;
    assert!(lost.as_ref().is_err_and(StoreError::is_transient), "{lost:?}");
    database.server.restart().await.unwrap();
    let position = database.store.position(READ_MODELS).await.unwrap().unwrap();
    assert_eq!(position, applied.position);
    database.store.apply(&story[4..], &position).await.unwrap();
}
