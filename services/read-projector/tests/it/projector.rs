//! The projector between a real nats-server and a real Postgres.

use domain::event::{OrderEvent, TokenEvent};
use domain::{Event, examples};
use ledger::{Expected, Ledger, NewEvent};
use read_projector::{Config, run};
use runtime::{CancellationToken, Fatal};
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use store::{Position, READ_MODELS, Store};
use testkit::{Broker, Database, eventually, until};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A projector's neighbours.
struct Neighbours {
    broker: Broker,
    database: Database,
    config: Config,
    ledger: Ledger,
}

async fn start() -> Neighbours {
    let (broker, database) = tokio::join!(Broker::start(), Database::start());
    let config =
        Config { ledger: broker.config("ops"), database_url: database.server.url(), schema: None, health: None };
    let ledger = broker.ledger("ops").await;
    Neighbours { broker, database, config, ledger }
}

type Projector = (CancellationToken, JoinHandle<Result<(), Fatal>>);

impl Neighbours {
    fn projector(&self) -> Projector {
        let stop = CancellationToken::new();
        (stop.clone(), tokio::spawn(run(self.config.clone(), stop)))
    }

    /// Appends signer events: as many as wanted, each on a subject of its own.
    async fn claims(&self, epochs: std::ops::Range<u32>) {
        for epoch in epochs {
            let Some(Event::Signer(signer, domain::SignerEvent::Claimed(claim))) = examples::all().into_iter().nth(1)
            else {
                panic!("the second example is a claim")
            };
            let claim = domain::event::Claimed { epoch, ..claim };
            self.append(Event::Signer(signer, domain::SignerEvent::Claimed(claim)), Expected::Absent).await;
        }
    }

    async fn append(&self, event: Event, expected: Expected) {
        self.ledger.append(&[NewEvent { event, expected, trace: None }]).await.unwrap();
    }

    async fn purchase(&self) -> domain::PaymentId {
        let request = examples::request();
        let id = request.id();
        self.append(
            Event::Token(examples::TOKEN, TokenEvent::Registered(Box::new(examples::terms()))),
            Expected::Absent,
        )
        .await;
        for event in [
            OrderEvent::PaymentRequested(Box::new(request)),
            OrderEvent::PaymentSubmitted(1, examples::submission(7)),
            OrderEvent::PaymentConfirmed(examples::proof()),
            OrderEvent::MintSubmitted(1, examples::submission(8)),
            OrderEvent::MintConfirmed(examples::minted()),
        ] {
            self.append(Event::Order(id, event), Expected::Absent).await;
        }
        id
    }

    async fn caught_up(&self) -> Position {
        let (_, last) = self.ledger.state().await.unwrap();
        let position = async || self.database.store.position(READ_MODELS).await.ok().flatten();
        eventually("all is projected", async || position().await.filter(|position| position.seq >= last)).await
    }

    async fn sql(&self, statement: &'static str) {
        let mut connection = PgConnection::connect(&self.config.database_url).await.unwrap();
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    }
}

