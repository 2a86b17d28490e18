//! read-projector: reads every event in order, without a filter, and keeps the read models and the second copy of the
//! ledger in PostgreSQL. The database may lag or be rebuilt; no payment waits for it.
//!
//! It stops at the first event that does not follow the last one it read: a gap, another incarnation, or another event
//! than the copied one. A single replica of nats-server can lose or alter events without an error. The projector then
//! reports it in `/readyz` and in the ledger, which stops all payouts, and keeps its rows for readers. docs/RUNBOOK.md
//! says what an operator does next.
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
/// The ledger or the database cannot be used.
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
