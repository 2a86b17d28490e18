//! The loop: a batch from the ledger, a transaction, the next batch.

use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt};
use ledger::{Damage, Ledger, LedgerError, Recorded};
use runtime::{CancellationToken, Health};
use std::time::Duration;
use store::{Applied, Entry, Position, READ_MODELS, Store, StoreError};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Events in one transaction: at 1,000 a rebuild is bound by Postgres, not by commits.
const BATCH_MAX: usize = 1000;
/// Bytes in one transaction, so that the largest events do not add up to 64 MB.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// A batch waits this long for company: less than a page notices, more than a commit takes.
const BATCH_WAIT: Duration = Duration::from_millis(20);
/// Statements are limited by the server; this is for a server that is gone without a word.
const APPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// The ledger answers a read from a sequence that it has within moments.
const FIRST_EVENT_TIMEOUT: Duration = Duration::from_secs(10);
/// A stream without news is asked this often whether it still is the one that was read.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Who cannot go on looks again after this: whether the other one works, whether the ledger is what it was.
const STANDBY_INTERVAL: Duration = Duration::from_secs(2);
/// Damage must be found twice, this far apart.
const SECOND_LOOK: Duration = Duration::from_secs(1);
/// After a neighbour was away: from the first to the longest wait.
const RETRY_WAITS: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(3)];

/// Why the projection does not go on.
#[derive(Debug, thiserror::Error)]
pub enum ProjectorError {
    /// The ledger: see [`LedgerError`].
    #[error("projecting stopped at the ledger")]
    Ledger(#[from] LedgerError),
    /// The database: see [`StoreError`].
    #[error("projecting stopped at the database")]
    Store(#[from] StoreError),
    /// The stream lost its tail (F15).
    #[error("the ledger ends at sequence {last}, but sequence {projected} was read from it and copied")]
    Rewound {
        /// Where the projection stands.
        projected: u64,
        /// Where the ledger ends.
        last: u64,
    },
}

impl ProjectorError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Ledger(error) => matches!(error, LedgerError::Transient(_)),
            Self::Store(error) => error.is_transient(),
            Self::Rewound { .. } => false,
        }
    }

    /// What this says of the ledger; none where it says nothing of it.
    fn damage(&self) -> Option<Damage> {
        match self {
            Self::Store(StoreError::Gap { expected, .. }) => Some(Damage::Hole { sequence: *expected }),
            Self::Store(StoreError::Diverged { seq }) => Some(Damage::Altered { sequence: *seq }),
            Self::Store(StoreError::IncarnationChanged { stored, found }) => {
                Some(Damage::Recreated { known: *stored, found: *found })
            }
            Self::Rewound { projected, last } => Some(Damage::Truncated { known: *projected, last: *last }),
            Self::Store(
                StoreError::Config(_)
                | StoreError::Transient { .. }
                | StoreError::NotBegun
                | StoreError::Fenced { .. }
                | StoreError::Corrupt { .. }
                | StoreError::Refused { .. },
            )
            | Self::Ledger(_) => None,
        }
    }
}

/// Projects until `stop`. Neighbours that are away are waited for; another active projector is left to work. Where what
/// follows does not continue what was read it goes no further, and stays: whoever reads the rows goes on reading them.
/// Where it does, it goes on although the ledger is damaged elsewhere: what is not copied is lost when a ledger is
/// refilled.
///
/// # Errors
/// [`ProjectorError`] of the database that waiting does not help. Everything up to the position is applied, nothing after
/// it.
pub async fn project(
    ledger: &Ledger,
    store: &Store,
    health: &Health,
    stop: &CancellationToken,
) -> Result<(), ProjectorError> {
    let mut failures = 0_usize;
    let mut suspected = None;
    while !stop.is_cancelled() {
        health.bad("projection", "not begun");
        let wait = match read_and_apply(ledger, store, health, stop, &mut failures).await {
            Ok(()) => return Ok(()),
            Err(ProjectorError::Store(StoreError::Fenced { expected })) => {
                tracing::info!(expected, "another projector is active: standing by");
                health.good("projection");
                stand_by(ledger, store, stop).await;
                continue;
            }
            Err(error) if error.is_transient() => {
                let wait = RETRY_WAITS[failures.min(RETRY_WAITS.len() - 1)];
                failures += 1;
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(%error, cause, wait_ms = wait.as_millis(), "reading again from the position");
                health.bad("projection", format!("{error}: {cause}"));
                wait
            }
            Err(error) => {
                let Some(damage) = error.damage() else { return Err(error) };
                health.bad("projection", damage.to_string());
                // Found twice, from the position on: a reader that skipped, or a replica that lags, is no damage.
                if suspected.as_ref() == Some(&damage) {
                    ledger.report(damage);
                    STANDBY_INTERVAL
                } else {
                    tracing::warn!(%error, "the ledger is looked at again");
                    suspected = Some(damage);
                    SECOND_LOOK
                }
            }
        };
        let _ = timeout(wait, stop.cancelled()).await;
    }
    Ok(())
}

