//! Refilling: the ledger is made anew from a copy of its events, each byte for byte at its own sequence. So versions,
//! positions and the hashes of the copy go on meaning what they meant; only the times of storing are others.
//!
//! Until it is opened nobody else can append: the stream listens to `refill.>` alone, and stores what comes there under
//! the subject behind that. No service starts on it either, because it is not what `nats/` says.

use crate::client::{OWN_API, connect_client, request, stream_info};
use crate::connect::{Ledger, LedgerConfig};
use crate::definitions::{compare, same_layout, stream};
use crate::envelope::{CONTENT_TYPE, Recorded, headers_of, is_within_batch, more_belongs};
use crate::error::{ConnectError, LedgerError, RefillError};
use crate::gate::pass_server;
use crate::monitor::Monitor;
use crate::provision::{accepted, provision};
use crate::subjects::STREAM;
use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishAckFuture;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::time::Duration;

/// What subjects begin with while the ledger is filled.
const PREFIX: &str = "refill";

/// Where the end of a batch is told that has none of its own; nothing is stored there.
const BATCH_END: &str = "ops.end";

/// Acknowledgements that are waited for at a time: a page of a reader.
const IN_FLIGHT_MAX: usize = 256;

/// The server gives up a batch that nobody goes on with after ten seconds (NATS ADR-50), and refuses its id until then.
const BATCH_ABANDONED: Duration = Duration::from_secs(11);

/// An event of a copy, as it stood in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Its sequence, which it gets again.
    pub seq: u64,
    /// Subject.
    pub subject: String,
    /// Header block in canonical form, as [`Recorded::headers`].
    pub headers: Option<Vec<u8>>,
    /// Body.
    pub payload: Bytes,
}

impl Copied {
    /// As [`Recorded::more_belongs`].
    pub fn more_belongs(&self) -> bool {
        more_belongs(self.headers.as_deref())
    }
}

/// What became of an event that the copy does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It stands at the end now.
    Now,
    /// It stood there.
    Before,
    /// Its subject is taken by another event, which stays.
    Other,
}

/// A ledger that is being filled. Killed at any line, it is begun again and goes on where it was.
#[derive(Debug)]
pub struct Refill {
    ledger: Ledger,
    url: String,
    last: u64,
    is_open: bool,
    /// Whether it was begun before, and may have been cut off within a batch.
    is_resumed: bool,
    /// The atomic batch that has begun and not ended: its id, and the position of its next message.
    batch: Option<(String, u64)>,
}

impl Refill {
    /// Finds the ledger at `config`, or creates it closed.
    ///
    /// # Errors
    /// [`ConnectError`]: unreachable, a server that does not sync, or a stream that is neither closed nor as `nats/` says.
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

    /// When the stream was created.
    pub fn incarnation(&self) -> DateTime<Utc> {
        self.ledger.incarnation()
    }

    /// Whether it is a ledger that everybody may append to.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// The sequence that was put last.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Puts `events`, which continue at [`Refill::last`], in their places. An atomic batch may go on in the next call.
    ///
    /// # Errors
    /// [`RefillError`]: some of them may be there.
    pub async fn put(&mut self, events: &[Copied]) -> Result<(), RefillError> {
        if self.is_resumed && events.first().is_some_and(Copied::more_belongs) {
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

    /// After the last event that was put: ends a batch whose end the copy does not have.
    ///
    /// # Errors
    /// As [`Refill::put`].
    pub async fn end(&mut self, last: u64) -> Result<(), RefillError> {
        match self.end_batch_before(&HeaderMap::new()).await? {
            Some(end) => self.stored_at(last, end).await,
            None => Ok(()),
        }
    }

    /// Puts an event that the copy does not have behind what is there, once.
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

    /// What stands there from sequence `from` to `to`, as [`Ledger::between`].
    ///
    /// # Errors
    /// [`LedgerError::Transient`] without an answer.
    pub async fn between(&self, from: u64, to: u64) -> Result<Vec<Recorded>, LedgerError> {
        self.ledger.between(from, to).await
    }

    /// Makes it the ledger: as `nats/` defines it, with its consumers. May be repeated.
    ///
    /// # Errors
    /// As [`provision`].
    pub async fn open(&mut self) -> Result<(), ConnectError> {
        provision(&self.url).await?;
        self.is_open = true;
        Ok(())
    }

    /// Sends `event`; an acknowledgement comes for what is alone, and for the last message of a batch.
    async fn send(&mut self, event: &Copied, headers: HeaderMap) -> Result<Option<PublishAckFuture>, RefillError> {
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

    /// Ends the batch under way unless the message with these headers belongs to it. nats-server can have kept the
    /// beginning of a batch; a copy can end within one. Its last message gets the header `Nats-Batch-Commit` then.
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

/// The stream as `nats/` defines it, but for its subjects.
fn closed() -> Value {
    let mut config = stream().config;
    config["subjects"] = json!([format!("{PREFIX}.>")]);
    config["subject_transform"] = json!({ "src": format!("{PREFIX}.>"), "dest": ">" });
    config
}
