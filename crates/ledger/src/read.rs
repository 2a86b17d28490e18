//! Reading: the last message per subject, and a range of one stream.

use crate::client::REQUEST_TIMEOUT;
use crate::connect::Ledger;
use crate::envelope::{Recorded, decode, header_block};
use crate::error::LedgerError;
use crate::subjects::STREAM;
use async_nats::{HeaderMap, Message};
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use serde_json::{Value, json};

/// Filters in one request: an order has about ten subjects, and the server answers with 1,024 at most.
const FILTERS_MAX: usize = 50;

/// Messages in one ranged answer.
const RANGE_MAX: usize = 256;

impl Ledger {
    /// The last message of every subject that one of `filters` matches, by sequence. Since a subject is written once,
    /// this is the whole history of an order or a lane.
    pub(crate) async fn last_per_subject(&self, filters: &[String]) -> Result<Vec<Recorded>, LedgerError> {
        let mut found = Vec::new();
        for some in filters.chunks(FILTERS_MAX) {
            match self.answers(json!({ "multi_last": some })).await? {
                Answers::All(messages) => found.extend(messages),
                // Orders that waited often: each by itself, page by page.
                Answers::TooMany => {
                    for filter in some {
                        found.extend(self.range(filter, 1).await?);
                    }
                }
            }
        }
        found.sort_by_key(|recorded| recorded.seq);
        // A filter that is named twice may be answered twice, in two requests.
        found.dedup_by_key(|recorded| recorded.seq);
        Ok(found)
    }

    /// The last message that `filter` matches.
    pub(crate) async fn last(&self, filter: &str) -> Result<Option<Recorded>, LedgerError> {
        Ok(self.direct_get(json!({ "last_by_subj": filter })).await?.pop())
    }

    /// Everything that `filter` matches from sequence `from` on, by sequence.
    pub(crate) async fn range(&self, filter: &str, mut from: u64) -> Result<Vec<Recorded>, LedgerError> {
        let mut found: Vec<Recorded> = Vec::new();
        loop {
            let page = self.page(filter, from).await?;
            let full = page.len() == RANGE_MAX;
            found.extend(page);
            match found.last() {
                Some(last) if full => from = last.seq + 1,
                _ => return Ok(found),
            }
        }
    }

    /// The next messages that `filter` matches from sequence `from` on; none when there are none yet.
    pub(crate) async fn page(&self, filter: &str, from: u64) -> Result<Vec<Recorded>, LedgerError> {
        self.direct_get(json!({ "seq": from, "next_by_subj": filter, "batch": RANGE_MAX })).await
    }

    /// The messages from sequence `from` on, at most `count`.
    pub(crate) async fn few(&self, from: u64, count: u64) -> Result<Vec<Recorded>, LedgerError> {
        self.direct_get(json!({ "seq": from, "next_by_subj": ">", "batch": count })).await
    }

    /// The messages from sequence `from` to `to`, both included, as far as they are there. The caller bounds the range:
    /// all of it is in memory.
    ///
    /// # Errors
    /// [`LedgerError::Transient`] without an answer.
    pub async fn between(&self, from: u64, to: u64) -> Result<Vec<Recorded>, LedgerError> {
        let mut found: Vec<Recorded> = Vec::new();
        let mut next = from;
        while next <= to {
            let page = self.page(">", next).await?;
            let Some(last) = page.last().map(|last| last.seq) else { break };
            next = last + 1;
            found.extend(page.into_iter().filter(|recorded| recorded.seq <= to));
        }
        Ok(found)
    }

    /// The message at `seq`, if there is one.
    ///
    /// # Errors
    /// [`LedgerError::Transient`] without an answer.
    pub async fn at(&self, seq: u64) -> Result<Option<Recorded>, LedgerError> {
        Ok(self.direct_get(json!({ "seq": seq })).await?.pop().filter(|recorded| recorded.seq == seq))
    }

    /// One direct-get request whose answers are few.
    async fn direct_get(&self, request: Value) -> Result<Vec<Recorded>, LedgerError> {
        match self.answers(request).await? {
            Answers::All(messages) => Ok(messages),
            Answers::TooMany => Err(LedgerError::transient("direct get", "more messages than one answer holds (413)")),
        }
    }

