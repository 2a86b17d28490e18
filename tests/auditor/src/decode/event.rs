//! A message of the ledger as an event: subject, envelope and data. Which events there are is [`crate::legal`]'s table.

use crate::evidence::stream::Message;
use crate::legal::{self, Kind};
use alloy_primitives::{Address, B256, Bytes, U256};
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

/// One event.
#[derive(Clone, Debug)]
pub struct Event {
    pub seq: u64,
    pub subject: String,
    pub kind: &'static Kind,
    pub of: Aggregate,
    /// The numbers behind its name: which try, which epoch, which nonce.
    pub numbers: Vec<u64>,
    pub data: Data,
    pub time: DateTime<Utc>,
}

/// The aggregate of an event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aggregate {
    Order(Uuid),
    Signer(Address),
    Token(Address),
    /// A record without an order.
    Record(Uuid),
    Key(Address, B256),
    Ops(String),
}

/// Data of an event: read field by field, where it is needed.
#[derive(Clone, Debug)]
pub struct Data(pub Value);

impl Data {
    /// A field of this type.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Option<T> {
        serde_json::from_value(self.at(path).clone()).ok()
    }

    /// A decimal string.
    pub fn decimal(&self, path: &str) -> Option<U256> {
        U256::from_str_radix(self.at(path).as_str()?, 10).ok()
    }

    /// Hex bytes.
    pub fn bytes(&self, path: &str) -> Option<Bytes> {
        self.get(path)
    }

    /// A scalar as PostgreSQL shows it as text: hex in small letters, numbers in digits.
    pub fn text(&self, path: &str) -> Option<String> {
        match self.at(path) {
            Value::String(text) if text.starts_with("0x") => Some(text.to_lowercase()),
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// A text for people as PostgreSQL holds it, which refuses NUL.
    pub fn prose(&self, path: &str) -> Option<String> {
        Some(self.at(path).as_str()?.replace('\0', "\u{fffd}"))
    }

    /// `a.b` is field b of field a.
    fn at(&self, path: &str) -> &Value {
        path.split('.').fold(&self.0, |value, name| &value[name])
    }
}

/// Reads a message. The error says what is wrong with it.
pub fn read(message: &Message) -> Result<Event, String> {
    let tokens: Vec<&str> = message.subject.split('.').collect();
    let (of, named) = aggregate(&tokens).ok_or("no aggregate of ours")?;
    let (kind, numbers) = legal::kind(&of, &named).ok_or_else(|| format!("unknown event type {}", named.join(".")))?;
    let content = message.headers.as_deref().unwrap_or_default();
    if !String::from_utf8_lossy(content).contains("Content-Type: application/cloudevents+json\r\n") {
        return Err("no CloudEvent by its Content-Type".to_owned());
    }
    let envelope: Value = serde_json::from_slice(&message.payload).map_err(|e| format!("no JSON: {e}"))?;
    let wanted = [
        ("specversion", "1.0".to_owned()),
        ("id", message.subject.clone()),
        ("type", format!("io.paymint.{}.v1", kind.event_type)),
        ("subject", aggregate_name(&tokens)),
    ];
    for (name, wanted) in wanted {
        if envelope[name].as_str() != Some(wanted.as_str()) {
            return Err(format!("{name} is {}, not {wanted:?}", envelope[name]));
        }
    }
    if envelope["source"].as_str().is_none_or(str::is_empty) || !envelope["data"].is_object() {
        return Err("no source or no data".to_owned());
    }
    let data = Data(envelope["data"].clone());
    Ok(Event { seq: message.seq, subject: message.subject.clone(), kind, of, numbers, data, time: message.time })
}

/// The aggregate of a subject, and the tokens behind it.
fn aggregate<'a>(tokens: &[&'a str]) -> Option<(Aggregate, Vec<&'a str>)> {
    let lower = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
    let address = |text: &str| Some(text).filter(|text| lower(text) && text.len() == 40)?.parse().ok();
    Some(match tokens {
        ["orders", shard, id, "mint", rest @ ..] => {
            let known: Uuid = id.parse().ok()?;
            (known.to_string() == *id && id.starts_with(shard) && shard.len() == 1).then_some(())?;
            (Aggregate::Order(known), rest.to_vec())
        }
        ["records", shard, id, rest @ ..] => {
            let known: Uuid = id.parse().ok()?;
            (known.to_string() == *id && id.starts_with(shard) && shard.len() == 1).then_some(())?;
            (Aggregate::Record(known), rest.to_vec())
        }
        ["signers", signer, bucket, purpose, rest @ ..] => {
            (bucket.parse::<u64>().ok()?.to_string() == *bucket && ["settle", "mint", "operate"].contains(purpose))
                .then_some(())?;
            (Aggregate::Signer(address(signer)?), rest.to_vec())
        }
        ["tokens", shard, token, rest @ ..] => {
            (token.starts_with(shard) && shard.len() == 2).then_some(())?;
            (Aggregate::Token(address(token)?), rest.to_vec())
        }
        ["keys", payer, digest, rest @ ..] => {
            (lower(digest) && digest.len() == 64).then_some(())?;
            (Aggregate::Key(address(payer)?, digest.parse().ok()?), rest.to_vec())
        }
        ["ops", "parked", what] => (Aggregate::Ops((*what).to_owned()), vec!["parked"]),
        ["ops", "redriven", consumer, seq, n] => (Aggregate::Ops(format!("{consumer}-{seq}")), vec!["redriven", n]),
        ["ops", "stopped" | "resumed", _] => (Aggregate::Ops("payouts".to_owned()), tokens[1..].to_vec()),
        _ => return None,
    })
}

/// The CloudEvents `subject` of a message with these tokens.
fn aggregate_name(tokens: &[&str]) -> String {
    match tokens {
        ["orders", _, id, _, ..] | ["records", _, id, ..] => (*id).to_owned(),
        ["keys", payer, digest, ..] => format!("{payer}.{digest}"),
        ["ops", "redriven", consumer, seq, _] => format!("{consumer}-{seq}"),
        ["ops", _, what] => (*what).to_owned(),
        ["tokens", _, address, ..] | [_, address, ..] => (*address).to_owned(),
        _ => String::new(),
    }
}
