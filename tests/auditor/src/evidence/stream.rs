//! The raw stream, message by message, by direct get.

use crate::CannotAudit;
use async_nats::{ConnectOptions, ServerAddr};
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

/// Requests under way.
const IN_FLIGHT: usize = 64;

/// The one stream.
const STREAM: &str = "LEDGER";

/// Headers that the server appends to an answer, after the message's own.
const ADDED: [&str; 4] = ["Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp"];

/// A stored message.
#[derive(Clone, Debug)]
pub struct Message {
    pub seq: u64,
    pub subject: String,
    /// `Name: value` lines with CRLF, sorted. `None` if there are no headers.
    pub headers: Option<Vec<u8>>,
    pub payload: Vec<u8>,
    pub time: DateTime<Utc>,
}

/// The stream.
#[derive(Clone, Debug)]
pub struct StreamEvidence {
    /// When it was created: another time is another ledger.
    pub created: DateTime<Utc>,
    pub first_seq: u64,
    pub last_seq: u64,
    /// The number of messages that the server reports.
    pub messages: u64,
    /// By sequence. What is not there is missing.
    pub found: Vec<Message>,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct Ledger {
    client: async_nats::Client,
    api: String,
}

impl Ledger {
    /// Connects as the user in the URL, which the client itself would ignore, and looks whether the stream is there.
    /// Answers come under `_INBOX_<user>`: that is where a user of ours may listen.
    pub async fn connect(url: &str, api: &str) -> Result<Self, CannotAudit> {
        let fail = |why: String| CannotAudit(format!("NATS: {why}"));
        let server: ServerAddr =
            url.parse().map_err(|_| fail("natsUrl is no nats://user:password@host:port".into()))?;
        let options = match (server.username(), server.password()) {
            (Some(user), Some(password)) => ConnectOptions::with_user_and_password(user.into(), password.into())
                .custom_inbox_prefix(format!("_INBOX_{user}")),
            _ => ConnectOptions::new(),
        };
        let bare = format!("nats://{}:{}", server.host(), server.port());
        let client = options.connect(bare).await.map_err(|e| fail(e.to_string()))?;
        let ledger = Self { client, api: api.to_owned() };
        ledger.last_seq().await?;
        Ok(ledger)
    }

    /// The last sequence.
    pub async fn last_seq(&self) -> Result<u64, CannotAudit> {
        number(&self.info().await?["state"], "last_seq")
    }

    async fn info(&self) -> Result<Value, CannotAudit> {
        let answer = self.client.request(format!("{}.STREAM.INFO.{STREAM}", self.api), "".into()).await;
        let answer = answer.map_err(|e| CannotAudit(format!("STREAM.INFO: {e}")))?;
        let info: Value = serde_json::from_slice(&answer.payload).map_err(|e| CannotAudit(e.to_string()))?;
        match info.get("error") {
            Some(error) => Err(CannotAudit(format!("STREAM.INFO: {error}"))),
            None => Ok(info),
        }
    }

    /// Every message from sequence 1 to the last.
    pub async fn read_all(&self) -> Result<StreamEvidence, CannotAudit> {
        let info = self.info().await?;
        let created = info["created"].as_str().and_then(|text| text.parse().ok());
        let last_seq = number(&info["state"], "last_seq")?;
        let found: Vec<Option<Message>> =
            futures_util::stream::iter(1..=last_seq).map(|seq| self.at(seq)).buffered(IN_FLIGHT).try_collect().await?;
        Ok(StreamEvidence {
            created: created.ok_or_else(|| CannotAudit("STREAM.INFO: no creation time".to_owned()))?,
            first_seq: number(&info["state"], "first_seq")?,
            last_seq,
            messages: number(&info["state"], "messages")?,
            found: found.into_iter().flatten().collect(),
        })
    }

    async fn at(&self, seq: u64) -> Result<Option<Message>, CannotAudit> {
        let fail = |why: String| CannotAudit(format!("sequence {seq}: {why}"));
        let request = json!({ "seq": seq }).to_string();
        let answer = self.client.request(format!("{}.DIRECT.GET.{STREAM}", self.api), request.into()).await;
        let answer = answer.map_err(|e| fail(e.to_string()))?;
        let headers = answer.headers.unwrap_or_default();
        let last = |name: &str| headers.get_all(name).last().map(ToString::to_string);
        // A publisher may have stored a status line; only stored messages have a subject.
        let Some(subject) = last("Nats-Subject") else {
            return match answer.status.map(|status| status.as_u16()) {
                Some(404) => Ok(None),
                other => Err(fail(format!("answered {other:?}"))),
            };
        };
        let time = last("Nats-Time-Stamp").and_then(|text| text.parse().ok());
        let mut lines = Vec::new();
        for (name, values) in headers.iter() {
            let name = name.to_string();
            let own = values.len() - usize::from(ADDED.contains(&name.as_str()));
            lines.extend(values.iter().take(own).map(|value| format!("{name}: {value}\r\n")));
        }
        lines.sort();
        Ok(Some(Message {
            seq: last("Nats-Sequence").and_then(|text| text.parse().ok()).ok_or_else(|| fail("no number".into()))?,
            subject,
            headers: (!lines.is_empty()).then(|| lines.concat().into_bytes()),
            payload: answer.payload.to_vec(),
            time: time.ok_or_else(|| fail("no time".to_owned()))?,
        }))
    }
}

fn number(value: &Value, name: &str) -> Result<u64, CannotAudit> {
    value[name].as_u64().ok_or_else(|| CannotAudit(format!("STREAM.INFO: no {name}")))
}
