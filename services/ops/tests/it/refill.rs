//! A ledger that is refilled from its copy, between real servers (P2, D4, F13 to F16).

use async_nats::{HeaderMap, jetstream};
use domain::event::{Claimed, OrderEvent};
use domain::{
    Event, IdempotencyKey, KeyBound, KeyEvent, PaymentId, PaymentKey, PaymentRequest, SignerEvent, StoredMessage,
    examples,
};
use ledger::{Added, AppendError, Batch, ConnectError, Expected, Ledger, LedgerConfig, NewEvent, Refill};
use neighbours::{Nats, NatsOptions, Tools};
use ops::{NotRefilled, Refilled, refill};
use read_projector::{Config, run};
use runtime::CancellationToken;
use sqlx::{Connection, PgConnection};
use store::{READ_MODELS, Store};
use tempfile::TempDir;
use testkit::{Broker, Database, until};

/// A ledger and its copy. Stores that were taken away are in `dir`.
struct Copies {
    broker: Broker,
    database: Database,
    dir: TempDir,
}

impl Copies {
    async fn start() -> Self {
        let (broker, database) = tokio::join!(Broker::start(), Database::start());
        Self { broker, database, dir: tempfile::tempdir().unwrap() }
    }

    async fn ledger(&self) -> Ledger {
        self.broker.ledger("ops").await
    }

    /// Projects up to the end of the ledger, and stops.
    async fn copy(&self) {
        self.copy_into(&self.database.store, None).await;
    }

    async fn copy_into(&self, store: &Store, schema: Option<String>) {
        let stop = CancellationToken::new();
        let (ledger, database_url) = (config(&self.broker.nats), self.database.server.url());
        let projector = tokio::spawn(run(Config { ledger, database_url, schema, health: None }, stop.clone()));
        let last = self.ledger().await.state().await.unwrap().1;
        let reached = async || store.position(READ_MODELS).await.unwrap().is_some_and(|at| at.seq >= last);
        until("all is copied", reached).await;
        stop.cancel();
        projector.await.unwrap().unwrap();
    }

    /// Takes the store away, as a person does; what it was can be started from there.
    async fn lose(&mut self) {
        self.broker.nats.stop().await.unwrap();
        std::fs::create_dir(self.dir.path().join("old")).unwrap();
        std::fs::rename(self.broker.store(), self.dir.path().join("old/store")).unwrap();
        self.broker.nats.restart().await.unwrap();
    }

    async fn refill(&self) -> Result<Refilled, NotRefilled> {
        refill(&config(&self.broker.nats), &self.database.store, None).await
    }

    async fn begin(&self) -> Refill {
        Refill::begin(&config(&self.broker.nats)).await.unwrap()
    }

    async fn rows(&self) -> Vec<StoredMessage> {
        let rows = self.database.store.ledger_range(1, 10_000).await.unwrap();
        rows.into_iter().map(|row| row.message).collect()
    }

    async fn sql(&self, statement: &'static str) {
        let mut connection = PgConnection::connect(&self.database.server.url()).await.unwrap();
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    }

    /// Everything of the copy stands in the ledger, and the ledger can be used.
    async fn is_whole(&self) {
        let ledger = self.ledger().await;
        assert_eq!(ledger.stopped(), None);
        let rows = self.rows().await;
        let found = ledger.between(1, 10_000).await.unwrap();
        assert!(found.len() >= rows.len() && !rows.is_empty());
        for (row, found) in rows.into_iter().zip(found) {
            // Only the times of storing differ.
            assert_eq!(row, StoredMessage { recorded_at: row.recorded_at, ..found.message });
        }
        assert!(ledger.lag("payment-sender").await.unwrap().pending > 0, "consumers are there, and see all of it");
    }
}

async fn start_nats(dir: &TempDir, name: &str) -> Nats {
    let options = NatsOptions { data_dir: dir.path().join(name), ..Default::default() };
    Nats::start(&Tools::locate().unwrap(), options).await.unwrap()
}

fn config(nats: &Nats) -> LedgerConfig {
    LedgerConfig { url: nats.url(), monitor_url: nats.monitor_url() }
}

fn claimed(epoch: u32) -> NewEvent {
    let Some(Event::Signer(signer, SignerEvent::Claimed(claim))) = examples::all().into_iter().nth(1) else {
        panic!("the second example is a claim")
    };
    let event = Event::Signer(signer, SignerEvent::Claimed(Claimed { epoch, ..claim }));
    NewEvent { event, expected: Expected::Absent, trace: None }
}

fn request(nth: u8) -> PaymentRequest {
    let mut request = examples::request().into_fields();
    request.authorization.nonce[31] = nth;
    request.payment_key =
        PaymentKey::new(examples::CHAIN_ID, examples::ASSET, examples::PAYER, request.authorization.nonce);
    PaymentRequest::new(request).unwrap()
}

