//! Direct get: one request, many messages in answer, and the proof that none is missing.
//!
//! The server sends an answer as single messages, and says at the end that this was all. A connection that breaks and
//! comes back in between loses messages from the middle. A message that the server cannot load ends the answer early.
//! Neither looks like an error. A service that acts on half of an order could close its nonce, or acknowledge the only
//! message that carries it. So an answer counts only if it proves that it is complete: each message names the sequence
//! of the previous one, and the end names the last one.

use crate::client::REQUEST_TIMEOUT;
use crate::connect::Ledger;
use crate::envelope::{decoded, header_block};
use crate::error::LedgerError;
use crate::replies::Replies;
use crate::subjects::STREAM;
use async_nats::{HeaderValue, Message};
use chrono::{DateTime, Utc};
use domain::{Recorded, StoredMessage};
use runtime::Cause;
use serde_json::{Value, json};

/// Number of bytes after which the server ends an answer. A signed transaction has up to 36 kB, and a whole page is in
/// memory.
const BYTES_MAX: usize = 1024 * 1024;

/// A request for stored messages.
#[derive(Debug)]
pub(crate) enum Get {
    /// The message with this sequence.
    At(u64),
    /// The last one of all messages that a filter matches.
    LastMatch(String),
    /// The first message from sequence `from` on whose subject `filter` matches. The server does not count the messages
    /// behind it, as it does for [`Get::Next`].
    NextOne { from: u64, filter: String },
    /// At most `count` messages from sequence `from` on, whatever their subjects.
    Next { from: u64, count: usize },
    /// The last message of each subject that one of `filters` matches, from sequence `from` on.
    Last { from: u64, filters: Vec<String> },
}

impl Get {
    fn body(&self) -> Value {
        match self {
            Self::At(seq) => json!({ "seq": seq }),
            Self::LastMatch(filter) => json!({ "last_by_subj": filter }),
            Self::NextOne { from, filter } => json!({ "seq": from, "next_by_subj": filter }),
            Self::Next { from, count } => {
                json!({ "seq": from, "next_by_subj": ">", "batch": count, "max_bytes": BYTES_MAX })
            }
            Self::Last { from, filters } => json!({ "seq": from, "multi_last": filters, "max_bytes": BYTES_MAX }),
        }
    }
}

/// A complete answer: the first messages that were asked for, without a gap.
#[derive(Debug, Default)]
pub(crate) struct Got {
    pub messages: Vec<Recorded>,
    /// True if there are more messages, which the limits of the request left out.
    pub more: bool,
}

/// The result of a request.
#[derive(Debug)]
pub(crate) enum Fetched {
    Got(Got),
    /// The filters match more subjects than the server returns for one request.
    TooMany,
}

impl Ledger {
    /// Sends one request and collects its answer.
    ///
    /// # Errors
    /// `Transient`: no answer, or an answer that is not provably complete. The part that arrived proves nothing.
    pub(crate) async fn direct_get(&self, get: &Get) -> Result<Fetched, LedgerError> {
        let replies = self.replies.get_or_try_init(|| Replies::listen(&self.client)).await.map_err(unanswered)?;
        let mut reply = replies.pending();
        let (subject, body) = (format!("{}.DIRECT.GET.{STREAM}", self.api), get.body().to_string());
        self.client.publish_with_reply(subject, reply.subject.clone(), body.into()).await.map_err(unanswered)?;
        let mut collecting = Collecting::of(get);
        loop {
            let message = tokio::time::timeout(REQUEST_TIMEOUT, reply.messages.recv())
                .await
                .map_err(unanswered)?
                .ok_or_else(|| unanswered("the connection closed"))?;
            if let Some(answer) = collecting.take(message)? {
                if let Fetched::Got(Got { messages, .. }) = &answer {
                    messages.iter().for_each(|recorded| self.whole.knows(recorded.seq));
                }
                return Ok(answer);
            }
        }
    }
}

/// An answer that is still arriving.
struct Collecting<'a> {
    get: &'a Get,
    messages: Vec<Recorded>,
    /// Sequence of the last message that arrived; 0 before the first.
    last: u64,
}

impl<'a> Collecting<'a> {
    fn of(get: &'a Get) -> Self {
        Self { get, messages: Vec::new(), last: 0 }
    }

    /// Takes the next message. Returns the answer once it is complete.
    fn take(&mut self, message: Message) -> Result<Option<Fetched>, LedgerError> {
        let single = matches!(self.get, Get::At(_) | Get::LastMatch(_) | Get::NextOne { .. });
        let Some(status) = message.status.filter(|_| !is_stored(&message)) else {
            let (recorded, before) = from_direct(message, single)?;
            if !single && before != Some(self.last) {
                return Err(broken(format!("{} does not follow {}", recorded.seq, self.last)));
            }
            self.last = recorded.seq;
            self.messages.push(recorded);
            return Ok(single.then(|| self.complete(false)));
        };
        let first = self.messages.is_empty();
        match status.as_u16() {
            204 if !single => {
                let (pending, last) = (number(&message, "Nats-Num-Pending"), number(&message, "Nats-Last-Sequence"));
                if last != Some(self.last) {
                    return Err(broken(format!("it ends with {last:?} and not with {}", self.last)));
                }
                let pending = pending.ok_or_else(|| broken("its end does not say what is left".to_owned()))?;
                Ok(Some(self.complete(pending > 0)))
            }
            404 if first && (!matches!(self.get, Get::Last { .. }) || says(&message, "No Results")) => {
                Ok(Some(self.complete(false)))
            }
            413 if first => Ok(Some(Fetched::TooMany)),
            // A 404 behind a message, or for subjects that exist, means that a message could not be loaded.
            status => Err(broken(format!("the server answers {status}"))),
        }
    }

