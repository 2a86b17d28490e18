//! payment-sender: turns `payment.requested` into settlement transactions, up to a hundred payments in each.
//!
//! Every lane is a worker of its own: it takes a batch from a fair queue, checks, simulates, records and broadcasts. A
//! payment that would fail now is left out and waits, visibly (`payment.deferred`), for another try; only the confirmer
//! fails a payment, on proof.

mod arrivals;
mod config;
mod recheck;
mod worker;

pub use config::Config;

use arrivals::Arrivals;
use chain::Chain;
use domain::event::Purpose;
use ledger::Ledger;
use runtime::{CancellationToken, Fatal, Health, serve_health};
use tokio::task::JoinSet;
use worker::{Station, Worker};

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
    tasks.spawn(runtime::unfailing(ledger.clone().guard(health.clone(), stop.clone())));
    let keys = config.keys.open(&chain).await?;
    let arrivals = Arrivals::bind(&ledger, health.clone()).await?;
    tasks.spawn(runtime::unfailing(arrivals.clone().run(config.clone(), stop.clone())));
    let station = Station { config, ledger, chain, arrivals };
    for key in keys {
        let signer = key.address();
        let lease = station.ledger.lease(Purpose::Settle, signer, &station.config.instance).await?;
        let claim = {
            let station = station.clone();
            move || Worker::claim(station.clone(), key.clone())
        };
        tasks.spawn(lanes::hold(signer, lease, claim, health.clone(), stop.clone()));
    }
    runtime::join(tasks, stop).await
}
