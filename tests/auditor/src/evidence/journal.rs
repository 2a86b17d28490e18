//! The load generator's journal: JSON lines, described in the README beside the crate.

use crate::CannotAudit;
use crate::decode::x402::{Sent, decode, key_text};
use alloy_primitives::Address;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;
use uuid::Uuid;

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    pub requests: Vec<Request>,
    pub observations: Vec<Observation>,
    pub samples: Vec<Sample>,
    pub fired: Vec<Fired>,
}

/// One line.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", deny_unknown_fields)]
enum Line {
    Request(RequestLine),
    Sse(Observation),
    Resource(Sample),
    Fired(Fired),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RequestLine {
    at: DateTime<Utc>,
    method: String,
    path: String,
    payment: Option<Header>,
    idempotency_key: Option<String>,
    body: String,
    answered_at: Option<DateTime<Utc>>,
    answer: Option<Answer>,
}

/// A payment header, as sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Header {
    pub name: String,
    pub value: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Answer {
    status: u16,
    body: String,
}

/// One request, its payment decoded.
#[derive(Clone, Debug)]
pub struct Request {
    /// Line of the journal, from 1.
    pub line: usize,
    pub at: DateTime<Utc>,
    /// The token that it asks to buy, and the number of units. `None` if it is not a valid purchase.
    pub token: Option<Address>,
    pub quantity: Option<u64>,
    pub payment: Option<Header>,
    /// The decoded header. `None` if there is none, or if it is malformed.
    pub sent: Option<Sent>,
    /// Its text, without quotes.
    pub idempotency_key: Option<String>,
    pub answered_at: Option<DateTime<Utc>>,
    /// None: unknown.
    pub status: Option<u16>,
    /// `paymentQueueId` of the answer, whatever its status.
    pub answered_id: Option<Uuid>,
}

impl Request {
    /// The result is unknown: no answer, or a 5xx.
    pub fn is_unknown(&self) -> bool {
        self.status.is_none_or(|status| status >= 500)
    }
}

/// One connection of one client of event streams.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Observation {
    pub client: String,
    /// Counts the client's connections, from 1.
    pub connection: u64,
    pub filter: Filter,
    /// The `Last-Event-ID` that it sent.
    pub last_event_id: Option<u64>,
    pub events: Vec<Seen>,
    /// `true` if it stayed until the run was over, or until the last event ended the stream.
    #[serde(default)]
    pub until_quiet: bool,
}

/// The filter of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Filter {
    Payment(Uuid),
    Payer(Address),
    Token(Address),
    Everything,
}

/// One event as a client saw it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Seen {
    pub id: u64,
    /// `reset` where the client was told that it missed too much.
    pub event: String,
    #[serde(default)]
    pub data: Value,
}

/// The resources of a process at one time.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sample {
    pub process: String,
    pub phase: Phase,
    pub rss_bytes: u64,
    pub fds: u64,
    pub tasks: u64,
}

/// When a sample was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Warm, before the load.
    Baseline,
    /// Under load: not judged.
    Load,
    /// After it, quiet.
    After,
}

/// A failpoint or fault fired so often.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fired {
    pub name: String,
    pub count: u64,
}

impl Journal {
    /// Reads the file.
    ///
    /// # Errors
    /// Unreadable, or a line that is not as described: a journal that is guessed at proves nothing.
    pub fn read(path: &Path) -> Result<Self, CannotAudit> {
        let text = std::fs::read_to_string(path).map_err(|e| CannotAudit(format!("{}: {e}", path.display())))?;
        Self::parse(&text).map_err(|why| CannotAudit(format!("{}: {why}", path.display())))
    }

    /// Reads its text.
    ///
    /// # Errors
    /// The first line that is not as described.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut journal = Self::default();
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            match serde_json::from_str(line).map_err(|e| format!("line {number}: {e}"))? {
                Line::Request(line) => journal.requests.push(request(number, line)),
                Line::Sse(seen) => journal.observations.push(seen),
                Line::Resource(sample) => journal.samples.push(sample),
                Line::Fired(fired) => journal.fired.push(fired),
            }
        }
        Ok(journal)
    }
}

fn request(number: usize, line: RequestLine) -> Request {
    let sent = line.payment.as_ref().and_then(|header| decode(&header.name, &header.value));
    let path = line.path.split('?').next().filter(|_| line.method == "POST");
    let body = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let answered = line.answer.as_ref().map(|answer| body(&answer.body)).unwrap_or_default();
    Request {
        line: number,
        at: line.at,
        token: path.and_then(|path| path.strip_prefix("/api/mint/")?.parse().ok()),
        quantity: body(&line.body)["quantity"].as_u64(),
        payment: line.payment,
        sent,
        idempotency_key: line.idempotency_key.map(|value| key_text(&value).to_owned()),
        answered_at: line.answered_at,
        status: line.answer.map(|answer| answer.status),
        answered_id: answered["paymentQueueId"].as_str().and_then(|id| id.parse().ok()),
    }
}
