//! read-projector: reads every event in order, without a filter, and keeps the read models and the second copy of the
//! ledger in Postgres. The database is a neighbour that may lag or be rebuilt; no payment waits for it.
//!
//! It goes no further where the ledger does not continue what it has read: a gap, another incarnation, another event where
//! it has copied one (D4, F13, F14, F15). It says so in `/readyz` and in the ledger, which stops all payouts, and keeps its
//! rows for those who read. What a person does then is in docs/RUNBOOK.md.
//! Of two instances one projects; the other stands by.

mod config;
mod projector;
mod scrub;

pub use config::Config;
pub use projector::{ProjectorError, project};

use ledger::Ledger;
use runtime::{CancellationToken, Fatal, Health, serve_health};
use store::{CONNECTIONS, Store};
use tokio::task::JoinSet;

/// Runs until `stop`: connects, migrates, projects.
///
/// # Errors
/// A neighbour that cannot be used.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), Fatal> {
    let store = match &config.schema {
        Some(schema) => Store::connect_schema(&config.database_url, schema, CONNECTIONS).await?,
        None => Store::connect(&config.database_url, CONNECTIONS).await?,
    };
    store.migrate().await?;
    let ledger = Ledger::connect(&config.ledger, "/paymint/read-projector").await?;
    let health = Health::default();
    let mut tasks = JoinSet::new();
    tasks.spawn(serve_health(config.health, health.clone(), stop.clone()));
    tasks.spawn(runtime::unfailing(ledger.clone().guard(health.clone(), stop.clone())));
    tasks.spawn(runtime::unfailing(scrub::run(ledger.clone(), store.clone(), stop.clone())));
    let token = stop.clone();
    tasks.spawn(async move { Ok(project(&ledger, &store, &health, &token).await?) });
    runtime::join(tasks, stop).await
}
