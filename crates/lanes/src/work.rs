//! The loop that every lane runs in: wait for its lease, claim it, work it.

use crate::lane::OtherPurpose;
use chain::Address;
use domain::lane::Rest;
use ledger::{Held, Lease, Ledger, RENEW_INTERVAL};
use runtime::{CancellationToken, Cause, Fatal, Health, OldestWork, Undone, causes};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Pause after a turn that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Pause between two tries to take a lease that another instance holds.
const STANDBY_INTERVAL: Duration = Duration::from_millis(500);

/// A lane that cannot be worked.
#[derive(Debug, thiserror::Error)]
#[error("the lane of {0} stops")]
struct Broken(Address, #[source] Cause);

/// Work of a lane, turn by turn. The process may be killed at any line: each step is either in the ledger or did not
/// happen.
pub trait Work: Send {
    /// The reason why the lane signs nothing new; `None` if it works.
    fn rests(&self) -> Option<Rest>;

    /// The oldest transaction that is in no block.
    fn oldest(&self) -> Option<OldestWork>;

    /// One turn: look after the lane, then at most one batch.
    fn turn(&mut self) -> impl Future<Output = Result<(), Undone>> + Send;
}

/// Works a lane while this instance holds its lease, and waits for the lease while another instance holds it, until
/// `stop`. `claim` makes a worker of the lane. A neighbour that does not answer is waited for without limit. If the history
/// of the lane is impossible, it stands still until `stop`. The reason why a lane signs nothing is shown in `/readyz`, with
/// its oldest transaction, and other lanes continue.
///
/// # Errors
/// `claim` found a mistake in the configuration: the key is that of another purpose.
pub async fn hold<W: Work, C: Future<Output = Result<W, Undone>>>(
    signer: Address,
    lease: Lease,
    claim: impl Fn() -> C,
    health: Health,
    stop: CancellationToken,
) -> Result<(), Fatal> {
    let name = format!("lane {signer}");
    while !stop.is_cancelled() {
        stand_still(lease.ledger(), &name, &health, &stop).await;
        let Some(held) = standby(&lease, &name, &health, &stop).await else { return Ok(()) };
        let lost = stop.child_token();
        let renewing = tokio::spawn(renew(held, lost.clone()));
        let mut broken = None;
        match claim().await {
            Ok(worker) => work(worker, lease.ledger(), &name, &health, &lost).await,
            Err(Undone::Corrupt(why)) if why.is::<OtherPurpose>() => broken = Some(why),
            Err(error @ Undone::Corrupt(_)) => stand_broken(&name, &health, &error, &lost).await,
            Err(error) => pause(&name, &health, &error, &lost).await,
        }
        health.oldest(&name, None);
        release(renewing, lost).await;
        if let Some(why) = broken {
            return Err(Broken(signer, why).into());
        }
    }
    Ok(())
}

/// Waits for the lease. Returns `None` if `stop` came first.
async fn standby(lease: &Lease, name: &str, health: &Health, stop: &CancellationToken) -> Option<Held> {
    loop {
        match lease.take().await {
            Ok(Some(held)) => return Some(held),
            Ok(None) => health.good(name),
            Err(error) => {
                health.bad(name, causes(&error).to_string());
                tracing::warn!(lane = name, error = %causes(&error), "the lease could not be taken");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(STANDBY_INTERVAL) => {}
        }
    }
}

/// Renews the lease until `lost` is cancelled. Cancels `lost` itself if another instance has the lease. Returns the
/// lease, to be given back.
async fn renew(mut held: Held, lost: CancellationToken) -> Option<Held> {
    loop {
        tokio::select! {
            () = lost.cancelled() => return Some(held),
            () = tokio::time::sleep(RENEW_INTERVAL) => {}
        }
        match held.renew().await {
            Ok(true) => {}
            Ok(false) => {
                lost.cancel();
                return None;
            }
            // No instance can take the lease from a ledger that does not answer. After the ledger is back, the next
            // renewal tells who holds it.
            Err(error) => tracing::warn!(error = %causes(&error), "the lease is not renewed"),
        }
    }
}

/// Gives the lease back, so that no instance has to wait until it expires.
async fn release(renewing: JoinHandle<Option<Held>>, lost: CancellationToken) {
    lost.cancel();
    match renewing.await {
        Ok(Some(held)) => {
            if let Err(error) = held.release().await {
                tracing::warn!(error = %causes(&error), "the lease is not given back: it expires");
            }
        }
        Ok(None) => tracing::warn!("another instance works the lane now"),
        Err(error) => tracing::error!(%error, "renewing the lease"),
    }
}

/// Waits while the ledger is damaged or payouts are stopped. Nothing is claimed, signed or sent again meanwhile: the
/// bytes of everything signed are in the ledger, or were there before the damage.
async fn stand_still(ledger: &Ledger, name: &str, health: &Health, stop: &CancellationToken) {
    if let Some(why) = ledger.stopped() {
        health.bad(name, format!("stands still: {why}"));
        tracing::error!(lane = name, %why, "the lane stands still");
        ledger.until_whole(stop).await;
    }
}

/// Takes turns until `stop`. After a turn that found a history that is impossible, only waits for `stop`.
async fn work(mut worker: impl Work, ledger: &Ledger, name: &str, health: &Health, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        runtime::turn("lane");
        if ledger.stopped().is_some() {
            stand_still(ledger, name, health, stop).await;
            continue;
        }
        let turned = worker.turn().await;
        health.oldest(name, worker.oldest());
        match (turned, worker.rests()) {
            (Ok(()), None) => health.good(name),
            (Ok(()), Some(why)) => health.bad(name, why.to_string()),
            (Err(error @ Undone::Corrupt(_)), _) => {
                // The worker ends, so that it keeps no order in hand and no duty.
                drop(worker);
                return stand_broken(name, health, &error, stop).await;
            }
            (Err(error), _) => pause(name, health, &error, stop).await,
        }
    }
}

/// Waits for `stop`, after a history was found that is impossible. The lease stays here, because every instance would find
/// the same.
async fn stand_broken(name: &str, health: &Health, error: &Undone, stop: &CancellationToken) {
    let why = causes(error).to_string();
    health.bad(name, why.clone());
    tracing::error!(lane = name, why, "the lane stands still");
    stop.cancelled().await;
}

async fn pause(name: &str, health: &Health, error: &Undone, stop: &CancellationToken) {
    health.bad(name, causes(error).to_string());
    tracing::warn!(lane = name, error = %causes(error), "the lane pauses");
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(PAUSE) => {}
    }
}
