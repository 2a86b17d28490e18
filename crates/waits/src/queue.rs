//! Work that is ready, shared by the lanes of a process: messages in hand and waiting orders that have come due.

use crate::fair::FairQueue;
use crate::index::Party;
use alloy_primitives::Address;
use chrono::{TimeDelta, Utc};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

/// Number of pieces of work that stand ready, five full batches. Further new orders wait in the index, which is as fair, and
/// come as soon as there is room.
pub const READY_MAX: usize = 500;

/// An order that has to be handled within this time comes before others of its token, every second time. Long enough for a
/// transaction and some replacements, and half of the shortest window that the api takes.
const NEAR: TimeDelta = TimeDelta::minutes(1);

/// Deadlines up to this one, in Unix seconds, are near now.
pub(crate) fn near() -> u64 {
    u64::try_from((Utc::now() + NEAR).timestamp()).unwrap_or_default()
}

/// A fair queue over tokens and payers that lanes wait on. Cheap to clone.
#[derive(Debug)]
pub struct Queue<T>(Arc<Shared<T>>);

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[derive(Debug)]
struct Shared<T> {
    inner: Mutex<Inner<T>>,
    changed: Notify,
}

#[derive(Debug)]
struct Inner<T> {
    fair: FairQueue<Address, Address, T>,
    is_open: bool,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        let inner = Mutex::new(Inner { fair: FairQueue::default(), is_open: false });
        Self(Arc::new(Shared { inner, changed: Notify::new() }))
    }
}

impl<T> Queue<T> {
    /// Opens the queue: from now on it accepts work.
    pub fn open(&self) {
        self.with(|inner| inner.is_open = true);
    }

    /// Closes the queue: drops all work that no lane has taken, and everything that is pushed until it is opened again.
    /// A job that is dropped hands its order back.
    pub fn close(&self) {
        let dropped = self.with(|inner| {
            inner.is_open = false;
            std::mem::take(&mut inner.fair)
        });
        drop(dropped);
    }

    /// Adds one piece of work.
    pub fn push(&self, party: Party, work: T) {
        self.with(|inner| {
            if inner.is_open {
                inner.fair.push(party.token, party.payer, party.deadline, work);
            }
        });
        self.0.changed.notify_waiters();
    }

    /// Number of new orders that may be added.
    pub fn room(&self) -> usize {
        READY_MAX.saturating_sub(self.with(|inner| inner.fair.len()))
    }

    /// Takes the next batch of at most `max` pieces of at most `tokens` tokens. Waits up to `idle` for the first piece, and
    /// then up to `linger` until the batch is full.
    pub async fn batch(&self, max: usize, tokens: usize, idle: Duration, linger: Duration) -> Vec<T> {
        if timeout(idle, self.until(1)).await.is_err() {
            return Vec::new();
        }
        let _ = timeout_at(Instant::now() + linger, self.until(max)).await;
        self.with(|inner| inner.fair.take(max, tokens, near()))
    }

    async fn until(&self, count: usize) {
        loop {
            let changed = self.0.changed.notified();
            if self.with(|inner| inner.fair.len() >= count) {
                return;
            }
            changed.await;
        }
    }

    fn with<R>(&self, f: impl FnOnce(&mut Inner<T>) -> R) -> R {
        f(&mut self.0.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    fn party(payer: u8) -> Party {
        Party { payer: Address::repeat_byte(payer), ..Party::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_for_its_first_piece_and_then_for_company() {
        let queue = Queue::default();
        queue.open();
        let second = Duration::from_secs(1);
        assert!(queue.batch(2, 9, second, second).await.is_empty());
        let later = queue.clone();
        tokio::spawn(async move {
            tokio::time::sleep(second / 2).await;
            later.push(party(1), 1);
            tokio::time::sleep(second / 2).await;
            later.push(party(1), 2);
            later.push(party(1), 3);
        });
        let began = Instant::now();
        assert_eq!(queue.batch(2, 9, second, 10 * second).await, [1, 2], "full before its time is over");
        assert_eq!(began.elapsed(), second);
        assert_eq!(queue.batch(2, 9, second, second / 10).await, [3]);
    }

    #[tokio::test]
    async fn what_no_lane_has_taken_is_handed_back_when_the_queue_closes() {
        let queue = Queue::default();
        queue.open();
        let (first, answer) = oneshot::channel();
        queue.push(party(1), first);
        queue.close();
        assert!(answer.await.is_err());
        let (second, answer) = oneshot::channel();
        queue.push(party(1), second);
        assert!(answer.await.is_err(), "closed");
        queue.open();
        let (third, answer) = oneshot::channel();
        queue.push(party(1), third);
        for taken in queue.batch(9, 9, Duration::ZERO, Duration::ZERO).await {
            assert_eq!(taken.send(7), Ok(()));
        }
        assert_eq!(answer.await, Ok(7));
    }
}
