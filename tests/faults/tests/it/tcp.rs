//! Every fault of a connection, before a real nats-server and a real PostgreSQL, and that it is counted when it hits.

use faults::{Faults, Hit, TcpProxy, Wire};
use neighbours::{Nats, NatsOptions, Postgres, PostgresOptions, Tools};
use sqlx::postgres::PgPoolOptions;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Bytes that do not arrive within this time are held, and not merely slow.
const NOT_SLOW: Duration = Duration::from_millis(300);

/// The one bound of every wait.
const PATIENCE: Duration = Duration::from_secs(20);

async fn nats() -> (Nats, TcpProxy, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let options = NatsOptions { data_dir: dir.path().to_owned(), ..NatsOptions::default() };
    let nats = Nats::start(&Tools::locate().unwrap(), options).await.unwrap();
    let proxy = TcpProxy::before(nats.url().trim_start_matches("nats://").parse().unwrap()).await.unwrap();
    (nats, proxy, dir)
}

/// A client that speaks NATS by hand.
struct Client(TcpStream);

impl Client {
    async fn of(proxy: &TcpProxy) -> Self {
        Self(TcpStream::connect(proxy.address()).await.unwrap())
    }

    /// Greeted, and known to the server.
    async fn greeted(proxy: &TcpProxy) -> Self {
        let mut client = Self::of(proxy).await;
        assert!(client.line().await.unwrap().starts_with("INFO "));
        client.say("CONNECT {\"verbose\":false}\r\n").await;
        client
    }

    async fn say(&mut self, words: &str) {
        self.0.write_all(words.as_bytes()).await.unwrap();
    }

    /// The next line; none at the end.
    async fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let read = async {
            while !line.ends_with(b"\n") {
                line.push(self.0.read_u8().await.ok()?);
            }
            Some(())
        };
        timeout(PATIENCE, read).await.expect("a line, or an end")?;
        Some(String::from_utf8(line).unwrap())
    }

    /// A question and its answer.
    async fn ping(&mut self) -> Option<String> {
        self.say("PING\r\n").await;
        self.line().await
    }

    /// Everything until the end.
    async fn rest(&mut self) -> usize {
        let mut bytes = Vec::new();
        let _ = timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await.expect("an end");
        bytes.len()
    }
}

fn up(up: Wire) -> Faults {
    Faults { up, ..Faults::default() }
}

fn down(down: Wire) -> Faults {
    Faults { down, ..Faults::default() }
}

#[tokio::test]
async fn without_faults_everything_goes_through_and_nothing_is_counted() {
    let (nats, proxy, _dir) = nats().await;
    let client = async_nats::connect(proxy.address().to_string()).await.unwrap();
    let mut heard = client.subscribe("news").await.unwrap();
    let large = vec![7; 900_000];
    client.publish("news", large.clone().into()).await.unwrap();
    let message = timeout(PATIENCE, futures_util::StreamExt::next(&mut heard)).await.unwrap().unwrap();
    assert_eq!(message.payload, large);
    for hit in [Hit::Refused, Hit::Cut, Hit::Held, Hit::Delayed, Hit::Limited] {
        assert_eq!(proxy.hits(hit), 0, "{hit:?}");
    }
    assert_eq!(proxy.connections(), 1);
    drop(nats);
}

/// F04: each way by itself, and many bytes are delayed no longer than one.
#[tokio::test]
async fn f04_a_delay_is_that_of_its_direction_and_does_not_add_up() {
    let (_nats, proxy, _dir) = nats().await;
    let mut client = Client::greeted(&proxy).await;
    let slow = |ms| Wire { delay: Duration::from_millis(ms), ..Wire::default() };
    for (faults, least) in [(up(slow(50)), 50), (down(slow(50)), 50), (up(slow(500)), 500), (down(slow(2_000)), 2_000)]
    {
        proxy.set(faults.clone());
        let before = proxy.hits(Hit::Delayed);
        let begun = Instant::now();
        for _ in 0..20 {
            client.say("PING\r\n").await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for _ in 0..20 {
            assert_eq!(client.line().await.as_deref(), Some("PONG\r\n"));
        }
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(least), "{faults:?}: {took:?}");
        assert!(took < Duration::from_millis(least * 3 + 1_000), "{faults:?}: one after the other? {took:?}");
        assert!(proxy.hits(Hit::Delayed) > before, "{faults:?}");
    }
}

#[tokio::test]
async fn a_limit_is_that_of_its_direction_in_bytes_a_second() {
    let (_nats, proxy, _dir) = nats().await;
    let limited = |limit| Wire { limit: Some(limit), ..Wire::default() };
    let mut client = Client::greeted(&proxy).await;
    // 600 bytes of PING, 600 bytes of PONG.
    for faults in [up(limited(1_000)), down(limited(1_000))] {
        proxy.set(faults.clone());
        let begun = Instant::now();
        client.say(&"PING\r\n".repeat(100)).await;
        for _ in 0..100 {
            assert_eq!(client.line().await.as_deref(), Some("PONG\r\n"));
        }
        assert!(begun.elapsed() >= Duration::from_millis(550), "{faults:?}: {:?}", begun.elapsed());
    }
    assert!(proxy.hits(Hit::Limited) > 0);
}

