//! A client of server-sent events.

use super::Instance;
use bytes::Bytes;
use domain::PaymentId;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde_json::Value;
use std::time::Duration;

/// Reads frames.
pub struct Reader {
    body: BoxStream<'static, reqwest::Result<Bytes>>,
    buffer: String,
    /// The id that an `EventSource` would send when it resumes.
    pub position: Option<u64>,
}

#[derive(Debug, PartialEq)]
pub struct Frame {
    pub id: u64,
    pub event: String,
    pub data: Value,
}

impl Reader {
    pub async fn open(api: &Instance, id: PaymentId, seen: Option<u64>) -> Self {
        Self::of(api, &format!("?payment={id}"), seen).await
    }

    pub async fn of(api: &Instance, query: &str, seen: Option<u64>) -> Self {
        let seen = seen.map(|seen| seen.to_string());
        let headers: Vec<_> = seen.iter().map(|seen| ("last-event-id", seen.as_str())).collect();
        Self::from(api.events(query, &headers).await)
    }

    pub fn from(response: reqwest::Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Self { body: response.bytes_stream().boxed(), buffer: String::new(), position: None }
    }

    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            while let Some((block, rest)) = self.buffer.split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned())) {
                self.buffer = rest;
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                if let Some(id) = field("id") {
                    self.position = Some(id.parse().unwrap());
                }
                if let Some(data) = field("data") {
                    let data = serde_json::from_str(data).unwrap();
                    if field("event").is_some_and(|event| event != "reset") {
                        super::described::check_news(&data);
                    }
                    return Some(Frame { id: field("id")?.parse().unwrap(), event: field("event")?.to_owned(), data });
                }
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.body.next()).await.expect("an event");
            self.buffer += std::str::from_utf8(&chunk?.ok()?).unwrap();
        }
    }

    pub async fn rest(mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }
}