    fn complete(&mut self, more: bool) -> Fetched {
        Fetched::Got(Got { messages: std::mem::take(&mut self.messages), more })
    }
}

fn broken(why: String) -> LedgerError {
    LedgerError::transient("an incomplete answer to a direct get", why)
}

fn unanswered(cause: impl Into<Cause>) -> LedgerError {
    LedgerError::transient("direct get", cause)
}

fn says(message: &Message, text: &str) -> bool {
    message.description.as_deref().is_some_and(|description| description.trim() == text)
}

fn number(message: &Message, name: &str) -> Option<u64> {
    message.headers.as_ref()?.get_last(name)?.as_str().parse().ok()
}

/// True if the message is a stored one. A publisher can store a message with a status line, for example `204`. All
/// stored messages have a subject header and no other message has one, so no publisher can end an answer to another
/// reader.
fn is_stored(message: &Message) -> bool {
    message.headers.as_ref().is_some_and(|headers| headers.get("Nats-Subject").is_some())
}

/// Reads a message of a direct get in one pass over its headers. Returns the message and, if the answer can have
/// several, the sequence of the previous message in it.
///
/// The server appends its own headers behind those of the publisher. So the last value of such a header is the
/// server's, and earlier values are part of the message.
fn from_direct(message: Message, single: bool) -> Result<(Recorded, Option<u64>), LedgerError> {
    let headers = message.headers.unwrap_or_default();
    let (mut subject, mut seq, mut time, mut before, mut content_type) = (None, None, None, None, None);
    let mut lines = Vec::with_capacity(headers.len());
    for (name, values) in headers.iter() {
        let name: &str = name.as_ref();
        let server = values.last().map(HeaderValue::as_str);
        let is_servers = match name {
            "Nats-Stream" => true,
            "Nats-Subject" => {
                subject = server;
                true
            }
            "Nats-Sequence" => {
                seq = server.and_then(|text| text.parse::<u64>().ok());
                true
            }
            "Nats-Time-Stamp" => {
                time = server.and_then(|text| text.parse::<DateTime<Utc>>().ok());
                true
            }
            "Nats-Last-Sequence" if !single => {
                before = server.and_then(|text| text.parse::<u64>().ok());
                true
            }
            "Nats-Num-Pending" | "Nats-UpTo-Sequence" => !single,
            "Content-Type" => {
                content_type = values.first().map(HeaderValue::as_str);
                false
            }
            _ => false,
        };
        let published = values.len().saturating_sub(usize::from(is_servers));
        lines.extend(values.iter().take(published).map(|value| [name, ": ", value.as_str(), "\r\n"].concat()));
    }
    let (Some(subject), Some(seq), Some(recorded_at)) = (subject, seq, time) else {
        return Err(broken("a message without subject, sequence or time".to_owned()));
    };
    lines.sort_unstable();
    let block = (!lines.is_empty()).then(|| lines.concat().into_bytes());
    let (subject, payload) = (subject.to_owned(), message.payload);
    let message = StoredMessage { seq, subject, headers: block, payload, recorded_at };
    Ok((decoded(message, content_type), before))
}

