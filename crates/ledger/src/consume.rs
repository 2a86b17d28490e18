//! One durable consumer, bound to this process: pulls, parked messages, and messages of a newer build.

use crate::batch::{Expected, NewEvent};
use crate::client::request;
use crate::connect::Ledger;
use crate::definitions::{compare, consumer};
use crate::envelope::{Recorded, Undecodable};
use crate::error::{ConnectError, LedgerError};
use crate::subjects::STREAM;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::PullConsumer;
use chrono::{DateTime, Utc};
use domain::event::ParkedMessage;
use domain::{Event, OpsEvent, OrderEvent, PaymentId};
use futures_util::StreamExt;
use runtime::Health;
use serde_json::Value;
use std::time::Duration;

/// One pull waits this long for messages. A stop ends the loop at the end of a pull, so that no message is delivered to
/// a process that has gone.
const PULL_WAIT: Duration = Duration::from_millis(500);

/// The server says immediately when a pull is over. A connection that is lost takes that word with it, and the client
/// library would wait forever: then the pull is given up, while its messages still belong to this process by `ack_wait`.
const PULL_END_TIMEOUT: Duration = Duration::from_secs(2);

/// What one durable consumer delivers to one process.
#[derive(Clone, Debug)]
pub struct Inbox {
    pub(crate) ledger: Ledger,
    pub(crate) durable: &'static str,
    pub(crate) health: Health,
    consumer: PullConsumer,
}

/// A message in hand. The loop of [`Inbox::run`] answers it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What it says.
    pub event: Event,
    /// Its sequence in the ledger.
    pub seq: u64,
    /// Its subject.
    pub subject: String,
    /// When the ledger stored it.
    pub recorded_at: DateTime<Utc>,
    /// How often it has been delivered, from 1.
    pub deliveries: u32,
}

impl Delivery {
    /// The order that the message is about; `None` for a message of another stream.
    pub fn order(&self) -> Option<(PaymentId, &OrderEvent)> {
        match &self.event {
            Event::Order(id, event) => Some((*id, event)),
            Event::Signer(..) | Event::Token(..) | Event::Key(..) | Event::Ops(_) => None,
        }
    }
}

impl Ledger {
    /// Binds to the durable consumer `durable`, and checks that it is as `nats/consumers` defines it: one with a
    /// `max_deliver`, for example, would drop messages silently. `health` is told when the consumer waits for an upgrade.
    ///
    /// # Errors
    /// [`ConnectError`]: no such consumer, no answer, or the first key that differs.
    pub async fn inbox(&self, durable: &'static str, health: Health) -> Result<Inbox, ConnectError> {
        let other = |cause: &dyn std::fmt::Display| ConnectError::Other(format!("the consumer {durable}: {cause}"));
        let info = request(&self.client, self.api, &format!("CONSUMER.INFO.{STREAM}.{durable}"), Value::Null).await?;
        if let Some(error) = info.pointer("/error/description") {
            return Err(other(error));
        }
        compare(&format!("the consumer {durable}"), &consumer(durable)?, info.get("config").unwrap_or(&Value::Null))?;
        let consumer = self.jetstream.get_consumer_from_stream(durable, STREAM).await.map_err(|e| other(&e))?;
        Ok(Inbox { ledger: self.clone(), durable, health, consumer })
    }

    /// Records that `durable` gives up the message at `seq`, for an operator. Recorded twice, it is there once.
    ///
    /// # Errors
    /// `Transient`: it may be recorded, or not; try again.
    pub async fn park(&self, durable: &str, seq: u64, subject: &str, reason: &str) -> Result<(), LedgerError> {
        tracing::error!(consumer = durable, seq, subject, reason, "message parked");
        let parked = ParkedMessage {
            consumer: durable.to_owned(),
            sequence: seq,
            subject: subject.to_owned(),
            reason: reason.chars().take(200).collect(),
        };
        let event = Event::Ops(OpsEvent::Parked(parked));
        match self.append(&[NewEvent { event, expected: Expected::Absent, trace: None }]).await {
            Ok(_) | Err(crate::AppendError::WrongVersion) => Ok(()),
            Err(e) => Err(LedgerError::transient(format!("parking the message at sequence {seq}"), e)),
        }
    }
}

impl Inbox {
    /// Pulls up to `max` messages and gives each to `each` as it arrives. Ends with the pull, so that no pull request
    /// outlives the call.
    ///
    /// # Errors
    /// `Transient`: pull again. What was given to `each` stays in hand.
    pub(crate) async fn pull(&self, max: usize, mut each: impl FnMut(Message)) -> Result<(), LedgerError> {
        let failed = |e| LedgerError::transient(format!("pulling from the consumer {}", self.durable), e);
        let pull = self.consumer.batch().max_messages(max).expires(PULL_WAIT).messages();
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

/// A stored message, as a consumer sees it.
#[derive(Debug)]
pub(crate) enum Opened {
    /// An event of ours.
    Event(Box<Delivery>),
    /// An event of a newer build: its type.
    Newer(String),
    /// No event of ours: why not.
    Foreign(String),
}

impl Opened {
    pub(crate) fn of(recorded: Recorded, deliveries: u32) -> Self {
        let Recorded { seq, subject, recorded_at, event, .. } = recorded;
        match event {
            Ok(event) => Self::Event(Box::new(Delivery { event, seq, subject, recorded_at, deliveries })),
            Err(why) => match why.newer() {
                Some(kind) => Self::Newer(kind.to_owned()),
                None => Self::Foreign(why.to_string()),
            },
        }
    }
}

impl Undecodable {
    /// The event type, if it is of our namespace and this build does not know it: a newer build wrote it.
    pub(crate) fn newer(&self) -> Option<&str> {
        match self {
            Self::UnknownType(kind) if kind.starts_with("io.paymint.") => Some(kind),
            Self::UnknownType(_) | Self::NotACloudEvent(_) | Self::Contradiction(_) => None,
        }
    }
}
