//! Blows against nats-server and PostgreSQL, and on the connections to them.

use crate::blow::{NatsFault, PostgresFault};
use crate::house::House;
use crate::plan::Step;
use faults::{Direction, Faults, Hit, TcpProxy, Wire};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// Between two cuts.
const BETWEEN_CUTS: Duration = Duration::from_millis(600);

pub async fn nats(house: &House, step: &Step, fault: NatsFault) -> u64 {
    let wire = &house.nats;
    match fault {
        NatsFault::F01Away | NatsFault::F02Killed => {
            house.stack.lock().await.servers.nats.kill();
            tokio::time::sleep(step.lasts).await;
            house.stack.lock().await.servers.nats.restart().await.unwrap();
            1
        }
        NatsFault::F03Frozen => {
            // Nobody may restart meanwhile what does not hear its signals.
            let mut stack = house.stack.lock().await;
            let Some(pid) = stack.servers.nats.pid() else { return 0 };
            let pid = Pid::from_raw(pid.cast_signed());
            kill(pid, Signal::SIGSTOP).unwrap();
            tokio::time::sleep(step.lasts).await;
            kill(pid, Signal::SIGCONT).unwrap();
            1
        }
        NatsFault::F04Slow => {
            let delay = Duration::from_millis(50 + step.roll(450));
            let slow = Wire { delay, ..Wire::default() };
            stand(wire, step, Faults { up: slow, down: slow, ..Faults::default() }, Hit::Delayed).await
        }
        NatsFault::F05AnswersCut => cuts(wire, step, Direction::Down).await,
        NatsFault::F06HalfOpen => stand(wire, step, Faults { hold: true, ..Faults::default() }, Hit::Held).await,
        NatsFault::F07Full => full(house, step).await,
        // Acknowledgements among them: what they were for comes again.
        NatsFault::F09RequestsCut => cuts(wire, step, Direction::Up).await,
        NatsFault::F17ConsumerGone => consumer_gone(house, step).await,
        NatsFault::F18Cut => {
            let before = wire.hits(Hit::Cut);
            let begun = Instant::now();
            while begun.elapsed() < step.lasts {
                wire.cut();
                tokio::time::sleep(BETWEEN_CUTS).await;
            }
            wire.hits(Hit::Cut) - before
        }
    }
}

/// No more bytes for the stream than it has.
async fn full(house: &House, step: &Step) -> u64 {
    let stream = house.stack.lock().await.stream.clone();
    let update = async |max_bytes: Option<i64>| {
        let info = stream.try_ask("STREAM.INFO.LEDGER", Value::Null).await.ok()?;
        let mut config = info["config"].clone();
        config["max_bytes"] = max_bytes.map_or_else(|| info["state"]["bytes"].clone(), |bytes| json!(bytes));
        let answer = stream.try_ask("STREAM.UPDATE.LEDGER", config).await.ok()?;
        answer.get("error").is_none().then_some(())
    };
    let struck = update(None).await.is_some();
    tokio::time::sleep(step.lasts).await;
    while update(Some(-1)).await.is_none() {
        tokio::time::sleep(BETWEEN_CUTS).await;
    }
    u64::from(struck)
}

/// A durable consumer is deleted, and made again as `nats/` has it.
async fn consumer_gone(house: &House, step: &Step) -> u64 {
    let names =
        ["payment-sender", "payment-sender-deferred", "confirmer", "confirmer-watch", "mint-projector", "operator"];
    let name = names[usize::try_from(step.roll(6)).unwrap()];
    let stream = house.stack.lock().await.stream.clone();
    let Ok(info) = stream.try_ask(&format!("CONSUMER.INFO.LEDGER.{name}"), Value::Null).await else { return 0 };
    let gone = stream.try_ask(&format!("CONSUMER.DELETE.LEDGER.{name}"), Value::Null).await;
    tokio::time::sleep(step.lasts).await;
    let again = json!({ "stream_name": "LEDGER", "config": info["config"] });
    let create = format!("CONSUMER.DURABLE.CREATE.LEDGER.{name}");
    while !stream.try_ask(&create, again.clone()).await.is_ok_and(|answer| answer.get("error").is_none()) {
        tokio::time::sleep(BETWEEN_CUTS).await;
    }
    u64::from(gone.is_ok_and(|answer| answer["success"] == true))
}