/// Reads a message that a consumer delivered.
pub(crate) fn from_delivery(message: &async_nats::jetstream::Message) -> Result<Recorded, LedgerError> {
    let info = message.info().map_err(|e| LedgerError::transient("a delivery", e))?;
    let nanos = info.published.unix_timestamp_nanos();
    let recorded_at = i64::try_from(nanos).map(DateTime::from_timestamp_nanos).unwrap_or_default();
    let headers = message.headers.as_ref().filter(|headers| !headers.is_empty());
    let content_type = headers.and_then(|headers| headers.get("Content-Type")).map(HeaderValue::as_str);
    let stored = StoredMessage {
        seq: info.stream_sequence,
        subject: message.subject.to_string(),
        headers: headers.map(header_block),
        payload: message.payload.clone(),
        recorded_at,
    };
    Ok(decoded(stored, content_type))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use async_nats::{HeaderMap, StatusCode};

    fn message(status: Option<(u16, &str)>, headers: &[(&str, &str)]) -> Message {
        let mut map = HeaderMap::new();
        headers.iter().for_each(|(name, value)| map.append(*name, *value));
        Message {
            subject: "_INBOX.x".into(),
            reply: None,
            payload: bytes::Bytes::new(),
            headers: Some(map),
            status: status.map(|(code, _)| StatusCode::from_u16(code).unwrap()),
            description: status.map(|(_, text)| text.to_owned()),
            length: 0,
        }
    }

    fn stored(seq: u64, before: u64) -> Message {
        let (seq, before) = (seq.to_string(), before.to_string());
        let time = "2026-11-29T00:00:00Z";
        let headers = [("Nats-Stream", STREAM), ("Nats-Subject", "a"), ("Nats-Time-Stamp", time)];
        let numbers = [("Nats-Sequence", &*seq), ("Nats-Last-Sequence", &*before), ("Nats-Num-Pending", "7")];
        message(None, &[headers.as_slice(), &numbers].concat())
    }

    fn end(pending: &str, last: &str) -> Message {
        message(Some((204, "EOB")), &[("Nats-Num-Pending", pending), ("Nats-Last-Sequence", last)])
    }

    /// Feeds `messages` into a request. Returns the sequences and whether there are more, or why the answer does not
    /// count.
    fn answer(get: &Get, messages: Vec<Message>) -> Result<(Vec<u64>, bool), String> {
        let mut collecting = Collecting::of(get);
        for message in messages {
            match collecting.take(message).map_err(|e| e.to_string())? {
                None => {}
                Some(Fetched::TooMany) => return Err("too many".to_owned()),
                Some(Fetched::Got(got)) => return Ok((got.messages.iter().map(|m| m.seq).collect(), got.more)),
            }
        }
        Err("waits for more".to_owned())
    }

    #[test]
    fn only_an_answer_that_proves_itself_counts() {
        let last = Get::Last { from: 0, filters: vec!["a".to_owned()] };
        let next = Get::Next { from: 1, count: 9 };
        let none = || message(Some((404, "No Results")), &[]);
        let lost = || message(Some((404, "Message Not Found")), &[]);
        for get in [&last, &next] {
            let whole = vec![stored(3, 0), stored(5, 3), end("0", "5")];
            assert_eq!(answer(get, whole), Ok((vec![3, 5], false)), "{get:?}");
            assert_eq!(answer(get, vec![stored(3, 0), end("4", "3")]), Ok((vec![3], true)), "limited by bytes");
            for (name, messages) in [
                ("one was dropped", vec![stored(3, 0), stored(6, 5), end("0", "6")]),
                ("the first was dropped", vec![stored(5, 3), end("0", "5")]),
                ("the last was dropped", vec![stored(3, 0), end("0", "5")]),
                ("all were dropped", vec![end("0", "5")]),
                ("one could not be loaded", vec![stored(3, 0), lost()]),
                ("the same, told as none", vec![stored(3, 0), none()]),
                ("an end without numbers", vec![stored(3, 0), message(Some((204, "EOB")), &[])]),
                ("another status", vec![message(Some((500, "store closed")), &[])]),
                ("a broken connection", vec![stored(3, 0)]),
            ] {
                assert!(answer(get, messages).is_err(), "{name}, {get:?}");
            }
        }
        assert_eq!(answer(&last, vec![none()]), Ok((vec![], false)));
        assert!(answer(&last, vec![lost()]).is_err(), "subjects that are there, and the first cannot be loaded");
        assert_eq!(answer(&last, vec![message(Some((413, "Too Many Results")), &[])]), Err("too many".to_owned()));
        assert_eq!(answer(&next, vec![lost()]), Ok((vec![], false)), "the end of the stream");
        assert_eq!(answer(&Get::At(3), vec![stored(3, 0)]), Ok((vec![3], false)));
        assert_eq!(answer(&Get::At(3), vec![lost()]), Ok((vec![], false)));
        let one = Get::NextOne { from: 3, filter: "a.>".to_owned() };
        assert_eq!(answer(&one, vec![stored(3, 0)]), Ok((vec![3], false)));
        assert_eq!(answer(&one, vec![lost()]), Ok((vec![], false)));
    }

    /// With `batch` the server counts what is left, and walks every subject of the filter for that.
    #[test]
    fn news_are_asked_for_without_a_count() {
        let one = Get::NextOne { from: 3, filter: "signers.a.*.settle.>".to_owned() };
        assert_eq!(one.body(), json!({ "seq": 3, "next_by_subj": "signers.a.*.settle.>" }));
    }

    #[test]
    fn what_a_publisher_wrote_is_part_of_the_message_and_what_the_server_adds_is_not() {
        let mut written = stored(3, 0);
        let headers = written.headers.as_mut().unwrap();
        let mut all = HeaderMap::new();
        for (name, value) in [("X-Foreign", "twice"), ("Nats-Sequence", "99"), ("Content-Type", "text/plain")] {
            all.append(name, value);
        }
        for (name, values) in headers.iter() {
            values.iter().for_each(|value| all.append(name.clone(), value.clone()));
        }
        written.headers = Some(all);
        let (recorded, before) = from_direct(written, false).unwrap();
        assert_eq!((recorded.seq, before), (3, Some(0)));
        let block = b"Content-Type: text/plain\r\nNats-Sequence: 99\r\nX-Foreign: twice\r\n".to_vec();
        assert_eq!(recorded.headers, Some(block));
    }
}
