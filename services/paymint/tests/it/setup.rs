//! `paymint setup` as a process: prepares servers once, changes nothing the second time, and names what is wrong.

use async_nats::jetstream;
use dev_chain::{BASE_SEPOLIA_USDC, DevChain};
use neighbours::{Anvil, AnvilOptions, Mining, Nats, NatsOptions, Postgres, PostgresOptions, Tools};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, Row};
use standalone::accounts::{OWNER, PAYER};
use std::collections::BTreeMap;
use std::process::Output;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;

/// Nothing listens on port 1 of the loopback address.
const NOTHING: &str = "127.0.0.1:1";

/// Fresh servers.
struct Servers {
    nats: Nats,
    postgres: Postgres,
    anvil: Anvil,
    _dir: TempDir,
}

impl Servers {
    async fn start() -> Self {
        let (dir, tools) = (tempfile::tempdir().unwrap(), Tools::locate().unwrap());
        let path = |name: &str| dir.path().join(name);
        let nats = NatsOptions { data_dir: path("nats"), ..NatsOptions::default() };
        let postgres = PostgresOptions { data_dir: path("postgres"), durable: false, ..PostgresOptions::default() };
        let block_time = Mining::Interval(Duration::from_millis(100));
        let anvil = AnvilOptions { data_dir: path("chain"), block_time, ..AnvilOptions::default() };
        let (nats, postgres, anvil) =
            tokio::try_join!(Nats::start(&tools, nats), Postgres::start(&tools, postgres), Anvil::start(&tools, anvil))
                .unwrap();
        Self { nats, postgres, anvil, _dir: dir }
    }

    /// The variables that `paymint setup` requires.
    fn variables(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("NATS_URL", self.nats.url()),
            ("NATS_MONITOR_URL", self.nats.monitor_url()),
            ("DATABASE_URL", self.postgres.url()),
            ("RPC_URL", self.anvil.rpc_url()),
        ])
    }

    /// Everything that a setup could change: streams and consumers with the times of their creation, the sequence of the
    /// last event, migrations and tables, and on the chain the owner's nonce, code and balances.
    async fn state(&self) -> Value {
        let client = async_nats::connect(self.nats.url()).await.unwrap();
        let jetstream = jetstream::new(client);
        let mut streams = Vec::new();
        for name in ["LEDGER", "LEASES"] {
            let stream = jetstream.get_stream(name).await.unwrap();
            let info = stream.cached_info();
            let consumers = consumers(&stream).await;
            streams.push(json!([info.config, info.created.to_string(), info.state.last_sequence, consumers]));
        }
        let mut database = PgConnection::connect(&self.postgres.url()).await.unwrap();
        let mut rows = Vec::new();
        for query in [
            "SELECT concat(version, ' ', encode(checksum, 'hex'), ' ', installed_on) FROM _sqlx_migrations ORDER BY 1",
            "SELECT concat(table_name, '.', column_name, ' ', data_type) FROM information_schema.columns \
             WHERE table_schema = 'public' ORDER BY 1",
        ] {
            let found = sqlx::query(query).fetch_all(&mut database).await.unwrap();
            rows.extend(found.iter().map(|row| row.get::<String, _>(0)));
        }
        let chain = DevChain::connect(&self.anvil.rpc_url()).await.unwrap();
        let owner: Value = chain.rpc().ask("eth_getTransactionCount", (OWNER, "latest")).await.unwrap();
        let code: Value = chain.rpc().ask("eth_getCode", (BASE_SEPOLIA_USDC, "latest")).await.unwrap();
        let balance = chain.usdc_balance(BASE_SEPOLIA_USDC, PAYER).await.unwrap();
        json!({ "streams": streams, "rows": rows, "owner": owner, "code": code, "balance": balance.to_string() })
    }
}

async fn consumers(stream: &jetstream::stream::Stream) -> Vec<Value> {
    use futures_util::TryStreamExt;
    let infos: Vec<_> = stream.consumers().try_collect().await.unwrap();
    let mut all: Vec<Value> =
        infos.iter().map(|info| json!([info.name, info.created.to_string(), info.config])).collect();
    all.sort_by_key(ToString::to_string);
    all
}

/// Runs `paymint setup` with exactly `variables`.
async fn setup(variables: &BTreeMap<&'static str, String>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_paymint"));
    command.arg("setup").env_clear().envs(variables).kill_on_drop(true).output().await.unwrap()
}

/// The error of a setup that must fail.
async fn refusal(variables: &BTreeMap<&'static str, String>) -> String {
    let output = setup(variables).await;
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_setup_changes_nothing_and_each_error_names_its_variable() {
    let servers = Servers::start().await;
    let variables = servers.variables();
    let with = |name: &'static str, value: &str| {
        let mut changed = variables.clone();
        changed.insert(name, value.to_owned());
        changed
    };

    for name in variables.keys() {
        let mut fewer = variables.clone();
        fewer.remove(name);
        let error = refusal(&fewer).await;
        assert!(error.contains(&format!("{name} is not set")), "{name}: {error}");
    }
    assert!(refusal(&with("CHAIN_ID", "1")).await.contains("CHAIN_ID"));

    let first = setup(&variables).await;
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let state = servers.state().await;
    let second = setup(&variables).await;
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
    assert_eq!(servers.state().await, state);
    assert_eq!(first.stdout, second.stdout, "the same contracts and token");

    for (name, elsewhere) in [
        ("NATS_URL", format!("nats://{NOTHING}")),
        ("NATS_MONITOR_URL", format!("http://{NOTHING}")),
        ("DATABASE_URL", format!("postgres://paymint:secret@{NOTHING}/paymint")),
        ("RPC_URL", format!("http://{NOTHING}")),
        ("HUB_ADDRESS", PAYER.to_string()),
    ] {
        let error = refusal(&with(name, &elsewhere)).await;
        assert!(error.contains(name), "{name}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
    assert_eq!(servers.state().await, state);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_is_no_development_chain_is_refused_before_anything_is_touched() {
    let node = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rpc_url = format!("http://{}", node.local_addr().unwrap());
    tokio::spawn(geth(node));
    // Nothing else answers: a setup that asked these first would name them.
    let variables = BTreeMap::from([
        ("NATS_URL", format!("nats://{NOTHING}")),
        ("NATS_MONITOR_URL", format!("http://{NOTHING}")),
        ("DATABASE_URL", format!("postgres://paymint:secret@{NOTHING}/paymint")),
        ("RPC_URL", rpc_url),
    ]);
    let error = refusal(&variables).await;
    assert!(error.contains("RPC_URL") && error.contains("Geth/v1.16.4"), "{error}");
}

/// A node that says of itself that it is a geth, and answers nothing but that and its chain's id.
async fn geth(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let mut length = 0;
        while !request[..length].ends_with(b"}") {
            length += stream.read(&mut request[length..]).await.unwrap();
        }
        let asked = String::from_utf8_lossy(&request[..length]).into_owned();
        let result = if asked.contains("eth_chainId") { "0x14a34" } else { "Geth/v1.16.4" };
        let body = json!({ "jsonrpc": "2.0", "id": 1, "result": result }).to_string();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length";
        stream.write_all(format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
    }
}