pub async fn postgres(house: &House, step: &Step, fault: PostgresFault) -> u64 {
    match fault {
        PostgresFault::C25AnswersCut => cuts(&house.postgres, step, Direction::Down).await,
        PostgresFault::F21Away => {
            house.stack.lock().await.servers.postgres.kill();
            tokio::time::sleep(step.lasts).await;
            house.stack.lock().await.servers.postgres.restart().await.unwrap();
            1
        }
        PostgresFault::F22ReadOnly => {
            let set = async |on: &str| {
                let sql = format!("ALTER DATABASE paymint SET default_transaction_read_only = {on}");
                let done = execute(house, &["SET default_transaction_read_only = off", &sql]).await;
                done && execute(house, &[TERMINATE]).await
            };
            let struck = set("on").await;
            tokio::time::sleep(step.lasts).await;
            while !set("off").await {
                tokio::time::sleep(BETWEEN_CUTS).await;
            }
            u64::from(struck)
        }
        PostgresFault::F23Locked => {
            let seconds = step.lasts.as_millis();
            let sleep = format!("SELECT pg_sleep({seconds} / 1000.0)");
            let lock = "LOCK TABLE payments IN ACCESS EXCLUSIVE MODE";
            u64::from(execute(house, &["BEGIN", lock, &sleep, "ROLLBACK"]).await)
        }
        PostgresFault::F24Exhausted => exhausted(house, step).await,
        PostgresFault::F25OlderData => older(house, step).await,
        PostgresFault::F26Terminated => {
            let begun = Instant::now();
            let mut struck = 0;
            while begun.elapsed() < step.lasts {
                struck += u64::from(execute(house, &[TERMINATE]).await);
                tokio::time::sleep(BETWEEN_CUTS / 2).await;
            }
            struck
        }
    }
}

/// Others have every connection that there is.
async fn exhausted(house: &House, step: &Step) -> u64 {
    let url = house.stack.lock().await.servers.postgres.url();
    let mut taken = Vec::new();
    while let Ok(connection) = PgConnection::connect(&url).await {
        taken.push(connection);
    }
    // Who had one, has none now.
    if let Some(one) = taken.last_mut() {
        let mine = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' \
                    AND pid <> pg_backend_pid() AND query <> ''";
        let _ = sqlx::raw_sql(mine).execute(one).await;
    }
    tokio::time::sleep(step.lasts).await;
    u64::from(taken.len() > 10)
}

/// A standby that was behind takes over: the server comes back with what it had some seconds ago.
async fn older(house: &House, step: &Step) -> u64 {
    let data = {
        let mut stack = house.stack.lock().await;
        let data = stack.dir.path().join("postgres/pgdata").canonicalize().unwrap();
        stack.servers.postgres.stop().await.unwrap();
        copy(&data, &data.with_extension("older")).await;
        stack.servers.postgres.restart().await.unwrap();
        data
    };
    tokio::time::sleep(step.lasts).await;
    let mut stack = house.stack.lock().await;
    stack.servers.postgres.kill();
    tokio::fs::remove_dir_all(&data).await.unwrap();
    tokio::fs::rename(data.with_extension("older"), &data).await.unwrap();
    stack.servers.postgres.restart().await.unwrap();
    1
}

/// With owners and modes, which PostgreSQL insists on.
async fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().await.unwrap().success());
}

/// Everybody else's session ends, wherever it is.
const TERMINATE: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                         WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";

/// On a connection of its own, past the proxy; false where the server was away.
async fn execute(house: &House, statements: &[&str]) -> bool {
    let url = house.stack.lock().await.servers.postgres.url();
    let done: sqlx::Result<()> = async {
        let mut connection = PgConnection::connect(&url).await?;
        for statement in statements {
            sqlx::raw_sql(AssertSqlSafe((*statement).to_owned())).execute(&mut connection).await?;
        }
        connection.close().await
    }
    .await;
    done.is_ok()
}

/// The fault stands for the step's time.
async fn stand(wire: &TcpProxy, step: &Step, faults: Faults, hit: Hit) -> u64 {
    let before = wire.hits(hit);
    wire.set(faults);
    tokio::time::sleep(step.lasts).await;
    wire.heal();
    wire.hits(hit) - before
}

/// Connections are cut in the middle of a message, after some bytes, again and again.
async fn cuts(wire: &TcpProxy, step: &Step, direction: Direction) -> u64 {
    let before = wire.hits(Hit::Cut);
    let begun = Instant::now();
    let mut bytes = usize::try_from(1 + step.roll(200)).unwrap();
    while begun.elapsed() < step.lasts {
        let fatal = Wire { cut_after: Some(bytes), ..Wire::default() };
        wire.set(match direction {
            Direction::Up => Faults { up: fatal, ..Faults::default() },
            Direction::Down => Faults { down: fatal, ..Faults::default() },
        });
        tokio::time::sleep(BETWEEN_CUTS).await;
        wire.heal();
        tokio::time::sleep(BETWEEN_CUTS).await;
        bytes = bytes * 7 % 1_021;
    }
    wire.hits(Hit::Cut) - before
}
