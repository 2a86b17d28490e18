//! The projecting loop: a batch from the ledger, a transaction, the next batch.

use chrono::{DateTime, Utc};
use domain::{Recorded, StoredMessage};
use futures_util::{Stream, StreamExt};
use ledger::{Damage, Ledger, LedgerError, more_belongs};
use runtime::failpoint::{ROWS_COMMITTED, failpoint};
use runtime::{Backoff, CancellationToken, Health, OldestWork, causes};
use std::time::Duration;
use store::{Applied, Position, READ_MODELS, Store, StoreError};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Maximum number of events in one transaction: with 1,000 PostgreSQL bounds a rebuild, not the commits.
const BATCH_MAX: usize = 1000;
/// Maximum size of one transaction in bytes, so that the largest events do not add up to 64 MB.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// How long a batch waits for more events: less than a reader of a page notices, more than a commit takes.
const BATCH_WAIT: Duration = Duration::from_millis(20);
/// The server limits statements itself. This limit is for a server that disappears without an error.
const APPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// Time limit of a read from an existing sequence, which the ledger answers within moments.
const FIRST_EVENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a silent stream is compared with the stream that was read.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Pause of an instance that cannot continue, before it looks at the other instance and at the ledger again.
const STANDBY_INTERVAL: Duration = Duration::from_secs(2);
/// Pause between the two findings that damage needs.
const SECOND_LOOK: Duration = Duration::from_secs(1);
/// Pause while the ledger or the database is unavailable.
const RETRY: Backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(3) };

/// The reason why the projection stopped.
#[derive(Debug, thiserror::Error)]
pub enum ProjectorError {
    /// The ledger: see [`LedgerError`].
    #[error("projecting stopped at the ledger")]
    Ledger(#[from] LedgerError),
    /// The database: see [`StoreError`].
    #[error("projecting stopped at the database")]
    Store(#[from] StoreError),
    /// The stream lost its tail.
    #[error("the ledger ends at sequence {last}, but sequence {projected} was read from it and copied")]
    Rewound {
        /// Position of the projection.
        projected: u64,
        /// Last sequence of the ledger.
        last: u64,
    },
}

impl ProjectorError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Ledger(error) => matches!(error, LedgerError::Transient { .. }),
            Self::Store(error) => error.is_transient(),
            Self::Rewound { .. } => false,
        }
    }

    /// The damage of the ledger that this error reports. `None` if it reports none.
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

/// Projects until `stop`. Waits for unavailable neighbours, and stands by while another projector is active. It stops
/// at the first event that does not follow the last one it read, and keeps running, so that readers keep the rows.
/// Damage elsewhere in the ledger does not stop it, because an event that is not copied is lost when the ledger is
/// refilled.
///
/// # Errors
/// [`ProjectorError`] if the database fails in a way that waiting does not heal. Everything up to the position is
/// applied, nothing after it.
pub async fn project(
    ledger: &Ledger,
    store: &Store,
    health: &Health,
    stop: &CancellationToken,
) -> Result<(), ProjectorError> {
    let mut failures = 0_u32;
    let (mut suspected, mut since) = (None, Instant::now());
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
                let wait = RETRY.pause(failures);
                if failures == 0 {
                    since = Instant::now();
                }
                failures += 1;
                // The reason is an obstacle by itself; this is its age.
                let (what, words) = ("the next events".to_owned(), causes(&error).to_string());
                let work = OldestWork { what, age: since.elapsed(), words, limit: Duration::MAX };
                health.oldest("projection", Some(work));
                tracing::warn!(error = %causes(&error), wait_ms = wait.as_millis(), "reading again from the position");
                health.bad("projection", causes(&error).to_string());
                wait
            }
            Err(error) => {
                let Some(damage) = error.damage() else { return Err(error) };
                health.bad("projection", damage.to_string());
                // The damage was found twice, reading from the position on. A reader that skipped events, or a lagging
                // replica, is not damage.
                if suspected.as_ref() == Some(&damage) {
                    ledger.report(damage);
                    STANDBY_INTERVAL
                } else {
                    tracing::warn!(error = %causes(&error), "the ledger is looked at again");
                    suspected = Some(damage);
                    SECOND_LOOK
                }
            }
        };
        let _ = timeout(wait, stop.cancelled()).await;
    }
    Ok(())
}

