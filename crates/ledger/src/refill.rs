//! Refilling: builds a ledger from a copy of its events, each byte for byte with its own sequence. So versions,
//! positions and the hashes of the copy keep their meaning. Only the times of storing differ.
//!
//! Until the refill is finished no other process can append. The stream listens to `refill.>` only, and stores each
//! message under the subject behind that prefix. No service starts on such a stream, because it differs from its
//! definition in `nats/`.

use crate::client::{OWN_API, connect_client, request, stream_info};
use crate::connect::{Ledger, LedgerConfig};
use crate::definitions::{compare, same_layout, stream};
use crate::envelope::{CONTENT_TYPE, headers_of, is_within_batch, more_belongs};
use crate::error::{ConnectError, LedgerError, RefillError};
use crate::gate::pass_server;
use crate::monitor::Monitor;
use crate::provision::{accepted, provision};
use crate::subjects::STREAM;
use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishAckFuture;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::{Recorded, StoredMessage};
use serde_json::{Value, json};
use std::time::Duration;

/// First token of the subjects while the ledger is filled.
const PREFIX: &str = "refill";

/// Subject of the message that ends an unfinished batch. Nothing is stored there.
const BATCH_END: &str = "ops.end";

/// Maximum number of acknowledgements that are waited for together.
const IN_FLIGHT_MAX: usize = 256;

/// Time after which the server has given up an unfinished batch (ten seconds by NATS ADR-50). It refuses the id of that
/// batch until then.
const BATCH_ABANDONED: Duration = Duration::from_secs(11);

/// The result of [`Refill::add`], for an event that the copy does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// The event was appended at the end.
    Now,
    /// The event was stored already.
    Before,
    /// Another event has this subject, and stays.
    Other,
}

/// A ledger that is being filled. If the process is killed at any line, the refill is begun again and continues where
/// it was.
#[derive(Debug)]
pub struct Refill {
    ledger: Ledger,
    url: String,
    last: u64,
    is_open: bool,
    /// True if an earlier run has begun to fill it, which may have ended within a batch.
    is_resumed: bool,
    /// The atomic batch that is not finished: its id, and the position of its next message.
    batch: Option<(String, u64)>,
}

impl Refill {
    /// Finds the ledger at `config`, or creates one that is closed to all other writers.
    ///
    /// # Errors
    /// [`ConnectError`]: the server is unreachable or does not sync, or the stream is neither closed nor as `nats/`
    /// defines it.
    pub async fn begin(config: &LedgerConfig) -> Result<Self, ConnectError> {
        let client = connect_client(&config.url).await?;
        let monitor = Monitor::new(&config.monitor_url)?;
        pass_server(&client, &monitor).await?;
        let info = match stream_info(&client, OWN_API).await {
            Err(ConnectError::NoStream(_)) => {
                accepted(request(&client, OWN_API, &format!("STREAM.CREATE.{STREAM}"), closed()).await?)?;
                stream_info(&client, OWN_API).await?
            }
            found => found?,
        };
        same_layout(&info.config)?;
        let is_closed = info.config["subjects"] == closed()["subjects"];
        if !is_closed {
            compare("the stream LEDGER", &stream(), &info.config)?;
        }
        let ledger = Ledger::unlooked(client, OWN_API, "/paymint/ops", monitor, info.created);
        let last = info.state.last_seq;
        Ok(Self { ledger, url: config.url.clone(), last, is_open: !is_closed, is_resumed: last > 0, batch: None })
    }

    /// The creation time of the stream.
    pub fn incarnation(&self) -> DateTime<Utc> {
        self.ledger.incarnation()
    }

    /// True if the refill is finished, and services may append.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// The last sequence that was put.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Puts `events`, which continue behind [`Refill::last`], at their sequences. An atomic batch may continue in the
    /// next call.
    ///
    /// # Errors
    /// [`RefillError`]: some of the events may be stored.
    pub async fn put(&mut self, events: &[StoredMessage]) -> Result<(), RefillError> {
        if self.is_resumed && events.first().is_some_and(more_belongs) {
            tokio::time::sleep(BATCH_ABANDONED).await;
        }
        self.is_resumed = false;
        for some in events.chunks(IN_FLIGHT_MAX) {
            let mut acknowledgements = Vec::with_capacity(some.len());
            for event in some {
                let headers = event.headers.as_deref().unwrap_or_default();
                let headers = headers_of(headers).ok_or(RefillError::Unreadable { seq: event.seq })?;
                if let Some(end) = self.end_batch_before(&headers).await? {
                    acknowledgements.push((event.seq - 1, end));
                }
                if let Some(stored) = self.send(event, headers).await? {
                    acknowledgements.push((event.seq, stored));
                }
            }
            for (seq, acknowledgement) in acknowledgements {
                self.stored_at(seq, acknowledgement).await?;
            }
        }
        Ok(())
    }

