//! Group commit. Under `sync_interval: always` every append costs an fsync, one after the other. So appends that arrive
//! faster than that are sent together, as atomic batches. If the server refuses a batch, each of its appends is sent
//! alone.
//!
//! A batch of two events takes five times as long as a single event, one of a hundred eleven times (`make bench reads`).
//! So appends are sent each by itself if, with those that still have no answer, there are at most [`ALONE_MAX`] of them. If
//! there are more, those that wait are sent together as one batch.

use crate::append::{APPEND_MAX, BATCH_MAX, TURN_MAX};
use crate::batch::Batch;
use crate::connect::Ledger;
use crate::error::AppendError;
use crate::subjects::subject;
use runtime::causes;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout};

/// Maximum number of appends in the queue, which bounds its memory. Further callers wait for a place.
const QUEUE: usize = 4096;

/// Maximum number of appends that are sent alone concurrently. If there are more, they are sent together.
const ALONE_MAX: usize = 8;

/// Maximum number of groups in progress. The next one begins when the one before it has ended, because larger groups cost
/// fewer fsyncs, or after [`TURN_MAX`], because one whose acknowledgement is lost must not hold up the others.
const GROUPS_MAX: usize = 2;

/// An append, all or nothing, and the caller that waits for it.
struct Waiting {
    batch: Batch,
    since: Instant,
    reply: oneshot::Sender<Result<(), AppendError>>,
}

/// A handle to the group commit of one process. Cheap to clone. The task ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct GroupCommit {
    queue: mpsc::Sender<Waiting>,
}

impl GroupCommit {
    /// Starts the task.
    pub fn start(ledger: Ledger) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(run(ledger, waiting));
        Self { queue }
    }

    /// Appends all of `batch` or nothing, possibly together with the appends of other callers. Lasts nine seconds at most,
    /// with the wait for the groups before it.
    ///
    /// # Errors
    /// As [`Ledger::append`]. Dropping the future does not undo the append.
    pub async fn append(&self, batch: impl Into<Batch>) -> Result<(), AppendError> {
        let stopped = || AppendError::Unknown("the process is stopping".into());
        let appended = async {
            let (reply, answer) = oneshot::channel();
            let waiting = Waiting { batch: batch.into(), since: Instant::now(), reply };
            self.queue.send(waiting).await.map_err(|_| stopped())?;
            answer.await.unwrap_or_else(|_| Err(stopped()))
        };
        timeout(APPEND_MAX, appended).await.unwrap_or_else(|e| Err(AppendError::Unknown(e.into())))
    }

    /// Number of appends in the queue now.
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }
}

async fn run(ledger: Ledger, mut waiting: mpsc::Receiver<Waiting>) {
    let mut group = Vec::with_capacity(BATCH_MAX);
    let (few, groups) = (Arc::new(Semaphore::new(ALONE_MAX)), Arc::new(Semaphore::new(GROUPS_MAX)));
    while waiting.recv_many(&mut group, BATCH_MAX).await > 0 {
        let group = std::mem::take(&mut group);
        let permits =
            u32::try_from(group.len()).ok().and_then(|count| Arc::clone(&few).try_acquire_many_owned(count).ok());
        let ledger = ledger.clone();
        if let Some(permits) = permits {
            tokio::spawn(async move {
                alone(&ledger, group).await;
                drop(permits);
            });
            continue;
        }
        let Ok(place) = Arc::clone(&groups).acquire_owned().await else { return };
        let committing = tokio::spawn(async move {
            together(&ledger, group).await;
            drop(place);
        });
        let _ = timeout(TURN_MAX, committing).await;
    }
}

/// Sends a group: its batches one after the other, and then the appends that repeat a subject.
async fn together(ledger: &Ledger, group: Vec<Waiting>) {
    let (group, repeated) = without_repeats(group);
    for batch in batches(group) {
        commit(ledger, batch).await;
    }
    // The server refuses a batch with the same subject twice (10164). So the later ones are sent afterwards, alone.
    alone(ledger, repeated).await;
}

async fn commit(ledger: &Ledger, batch: Vec<Waiting>) {
    if batch.len() == 1 {
        return alone(ledger, batch).await;
    }
    // Each caller keeps its own time. The batch lasts as long as the last of them waits.
    let last = batch.iter().map(|waiting| waiting.since).max().unwrap_or_else(Instant::now);
    let joined = Batch::joined(batch.iter().map(|waiting| &waiting.batch));
    match ledger.append_until(joined, last + APPEND_MAX).await {
        Ok(_) => {
            for waiting in batch {
                // If the caller has gone, the events are stored nevertheless.
                let _ = waiting.reply.send(Ok(()));
            }
        }
        // The time is over. An append that was stored finds itself by its content when its caller repeats it.
        Err(AppendError::Unknown(why)) => {
            let why = causes(&*why).to_string();
            for waiting in batch {
                let _ = waiting.reply.send(Err(AppendError::Unknown(why.clone().into())));
            }
        }
        Err(AppendError::WrongVersion | AppendError::Refused(_) | AppendError::Stopped(_)) => {
            alone(ledger, batch).await;
        }
    }
}

/// Sends each append alone, all of them concurrently, so that one stale expectation does not fail the others.
async fn alone(ledger: &Ledger, singles: Vec<Waiting>) {
    let sends = singles.into_iter().map(|waiting| async move {
        let answer = ledger.append_until(&waiting.batch, waiting.since + APPEND_MAX).await.map(|_| ());
        let _ = waiting.reply.send(answer);
    });
    futures_util::future::join_all(sends).await;
}

/// Divides appends into batches of at most [`BATCH_MAX`] events, in the order of arrival. Most appends have one event.
fn batches(group: Vec<Waiting>) -> Vec<Vec<Waiting>> {
    let (mut batches, mut room) = (Vec::<Vec<Waiting>>::new(), 0);
    for waiting in group {
        let size = waiting.batch.events().len();
        match batches.last_mut().filter(|_| size <= room) {
            Some(batch) => batch.push(waiting),
            None => {
                batches.push(vec![waiting]);
                room = BATCH_MAX;
            }
        }
        room = room.saturating_sub(size);
    }
    batches
}

/// Separates the appends whose subjects are new from those that repeat a subject of an earlier one.
fn without_repeats(group: Vec<Waiting>) -> (Vec<Waiting>, Vec<Waiting>) {
    let mut seen = HashSet::new();
    group.into_iter().partition(|waiting| {
        let subjects: Vec<String> = waiting.batch.events().iter().map(|new| subject(&new.event)).collect();
        let new = subjects.iter().all(|subject| !seen.contains(subject));
        if new {
            seen.extend(subjects);
        }
        new
    })
}