/// Projects over one connection, from the position in the database until an error or `stop`. A failed commit may have
/// taken effect, so the position is always read again.
async fn read_and_apply(
    ledger: &Ledger,
    store: &Store,
    health: &Health,
    stop: &CancellationToken,
    failures: &mut u32,
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
            Ok(first) => taken(first)?,
            Err(_) => ledger.at(position.seq).await?.ok_or(StoreError::Diverged { seq: position.seq })?,
        };
        store.verify(&position, &first).await?;
        read = Some(first.message);
    }
    tracing::info!(seq = position.seq, "projecting after sequence {}", position.seq);
    health.good("projection");
    health.oldest("projection", None);

    loop {
        runtime::turn("read-projector.project");
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
            .map_err(|e| LedgerError::transient("the database is silent", e))??;
        failpoint(ROWS_COMMITTED);
        *failures = 0;
        position = applied.position;
        report(&applied, batch.len(), began);
        read = batch.into_iter().next_back().map(|last| last.message);
    }
}

/// Checks that the stream is still the one that was read up to `position`. The client reconnects by itself and
/// continues in a stream that was created again or that lost its tail, without any error. So this check runs after a
/// batch was read and before it is applied.
async fn still_the_same(
    ledger: &Ledger,
    position: &Position,
    incarnation: DateTime<Utc>,
    read: Option<&StoredMessage>,
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
        // The check at the start compares headers. Here the server's answer adds headers of its own.
        Some(now) if now.says_the_same_as(read) => Ok(()),
        _ => Err(StoreError::Diverged { seq: read.seq }.into()),
    }
}

/// Returns the available events, up to a batch. Waits for the first event only for a limited time, because a silent
/// stream must be checked, too. Events that were appended together stay together, so that neither the rows nor a
/// refilled ledger have half of them. If the rest never comes, there is none: nats-server may have kept only the
/// beginning.
async fn next_batch<S>(events: &mut S) -> Result<Vec<Recorded>, LedgerError>
where
    S: Stream<Item = Result<Recorded, LedgerError>> + Unpin,
{
    let mut batch = Vec::new();
    let mut bytes = 0;
    let mut deadline = Instant::now() + CHECK_INTERVAL;
    let mut goes_on = false;
    while goes_on || (batch.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX) {
        let wait_until = if goes_on { Instant::now() + CHECK_INTERVAL } else { deadline };
        let Ok(next) = timeout_at(wait_until, events.next()).await else { break };
        let recorded = taken(next)?;
        goes_on = more_belongs(&recorded);
        if batch.is_empty() {
            deadline = Instant::now() + BATCH_WAIT;
        }
        bytes += recorded.payload.len();
        batch.push(recorded);
    }
    Ok(batch)
}

/// Waits while another instance moves the position, or while there are no new events.
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

/// Unwraps an event of the stream, which never ends by itself.
fn taken(next: Option<Result<Recorded, LedgerError>>) -> Result<Recorded, LedgerError> {
    next.unwrap_or_else(|| Err(LedgerError::transient("reading the ledger", "the read ended")))
}

/// Logs one line per batch, whatever the number of events that were set aside.
fn report(applied: &Applied, events: usize, began: Instant) {
    let seq = applied.position.seq;
    tracing::debug!(events, seq, duration_ms = began.elapsed().as_millis(), "applied up to sequence {seq}");
    if let Some(first) = applied.set_aside.first() {
        let (count, kind, reason) = (applied.set_aside.len(), first.kind.name(), &first.reason);
        tracing::warn!(count, seq = first.seq, kind, reason, "events were set aside; see the table set_aside");
    }
}
