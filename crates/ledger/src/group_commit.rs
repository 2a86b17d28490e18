//! Group commit: under `sync_interval: always` every append costs an fsync, one after the other, so that appends which
//! come faster than that go out together, as atomic batches. If a batch is refused, each is sent alone.
//!
//! A batch costs the server several milliseconds, however small; a single append a fraction of one. So a few at a time
//! go alone, and batches begin where these no longer keep up.

use crate::append::BATCH_MAX;
use crate::batch::Batch;
use crate::connect::Ledger;
use crate::error::AppendError;
use crate::subjects::subject;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Appends that wait for their turn. Beyond this a caller waits: bounded memory (L6).
const QUEUE: usize = 4096;

/// Appends that are sent alone at the same time. More than these, and they go together.
const ALONE_MAX: usize = 8;

/// An append, all or nothing, and who waits for it.
struct Waiting {
    batch: Batch,
    reply: oneshot::Sender<Result<(), AppendError>>,
}

/// A handle to the group commit of one process. Cheap to clone; the last one dropped ends the task.
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

    /// Appends all of `batch` or nothing, together with whoever else is waiting.
    ///
    /// # Errors
    /// As [`Ledger::append`]. Dropping the future does not take the events back.
    pub async fn append(&self, batch: impl Into<Batch>) -> Result<(), AppendError> {
        let (reply, answer) = oneshot::channel();
        let stopped = || AppendError::Unknown("the process is stopping".into());
        self.queue.send(Waiting { batch: batch.into(), reply }).await.map_err(|_| stopped())?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Appends that wait for their turn now.
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }
}

async fn run(ledger: Ledger, mut waiting: mpsc::Receiver<Waiting>) {
    let mut group = Vec::with_capacity(BATCH_MAX);
    let few = Arc::new(Semaphore::new(ALONE_MAX));
    while waiting.recv_many(&mut group, BATCH_MAX).await > 0 {
        let group = std::mem::take(&mut group);
        let permits =
            u32::try_from(group.len()).ok().and_then(|count| Arc::clone(&few).try_acquire_many_owned(count).ok());
        if let Some(permits) = permits {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                alone(&ledger, group).await;
                drop(permits);
            });
            continue;
        }
        let (group, repeated) = without_repeats(group);
        for batch in batches(group) {
            commit(&ledger, batch).await;
        }
        // The same subject twice in a batch is refused whole (10164): those who came second are sent after, alone.
        alone(&ledger, repeated).await;
    }
}

async fn commit(ledger: &Ledger, batch: Vec<Waiting>) {
    if batch.len() == 1 {
        return alone(ledger, batch).await;
    }
    match ledger.append(Batch::joined(batch.iter().map(|waiting| &waiting.batch))).await {
        Ok(_) => {
            for waiting in batch {
                // The caller may have gone; the events are stored all the same.
                let _ = waiting.reply.send(Ok(()));
            }
        }
        // Whatever the reason, also an unknown outcome: who was written finds that again, by its content.
        Err(
            AppendError::WrongVersion | AppendError::Unknown(_) | AppendError::Refused(_) | AppendError::Stopped(_),
        ) => alone(ledger, batch).await,
    }
}

/// Each alone, all at once: one stale expectation must not fail its neighbours.
async fn alone(ledger: &Ledger, singles: Vec<Waiting>) {
    let sends = singles.into_iter().map(|waiting| async move {
        let answer = ledger.append(&waiting.batch).await.map(|_| ());
        let _ = waiting.reply.send(answer);
    });
    futures_util::future::join_all(sends).await;
}

/// In the order of arrival, [`BATCH_MAX`] events each: most appends have one.
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

/// The first of each subject, and the rest.
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
