//! The answers to all direct gets of a process arrive by one subscription. A subscription for each get would be two more
//! messages to the server, and a change of its routing table.

use async_nats::{Client, Message, SubscribeError, Subscriber};
use futures_util::StreamExt;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// The requests that wait for answers, by their numbers.
type Waiting = Arc<Mutex<HashMap<u64, mpsc::UnboundedSender<Message>>>>;

/// The subscription of a process. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Answers {
    /// Subject of the answers, without the number of the request.
    inbox: String,
    next: AtomicU64,
    waiting: Waiting,
    _sorting: JoinSet<()>,
}

/// The place of one request: the subject to answer to, and the answer as it arrives.
pub(crate) struct Place {
    pub subject: String,
    pub messages: mpsc::UnboundedReceiver<Message>,
    number: u64,
    waiting: Waiting,
}

impl Answers {
    /// Subscribes. The client repeats that whenever it has connected again.
    ///
    /// # Errors
    /// The connection is closed for good.
    pub async fn listen(client: &Client) -> Result<Self, SubscribeError> {
        let inbox = client.new_inbox();
        let arriving = client.subscribe(format!("{inbox}.*")).await?;
        let waiting = Waiting::default();
        let mut sorting = JoinSet::new();
        sorting.spawn(sort(arriving, waiting.clone()));
        Ok(Self { inbox, next: AtomicU64::new(0), waiting, _sorting: sorting })
    }

    /// A place for one more request. What arrives after it was dropped is ignored.
    pub fn place(&self) -> Place {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (found, messages) = mpsc::unbounded_channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(number, found);
        Place { subject: format!("{}.{number}", self.inbox), messages, number, waiting: self.waiting.clone() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

/// Hands every message to the request whose number its subject ends with.
async fn sort(mut arriving: Subscriber, waiting: Waiting) {
    while let Some(message) = arriving.next().await {
        let number = message.subject.rsplit('.').next().and_then(|number| number.parse().ok());
        let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = number.and_then(|number: u64| waiting.get(&number)) {
            let _ = place.send(message); // the request has just ended
        }
    }
    // The connection is closed: nobody waits any longer.
    waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}