fn ordered(nth: u8) -> NewEvent {
    let request = request(nth);
    let event = Event::Order(request.id(), OrderEvent::PaymentRequested(Box::new(request)));
    NewEvent { event, expected: Expected::Version(0), trace: None }
}

fn bound(key: u8, payment_id: PaymentId) -> NewEvent {
    let key = IdempotencyKey { digest: [key; 32].into(), ..examples::key() };
    NewEvent {
        event: Event::Key(key, KeyEvent::Bound(KeyBound { payment_id })),
        expected: Expected::Absent,
        trace: None,
    }
}

/// The content of a ledger: single events, batches with two events of one order, foreign messages.
async fn write_history(ledger: &Ledger, nats: &Nats) {
    for epoch in 1..=20 {
        ledger.append(&[claimed(epoch)]).await.unwrap();
    }
    for nth in 1..=5_u8 {
        let ordered = ordered(nth);
        let Event::Order(id, _) = ordered.event else { panic!("an order") };
        let seq = ledger.append(Batch::unordered([ordered, bound(nth, id)])).await.unwrap()[0];
        let event = |event| NewEvent { event: Event::Order(id, event), expected: Expected::Version(seq), trace: None };
        let two = [
            event(OrderEvent::PaymentSubmitted(1, examples::submission(7))),
            event(OrderEvent::PaymentConfirmed(examples::proof())),
            claimed(100 + u32::from(nth)),
        ];
        ledger.append(Batch::unordered(two)).await.unwrap();
    }
    let foreign = jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    let mut headers = HeaderMap::new();
    for (name, value) in [("Nats-Sequence", "1"), ("Nats-Subject", "orders.x.y.1"), ("Nats-Time-Stamp", "never")] {
        headers.insert(name, value);
    }
    foreign.publish_with_headers("orders.x.y.z", headers, "not JSON".into()).await.unwrap().await.unwrap();
}

#[tokio::test]
async fn p2_a_lost_ledger_is_refilled_byte_for_byte_and_everybody_goes_on() {
    let mut copies = Copies::start().await;
    write_history(&copies.ledger().await, &copies.broker.nats).await;
    copies.copy().await;
    let before = copies.database.store.position(READ_MODELS).await.unwrap().unwrap();
    copies.lose().await;

    let events = before.seq;
    assert_eq!(events, 20 + 5 * 5 + 1);
    for _ in 0..2 {
        let refilled = copies.refill().await.unwrap();
        assert_eq!(refilled, Refilled { events, ..Refilled::default() }, "and again, as if it had been killed");
        copies.is_whole().await;
    }
    let after = copies.database.store.position(READ_MODELS).await.unwrap().unwrap();
    assert_eq!((after.seq, after.hash), (before.seq, before.hash));
    let ledger = copies.ledger().await;
    assert!(after.is_of(ledger.incarnation()) && !before.is_of(ledger.incarnation()));
    assert!(matches!(ledger.append(&[ordered(1)]).await, Ok(stored) if stored[0] <= events), "what it holds, it holds");
    ledger.append(&[claimed(21)]).await.unwrap();
    copies.copy().await;
    copies.is_whole().await;
}

/// Killed at any line: after any number of events, within an atomic batch too, and after it was adopted.
#[tokio::test]
async fn p2_a_refill_that_is_cut_off_goes_on_where_it_was() {
    let mut copies = Copies::start().await;
    write_history(&copies.ledger().await, &copies.broker.nats).await;
    copies.copy().await;
    copies.lose().await;
    let rows = copies.rows().await;
    // The second of a batch of three is the last that is sent; the batch is begun again.
    for (cut, last) in [(1, 1), (10, 10), (24, 22)] {
        let mut refill = copies.begin().await;
        refill.put(&rows[usize::try_from(refill.last()).unwrap()..cut]).await.unwrap();
        assert_eq!(refill.last(), last);
    }
    let position = copies.database.store.position(READ_MODELS).await.unwrap().unwrap();
    copies.database.store.adopt(&position, copies.begin().await.incarnation()).await.unwrap();
    let refilled = copies.refill().await.unwrap();
    assert_eq!((refilled.events, refilled.changed.len()), (46, 0));
    copies.is_whole().await;
}

