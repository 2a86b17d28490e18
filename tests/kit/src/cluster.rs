//! Three nats-servers that hold one ledger, each with a replica of it.

use futures_util::future::join_all;
use ledger::{Ledger, LedgerConfig};
use neighbours::{Nats, NatsOptions, Tools};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::Path;
use tempfile::TempDir;

use crate::eventually;

/// Number of servers.
const SERVERS: usize = 3;

/// A cluster without accounts. Its servers end, and their files are deleted, when it is dropped.
pub struct Cluster {
    pub servers: Vec<Nats>,
    _dir: TempDir,
}

impl Cluster {
    /// Starts the servers, with a new ledger of three replicas.
    pub async fn start() -> Self {
        let (dir, tools) = (tempfile::tempdir().unwrap(), Tools::locate().unwrap());
        let listeners = [(); SERVERS].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let routes = listeners.map(|listener| listener.local_addr().unwrap().to_string());
        let started = (0..SERVERS).map(|n| {
            let data_dir = dir.path().join(format!("n{n}"));
            let options = NatsOptions { config: Some(config(dir.path(), n, &routes)), data_dir, ..Default::default() };
            Nats::start(&tools, options)
        });
        let servers = join_all(started).await.into_iter().map(Result::unwrap).collect();
        let cluster = Self { servers, _dir: dir };
        let url = cluster.servers[0].url();
        // The servers elect a leader first.
        eventually("the ledger is made", async || ledger::provision(&url).await.ok()).await;
        let client = async_nats::connect(url).await.unwrap();
        let mut config = info(&client).await["config"].take();
        config["num_replicas"] = json!(SERVERS);
        ask(&client, "$JS.API.STREAM.UPDATE.LEDGER", &config).await;
        let all_current = async || {
            let replicas = info(&client).await["cluster"]["replicas"].take();
            let current = replicas.as_array()?.iter().filter(|replica| replica["current"] == true).count();
            (current == SERVERS - 1).then_some(())
        };
        eventually("every server has the ledger", all_current).await;
        cluster
    }

    /// The server that leads the ledger.
    pub async fn leader(&self) -> usize {
        let client = async_nats::connect(self.servers[0].url()).await.unwrap();
        let name = info(&client).await["cluster"]["leader"].take();
        (0..SERVERS).find(|n| name == format!("n{n}")).unwrap()
    }

    /// Connects to the ledger at one of the servers. The connection moves to another server if that one ends.
    pub async fn ledger(&self, server: usize) -> Ledger {
        let server = &self.servers[server];
        let config = LedgerConfig { url: server.url(), monitor_url: server.monitor_url() };
        Ledger::connect(&config, "/paymint/test").await.unwrap()
    }
}

fn config(dir: &Path, n: usize, routes: &[String]) -> std::path::PathBuf {
    let path = dir.join(format!("n{n}.conf"));
    let (own, all) = (&routes[n], routes.iter().map(|route| format!("nats-route://{route}")).collect::<Vec<_>>());
    let text = format!(
        "server_name: n{n}\nmax_payload: 1MB\njetstream {{ sync_interval: always }}\n\
         cluster {{ name: paymint, listen: \"{own}\", routes: {all:?} }}\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

async fn info(client: &async_nats::Client) -> Value {
    ask(client, "$JS.API.STREAM.INFO.LEDGER", &Value::Null).await
}

async fn ask(client: &async_nats::Client, subject: &'static str, body: &Value) -> Value {
    let payload = if body.is_null() { String::new() } else { body.to_string() };
    let answer = client.request(subject, payload.into()).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}
