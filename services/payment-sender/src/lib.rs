//! payment-sender: turns `payment.requested` into settlement transactions, up to a hundred payments in each.
//!
//! Every lane is a worker of its own: it fetches, checks, simulates, records and broadcasts. What would fail now is left
//! out and waits, visibly (`payment.deferred`), for another try; only the confirmer fails a payment, on proof.

mod config;
mod recheck;
mod worker;

pub use config::Config;

use chain::Chain;
use ledger::Ledger;
use runtime::{CancellationToken, Fatal, Health, serve_health};
use tokio::task::JoinSet;
use worker::Worker;

/// CloudEvents source of what this service writes.
const SOURCE: &str = "/paymint/payment-sender";

/// Runs until `stop`, or until a part fails.
///
/// # Errors
/// The first failure: configuration, start-up gate, a lane that cannot go on.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), Fatal> {
    let ledger = Ledger::connect(&config.ledger, SOURCE).await?;
    let chain = Chain::connect(config.chain.clone()).await?;
    let health = Health::default();
    let mut tasks = JoinSet::new();
    tasks.spawn(serve_health(config.health, health.clone(), stop.clone()));
    chain.until_it_can_decide(&health, &stop).await;
    if stop.is_cancelled() {
        return runtime::join(tasks, stop).await;
    }
    for key in config.keys.open(&chain).await? {
        let worker = Worker::start(&config, key, ledger.clone(), chain.clone()).await?;
        tasks.spawn(lanes::work(worker, health.clone(), stop.clone()));
    }
    runtime::join(tasks, stop).await
}
