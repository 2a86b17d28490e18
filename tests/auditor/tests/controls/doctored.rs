//! A copy of the stream in a nats-server that refuses nothing: the real one lets nobody delete or swap an event.

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
        self.stream.ask("STREAM.DELETE.LEDGER", Value::Null).await;
        let mut config: Value = serde_json::from_str(include_str!("../../../../nats/streams/LEDGER.json")).unwrap();
        for name in ["deny_delete", "deny_purge"] {
            config.as_object_mut().unwrap().remove(name);
        }
        let answer = self.stream.ask("STREAM.CREATE.LEDGER", config).await;
        assert!(answer["error"].is_null(), "{answer}");
        for (entry, seq) in entries.iter().zip(1_u64..) {
            let (subject, headers) = (entry.subject.clone(), headers(&entry.headers));
            let ack = self.client.request_with_headers(subject, headers, entry.payload.clone().into()).await.unwrap();
            let ack: Value = serde_json::from_slice(&ack.payload).unwrap();
            assert_eq!(ack["seq"], seq, "{ack}");
        }
    }

    /// The event is gone.
    pub async fn delete(&self, seq: u64) {
        let answer = self.stream.ask("STREAM.MSG.DELETE.LEDGER", json!({ "seq": seq, "no_erase": true })).await;
        assert_eq!(answer["success"], true, "{answer}");
    }
}

/// Headers of a stored message that are its own, and no expectation of another stream's sequences.
fn headers(stored: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in stored.lines().filter_map(|line| line.split_once(": ")) {
        headers.append(name, value);
    }
    headers
}
