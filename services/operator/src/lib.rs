//! operator: moves money outside the ordinary way, with the key of an operator of the tokens' factory.
//!
//! A payment that went around its token is recorded, so that it is minted like any other, or returned if too few units are
//! left. A recorded payment is refunded if a person asks for it. Up to fifty payments of one token are in one transaction.
//! Before a payment around the token is touched, the lane finds it in the logs of a final block by itself. So a forged event
//! moves nothing. A payment that cannot be helped now waits, visibly, and delays no other.

mod around;
mod arrivals;
mod config;
mod deed;
mod sort;
mod worker;

pub use config::Config;

use arrivals::Inflow;
use chain::Chain;
use domain::event::Purpose;
use ledger::Ledger;
use runtime::{CancellationToken, Fatal, Health, serve_health};
use sort::OperateResources;
use tokio::task::JoinSet;
use worker::OperateLane;

/// CloudEvents source of the events of this service.
const SOURCE: &str = "/paymint/operator";

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
    let inflow = Inflow::bind(&ledger, health.clone()).await?;
    tasks.spawn(runtime::unfailing(inflow.clone().run(config.database_url.clone(), stop.clone())));
    let shared = OperateResources { config, ledger, chain, inflow, health: health.clone() };
    for key in keys {
        let signer = key.address();
        let lease = shared.ledger.lease(Purpose::Operate, signer, &shared.config.instance).await?;
        let claim = {
            let shared = shared.clone();
            move || OperateLane::claim(shared.clone(), key.clone())
        };
        tasks.spawn(lanes::hold(signer, lease, claim, health.clone(), stop.clone()));
    }
    runtime::join(tasks, stop).await
}