    /// Finishes the last batch after all events were put, if the copy does not have its end.
    ///
    /// # Errors
    /// As [`Refill::put`].
    pub async fn end(&mut self, last: u64) -> Result<(), RefillError> {
        match self.end_batch_before(&HeaderMap::new()).await? {
            Some(end) => self.stored_at(last, end).await,
            None => Ok(()),
        }
    }

    /// Appends an event that the copy does not have, once.
    ///
    /// # Errors
    /// As [`Refill::put`].
    pub async fn add(&mut self, stray: &Recorded) -> Result<Added, RefillError> {
        let failed = |cause: String| RefillError::NotStored { seq: stray.seq, cause };
        let there = self.ledger.last(&stray.subject).await.map_err(|e| failed(e.to_string()))?;
        if let Some(there) = there {
            let same = matches!((&there.event, &stray.event), (Ok(there), Ok(stray)) if there == stray);
            return Ok(if same { Added::Before } else { Added::Other });
        }
        let mut headers = HeaderMap::new();
        headers.insert("Content-Type", CONTENT_TYPE);
        headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
        let subject = format!("{PREFIX}.{}", stray.subject);
        let sent = self.ledger.jetstream.publish_with_headers(subject, headers, stray.payload.clone()).await;
        let acknowledged = match sent {
            Ok(acknowledgement) => acknowledgement.await,
            Err(error) => Err(error),
        };
        self.last = acknowledged.map_err(|e| failed(e.to_string()))?.sequence;
        Ok(Added::Now)
    }

    /// The stored messages from sequence `from` to `to`, see [`Ledger::between`].
    ///
    /// # Errors
    /// [`LedgerError::Transient`]: no answer.
    pub async fn between(&self, from: u64, to: u64) -> Result<Vec<Recorded>, LedgerError> {
        self.ledger.between(from, to).await
    }

    /// Opens the ledger: gives the stream its definition in `nats/`, and creates the consumers. May be repeated.
    ///
    /// # Errors
    /// As [`provision`].
    pub async fn open(&mut self) -> Result<(), ConnectError> {
        provision(&self.url).await?;
        self.is_open = true;
        Ok(())
    }

    /// Sends `event`. Returns the pending acknowledgement of a message outside a batch; messages within a batch have
    /// none of their own.
    async fn send(
        &mut self,
        event: &StoredMessage,
        headers: HeaderMap,
    ) -> Result<Option<PublishAckFuture>, RefillError> {
        let failed = |cause: String| RefillError::NotStored { seq: event.seq, cause };
        let subject = format!("{PREFIX}.{}", event.subject);
        let payload = event.payload.clone();
        if !is_within_batch(&headers) {
            self.batch = None;
            let sent = self.ledger.jetstream.publish_with_headers(subject, headers, payload).await;
            return sent.map(Some).map_err(|e| failed(e.to_string()));
        }
        let text = |name: &str| headers.get(name).map(ToString::to_string);
        let position = text("Nats-Batch-Sequence").and_then(|position| position.parse::<u64>().ok());
        self.batch = text("Nats-Batch-Id").zip(position).map(|(id, position)| (id, position + 1));
        let sent = self.ledger.client.publish_with_headers(subject, headers, payload).await;
        sent.map(|()| None).map_err(|e| failed(e.to_string()))
    }

    /// Finishes the current batch, unless the message with the headers `next` belongs to it. A batch can lack its end
    /// because nats-server kept only its beginning, or because the copy ends within it. The finishing message has the
    /// header `Nats-Batch-Commit: eob`, which stores what came before.
    async fn end_batch_before(&mut self, next: &HeaderMap) -> Result<Option<PublishAckFuture>, RefillError> {
        let Some((id, position)) = self.batch.clone() else { return Ok(None) };
        if next.get("Nats-Batch-Id").is_some_and(|next| next.as_str() == id) {
            return Ok(None);
        }
        self.batch = None;
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Batch-Id", id);
        headers.insert("Nats-Batch-Sequence", position.to_string());
        headers.insert("Nats-Batch-Commit", "eob");
        let sent =
            self.ledger.jetstream.publish_with_headers(format!("{PREFIX}.{BATCH_END}"), headers, Bytes::new()).await;
        sent.map(Some).map_err(|e| RefillError::NotStored { seq: self.last + 1, cause: e.to_string() })
    }

    async fn stored_at(&mut self, seq: u64, acknowledgement: PublishAckFuture) -> Result<(), RefillError> {
        let stored = acknowledgement.await.map_err(|e| RefillError::NotStored { seq, cause: e.to_string() })?;
        if stored.sequence != seq {
            return Err(RefillError::Misplaced { seq, found: stored.sequence });
        }
        self.last = seq;
        Ok(())
    }
}

/// The definition of the stream, with the subjects of a ledger that is being filled.
fn closed() -> Value {
    let mut config = stream().config;
    config["subjects"] = json!([format!("{PREFIX}.>")]);
    config["subject_transform"] = json!({ "src": format!("{PREFIX}.>"), "dest": ">" });
    config
}
