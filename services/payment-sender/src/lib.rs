//! payment-sender: turns `payment.requested` into settlement transactions, up to a hundred payments in each.
//!
//! Every lane is a worker of its own. It takes a batch from a fair queue, checks and simulates it, records the
//! transaction and broadcasts it. A payment that would fail now is left out and waits, visibly (`payment.deferred`),
//! for another try. Only the confirmer declares a payment failed, with proof.

mod arrivals;
mod company;
mod config;
mod recheck;
mod trial;
mod worker;

pub use config::Config;

use arrivals::Arrivals;
use chain::Chain;
use domain::event::Purpose;
use ledger::Ledger;
use runtime::{CancellationToken, Fatal, Health, serve_health};
use tokio::task::JoinSet;
use worker::{SettleLane, SettleResources};

/// CloudEvents source of the events of this service.
const SOURCE: &str = "/paymint/payment-sender";

/// Runs until `stop`, or until a part fails.
///
/// # Errors
/// The first error: of the configuration, of the start-up gate, or of a lane that cannot go on.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), Fatal> {
    let ledger = Ledger::connect(&config.ledger, SOURCE).await?;
    let chain = Chain::connect(config.chain.clone()).await?;
    let health = Health::default();
    let mut tasks = JoinSet::new();
    tasks.spawn(serve_health(config.health, health.clone(), stop.clone()));
    tasks.spawn(runtime::unfailing(ledger.clone().guard(health.clone(), stop.clone())));
    let keys = config.keys.open(&chain).await?;
    let arrivals = Arrivals::bind(&ledger, health.clone()).await?;
    tasks.spawn(runtime::unfailing(arrivals.clone().run(config.database_url.clone(), stop.clone())));
    tasks.spawn(runtime::unfailing(arrivals.clone().watch(chain.clone(), stop.clone())));
    let burned = company::Burned::default();
    let shared = SettleResources { config, ledger, chain, arrivals, burned };
    for key in keys {
        let signer = key.address();
        let lease = shared.ledger.lease(Purpose::Settle, signer, &shared.config.instance).await?;
        let claim = {
            let shared = shared.clone();
            move || SettleLane::claim(shared.clone(), key.clone())
        };
        tasks.spawn(lanes::hold(signer, lease, claim, health.clone(), stop.clone()));
    }
    runtime::join(tasks, stop).await
}
