//! One durable consumer, bound to this process: pulls, parked messages, and messages of a newer build.

use crate::client::request;
use crate::connect::Ledger;
use crate::definitions::{compare, consumer};
use crate::error::{ConnectError, LedgerError};
use crate::fold::Loaded;
use crate::subjects::STREAM;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::PullConsumer;
use chrono::{DateTime, Utc};
use domain::{Event, Order, OrderEvent, PaymentId, Recorded, StoredMessage, order};
use futures_util::StreamExt;
use runtime::Health;
use serde_json::Value;
use std::time::Duration;

/// How long one pull waits for messages. A stop ends the loop at the end of a pull, so that no message is delivered to
/// a process that has gone.
const PULL_WAIT: Duration = Duration::from_millis(500);

/// Extra time for the server to say that a pull is over, which it does immediately. If the connection is lost with that
/// message, the client library would wait without limit. So the pull is given up after this time; its messages still
/// belong to this process until `ack_wait` is over.
const PULL_END_TIMEOUT: Duration = Duration::from_secs(2);

/// A message that is not answered at this age stands still. A queue that waits longer admits no more orders, a transaction
/// is usually N blocks deep after one or two minutes, and an order that waits for its payer is no message in hand.
const UNANSWERED_MAX: Duration = Duration::from_secs(600);

/// The deliveries of one durable consumer to one process.
#[derive(Clone, Debug)]
pub struct Inbox {
    pub(crate) ledger: Ledger,
    pub(crate) durable: &'static str,
    pub(crate) health: Health,
    /// The consumer stands still if a message is not answered at this age.
    pub(crate) patience: Duration,
    /// The messages of the consumer.
    pub(crate) deliveries: PullConsumer,
    /// Redrives of messages that the consumer gave up.
    pub(crate) redrives: PullConsumer,
}

/// A delivered message that is not answered yet. The loop of [`Inbox::run`] answers it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its event.
    pub event: Event,
    /// Its sequence in the ledger.
    pub seq: u64,
    /// Its subject.
    pub subject: String,
    /// When the ledger stored it.
    pub recorded_at: DateTime<Utc>,
    /// Number of deliveries, counted from 1.
    pub deliveries: u32,
    /// W3C trace context, to be passed on to later events.
    pub trace: Option<String>,
    /// True if the consumer had given the message up, and a person has it handled once more.
    pub is_redriven: bool,
}

impl Delivery {
    /// The order that the message is about. Returns `None` for a message that is not about an order.
    pub fn order(&self) -> Option<(PaymentId, &OrderEvent)> {
        match &self.event {
            Event::Order(id, event) => Some((*id, event)),
            Event::Signer(..) | Event::Token(..) | Event::Record(..) | Event::Key(..) | Event::Ops(_) => None,
        }
    }

    /// The event, if the message is delivered for the first time and its event may be the last one of its order.
    pub fn newest(&self) -> Option<Newest> {
        match &self.event {
            Event::Order(_, event @ (OrderEvent::PaymentRequested(_) | OrderEvent::PaymentConfirmed(_)))
                if self.deliveries == 1 =>
            {
                let (event, trace) = (event.clone(), self.trace.clone());
                Some(Newest { event, seq: self.seq, trace, recorded_at: self.recorded_at })
            }
            _ => None,
        }
    }
}

/// The event of a message that may be the last one of its order, so that the order need not be read to the end.
///
/// The order may have moved on all the same. So an order that is made of it is good for an append only, which the ledger
/// refuses if this version is not the latest. A message of another event of the order must not be answered by it.
#[derive(Clone, Debug)]
pub struct Newest {
    event: OrderEvent,
    seq: u64,
    trace: Option<String>,
    recorded_at: DateTime<Utc>,
}

impl Newest {
    /// When the ledger stored it.
    pub fn recorded_at(&self) -> DateTime<Utc> {
        self.recorded_at
    }

    /// The order as the message leaves it. Returns `None` if this is not the first event of the order.
    pub fn new_order(self) -> Option<Loaded<Order>> {
        let Self { event, seq, trace, recorded_at } = self;
        let OrderEvent::PaymentRequested(request) = event else { return None };
        Some(Loaded { state: Some(Order::requested(*request)), version: seq, trace, since: recorded_at })
    }

