//! The replies to all direct gets of a process arrive by one subscription. A subscription for each get would be two more
//! messages to the server, and a change of its routing table.

use async_nats::{Client, Message, SubscribeError, Subscriber};
use futures_util::StreamExt;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// The requests that wait for a reply, by their numbers.
type Waiting = Arc<Mutex<HashMap<u64, mpsc::UnboundedSender<Message>>>>;

/// The subscription of a process. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Replies {
    /// Subject of the replies, without the number of the request.
    inbox: String,
    next: AtomicU64,
    waiting: Waiting,
    _dispatch: JoinSet<()>,
}

/// The reply to one request, which may have several messages. What arrives after this was dropped is ignored.
pub(crate) struct PendingReply {
    /// The reply subject that the request must name.
    pub subject: String,
    /// The messages as they arrive. Ends if the connection is closed and will not come back.
    pub messages: mpsc::UnboundedReceiver<Message>,
    number: u64,
    waiting: Waiting,
}

impl Replies {
    /// Subscribes. After a lost connection the client subscribes again by itself. Messages that were lost meanwhile do not
    /// come again, so a reader must notice what is missing.
    ///
    /// # Errors
    /// The connection is closed and will not come back.
    pub async fn listen(client: &Client) -> Result<Self, SubscribeError> {
        let inbox = client.new_inbox();
        let arriving = client.subscribe(format!("{inbox}.*")).await?;
        let waiting = Waiting::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(dispatch(arriving, waiting.clone()));
        Ok(Self { inbox, next: AtomicU64::new(0), waiting, _dispatch: tasks })
    }

    /// Prepares for the reply to one more request.
    pub fn pending(&self) -> PendingReply {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, messages) = mpsc::unbounded_channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(number, sender);
        PendingReply { subject: format!("{}.{number}", self.inbox), messages, number, waiting: self.waiting.clone() }
    }
}

impl Drop for PendingReply {
    fn drop(&mut self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

/// Hands every message to the request whose number its subject ends with.
async fn dispatch(mut arriving: Subscriber, waiting: Waiting) {
    while let Some(message) = arriving.next().await {
        let number = message.subject.rsplit('.').next().and_then(|number| number.parse().ok());
        let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = number.and_then(|number: u64| waiting.get(&number)) {
            let _ = sender.send(message); // fails if the request has ended at this moment
        }
    }
    // The connection is closed and will not come back, so every pending reply ends.
    waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}
