//! mint-projector: turns confirmed payments into `batchMint` calls, one transaction per token and interval.
//!
//! Gathers per token until a batch is full or its oldest payment has waited long enough. Before it mints, it reads the
//! payment's log pair from the chain itself: a forged event alone can never mint. The contract mints a payment key once,
//! whatever happens here.

mod config;
mod gather;
mod verify;
mod worker;

pub use config::Config;

use chain::Chain;
use ledger::Ledger;
use runtime::{CancellationToken, Fatal, Health, serve_health};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use worker::Worker;

/// CloudEvents source of what this service writes.
const SOURCE: &str = "/paymint/mint-projector";

/// Runs until `stop`, or until a part fails.
///
/// # Errors
/// The first failure: configuration, start-up gate, a lane that cannot go on.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), Fatal> {
    let ledger = Ledger::connect(&config.ledger, SOURCE).await?;
    let chain = Chain::connect(config.chain.clone()).await?;
    let health = Health::default();
    // A lane asks when it is free, so a batch is either being gathered or being minted, and grows meanwhile.
    let (ask, asked) = mpsc::channel(config.keys.count().max(1));
    let mut tasks = JoinSet::new();
    tasks.spawn(serve_health(config.health, health.clone(), stop.clone()));
    chain.until_it_can_decide(&health, &stop).await;
    if stop.is_cancelled() {
        return runtime::join(tasks, stop).await;
    }
    for key in config.keys.open(&chain).await? {
        let worker = Worker::start(&config, key, ledger.clone(), chain.clone(), ask.clone()).await?;
        tasks.spawn(lanes::work(worker, health.clone(), stop.clone()));
    }
    tasks.spawn(gather::run(config, ledger, asked, stop.clone()));
    runtime::join(tasks, stop).await
}
