//! A PostgreSQL server with the tables of this version.

use neighbours::{Postgres, PostgresOptions, Tools};
use store::{CONNECTIONS, Store};
use tempfile::TempDir;

/// A PostgreSQL server with migrated tables. It ends, and its files are deleted, when it is dropped.
pub struct Database {
    pub server: Postgres,
    pub store: Store,
    _dir: TempDir,
}

impl Database {
    /// Starts a server that may lose data in a loss of power.
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options =
            PostgresOptions { data_dir: dir.path().join("postgres"), durable: false, ..PostgresOptions::default() };
        let server = Postgres::start(&Tools::locate().unwrap(), options).await.unwrap();
        let store = Store::connect(&server.url(), CONNECTIONS).await.unwrap();
        store.migrate().await.unwrap();
        Self { server, store, _dir: dir }
    }
}
