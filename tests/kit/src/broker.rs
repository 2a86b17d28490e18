//! A nats-server that holds a new ledger.

use ledger::{Ledger, LedgerConfig};
use neighbours::{Nats, NatsOptions, Tools};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Users of `nats/server.conf`. The password of each is its name behind `p-`.
const USERS: [&str; 8] =
    ["sys", "ops", "api", "payment-sender", "confirmer", "mint-projector", "operator", "read-projector"];

/// A nats-server with the streams of a new ledger. It ends, and its files are deleted, when it is dropped.
pub struct Broker {
    pub nats: Nats,
    accounts: bool,
    dir: TempDir,
}

impl Broker {
    /// Starts a server without accounts: everybody may write everything.
    pub async fn start() -> Self {
        Self::with(NatsOptions::default(), false).await
    }

    /// Starts a server with the accounts of `nats/server.conf`.
    pub async fn with_accounts() -> Self {
        let variable = |user: &str| format!("NATS_{}_PASSWORD", user.to_uppercase().replace('-', "_"));
        let options = NatsOptions {
            config: Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../nats/server.conf")),
            environment: USERS.map(|user| (variable(user), format!("p-{user}"))).into(),
            ..NatsOptions::default()
        };
        Self::with(options, true).await
    }

    async fn with(options: NatsOptions, accounts: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = NatsOptions { data_dir: dir.path().to_owned(), ..options };
        let nats = Nats::start(&Tools::locate().unwrap(), options).await.unwrap();
        let broker = Self { nats, accounts, dir };
        ledger::provision(&broker.url("ops")).await.unwrap();
        broker
    }

    /// Where `user` connects.
    pub fn url(&self, user: &str) -> String {
        let url = self.nats.url();
        if self.accounts { url.replace("://", &format!("://{user}:p-{user}@")) } else { url }
    }

    /// The configuration with which `user` connects to the ledger.
    pub fn config(&self, user: &str) -> LedgerConfig {
        LedgerConfig { url: self.url(user), monitor_url: self.nats.monitor_url() }
    }

    /// Connects to the ledger as the service `user` does.
    pub async fn ledger(&self, user: &str) -> Ledger {
        Ledger::connect(&self.config(user), "/paymint/test").await.unwrap()
    }

    /// The folder in which the server keeps its streams.
    pub fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }
}