/// The projector reports it in the ledger, and stays.
async fn stops_with((stop, projector): Projector, real: &Neighbours, sentence: &str) {
    let said = async || real.broker.ledger("ops").await.stopped().unwrap_or_default();
    let stopped = until(sentence, async || said().await.contains(sentence));
    timeout(Duration::from_secs(10), stopped).await.expect("found within the promised time");
    assert!(!projector.is_finished());
    stop.cancel();
    projector.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_purchase_is_projected_and_a_restart_resumes() {
    let real = start().await;
    let (stop, projector) = real.projector();
    let id = real.purchase().await;
    real.caught_up().await;
    let payment = real.database.store.payment(id).await.unwrap().unwrap();
    assert_eq!(payment.stage, domain::Stage::Minted);

    stop.cancel();
    projector.await.unwrap().unwrap();
    real.claims(1..4).await;
    let (stop, projector) = real.projector();
    let position = real.caught_up().await;
    stop.cancel();
    projector.await.unwrap().unwrap();

    // A09: the copy is the stream.
    let copy = real.database.store.ledger_range(1, position.seq).await.unwrap();
    assert_eq!(u64::try_from(copy.len()).unwrap(), position.seq);
    for row in copy {
        let copied = row.message;
        let recorded = real.ledger.at(copied.seq).await.unwrap().unwrap();
        assert_eq!((&copied.subject, &copied.payload), (&recorded.subject, &recorded.payload));
        assert_eq!(copied.headers, recorded.headers);
        assert!(copied.headers.is_some_and(|headers| !headers.is_empty()));
    }
}

#[tokio::test]
async fn a10_a_rebuild_beside_the_live_read_models_gives_the_same_rows() {
    let real = start().await;
    let (stop, projector) = real.projector();
    real.purchase().await;
    let live = real.caught_up().await;
    stop.cancel();
    projector.await.unwrap().unwrap();

    let config = Config { schema: Some("read_v2".to_owned()), ..real.config.clone() };
    let beside = Store::connect_schema(&config.database_url, "read_v2", 2).await.unwrap();
    beside.migrate().await.unwrap();
    let stop = CancellationToken::new();
    let projector = tokio::spawn(run(config, stop.clone()));
    until("both are equal", async || beside.position(READ_MODELS).await.unwrap() == Some(live)).await;
    stop.cancel();
    projector.await.unwrap().unwrap();
    let rows = real.database.store.dump_read_models().await.unwrap();
    assert_eq!(beside.dump_read_models().await.unwrap(), rows);
    let count = |table: &str| rows.iter().filter(|row| row.table == table).count();
    assert_eq!(["payments", "tokens", "payers", "stage_totals"].map(count), [1; 4]);
}

#[tokio::test]
async fn of_two_projectors_one_works_and_the_other_takes_over() {
    let real = start().await;
    let (stop_one, one) = real.projector();
    let (stop_two, two) = real.projector();
    for first in [1, 11, 21] {
        real.claims(first..first + 10).await;
        real.caught_up().await;
    }
    stop_one.cancel();
    one.await.unwrap().unwrap();
    real.claims(31..41).await;
    real.caught_up().await;
    stop_two.cancel();
    two.await.unwrap().unwrap();
    assert_eq!(real.database.store.ledger_range(1, 100).await.unwrap().len(), 40);
}

#[tokio::test]
async fn f13_a_recreated_stream_is_projected_neither_by_a_running_projector_nor_by_a_new_one() {
    let real = start().await;
    let running = real.projector();
    real.claims(1..4).await;
    let before = real.caught_up().await;
    let client = async_nats::connect(real.broker.nats.url()).await.unwrap();
    client.request("$JS.API.STREAM.DELETE.LEDGER", "".into()).await.unwrap();
    ledger::provision(&real.broker.nats.url()).await.unwrap();
    real.claims(1..9).await;
    let ops = Ledger::connect(&real.config.ledger, "/paymint/ops").await.unwrap();
    for projector in [running, real.projector()] {
        stops_with(projector, &real, "it is another one, and sequences mean something else").await;
        ops.resume(examples::resumed()).await.unwrap();
    }
    assert_eq!(real.database.store.position(READ_MODELS).await.unwrap(), Some(before));
}

#[tokio::test]
async fn f14_f15_a_ledger_that_lost_its_tail_or_holds_another_event_is_refused() {
    let real = start().await;
    let (stop, projector) = real.projector();
    real.claims(1..6).await;
    real.caught_up().await;
    stop.cancel();
    projector.await.unwrap().unwrap();
    // The same as a stream that lost its tail, and as one that went on after that: seen from the copy.
    let ops = Ledger::connect(&real.config.ledger, "/paymint/ops").await.unwrap();
    let was = "UPDATE projections SET seq = 5, hash = (SELECT hash FROM ledger WHERE seq = 5)";
    for (change, sentence) in [
        ("UPDATE projections SET seq = 9", "ends at sequence 5, but sequence 9 was read"),
        ("UPDATE projections SET seq = 4", "sequence 4 is not the one that was read"),
        // What nobody reads any more.
        (
            "ALTER TABLE ledger DISABLE TRIGGER ALL; UPDATE ledger SET hash = sha256(hash) WHERE seq = 2",
            "sequence 2 is not",
        ),
    ] {
        real.sql(change).await;
        stops_with(real.projector(), &real, sentence).await;
        ops.resume(examples::resumed()).await.unwrap();
        real.sql(was).await;
    }
}

/// F26, C25: the database restarts under the projector; every event arrives once all the same.
#[tokio::test]
async fn neighbours_that_restart_are_waited_for() {
    let mut real = start().await;
    let (stop, projector) = real.projector();
    real.claims(1..6).await;
    real.caught_up().await;
    real.database.server.kill();
    real.claims(6..11).await;
    real.database.server.restart().await.unwrap();
    real.caught_up().await;
    real.broker.nats.kill();
    real.broker.nats.restart().await.unwrap();
    real.claims(11..16).await;
    real.caught_up().await;
    stop.cancel();
    projector.await.unwrap().unwrap();
    let copy = real.database.store.ledger_range(1, 100).await.unwrap();
    assert_eq!(copy.iter().map(|row| row.message.seq).collect::<Vec<_>>(), (1..=15).collect::<Vec<_>>());
}

/// B56, B69: what is not an event of ours is copied and set aside, and holds up nothing.
#[tokio::test]
async fn a_foreign_message_is_copied_and_set_aside() {
    let real = start().await;
    let (stop, projector) = real.projector();
    let client = async_nats::connect(real.broker.nats.url()).await.unwrap();
    let context = async_nats::jetstream::new(client);
    for n in 0..20 {
        context.publish(format!("orders.x.y.{n}"), "not JSON".into()).await.unwrap().await.unwrap();
    }
    real.claims(1..2).await;
    real.caught_up().await;
    stop.cancel();
    projector.await.unwrap().unwrap();
    assert_eq!(real.database.store.set_aside(100).await.unwrap().len(), 20);
    assert_eq!(real.database.store.ledger_range(1, 1).await.unwrap()[0].message.headers, None);
}

/// B61. A publisher writes headers that the server adds to its answers: they are its own words, not the server's.
#[tokio::test]
async fn a_message_with_the_servers_headers_stops_nothing() {
    let real = start().await;
    let (stop, projector) = real.projector();
    real.claims(1..2).await;
    let client = async_nats::connect(real.broker.nats.url()).await.unwrap();
    let context = async_nats::jetstream::new(client);
    let mut headers = async_nats::HeaderMap::new();
    for (name, value) in [("Nats-Sequence", "1"), ("Nats-Subject", "orders.x.y.1"), ("Nats-Time-Stamp", "never")] {
        headers.insert(name, value);
    }
    context.publish_with_headers("orders.x.y.z", headers, "rogue".into()).await.unwrap().await.unwrap();
    real.caught_up().await;
    real.claims(2..3).await;
    real.caught_up().await;
    stop.cancel();
    projector.await.unwrap().unwrap();
    let found = real.ledger.at(2).await.unwrap().unwrap();
    assert_eq!((found.seq, found.subject.as_str()), (2, "orders.x.y.z"));
}
