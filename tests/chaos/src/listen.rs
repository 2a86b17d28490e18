//! Clients of event streams, who come back to the other instance with what they saw last.

use crate::house::House;
use harness::Frames;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// After this silence, once the run is over, a listener has received everything.
const SILENCE: Duration = Duration::from_secs(3);

/// Before a client tries the other instance.
const RECONNECT: Duration = Duration::from_millis(200);

/// The reconnections that a listener needed.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Heard {
    pub connections: usize,
    /// Times that it was told `reset`, because it had missed more than is sent again.
    pub reloads: usize,
}

/// One client.
pub struct Listener {
    over: Arc<AtomicBool>,
    listening: JoinHandle<Heard>,
}

impl Listener {
    /// `filter` is the journal's, `query` says the same to the api.
    pub fn open(house: Arc<House>, name: String, filter: Value, query: String) -> Self {
        let over = Arc::<AtomicBool>::default();
        let listening = tokio::spawn(listen(house, name, filter, query, over.clone()));
        Self { over, listening }
    }

    /// The run is over: hears the rest.
    pub async fn close(self) -> Heard {
        self.over.store(true, Ordering::Relaxed);
        self.listening.await.unwrap()
    }
}

async fn listen(house: Arc<House>, name: String, filter: Value, query: String, over: Arc<AtomicBool>) -> Heard {
    // A stream has no end, so no time limit.
    let http = reqwest::Client::new();
    let (mut last, mut held_to): (Option<u64>, Option<u64>) = (None, None);
    let (mut client, mut connection, mut heard) = (name.clone(), 0, Heard::default());
    for url in house.urls.iter().cycle() {
        let mut request = http.get(format!("{url}/api/events{query}"));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = match request.send().await {
            Ok(response) if response.status() == 200 => response,
            refused => {
                let why = refused.map_or_else(|e| e.to_string(), |response| response.status().to_string());
                house.journal.note(&format!("{name} is not heard at {url}: {why}"));
                tokio::time::sleep(RECONNECT).await;
                continue;
            }
        };
        connection += 1;
        heard.connections += 1;
        house.journal.note(&format!("{client} listens at {url} after {last:?}: connection {connection}"));
        let mut frames = Frames::of(response);
        let mut events = Vec::new();
        let mut was_reset = false;
        let until_quiet = loop {
            let ended = over.load(Ordering::Relaxed);
            match frames.try_next(SILENCE).await {
                Some(frame) if frame.event == "reset" => {
                    last = Some(frame.id);
                    was_reset = true;
                    break false;
                }
                Some(frame) => {
                    last = Some(frame.id);
                    events.push(json!({ "id": frame.id, "event": frame.event, "data": frame.data }));
                }
                None if !frames.is_quiet() => break false,
                None if ended => break true,
                None => {}
            }
        };
        house.journal.note(&format!("{client} has left {url} after {last:?}"));
        house.journal.line(&json!({
            "kind": "sse", "client": client, "connection": connection, "filter": filter, "lastEventId": held_to,
            "events": events, "untilQuiet": until_quiet,
        }));
        held_to = last;
        if was_reset {
            // It loads the state anew, as it was told to, and is held to nothing that it missed (B50).
            heard.reloads += 1;
            (client, connection, held_to) = (format!("{name}, anew {}", heard.reloads), 0, None);
        }
        if until_quiet {
            break;
        }
    }
    heard
}
