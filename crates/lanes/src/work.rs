//! The loop that every lane's worker runs in.

use crate::error::LaneError;
use crate::lane::SignerLane;
use runtime::{CancellationToken, Fatal, Health};
use std::time::Duration;

/// After a neighbour's fault the lane, and the messages that it had in hand, pause this long.
pub const NEIGHBOUR_PAUSE: Duration = Duration::from_secs(1);

/// What a lane does, turn by turn. It may be killed at any line: what it began is in the ledger or did not happen.
pub trait Work: Send {
    /// The lane.
    fn lane(&self) -> &SignerLane;

    /// One turn: look after the lane, then at most one batch.
    fn turn(&mut self) -> impl Future<Output = Result<(), LaneError>> + Send;
}

/// Takes turns until `stop`. What keeps it from signing shows in `/readyz`: a neighbour that does not answer is waited
/// for, for ever; a lane that cannot go on stands still, and others carry on.
///
/// # Errors
/// None.
pub async fn work(mut worker: impl Work, health: Health, stop: CancellationToken) -> Result<(), Fatal> {
    let signer = worker.lane().address();
    let name = format!("lane {signer}");
    while !stop.is_cancelled() {
        match (worker.turn().await, worker.lane().rests()) {
            (Ok(()), None) => health.good(&name),
            (Ok(()), Some(why)) => health.bad(&name, why.to_string()),
            (Err(LaneError::Broken(why)), _) => {
                health.bad(&name, why.clone());
                tracing::error!(%signer, why, "the lane stands still");
                stop.cancelled().await;
            }
            (Err(error), _) => {
                health.bad(&name, error.to_string());
                tracing::warn!(%signer, %error, "the lane pauses");
                tokio::time::sleep(NEIGHBOUR_PAUSE).await;
            }
        }
    }
    Ok(())
}
