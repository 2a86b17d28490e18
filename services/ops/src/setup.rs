//! The first step of an installation: the tables and the definitions of the ledger. Running it again changes nothing.

use runtime::{ConfigError, Env, Fatal, Variable};
use store::Store;

/// Maximum number of connections to the database. A command does one thing at a time.
const CONNECTIONS: u32 = 2;

/// Addresses of the database and the ledger of an installation.
#[derive(Clone)]
pub struct Setup {
    /// URL of NATS with the user `ops`.
    pub nats_url: String,
    /// The database of the read models.
    pub database_url: String,
    /// The schema of the tables; the search path of the database's user if `None`.
    pub database_schema: Option<String>,
}

impl Setup {
    /// Reads `NATS_URL`, `DATABASE_URL` and `DATABASE_SCHEMA`.
    ///
    /// # Errors
    /// Names the variable and its shape.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            nats_url: env.get(
                &Variable::required("NATS_URL", "nats://ops:password@127.0.0.1:4222", "The ledger, as the user ops.")
                    .secret(),
            )?,
            database_url: env.get(
                &Variable::required(
                    "DATABASE_URL",
                    "postgres://user:password@127.0.0.1:5432/paymint",
                    "Database with the read models and the second copy of the ledger.",
                )
                .secret(),
            )?,
            database_schema: env.find(&Variable::optional(
                "DATABASE_SCHEMA",
                "read_v2",
                "Schema of the tables. Without it: the search path of the URL.",
            ))?,
        })
    }

    /// Connects to the database.
    ///
    /// # Errors
    /// The database does not answer; names the variable.
    pub async fn open_store(&self) -> Result<Store, Fatal> {
        let connected = match &self.database_schema {
            Some(schema) => Store::connect_schema(&self.database_url, schema, CONNECTIONS).await,
            None => Store::connect(&self.database_url, CONNECTIONS).await,
        };
        connected.map_err(|e| named("DATABASE_URL", &e).into())
    }

    /// Migrates the database and applies the definitions of `nats/`. Tells each step through `progress`.
    ///
    /// # Errors
    /// The first step that fails, with the variable that names the server. Running it again continues there.
    pub async fn apply(&self, mut progress: impl FnMut(&str)) -> Result<(), Fatal> {
        progress("migrating the database");
        let store = self.open_store().await?;
        store.migrate().await.map_err(|e| named("DATABASE_URL", &e))?;
        store.close().await;
        progress("provisioning the ledger from nats/");
        ledger::provision(&self.nats_url).await.map_err(|e| named("NATS_URL", &e).into())
    }
}

/// The error with the variable in front, unless its text begins with it.
fn named(variable: &str, error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    if text.starts_with(variable) { text } else { format!("{variable}: {text}") }
}