/// One connection's worth: from the position in the database until something fails or `stop`. Since a failed commit may
/// have taken place, the position is always read anew (C25).
async fn read_and_apply(
    ledger: &Ledger,
    store: &Store,
    health: &Health,
    stop: &CancellationToken,
    failures: &mut usize,
) -> Result<(), ProjectorError> {
    let (incarnation, last) = ledger.state().await?;
    let mut position = store.open(READ_MODELS, incarnation).await?;
    if last < position.seq {
        return Err(ProjectorError::Rewound { projected: position.seq, last });
    }
    let mut events = ledger.read_from(position.seq).await?;
    let mut read = None;
    if position.seq > 0 {
        let first = match timeout(FIRST_EVENT_TIMEOUT, events.next()).await {
            Ok(first) => entry(taken(first)?),
            Err(_) => entry(ledger.at(position.seq).await?.ok_or(StoreError::Diverged { seq: position.seq })?),
        };
        store.verify(&position, &first).await?;
        read = Some(first);
    }
    tracing::info!(seq = position.seq, "projecting after sequence {}", position.seq);
    health.good("projection");

    loop {
        let batch = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            batch = next_batch(&mut events) => batch?,
        };
        still_the_same(ledger, &position, incarnation, read.as_ref()).await?;
        if batch.is_empty() {
            continue;
        }
        let began = Instant::now();
        let applied = timeout(APPLY_TIMEOUT, store.apply(&batch, &position))
            .await
            .map_err(|_| LedgerError::Transient("the database is silent".to_owned()))??;
        runtime::failpoint("C24");
        *failures = 0;
        position = applied.position;
        report(&applied, batch.len(), began);
        read = batch.into_iter().next_back();
    }
}

/// Whether the stream still is the one that was read up to `position`. The reader reconnects by itself, and goes on in
/// a stream that was re-created, or that lost its tail and filled it anew, as if nothing had happened (F13, F15). So
/// this is asked after a batch was read and before it is applied: what was read before the change is refused with it.
async fn still_the_same(
    ledger: &Ledger,
    position: &Position,
    incarnation: DateTime<Utc>,
    read: Option<&Entry>,
) -> Result<(), ProjectorError> {
    let (found, last) = ledger.state().await?;
    if found != incarnation {
        return Err(StoreError::IncarnationChanged { stored: incarnation, found }.into());
    }
    if last < position.seq {
        return Err(ProjectorError::Rewound { projected: position.seq, last });
    }
    let Some(read) = read else { return Ok(()) };
    match ledger.at(read.seq).await? {
        // Headers are left to the check at the start: the answer to this question adds its own.
        Some(now) if now.subject == read.subject && now.payload == read.payload => Ok(()),
        _ => Err(StoreError::Diverged { seq: read.seq }.into()),
    }
}

/// What is ready, up to a batch. Waits for the first event, but not for ever: a silent stream must be looked at too.
/// What was appended as one is not torn apart, so that neither the rows nor a ledger that is refilled from the copy has
/// the half of it. Where nothing more of it comes, there is no more: nats-server can have kept its beginning.
async fn next_batch<S>(events: &mut S) -> Result<Vec<Entry>, LedgerError>
where
    S: Stream<Item = Result<Recorded, LedgerError>> + Unpin,
{
    let mut batch = Vec::new();
    let mut bytes = 0;
    let mut deadline = Instant::now() + CHECK_INTERVAL;
    let mut more_belongs = false;
    while more_belongs || (batch.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX) {
        let wait_until = if more_belongs { Instant::now() + CHECK_INTERVAL } else { deadline };
        let Ok(next) = timeout_at(wait_until, events.next()).await else { break };
        let recorded = taken(next)?;
        more_belongs = recorded.more_belongs();
        if batch.is_empty() {
            deadline = Instant::now() + BATCH_WAIT;
        }
        bytes += recorded.payload.len();
        batch.push(entry(recorded));
    }
    Ok(batch)
}

/// While another instance moves the position, or there is nothing to move it to, this one has nothing to do.
async fn stand_by(ledger: &Ledger, store: &Store, stop: &CancellationToken) {
    let mut seen = None;
    while !stop.is_cancelled() {
        let position = store.position(READ_MODELS).await.ok().flatten().map(|position| position.seq);
        let last = ledger.state().await.ok().map(|(_, last)| last);
        if position == seen && position.is_some() && last > position {
            tracing::info!(seq = position, "the other projector has stopped: taking over");
            return;
        }
        seen = position;
        tokio::select! { () = stop.cancelled() => {}, () = sleep(STANDBY_INTERVAL) => {} }
    }
}

/// The stream never ends by itself.
fn taken(next: Option<Result<Recorded, LedgerError>>) -> Result<Recorded, LedgerError> {
    next.unwrap_or_else(|| Err(LedgerError::Transient("the read ended".to_owned())))
}

pub(crate) fn entry(recorded: Recorded) -> Entry {
    Entry {
        seq: recorded.seq,
        subject: recorded.subject,
        headers: recorded.headers,
        payload: recorded.payload.to_vec(),
        recorded_at: recorded.recorded_at,
        event: recorded.event.map_err(|why| why.to_string()),
    }
}

/// One line a batch, however many events in it are not ours (B69).
fn report(applied: &Applied, events: usize, began: Instant) {
    let seq = applied.position.seq;
    tracing::debug!(events, seq, duration_ms = began.elapsed().as_millis(), "applied up to sequence {seq}");
    if let Some(first) = applied.set_aside.first() {
        let (count, kind, reason) = (applied.set_aside.len(), first.kind.name(), &first.reason);
        tracing::warn!(count, seq = first.seq, kind, reason, "events were set aside; see the table set_aside");
    }
}