#[tokio::test]
async fn until_a_ledger_is_refilled_nobody_can_use_it() {
    let mut copies = Copies::start().await;
    write_history(&copies.ledger().await, &copies.broker.nats).await;
    let running = copies.ledger().await;
    copies.copy().await;
    copies.lose().await;
    let mut refill = copies.begin().await;
    refill.put(&copies.rows().await[..10]).await.unwrap();

    let starting = Ledger::connect(&config(&copies.broker.nats), "/paymint/test").await;
    assert!(matches!(starting, Err(ConnectError::Drift { .. })), "{starting:?}");
    let appended = running.append(&[claimed(99)]).await;
    assert!(matches!(appended, Err(AppendError::Stopped(_) | AppendError::Unknown(_))), "{appended:?}");
    let outside = jetstream::new(async_nats::connect(copies.broker.nats.url()).await.unwrap());
    let published = outside.publish("orders.x.y.z", "rogue".into()).await.unwrap().await;
    assert!(published.is_err(), "{published:?}");
    assert_eq!(copies.begin().await.last(), 10);
}

#[tokio::test]
async fn a_ledger_in_use_a_missing_copy_and_a_broken_one_are_refused() {
    let mut copies = Copies::start().await;
    let nothing = copies.refill().await;
    assert!(matches!(nothing, Err(NotRefilled::NoCopy)), "{nothing:?}");
    write_history(&copies.ledger().await, &copies.broker.nats).await;
    copies.copy().await;
    // The ledger that was copied is left as it is; another one is refused.
    assert_eq!(copies.refill().await.unwrap().events, 46);
    let other = start_nats(&copies.dir, "other").await;
    ledger::provision(&other.url()).await.unwrap();
    let refused = refill(&config(&other), &copies.database.store, None).await;
    assert!(matches!(refused, Err(NotRefilled::Occupied { events: 0 })), "{refused:?}");

    copies
        .sql("ALTER TABLE ledger DISABLE TRIGGER ALL; UPDATE ledger SET payload = payload || 'x' WHERE seq = 7")
        .await;
    let damaged = copies.refill().await;
    assert!(matches!(damaged, Err(NotRefilled::Occupied { events: 46 })), "it is called whole: {damaged:?}");
    copies.lose().await;
    let broken = copies.refill().await;
    assert!(matches!(broken, Err(NotRefilled::BrokenCopy { seq: 7 })), "{broken:?}");
    copies.sql(r"UPDATE ledger SET subject = subject || '\xff'::bytea WHERE seq = 5").await;
    let no_text = copies.refill().await;
    assert!(matches!(no_text, Err(NotRefilled::BrokenCopy { seq: 5 })), "{no_text:?}");
    copies.sql("UPDATE ledger SET subject = substr(subject, 1, octet_length(subject) - 1) WHERE seq = 5").await;
    copies.sql("DELETE FROM set_aside; DELETE FROM ledger WHERE seq > 30").await;
    copies.sql("UPDATE ledger SET payload = substr(payload, 1, octet_length(payload) - 1) WHERE seq = 7").await;
    let short = copies.refill().await;
    assert!(matches!(short, Err(NotRefilled::BrokenCopy { seq: 31 })), "{short:?}");
    assert!(!copies.begin().await.is_open());
}

/// nats-server kept the beginning of a batch once (F07): its last message cannot be put back without the mark of an end,
/// so the hashes of the copy end there, and the tables are rebuilt.
#[tokio::test]
async fn f07_the_kept_beginning_of_a_batch_is_put_back_and_told() {
    let mut copies = Copies::start().await;
    write_history(&copies.ledger().await, &copies.broker.nats).await;
    copies.copy().await;
    copies.lose().await;
    let whole = copies.rows().await;
    // Two of the batch of three at 23, with something behind them; then the same at the end.
    let behind = StoredMessage { seq: 25, ..whole[45].clone() };
    let rows: Vec<StoredMessage> = whole[..24].iter().cloned().chain([behind]).collect();
    for (rows, last) in [(&rows[..25], 25), (&rows[..24], 24)] {
        let outside = async_nats::connect(copies.broker.nats.url()).await.unwrap();
        outside.request("$JS.API.STREAM.DELETE.LEDGER", "".into()).await.unwrap();
        let mut refill = copies.begin().await;
        refill.put(rows).await.unwrap();
        refill.end(last).await.unwrap();
        let found = refill.between(1, 100).await.unwrap();
        assert_eq!((found.len(), refill.last()), (rows.len(), last));
        for (row, found) in rows.iter().zip(&found) {
            assert_eq!((&row.payload, &row.subject), (&found.payload, &found.subject));
            assert_eq!(row.headers == found.headers, row.seq != 24, "{}", row.seq);
        }
    }
}