/// F06: half-open. Nobody is told anything, also not that the other side has gone.
#[tokio::test]
async fn f03_f06_a_held_connection_is_silent_until_it_is_released() {
    let (mut nats, proxy, _dir) = nats().await;
    let mut old = Client::greeted(&proxy).await;
    assert_eq!(old.ping().await.as_deref(), Some("PONG\r\n"));
    proxy.set(Faults { hold: true, ..Faults::default() });
    old.say("PING\r\n").await;
    let mut new = Client::of(&proxy).await;
    for client in [&mut old, &mut new] {
        assert!(timeout(NOT_SLOW, client.0.read_u8()).await.is_err(), "nothing comes, and no end");
    }
    proxy.heal();
    assert_eq!(old.line().await.as_deref(), Some("PONG\r\n"));
    assert!(new.line().await.unwrap().starts_with("INFO "));
    assert!(proxy.hits(Hit::Held) >= 2);

    let (held, ()) = tokio::join!(old.ping(), proxy.hold_for(NOT_SLOW));
    assert_eq!(held.as_deref(), Some("PONG\r\n"));
    proxy.set(Faults { hold: true, ..Faults::default() });
    nats.kill();
    assert!(timeout(NOT_SLOW, old.0.read_u8()).await.is_err(), "its end is held, too");
    proxy.heal();
    assert_eq!(old.rest().await, 0);
}

/// F05: cut on the way down, at any byte.
#[tokio::test]
async fn f05_a_connection_is_cut_after_so_many_bytes_of_one_direction() {
    let (_nats, proxy, _dir) = nats().await;
    for bytes in [1, 10, 100] {
        proxy.set(down(Wire { cut_after: Some(bytes), ..Wire::default() }));
        assert_eq!(Client::of(&proxy).await.rest().await, bytes);
    }
    assert_eq!(proxy.hits(Hit::Cut), 3);

    // Counted from when it was said: the server hears six more bytes, and its answer is lost with the connection.
    proxy.heal();
    let mut client = Client::greeted(&proxy).await;
    assert_eq!(client.ping().await.as_deref(), Some("PONG\r\n"));
    proxy.set(up(Wire { cut_after: Some(6), ..Wire::default() }));
    client.say("PING\r\nPING\r\n").await;
    assert!(client.rest().await <= 6);
    assert_eq!(proxy.hits(Hit::Cut), 4);
}

#[tokio::test]
async fn f01_connections_are_cut_or_refused_and_new_ones_work_afterwards() {
    let (mut nats, proxy, _dir) = nats().await;
    let mut clients = [Client::greeted(&proxy).await, Client::greeted(&proxy).await];
    proxy.cut_one(0);
    assert_eq!(clients[0].rest().await, 0);
    assert_eq!(clients[1].ping().await.as_deref(), Some("PONG\r\n"), "the other goes on");
    proxy.cut();
    assert_eq!(clients[1].rest().await, 0);
    assert_eq!(proxy.hits(Hit::Cut), 2);

    proxy.set(Faults { refuse: true, ..Faults::default() });
    assert_eq!(Client::of(&proxy).await.rest().await, 0);
    assert_eq!(proxy.hits(Hit::Refused), 1);
    proxy.heal();
    Client::greeted(&proxy).await;

    // A server that is not there is one that hangs up.
    nats.kill();
    assert_eq!(Client::of(&proxy).await.rest().await, 0);
    nats.restart().await.unwrap();
    Client::greeted(&proxy).await;
}

#[tokio::test]
async fn one_connection_alone_may_have_faults_of_its_own() {
    let (_nats, proxy, _dir) = nats().await;
    proxy.set_for(1, Faults { hold: true, ..Faults::default() });
    let mut clients = [Client::greeted(&proxy).await, Client::of(&proxy).await, Client::greeted(&proxy).await];
    assert!(timeout(NOT_SLOW, clients[1].0.read_u8()).await.is_err());
    assert_eq!(clients[2].ping().await.as_deref(), Some("PONG\r\n"));
    proxy.heal();
    assert!(clients[1].line().await.unwrap().starts_with("INFO "));
}

/// F18: a client of NATS comes back by itself, as often as it is cut.
#[tokio::test]
async fn f18_a_nats_client_comes_back_through_the_proxy_after_every_cut() {
    let (_nats, proxy, _dir) = nats().await;
    let client = async_nats::connect(proxy.address().to_string()).await.unwrap();
    for connections in 2..=4 {
        proxy.cut();
        let back = async {
            while proxy.connections() < connections || client.flush().await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, back).await.unwrap();
    }
}

#[tokio::test]
async fn f21_f23_f24_postgres_is_cut_held_and_refused() {
    let dir = tempfile::tempdir().unwrap();
    let options =
        PostgresOptions { data_dir: dir.path().join("postgres"), durable: false, ..PostgresOptions::default() };
    let postgres = Postgres::start(&Tools::locate().unwrap(), options).await.unwrap();
    let proxy = TcpProxy::before(([127, 0, 0, 1], postgres.port()).into()).await.unwrap();
    let url = postgres.url().replace(&format!(":{}/", postgres.port()), &format!(":{}/", proxy.address().port()));
    let pool =
        PgPoolOptions::new().max_connections(2).acquire_timeout(Duration::from_secs(2)).connect(&url).await.unwrap();
    let one = async || sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(&pool).await;
    assert_eq!(one().await.unwrap(), 1);

    proxy.cut();
    assert_eq!(one().await.unwrap(), 1, "a pool tries its connections before it gives them");
    assert_eq!(proxy.hits(Hit::Cut), 1);

    proxy.set(Faults { hold: true, ..Faults::default() });
    assert!(timeout(Duration::from_secs(5), one()).await.is_ok_and(|answer| answer.is_err()), "bounded");
    proxy.heal();
    assert_eq!(one().await.unwrap(), 1);

    proxy.set(Faults { refuse: true, ..Faults::default() });
    proxy.cut();
    assert!(one().await.is_err());
    proxy.heal();
    assert_eq!(one().await.unwrap(), 1);
    assert!(proxy.hits(Hit::Held) > 0 && proxy.hits(Hit::Refused) > 0);
}
