//! Clients of event streams, who come back to the other instance with what they saw last.

use crate::house::House;
use harness::Frames;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Who has heard nothing for so long has heard everything, once the run is over.
const SILENCE: Duration = Duration::from_secs(3);

/// Before a client tries the other instance.
const RECONNECT: Duration = Duration::from_millis(200);

/// One client.
pub struct Listener {
    over: Arc<AtomicBool>,
    listening: JoinHandle<usize>,
}

impl Listener {
    /// `filter` is the journal's, `query` says the same to the api.
    pub fn open(house: Arc<House>, name: String, filter: Value, query: String) -> Self {
        let over = Arc::<AtomicBool>::default();
        let listening = tokio::spawn(listen(house, name, filter, query, over.clone()));
        Self { over, listening }
    }

    /// The run is over: hears the rest. Answers with the number of connections that it took.
    pub async fn close(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        self.listening.await.unwrap()
    }
}

async fn listen(house: Arc<House>, name: String, filter: Value, query: String, over: Arc<AtomicBool>) -> usize {
    // A stream has no end, so no time limit.
    let http = reqwest::Client::new();
    let mut last: Option<u64> = None;
    let mut connection = 0;
    for url in house.urls.iter().cycle() {
        let mut request = http.get(format!("{url}/api/events{query}"));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = match request.send().await {
            Ok(response) if response.status() == 200 => response,
            Ok(_) | Err(_) => {
                tokio::time::sleep(RECONNECT).await;
                continue;
            }
        };
        connection += 1;
        let asked_from = last;
        let mut frames = Frames::of(response);
        let mut events = Vec::new();
        let until_quiet = loop {
            let ended = over.load(Ordering::Relaxed);
            match frames.try_next(SILENCE).await {
                Some(frame) => {
                    last = Some(frame.id);
                    events.push(json!({ "id": frame.id, "event": frame.event, "data": frame.data }));
                }
                None if !frames.is_quiet() => break false,
                None if ended => break true,
                None => {}
            }
        };
        house.journal.line(&json!({
            "kind": "sse", "client": name, "connection": connection, "filter": filter, "lastEventId": asked_from,
            "events": events, "untilQuiet": until_quiet,
        }));
        if until_quiet {
            return connection;
        }
    }
    connection
}