/// A copy that ends within a batch: what comes of it is told, the old tables stay, and others are made beside them.
#[tokio::test]
async fn f07_where_a_header_more_is_stored_the_tables_are_made_anew() {
    let mut copies = Copies::start().await;
    write_history(&copies.ledger().await, &copies.broker.nats).await;
    copies.copy().await;
    copies
        .sql("ALTER TABLE ledger DISABLE TRIGGER ALL; DELETE FROM set_aside; DELETE FROM ledger WHERE seq > 24")
        .await;
    copies.sql("UPDATE projections SET seq = 24, hash = (SELECT hash FROM ledger WHERE seq = 24)").await;
    copies.lose().await;
    let before = copies.database.store.position(READ_MODELS).await.unwrap();
    let refilled = copies.refill().await.unwrap();
    assert_eq!(refilled, Refilled { events: 24, changed: vec![24], ..Refilled::default() });
    assert_eq!(copies.database.store.position(READ_MODELS).await.unwrap(), before, "they are of another ledger");

    let anew = Store::connect_schema(&copies.database.server.url(), "read_v2", 2).await.unwrap();
    anew.migrate().await.unwrap();
    copies.copy_into(&anew, Some("read_v2".to_owned())).await;
    let (old, new) =
        (copies.database.store.ledger_range(1, 100).await.unwrap(), anew.ledger_range(1, 100).await.unwrap());
    assert_eq!((old.len(), new.len()), (24, 24));
    assert!(old[22].hash == new[22].hash && old[23].hash != new[23].hash, "the hashes part there");
    assert_eq!(copies.ledger().await.stopped(), None);
}

/// Orders that the damaged ledger accepted and that were never copied.
#[tokio::test]
async fn f13_what_was_accepted_on_the_damaged_ledger_is_carried_over_once() {
    let mut copies = Copies::start().await;
    write_history(&copies.ledger().await, &copies.broker.nats).await;
    copies.copy().await;
    copies.lose().await;
    // Somebody made it anew, and the api went on for a moment.
    let old = start_nats(&copies.dir, "anew").await;
    ledger::provision(&old.url()).await.unwrap();
    let ledger = Ledger::connect(&config(&old), "/paymint/test").await.unwrap();
    let id = |nth| request(nth).id();
    ledger.append(Batch::unordered([ordered(1), bound(1, id(1))])).await.unwrap();
    ledger.append(Batch::unordered([ordered(50), bound(50, id(50))])).await.unwrap();
    ledger.append(&[ordered(51)]).await.unwrap();
    // A client that came again under its key, with another authorization.
    ledger.append(Batch::unordered([ordered(52), bound(2, id(52))])).await.unwrap();
    ledger.append(&[claimed(99)]).await.unwrap();

    let refilled = refill(&config(&copies.broker.nats), &copies.database.store, Some(&ledger)).await.unwrap();
    let subjects = |events: &[NewEvent]| events.iter().map(|new| ledger::subject(&new.event)).collect::<Vec<_>>();
    assert_eq!(refilled.added, subjects(&[bound(50, id(50)), ordered(50), ordered(51)]));
    assert_eq!(refilled.left, subjects(&[bound(2, id(52)), ordered(52), claimed(99)]));
    copies.is_whole().await;
    let found = copies.ledger().await.between(1, 100).await.unwrap();
    for (nth, times) in [(1, 1), (50, 1), (51, 1), (52, 0)] {
        let subject = &subjects(&[ordered(nth)])[0];
        assert_eq!(found.iter().filter(|found| found.subject == *subject).count(), times, "{nth}");
    }
    copies.copy().await;
    assert_eq!(copies.database.store.position(READ_MODELS).await.unwrap().unwrap().seq, 46 + 3);
}

/// The copy had not come to the end when the ledger was taken away: what is left is sound, and is not given up.
#[tokio::test]
async fn p2_what_the_old_ledger_has_behind_the_copy_is_copied_first() {
    let mut copies = Copies::start().await;
    write_history(&copies.ledger().await, &copies.broker.nats).await;
    copies.copy().await;
    copies.ledger().await.append(&[claimed(21)]).await.unwrap();
    copies.lose().await;
    let old = start_nats(&copies.dir, "old").await;
    let old = Ledger::connect(&config(&old), "/paymint/test").await.unwrap();
    let behind = refill(&config(&copies.broker.nats), &copies.database.store, Some(&old)).await;
    assert!(matches!(behind, Err(NotRefilled::Behind { seq: 46 })), "{behind:?}");
}

#[tokio::test]
async fn an_event_is_added_once() {
    let mut copies = Copies::start().await;
    write_history(&copies.ledger().await, &copies.broker.nats).await;
    let first = copies.ledger().await.at(1).await.unwrap().unwrap();
    copies.lose().await;
    let mut refill = copies.begin().await;
    assert_eq!(refill.add(&first).await.unwrap(), Added::Now);
    assert_eq!(refill.add(&first).await.unwrap(), Added::Before);
    let other = domain::Recorded { event: Ok(claimed(2).event), ..first };
    assert_eq!(refill.add(&other).await.unwrap(), Added::Other);
    assert_eq!(refill.last(), 1);
}
