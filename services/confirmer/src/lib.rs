//! confirmer: decides what became of every signed transaction, item by item, once it is N blocks deep.
//!
//! It reads the chain and writes facts. A payment is confirmed on its log pair, whoever sent it, and failed only on
//! proof at a final block; what neither holds for waits. What it decided on a block that falls out of the chain before it
//! is final, it takes back and decides anew. Any number of instances may run: they write the same.

mod config;
mod deferred;
mod desk;
mod heads;
mod mints;
mod payments;
mod signed;
mod watch;

pub use config::Config;

use chain::{Chain, ChainError};
use desk::Desk;
use ledger::{AppendError, Ledger, LedgerError};
use runtime::{CancellationToken, Fatal, Health, serve_health};
use tokio::task::JoinSet;

/// CloudEvents source of what this service writes.
const SOURCE: &str = "/paymint/confirmer";

/// No answer that decides anything: the message comes again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undecided {
    /// The ledger or the node did not answer.
    #[error("{0}")]
    Neighbour(String),
    /// Not deep enough: look again at the next head.
    #[error("not deep enough")]
    NotDeepYet,
    /// The ledger is damaged: nothing is decided until a person has looked.
    #[error("{0}")]
    Stopped(String),
    /// Somebody wrote first: read again.
    #[error("somebody else wrote first")]
    Stale,
    /// A past that nobody may build on.
    #[error("{0}")]
    Corrupt(String),
}

impl From<ChainError> for Undecided {
    fn from(error: ChainError) -> Self {
        Self::Neighbour(error.to_string())
    }
}

impl From<LedgerError> for Undecided {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Transient(text) => Self::Neighbour(text),
            LedgerError::Corrupt(text) => Self::Corrupt(text),
        }
    }
}

impl From<AppendError> for Undecided {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::WrongVersion => Self::Stale,
            AppendError::Unknown(_) | AppendError::Refused(_) => Self::Neighbour(error.to_string()),
            AppendError::Stopped(why) => Self::Stopped(why),
        }
    }
}

/// Runs until `stop`, or until a part fails.
///
/// # Errors
/// The first failure: configuration, start-up gate.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), Fatal> {
    let ledger = Ledger::connect(&config.ledger, SOURCE).await?;
    let chain = Chain::connect(config.chain.clone()).await?;
    let health = Health::default();
    let heads = heads::watch(chain.clone(), config.poll, health.clone(), stop.clone());
    let desk = Desk { ledger, chain, heads, settings: config.settings.clone() };
    let mut tasks = JoinSet::new();
    tasks.spawn(runtime::unfailing(desk.ledger.clone().guard(health.clone(), stop.clone())));
    tasks.spawn(serve_health(config.health, health, stop.clone()));
    tasks.spawn(signed::run(desk.clone(), stop.clone()));
    tasks.spawn(watch::run(desk.clone(), stop.clone()));
    tasks.spawn(deferred::run(desk, stop.clone()));
    runtime::join(tasks, stop).await
}
