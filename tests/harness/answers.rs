//! The API's answers, taken apart: one by one, and as server-sent events.

use domain::PaymentId;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::header::HeaderMap;
use serde_json::Value;
use std::collections::VecDeque;
use std::time::Duration;
use testkit::PATIENCE;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    /// The body as JSON; null if it is not JSON.
    pub json: Value,
}

impl Answer {
    pub async fn of(response: reqwest::Response) -> Result<Self, reqwest::Error> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Self { status, headers, text, json })
    }

    /// `paymentQueueId` of a 202 or of a 409.
    pub fn id(&self) -> PaymentId {
        self.json["paymentQueueId"].as_str().and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("no id: {self:?}"))
    }
}

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub id: u64,
    pub event: String,
    pub data: Value,
}

/// A stream of server-sent events.
pub struct Frames {
    bytes: BoxStream<'static, reqwest::Result<Vec<u8>>>,
    lines: String,
    ready: VecDeque<Frame>,
    position: Option<u64>,
    quiet: bool,
}

impl Frames {
    pub fn of(response: reqwest::Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let bytes = response.bytes_stream().map(|chunk| chunk.map(Into::into)).boxed();
        Self { bytes, lines: String::new(), ready: VecDeque::new(), position: None, quiet: false }
    }

    /// The next event; `None` when the server ends the stream.
    ///
    /// # Panics
    /// If neither comes within [`PATIENCE`].
    pub async fn next(&mut self) -> Option<Frame> {
        while self.ready.is_empty() {
            let chunk = tokio::time::timeout(PATIENCE, self.bytes.next()).await;
            let chunk = chunk.expect("an event within the bound")?.expect("the stream goes on");
            self.read(chunk);
        }
        self.ready.pop_front()
    }

    /// The next event; `None` when the server ends the stream, or dies, or nothing comes for `patience`.
    pub async fn try_next(&mut self, patience: Duration) -> Option<Frame> {
        self.quiet = false;
        while self.ready.is_empty() {
            match tokio::time::timeout(patience, self.bytes.next()).await {
                Ok(Some(Ok(chunk))) => self.read(chunk),
                Ok(Some(Err(_)) | None) => return None,
                Err(_) => {
                    self.quiet = true;
                    return None;
                }
            }
        }
        self.ready.pop_front()
    }

    /// The id that an `EventSource` would send when it resumes.
    pub fn position(&self) -> Option<u64> {
        self.position
    }

    /// Returns `true` if reading ended because nothing came.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    fn read(&mut self, chunk: Vec<u8>) {
        self.lines.push_str(&String::from_utf8(chunk).unwrap());
        while let Some(end) = self.lines.find("\n\n") {
            let block: String = self.lines.drain(..end + 2).collect();
            let id = block.lines().find_map(|line| line.strip_prefix("id: ")).map(|id| id.parse().unwrap());
            self.position = id.or(self.position);
            self.ready.extend(frame(&block));
        }
    }

    /// Everything until the server ends the stream.
    pub async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }
}

/// A block of lines; comments and a lone `retry:` are no event.
fn frame(block: &str) -> Option<Frame> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let data = field("data:")?;
    Some(Frame {
        id: field("id:")?.parse().unwrap(),
        event: field("event:")?.to_owned(),
        data: serde_json::from_str(data).unwrap(),
    })
}
