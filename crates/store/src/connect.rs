//! The pool, its limits, and migrations.

use crate::error::StoreError;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};
use std::str::FromStr;
use std::time::Duration;

/// Connections of one process: reads are short and the projector uses one.
pub const CONNECTIONS: u32 = 8;
/// A statement that takes longer holds up others; the largest batch takes well under a second.
const STATEMENT_TIMEOUT: &str = "5s";
/// Time limit of a lock. A longer wait means another projector or a stuck migration.
const LOCK_TIMEOUT: &str = "2s";
/// Time limit of an idle transaction: a frozen projector must not hold the position's row permanently.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "10s";
/// A migration may wait for another process that migrates, and then for readers.
const MIGRATION_LOCK_TIMEOUT: &str = "60s";
/// A request that waits longer for a connection is better answered with 503.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) pool: PgPool,
    options: PgConnectOptions,
    schema: Option<String>,
}

impl Store {
    /// Connects to `url` with at most `connections` connections; see [`CONNECTIONS`].
    ///
    /// # Errors
    /// [`StoreError::Config`] for a URL that cannot be read, else what the database says. One connection was tried.
    pub async fn connect(url: &str, connections: u32) -> Result<Self, StoreError> {
        Self::connect_to(url, None, connections, &[]).await
    }

    /// Like [`Store::connect`], for a process that only reads: the database refuses everything else.
    ///
    /// # Errors
    /// As [`Store::connect`].
    pub async fn connect_reader(url: &str, connections: u32) -> Result<Self, StoreError> {
        Self::connect_to(url, None, connections, &[("default_transaction_read_only", "on")]).await
    }

    /// Like [`Store::connect`], with all tables in `schema`, so that a rebuild stands beside the live read models.
    /// [`Store::migrate`] creates the schema.
    ///
    /// # Errors
    /// As [`Store::connect`]; also for a name that is not `[a-z_][a-z0-9_]*`.
    pub async fn connect_schema(url: &str, schema: &str, connections: u32) -> Result<Self, StoreError> {
        let legal = schema.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !legal || schema.is_empty() || schema.len() > 63 || schema.as_bytes()[0].is_ascii_digit() {
            return Err(StoreError::Config(format!("a schema is named like read_v2, not {schema:?}")));
        }
        Self::connect_to(url, Some(schema.to_owned()), connections, &[]).await
    }

    async fn connect_to(
        url: &str,
        schema: Option<String>,
        connections: u32,
        more: &[(&str, &str)],
    ) -> Result<Self, StoreError> {
        let mut options = PgConnectOptions::from_str(url)
            .map_err(|e| StoreError::Config(format!("the database URL cannot be read: {e}")))?
            .application_name("paymint")
            .options([
                ("statement_timeout", STATEMENT_TIMEOUT),
                ("lock_timeout", LOCK_TIMEOUT),
                ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
            ]);
        options = options.options(more.iter().copied());
        if let Some(schema) = &schema {
            options = options.options([("search_path", schema)]);
        }
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options.clone())
            .await
            .map_err(StoreError::of("connecting"))?;
        Ok(Self { pool, options, schema })
    }

    /// Brings the tables to this build's version. Several processes may do it at once; once done it changes nothing.
    ///
    /// # Errors
    /// The database refuses, or was migrated by a newer build. A file that failed left nothing behind.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let failed = StoreError::of("migrating");
        let limits = [("statement_timeout", "0"), ("lock_timeout", MIGRATION_LOCK_TIMEOUT)];
        let options = self.options.clone().options(limits);
        let alone = PgPoolOptions::new().max_connections(1).connect_with(options).await.map_err(&failed)?;
        if let Some(schema) = &self.schema {
            let create = AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS {schema}"));
            sqlx::raw_sql(create).execute(&alone).await.map_err(&failed)?;
        }
        let migrated = MIGRATIONS.run(&alone).await.map_err(|e| failed(e.into()));
        alone.close().await;
        migrated
    }

    /// Answers when the database does; for `/readyz`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.pool).await.map_err(StoreError::of("asking for an answer"))?;
        Ok(())
    }

    /// Closes all connections; what is under way finishes first.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
