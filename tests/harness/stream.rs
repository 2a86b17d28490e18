//! The raw stream, message by message, without the ledger crate.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// A stored message.
#[derive(Clone, Debug)]
pub struct Entry {
    pub seq: u64,
    pub subject: String,
    /// The header block as the server stores it: `NATS/1.0`, lines, an empty line.
    pub headers: String,
    pub payload: Vec<u8>,
    /// The body as JSON; null if it is not JSON.
    pub body: Value,
    /// Time of storing in RFC 3339, as the server wrote it.
    pub time: String,
}

impl Entry {
    /// A member of the event's data as text.
    pub fn text(&self, name: &str) -> &str {
        self.body["data"][name].as_str().unwrap_or_else(|| panic!("{} has no {name}: {}", self.subject, self.body))
    }
}

/// The stream `LEDGER`, asked through the JetStream API.
#[derive(Clone, Debug)]
pub struct Stream {
    client: async_nats::Client,
}

impl Stream {
    /// Connects as the user in the URL: `nats://ops:password@127.0.0.1:4222`.
    pub async fn at(url: &str) -> Self {
        let (options, url) =
            match url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.split_once('@')?))) {
                Some((scheme, (user, server))) => {
                    let (user, password) = user.split_once(':').unwrap();
                    let options =
                        async_nats::ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned());
                    (options, format!("{scheme}://{server}"))
                }
                None => (async_nats::ConnectOptions::new(), url.to_owned()),
            };
        Self { client: options.connect(url).await.unwrap() }
    }

    /// Sends one request to the JetStream API, and returns the answer, whatever it is.
    pub async fn ask(&self, api: &str, body: Value) -> Value {
        self.try_ask(api, body).await.unwrap_or_else(|e| panic!("{api}: {e}"))
    }

    /// Like [`Self::ask`], for a server that may be unavailable.
    ///
    /// # Errors
    /// No answer. The effect may have happened nevertheless.
    pub async fn try_ask(&self, api: &str, body: Value) -> Result<Value, async_nats::RequestError> {
        let payload = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.client.request(format!("$JS.API.{api}"), payload.into()).await?;
        Ok(serde_json::from_slice(&answer.payload).unwrap())
    }

    /// Publishes a message as any client with access can.
    pub async fn publish(&self, subject: &str, payload: &str) -> Value {
        let answer = self.client.request(subject.to_owned(), payload.to_owned().into()).await.unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    }

    pub async fn info(&self) -> Value {
        self.ask("STREAM.INFO.LEDGER", Value::Null).await
    }

    pub async fn last_seq(&self) -> u64 {
        self.info().await["state"]["last_seq"].as_u64().unwrap()
    }

    /// State of a durable consumer.
    pub async fn consumer(&self, name: &str) -> Value {
        self.ask(&format!("CONSUMER.INFO.LEDGER.{name}"), Value::Null).await
    }

    pub async fn at_seq(&self, seq: u64) -> Option<Entry> {
        self.get(json!({ "seq": seq })).await
    }

    /// The message of a subject. There is at most one, because a subject is written once.
    pub async fn on(&self, subject: &str) -> Option<Entry> {
        self.get(json!({ "last_by_subj": subject })).await
    }

    /// Every message, from the first on.
    pub async fn all(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        for seq in 1..=self.last_seq().await {
            entries.extend(self.at_seq(seq).await);
        }
        entries
    }

    async fn get(&self, which: Value) -> Option<Entry> {
        let answer = self.ask("STREAM.MSG.GET.LEDGER", which).await;
        let message = answer.get("message")?;
        let bytes = |name: &str| BASE64_STANDARD.decode(message[name].as_str().unwrap_or_default()).unwrap();
        let payload = bytes("data");
        Some(Entry {
            seq: message["seq"].as_u64().unwrap(),
            subject: message["subject"].as_str().unwrap().to_owned(),
            headers: String::from_utf8(bytes("hdrs")).unwrap(),
            body: serde_json::from_slice(&payload).unwrap_or(Value::Null),
            payload,
            time: message["time"].as_str().unwrap().to_owned(),
        })
    }
}
