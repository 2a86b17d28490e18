//! A nats-server with the accounts and streams of `nats/`.

use ledger::{Ledger, LedgerConfig};
use neighbours::{Nats, NatsOptions, Tools};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The server, and the folder that holds its streams.
pub struct Server {
    nats: Nats,
    _dir: TempDir,
}

impl Server {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let users = ["sys", "ops", "api", "payment-sender", "confirmer", "mint-projector", "read-projector"];
        let variable = |user: &str| format!("NATS_{}_PASSWORD", user.to_uppercase().replace('-', "_"));
        let options = NatsOptions {
            data_dir: dir.path().to_owned(),
            config: Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../nats/server.conf")),
            environment: users.map(|user| (variable(user), format!("p-{user}"))).into(),
            ..NatsOptions::default()
        };
        let nats = Nats::start(&Tools::locate().unwrap(), options).await.unwrap();
        let server = Self { nats, _dir: dir };
        ledger::provision(&server.url("ops")).await.unwrap();
        server
    }

    pub async fn ledger(&self, user: &str) -> Ledger {
        let config = LedgerConfig { url: self.url(user), monitor_url: self.nats.monitor_url() };
        Ledger::connect(&config, "/paymint/test").await.unwrap()
    }

    fn url(&self, user: &str) -> String {
        self.nats.url().replace("://", &format!("://{user}:p-{user}@"))
    }
}

/// Calls `look` until it returns true.
pub async fn until(what: &str, seconds: u64, look: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !look().await {
        assert!(began.elapsed() < Duration::from_secs(seconds), "{what}: not within {seconds} s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
