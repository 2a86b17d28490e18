//! Each service as a verb, with the configuration that its own binary reads.

use clap::Subcommand;
use runtime::{CancellationToken, Env, Fatal};

/// A service of an installation.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Service {
    /// Takes payments over HTTP and shows their progress.
    Api,
    /// Settles accepted payments on chain.
    PaymentSender,
    /// Decides the outcome of every signed transaction.
    Confirmer,
    /// Turns confirmed payments into mints.
    MintProjector,
    /// Records payments that went around their token, and returns money.
    Operator,
    /// Copies the ledger into PostgreSQL.
    ReadProjector,
}

impl Service {
    /// Runs the service until `stop`.
    ///
    /// # Errors
    /// Those of its configuration, which name the variable, and those of the service.
    pub async fn run(self, env: &Env, stop: CancellationToken) -> Result<(), Fatal> {
        match self {
            Self::Api => api::run(api::Config::from_env(env)?, stop).await,
            Self::PaymentSender => payment_sender::run(payment_sender::Config::from_env(env)?, stop).await,
            Self::Confirmer => confirmer::run(confirmer::Config::from_env(env)?, stop).await,
            Self::MintProjector => mint_projector::run(mint_projector::Config::from_env(env)?, stop).await,
            Self::Operator => operator::run(operator::Config::from_env(env)?, stop).await,
            Self::ReadProjector => read_projector::run(read_projector::Config::from_env(env)?, stop).await,
        }
    }
}