    /// One direct-get request and all of its answers. `No Results` is an empty answer.
    async fn answers(&self, request: Value) -> Result<Answers, LedgerError> {
        let single = request.get("batch").is_none() && request.get("multi_last").is_none();
        let inbox = self.client.new_inbox();
        let mut answers =
            self.client.subscribe(inbox.clone()).await.map_err(|e| LedgerError::transient("direct get", e))?;
        self.client
            .publish_with_reply(format!("{}.DIRECT.GET.{STREAM}", self.api), inbox, request.to_string().into())
            .await
            .map_err(|e| LedgerError::transient("direct get", e))?;
        let mut found = Vec::new();
        loop {
            let answer = tokio::time::timeout(REQUEST_TIMEOUT, answers.next())
                .await
                .map_err(|e| LedgerError::transient("direct get", e))?
                .ok_or_else(|| LedgerError::transient("direct get", "the connection closed"))?;
            match answer.status.filter(|_| !is_stored(&answer)).map(|status| status.as_u16()) {
                None => {
                    let recorded = from_direct(answer, single)?;
                    self.integrity.knows(recorded.seq);
                    found.push(recorded);
                }
                Some(204 | 404) => break,
                Some(413) => return Ok(Answers::TooMany),
                Some(status) => return Err(LedgerError::transient("direct get", format!("status {status}"))),
            }
            if single {
                break;
            }
        }
        Ok(Answers::All(found))
    }
}

/// What a direct get comes to.
enum Answers {
    All(Vec<Recorded>),
    /// More than the server gives for one request: 1,024 subjects.
    TooMany,
}

/// A publisher can store a message with a status line, `204` say. Only stored messages have a subject, and all have: so
/// nobody ends another's reading by what they write.
fn is_stored(answer: &Message) -> bool {
    answer.headers.as_ref().is_some_and(|headers| headers.get("Nats-Subject").is_some())
}

/// Headers that the server appends to every direct-get answer, and those it adds where many are asked for.
const ADDED: [&str; 4] = ["Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp"];
const ADDED_TO_MANY: [&str; 3] = ["Nats-Num-Pending", "Nats-Last-Sequence", "Nats-UpTo-Sequence"];

/// Reads a direct-get answer: the stored message with its place in `Nats-*` headers. The server appends its own after
/// whatever the publisher wrote, so the last value is the server's and the ones before it are part of the message.
fn from_direct(message: Message, single: bool) -> Result<Recorded, LedgerError> {
    let answered = message.headers.unwrap_or_default();
    let last = |name: &str| answered.get_all(name).last().map(ToString::to_string);
    let seq = last("Nats-Sequence").and_then(|text| text.parse().ok());
    let time = last("Nats-Time-Stamp").and_then(|text| text.parse::<DateTime<Utc>>().ok());
    let (Some(subject), Some(seq), Some(recorded_at)) = (last("Nats-Subject"), seq, time) else {
        return Err(LedgerError::transient("direct get", "an answer without subject, sequence or time"));
    };
    let mut stored = HeaderMap::new();
    for (name, values) in answered.iter() {
        let text = name.to_string();
        let ours = ADDED.contains(&text.as_str()) || (!single && ADDED_TO_MANY.contains(&text.as_str()));
        let published = values.len().saturating_sub(usize::from(ours));
        for value in values.iter().take(published) {
            stored.append(name.clone(), value.clone());
        }
    }
    Ok(recorded(seq, subject, Some(&stored), message.payload, recorded_at))
}

/// Reads a message that a consumer delivered.
pub(crate) fn from_delivery(message: &async_nats::jetstream::Message) -> Result<Recorded, LedgerError> {
    let info = message.info().map_err(|e| LedgerError::transient("a delivery", e))?;
    let nanos = info.published.unix_timestamp_nanos();
    let recorded_at = i64::try_from(nanos).map(DateTime::from_timestamp_nanos).unwrap_or_default();
    let subject = message.subject.to_string();
    Ok(recorded(info.stream_sequence, subject, message.headers.as_ref(), message.payload.clone(), recorded_at))
}

fn recorded(
    seq: u64,
    subject: String,
    headers: Option<&HeaderMap>,
    payload: bytes::Bytes,
    recorded_at: DateTime<Utc>,
) -> Recorded {
    let headers = headers.filter(|headers| !headers.is_empty());
    let content_type = headers.and_then(|headers| headers.get("Content-Type")).map(ToString::to_string);
    let (event, trace) = match decode(&subject, content_type.as_deref(), &payload) {
        Ok((event, trace)) => (Ok(event), trace),
        Err(why) => (Err(why), None),
    };
    Recorded { seq, subject, headers: headers.map(header_block), payload, recorded_at, event, trace }
}
