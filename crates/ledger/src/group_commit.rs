//! Group commit: under `sync_interval: always` every append costs an fsync, so appends that arrive while one is in
//! flight go out together as the next atomic batch. If a batch is refused, each is sent alone.

use crate::append::{BATCH_MAX, NewEvent};
use crate::connect::Ledger;
use crate::error::AppendError;
use crate::subjects::subject;
use std::collections::HashSet;
use tokio::sync::{mpsc, oneshot};

/// Appends that wait for their turn. Beyond this a caller waits: bounded memory (L6).
const QUEUE: usize = 4096;

type Reply = oneshot::Sender<Result<u64, AppendError>>;

/// An append and who waits for it.
type Waiting = (NewEvent, Reply);

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

    /// Appends one event, together with whoever else is waiting; answers with its sequence.
    ///
    /// # Errors
    /// As [`Ledger::append`]. Dropping the future does not take the event back.
    pub async fn append(&self, event: NewEvent) -> Result<u64, AppendError> {
        let (reply, answer) = oneshot::channel();
        let stopped = || AppendError::Unknown("the process is stopping".to_owned());
        self.queue.send((event, reply)).await.map_err(|_| stopped())?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

async fn run(ledger: Ledger, mut waiting: mpsc::Receiver<Waiting>) {
    let mut group = Vec::with_capacity(BATCH_MAX);
    while waiting.recv_many(&mut group, BATCH_MAX).await > 0 {
        let (batch, repeated) = without_repeats(std::mem::take(&mut group));
        commit(&ledger, batch).await;
        // The same subject twice in a batch is refused whole (10164): those who came second are sent after, alone.
        alone(&ledger, repeated).await;
    }
}

async fn commit(ledger: &Ledger, batch: Vec<Waiting>) {
    let (events, replies): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    match ledger.append(&events).await {
        Ok(sequences) => {
            for (reply, seq) in replies.into_iter().zip(sequences) {
                // The caller may have gone; the event is stored all the same.
                let _ = reply.send(Ok(seq));
            }
        }
        Err(why) if replies.len() == 1 => {
            for reply in replies.into_iter().take(1) {
                let _ = reply.send(Err(match &why {
                    AppendError::WrongVersion => AppendError::WrongVersion,
                    AppendError::Unknown(text) => AppendError::Unknown(text.clone()),
                    AppendError::Refused(text) => AppendError::Refused(text.clone()),
                }));
            }
        }
        Err(_) => alone(ledger, events.into_iter().zip(replies).collect()).await,
    }
}

/// Each alone, all at once: one stale expectation must not fail its neighbours.
async fn alone(ledger: &Ledger, singles: Vec<Waiting>) {
    let sends = singles.into_iter().map(|(event, reply)| async move {
        let answer = ledger.append(&[event]).await.and_then(|sequences| {
            sequences.first().copied().ok_or_else(|| AppendError::Unknown("no sequence".to_owned()))
        });
        let _ = reply.send(answer);
    });
    futures_util::future::join_all(sends).await;
}

/// The first of each subject, and the rest.
fn without_repeats(group: Vec<Waiting>) -> (Vec<Waiting>, Vec<Waiting>) {
    let mut seen = HashSet::new();
    group.into_iter().partition(|(new, _)| seen.insert(subject(&new.event)))
}
