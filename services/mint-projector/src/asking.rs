//! Lanes ask for batches: a batch is handed to the lane that has waited longest for one.

use chain::Address;
use domain::{Order, PaymentId, PaymentKey};
use ledger::Loaded;
use std::collections::{HashMap, VecDeque};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use waits::Job;

/// A batch of owed mints of one token.
#[derive(Debug)]
pub struct Gathered {
    /// The token.
    pub token: Address,
    /// The jobs, in fair order over payers.
    pub jobs: Vec<Job>,
    /// Their orders when they were gathered. If an order has moved on since, the ledger refuses the worker's append,
    /// and the worker loads it again.
    pub orders: HashMap<PaymentId, Loaded<Order>>,
    /// Records of the token that no order stands for. If they are not sent, they come again after a while.
    pub found: Vec<PaymentKey>,
    /// Channel for jobs that are to be gathered again.
    pub again: mpsc::UnboundedSender<Arrival>,
}

/// A job on its way into a batch, and the time since when it waits for others.
#[derive(Debug)]
pub struct Arrival {
    /// The job.
    pub job: Job,
    /// True if its message may keep a place of the consumer.
    pub may_stay: bool,
    /// Since when it waits.
    pub since: Instant,
}

impl Gathered {
    /// Sends all jobs back to be gathered again, because an order or the lane has moved on.
    pub fn gather_again(self) {
        for job in self.jobs {
            let _ = self.again.send(Arrival { job, may_stay: true, since: Instant::now() });
        }
    }
}

/// The request of a free lane for the next batch.
#[derive(Debug)]
pub struct Ask {
    /// Maximum number of mints in it.
    pub most: usize,
    answer: oneshot::Sender<Gathered>,
}

impl Ask {
    /// Hands a batch over. If the lane has ended it drops the batch, which hands its jobs back.
    pub fn answer(self, batch: Gathered) {
        let _ = self.answer.send(batch);
    }

    fn is_closed(&self) -> bool {
        self.answer.is_closed()
    }
}

/// The requests of one lane, at most one at a time.
#[derive(Debug)]
pub struct Asking {
    asks: mpsc::Sender<Ask>,
    answer: Option<oneshot::Receiver<Gathered>>,
}

impl Asking {
    /// A lane that has not asked yet. `asks` is shared by all lanes.
    pub fn new(asks: mpsc::Sender<Ask>) -> Self {
        Self { asks, answer: None }
    }

    /// Asks once for a batch of at most `most` mints and waits for it. If this future is dropped, the next call waits for the
    /// same batch. Returns `None` if gathering has stopped.
    pub async fn next(&mut self, most: usize) -> Option<Gathered> {
        if self.answer.is_none() {
            let (answer, answered) = oneshot::channel();
            self.asks.send(Ask { most, answer }).await.ok()?;
            self.answer = Some(answered);
        }
        let batch = self.answer.as_mut()?.await.ok();
        self.answer = None;
        batch
    }

    /// Withdraws the request of a lane that cannot send now. A batch that was handed over already is gathered again, for
    /// another lane.
    pub fn withdraw(&mut self) {
        let Some(mut answer) = self.answer.take() else { return };
        answer.close();
        if let Ok(batch) = answer.try_recv() {
            batch.gather_again();
        }
    }
}

/// The requests of all lanes, in the order in which they arrived.
pub struct Asked {
    arriving: mpsc::Receiver<Ask>,
    waiting: VecDeque<Ask>,
}

impl Asked {
    /// An empty line of requests, which come from `arriving`.
    pub fn new(arriving: mpsc::Receiver<Ask>) -> Self {
        Self { arriving, waiting: VecDeque::new() }
    }

    /// Waits for the next request, which then waits here.
    pub async fn arrive(&mut self) {
        match self.arriving.recv().await {
            Some(ask) => {
                self.waiting.retain(|ask| !ask.is_closed());
                self.waiting.push_back(ask);
            }
            // No lane is left to ask.
            None => std::future::pending().await,
        }
    }

    /// The oldest request of a lane that still works.
    pub fn next(&mut self) -> Option<Ask> {
        while let Ok(ask) = self.arriving.try_recv() {
            self.waiting.push_back(ask);
        }
        std::iter::from_fn(|| self.waiting.pop_front()).find(|ask| !ask.is_closed())
    }
}