    /// The order as the message leaves it, from the order as its request left it. What stands between them is left out.
    /// Before a payment is confirmed there is nothing of its mint, but the payment may have been sent and deferred. So it
    /// is not known how often, which matters only to who appends events of the payment. Nor is it known if a newer
    /// build has written something that forbids the mint: such a build must be used by the minter first.
    ///
    /// Returns `None` if the event cannot follow the request.
    pub fn after_request(self, requested: Loaded<Order>) -> Option<Loaded<Order>> {
        let state = order::evolve(requested.state, &self.event).ok()?;
        Some(Loaded { state, version: self.seq, ..requested })
    }
}

impl Ledger {
    /// Binds to the durable consumer `durable` and to the one of its redrives, and checks that each is as `nats/consumers` defines it: a consumer with a
    /// `max_deliver`, for example, would drop messages silently. While the consumer waits for an upgrade, `health` says
    /// so.
    ///
    /// # Errors
    /// [`ConnectError`]: no such consumer, no answer, or the first setting that differs.
    pub async fn inbox(&self, durable: &'static str, health: Health) -> Result<Inbox, ConnectError> {
        let deliveries = self.bind(durable).await?;
        let redrives = self.bind(&format!("{durable}-redriven")).await?;
        Ok(Inbox { ledger: self.clone(), durable, health, patience: UNANSWERED_MAX, deliveries, redrives })
    }

    async fn bind(&self, durable: &str) -> Result<PullConsumer, ConnectError> {
        let other = |cause: &dyn std::fmt::Display| ConnectError::Other(format!("the consumer {durable}: {cause}"));
        let info = request(&self.client, self.api, &format!("CONSUMER.INFO.{STREAM}.{durable}"), Value::Null).await?;
        if let Some(error) = info.pointer("/error/description") {
            return Err(other(error));
        }
        compare(&format!("the consumer {durable}"), &consumer(durable)?, info.get("config").unwrap_or(&Value::Null))?;
        self.jetstream.get_consumer_from_stream(durable, STREAM).await.map_err(|e| other(&e))
    }
}

impl Inbox {
    /// Replaces the age of ten minutes at which a message without an answer means that the consumer stands still.
    pub fn patient(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Pulls up to `max` messages and passes each to `each` as it arrives. Returns at the end of the pull, so that no
    /// pull request outlives the call.
    ///
    /// # Errors
    /// `Transient`: pull again. Messages that were passed to `each` stay in hand.
    pub(crate) async fn pull(
        &self,
        consumer: &PullConsumer,
        max: usize,
        mut each: impl FnMut(Message),
    ) -> Result<(), LedgerError> {
        let failed = |e| LedgerError::transient(format!("pulling from the consumer {}", self.durable), e);
        let pull = consumer.batch().max_messages(max).expires(PULL_WAIT).messages();
        let mut messages = pull.await.map_err(|e| failed(Box::new(e)))?;
        let mut found = 0_usize;
        loop {
            match tokio::time::timeout(PULL_WAIT + PULL_END_TIMEOUT, messages.next()).await {
                Ok(Some(message)) => each(message.map_err(|e| LedgerError::transient(self.durable, e))?),
                Ok(None) => return Ok(()),
                Err(_) => {
                    tracing::warn!(consumer = self.durable, found, "the server did not end the pull: given up");
                    return Ok(());
                }
            }
            found += 1;
        }
    }
}

/// A stored message, sorted by what a consumer does with it.
#[derive(Debug)]
pub(crate) enum Opened {
    /// An event that this build knows.
    Event(Box<Delivery>),
    /// An event of a newer build, with its type.
    Newer(String),
    /// Not an event of Paymint, with the reason.
    Foreign(String),
}

impl Opened {
    pub(crate) fn of(recorded: Recorded, deliveries: u32, is_redriven: bool) -> Self {
        let Recorded { message: StoredMessage { seq, subject, recorded_at, .. }, event, trace } = recorded;
        match event {
            Ok(event) => {
                let delivery = Delivery { event, seq, subject, recorded_at, deliveries, trace, is_redriven };
                Self::Event(Box::new(delivery))
            }
            Err(why) => match why.newer() {
                Some(kind) => Self::Newer(kind.to_owned()),
                None => Self::Foreign(why.to_string()),
            },
        }
    }
}
