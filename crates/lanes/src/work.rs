//! The loop that every lane's worker runs in.

use crate::error::LaneError;
use chain::Address;
use runtime::{CancellationToken, Fatal, Health};
use std::time::Duration;

/// After a neighbour's fault the lane, and the messages that it had in hand, pause this long.
pub const NEIGHBOUR_PAUSE: Duration = Duration::from_secs(1);

/// What a lane does, turn by turn. It may be killed at any line: what it began is in the ledger or did not happen.
pub trait Work: Send {
    /// The lane.
    fn address(&self) -> Address;

    /// One turn: look after the lane, then at most one batch.
    fn turn(&mut self) -> impl Future<Output = Result<(), LaneError>> + Send;
}

/// Takes turns until `stop`. A neighbour that does not answer is waited for, for ever, and shows in `/readyz`.
///
/// # Errors
/// A lane that cannot go on ends the process.
pub async fn work(mut lane: impl Work, health: Health, stop: CancellationToken) -> Result<(), Fatal> {
    let name = format!("lane {}", lane.address());
    while !stop.is_cancelled() {
        match lane.turn().await {
            Ok(()) => health.good(&name),
            Err(LaneError::Broken(why)) => return Err(why.into()),
            Err(error) => {
                health.bad(&name, error.to_string());
                tracing::warn!(signer = %lane.address(), %error, "the lane pauses");
                tokio::time::sleep(NEIGHBOUR_PAUSE).await;
            }
        }
    }
    Ok(())
}
