//! Durable consumers: a message is acknowledged after what it caused is in the ledger, and never silently dropped.

use crate::batch::{Expected, NewEvent};
use crate::client::request;
use crate::connect::Ledger;
use crate::definitions::{compare, consumer};
use crate::direct::from_delivery;
use crate::envelope::Recorded;
use crate::error::{ConnectError, LedgerError};
use crate::subjects::STREAM;
use async_nats::jetstream::{AckKind, Message, consumer::PullConsumer};
use domain::event::ParkedMessage;
use domain::{Event, OpsEvent};
use futures_util::StreamExt;
use serde_json::Value;
use std::time::Duration;

/// Who holds a message longer than this reports progress. `ack_wait` in `nats/consumers` is 5 s: short, so that another
/// instance takes over soon after a SIGKILL.
pub const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// The server says at once when a pull is over. What is lost with a connection nobody says, and the client library waits
/// for it for ever (F18): then the pull is given up, while its messages are still ours by `ack_wait`.
const PULL_END_TIMEOUT: Duration = Duration::from_secs(2);

/// What one durable consumer delivers to one process.
#[derive(Clone, Debug)]
pub struct Inbox {
    ledger: Ledger,
    durable: &'static str,
    consumer: PullConsumer,
}

/// A message in hand. Dropped unanswered it comes again after `ack_wait`.
#[derive(Debug)]
pub struct Delivery {
    /// What it says.
    pub event: Event,
    /// As stored.
    pub recorded: Recorded,
    /// How often it has been delivered, from 1.
    pub deliveries: u32,
    message: Message,
}

impl Ledger {
    /// Binds to the durable consumer of that name, and checks that it still is as `nats/consumers` defines it: one with a
    /// `max_deliver`, say, would drop messages in silence (D5, F17).
    ///
    /// # Errors
    /// [`ConnectError`]: no such consumer, no answer, or the first key that differs.
    pub async fn inbox(&self, durable: &'static str) -> Result<Inbox, ConnectError> {
        let other = |cause: &dyn std::fmt::Display| ConnectError::Other(format!("the consumer {durable}: {cause}"));
        let info = request(&self.client, self.api, &format!("CONSUMER.INFO.{STREAM}.{durable}"), Value::Null).await?;
        if let Some(error) = info.pointer("/error/description") {
            return Err(other(error));
        }
        compare(&format!("the consumer {durable}"), &consumer(durable)?, info.get("config").unwrap_or(&Value::Null))?;
        let consumer = self.jetstream.get_consumer_from_stream(durable, STREAM).await.map_err(|e| other(&e))?;
        Ok(Inbox { ledger: self.clone(), durable, consumer })
    }
}

impl Inbox {
    /// Up to `max` messages: waits for the first one at most `idle`, then `linger` for company, unless all of it is there
    /// already. No pull request outlives the call, so no message is delivered to nobody.
    ///
    /// # Errors
    /// `Transient`: fetch again.
    pub async fn fetch(&self, max: usize, idle: Duration, linger: Duration) -> Result<Vec<Delivery>, LedgerError> {
        let mut found = self.pull(1, Some(idle)).await?;
        if !found.is_empty() && max > 1 {
            found.extend(self.pull(max - 1, Some(linger).filter(|linger| !linger.is_zero())).await?);
        }
        Ok(found)
    }

    /// Up to `max` messages that are there now.
    ///
    /// # Errors
    /// `Transient`: fetch again.
    pub async fn take(&self, max: usize) -> Result<Vec<Delivery>, LedgerError> {
        self.pull(max, None).await
    }

    async fn pull(&self, max: usize, wait: Option<Duration>) -> Result<Vec<Delivery>, LedgerError> {
        let transient = |e: &dyn std::fmt::Display| LedgerError::Transient(format!("{}: {e}", self.durable));
        let mut messages = match wait {
            Some(wait) => self.consumer.batch().max_messages(max).expires(wait).messages().await,
            None => self.consumer.fetch().max_messages(max).messages().await,
        }
        .map_err(|e| transient(&e))?;
        let mut found = Vec::new();
        let patience = wait.unwrap_or_default() + PULL_END_TIMEOUT;
        loop {
            match tokio::time::timeout(patience, messages.next()).await {
                Ok(Some(message)) => found.extend(self.open(message.map_err(|e| transient(&e))?).await?),
                Ok(None) => return Ok(found),
                Err(_) => {
                    tracing::warn!(consumer = self.durable, found = found.len(), "nobody ended the pull: given up");
                    return Ok(found);
                }
            }
        }
    }

    /// Reads a message; what can never be read is parked in the ledger and terminated, and the others go on (B69).
    async fn open(&self, message: Message) -> Result<Option<Delivery>, LedgerError> {
        let recorded = from_delivery(&message)?;
        let deliveries = message.info().map(|info| u32::try_from(info.delivered).unwrap_or(1)).unwrap_or(1);
        match recorded.event.clone() {
            Ok(event) => Ok(Some(Delivery { event, recorded, deliveries, message })),
            Err(why) => {
                self.park(&recorded, &why.to_string()).await?;
                message.ack_with(AckKind::Term).await.map_err(|e| LedgerError::Transient(e.to_string()))?;
                Ok(None)
            }
        }
    }

    async fn park(&self, recorded: &Recorded, reason: &str) -> Result<(), LedgerError> {
        tracing::error!(
            consumer = self.durable,
            seq = recorded.seq,
            subject = recorded.subject,
            reason,
            "message parked"
        );
        let parked = ParkedMessage {
            consumer: self.durable.to_owned(),
            sequence: recorded.seq,
            subject: recorded.subject.clone(),
            reason: reason.chars().take(200).collect(),
        };
        let event = Event::Ops(OpsEvent::Parked(parked));
        let new = NewEvent { event, expected: Expected::Absent, trace: None };
        match self.ledger.append(&[new]).await {
            Ok(_) | Err(crate::AppendError::WrongVersion) => Ok(()),
            Err(e) => Err(LedgerError::Transient(e.to_string())),
        }
    }

    /// Sets a readable message aside for a person: its order or lane has a past that nobody may build on.
    ///
    /// # Errors
    /// `Transient`: the message comes again.
    pub async fn set_aside(&self, delivery: Delivery, reason: &str) -> Result<(), LedgerError> {
        self.park(&delivery.recorded, reason).await?;
        delivery.message.ack_with(AckKind::Term).await.map_err(|e| LedgerError::Transient(e.to_string()))
    }
}

impl Delivery {
    /// What the message caused is in the ledger. Waits for the server's word; an ack that is lost means a redelivery,
    /// which changes nothing.
    pub async fn ack(self) {
        if let Err(e) = self.message.double_ack().await {
            tracing::warn!(seq = self.recorded.seq, error = %e, "ack not confirmed: the message will come again");
        }
    }

    /// Not now: again after `delay`. Always with a delay, a plain nak comes back at once and ignores the backoff.
    pub async fn nak(self, delay: Duration) {
        if let Err(e) = self.message.ack_with(AckKind::Nak(Some(delay))).await {
            tracing::warn!(seq = self.recorded.seq, error = %e, "nak not sent: the message comes again after ack_wait");
        }
    }

    /// Still at it: the server waits another `ack_wait`.
    pub async fn progress(&self) {
        if let Err(e) = self.message.ack_with(AckKind::Progress).await {
            tracing::debug!(seq = self.recorded.seq, error = %e, "progress not sent");
        }
    }
}
