//! A copy of the stream in a nats-server that refuses nothing. In the real one no client may delete an event.

use async_nats::HeaderMap;
use harness::{Entry, Stream};
use neighbours::{Nats, NatsOptions, Tools};
use serde_json::{Value, json};
use std::path::Path;

/// The second server.
pub struct Doctored {
    pub server: Nats,
    stream: Stream,
    client: async_nats::Client,
}

impl Doctored {
    pub async fn start(dir: &Path) -> Self {
        let options = NatsOptions { data_dir: dir.join("doctored"), sync_always: false, ..NatsOptions::default() };
        let server = Nats::start(&Tools::locate().unwrap(), options).await.unwrap();
        let client = async_nats::connect(server.url()).await.unwrap();
        Self { stream: Stream::at(&server.url()).await, client, server }
    }

    /// Stores `entries` in this order, from sequence 1.
    pub async fn hold(&self, entries: &[Entry]) {
        let mut config: Value = serde_json::from_str(include_str!("../../../../../nats/streams/LEDGER.json")).unwrap();
        for name in ["deny_delete", "deny_purge"] {
            config.as_object_mut().unwrap().remove(name);
        }
        let answer = self.stream.ask("STREAM.CREATE.LEDGER", config).await;
        assert!(answer["error"].is_null(), "{answer}");
        for entry in entries {
            self.add(&entry.subject, &entry.headers, &entry.payload).await;
        }
        assert_eq!(self.stream.last_seq().await, u64::try_from(entries.len()).unwrap());
    }

    /// Stores one more message with its original headers. Their expectations hold here, too, and the messages of a
    /// batch are one batch again.
    async fn add(&self, subject: &str, stored: &str, payload: &[u8]) {
        let mut headers = HeaderMap::new();
        for (name, value) in stored.lines().filter_map(|line| line.split_once(": ")) {
            headers.append(name, value);
        }
        let sent = self.client.request_with_headers(subject.to_owned(), headers, payload.to_vec().into()).await;
        let ack = sent.unwrap().payload;
        // Only the last message of a batch is acknowledged with a sequence.
        let stored = ack.is_empty() || serde_json::from_slice::<Value>(&ack).unwrap()["seq"].is_u64();
        assert!(stored, "{subject}: {ack:?}");
    }

    /// Deletes an event.
    pub async fn delete(&self, seq: u64) {
        let answer = self.stream.ask("STREAM.MSG.DELETE.LEDGER", json!({ "seq": seq, "no_erase": true })).await;
        assert_eq!(answer["success"], true, "{answer}");
    }
}
