//! confirmer: decides the outcome of every signed transaction, item by item, once the transaction is N blocks deep.
//!
//! It reads the chain and records facts. A payment is confirmed, and a mint, by the token's record of it, whoever caused
//! the record. A payment is failed only by proof at a final block. A payment with neither waits. If a block falls out of the chain before it is final, the
//! confirmer takes back the decisions that it made on this block, and decides again. Any number of instances may run,
//! because all of them decide the same.

mod config;
mod deferred;
mod desk;
mod heads;
mod judge;
mod mints;
mod operated;
mod payments;
mod records;
mod signed;
mod watch;

pub use config::Config;

use chain::Chain;
use desk::Desk;
use ledger::Ledger;
use runtime::{CancellationToken, Fatal, Health, serve_health};
use tokio::task::JoinSet;

/// CloudEvents source of the events of this service.
const SOURCE: &str = "/paymint/confirmer";

/// Runs until `stop`, or until a part fails.
///
/// # Errors
/// The first error: of the configuration or of the start-up gate.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), Fatal> {
    let ledger = Ledger::connect(&config.ledger, SOURCE).await?;
    let chain = Chain::connect(config.chain.clone()).await?;
    let health = Health::default();
    let mut tasks = JoinSet::new();
    let (news, heads) = heads::news();
    tasks.spawn(runtime::unfailing(heads::watch(chain.clone(), config.poll, news, health.clone(), stop.clone())));
    let signed = ledger.inbox(signed::DURABLE, health.clone()).await?;
    let settled = ledger.inbox(watch::DURABLE, health.clone()).await?;
    let deferred = ledger.inbox(deferred::DURABLE, health.clone()).await?;
    let desk = Desk { ledger, chain, heads, health: health.clone(), settings: config.settings.clone() };
    tasks.spawn(runtime::unfailing(desk.ledger.clone().guard(health.clone(), stop.clone())));
    tasks.spawn(serve_health(config.health, health, stop.clone()));
    tasks.spawn(runtime::unfailing(signed::run(desk.clone(), signed, stop.clone())));
    tasks.spawn(runtime::unfailing(watch::run(desk.clone(), settled, stop.clone())));
    tasks.spawn(runtime::unfailing(deferred::run(desk, deferred, config.database_url, stop.clone())));
    runtime::join(tasks, stop).await
}
