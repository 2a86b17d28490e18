//! mint-projector: turns confirmed payments into `batchMint` calls, one transaction per token and interval.
//!
//! Mints are gathered by token until a batch is full or its oldest payment has waited long enough; tokens and payers
//! take turns. A call names payment keys only. The token mints what it has recorded for a key, to the recorded payer, once,
//! so a forged event mints nothing, and whatever happens here nothing is minted twice.
//!
//! Records that no order stands for are found and minted, too, last in line and within a budget of gas for each token.

mod asking;
mod budget;
mod config;
mod early;
mod finder;
mod gather;
mod judgement;
mod owing;
mod pool;
mod reach;
mod records;
mod riders;
mod worker;
mod writing;

pub use config::Config;

use chain::Chain;
use domain::event::Purpose;
use finder::Finder;
use gather::Gathering;
use ledger::Ledger;
use pool::FoundPool;
use runtime::{CancellationToken, Fatal, Health, serve_health};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use worker::{MintLane, MintResources};
use writing::RecordWriter;

/// CloudEvents source of the events of this service.
const SOURCE: &str = "/paymint/mint-projector";

/// Runs until `stop`, or until a part fails.
///
/// # Errors
/// The first error: of the configuration, of the start-up gate, or of a lane that cannot go on.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), Fatal> {
    let ledger = Ledger::connect(&config.ledger, SOURCE).await?;
    let chain = Chain::connect(config.chain.clone()).await?;
    let health = Health::default();
    // A lane asks for a batch when it is free. Until then the batches that are gathered grow.
    let (ask, asked) = mpsc::channel(config.keys.count().max(1));
    let mut tasks = JoinSet::new();
    tasks.spawn(serve_health(config.health, health.clone(), stop.clone()));
    tasks.spawn(runtime::unfailing(ledger.clone().guard(health.clone(), stop.clone())));
    let keys = config.keys.open(&chain).await?;
    let finder = Finder {
        ledger: ledger.clone(),
        chain: chain.clone(),
        settings: config.settings.clone(),
        health: health.clone(),
        writer: RecordWriter { ledger: ledger.clone(), pool: FoundPool::new(config.settings.clone()) },
    };
    let gathering = Gathering::bind(&ledger, finder, asked, health.clone()).await?;
    let shared =
        MintResources { config: config.clone(), ledger: ledger.clone(), chain, ask, gathering: gathering.clone() };
    for key in keys {
        let signer = key.address();
        let lease = ledger.lease(Purpose::Mint, signer, &config.instance).await?;
        let claim = {
            let shared = shared.clone();
            move || MintLane::claim(shared.clone(), key.clone())
        };
        tasks.spawn(lanes::hold(signer, lease, claim, health.clone(), stop.clone()));
    }
    tasks.spawn(runtime::unfailing(gathering.run(config.database_url, stop.clone())));
    runtime::join(tasks, stop).await
}
