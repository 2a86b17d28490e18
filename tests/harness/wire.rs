//! A connection to nats-server that loses messages as a story says.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf};
use tokio::task::JoinHandle;

/// The messages that the wire loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loses {
    /// Every answer to the first delivery of a message, so that every message is delivered twice (F09).
    FirstAcks,
    /// The server's first answers "no more messages" on every connection, as if the server had died in between (F18).
    FirstEnds,
}

/// Number of such answers that are lost on each connection.
const ENDS_LOST: u32 = 2;

/// The words with which the server ends a pull: there is no message, or its time is over.
const ENDS: [&[u8]; 2] = [b"NATS/1.0 404 No Messages", b"NATS/1.0 408 Request Timeout"];

/// For each consumer and stream sequence, the numbers of the deliveries that were acknowledged. Lost acknowledgements
/// are included.
pub type Seen = BTreeMap<(String, u64), Vec<u64>>;

/// The connection. It is cut when this is dropped.
pub struct Wire {
    address: SocketAddr,
    notes: Arc<Mutex<Notes>>,
    task: JoinHandle<()>,
}

/// Counters of the wire.
#[derive(Default)]
struct Notes {
    seen: Seen,
    lost: u32,
}

impl Wire {
    /// Starts the proxy in front of the server at `nats_url`.
    pub async fn before(nats_url: &str, loses: Loses) -> Self {
        let server: SocketAddr = nats_url.trim_start_matches("nats://").parse().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let notes = Arc::<Mutex<Notes>>::default();
        let shared = Arc::clone(&notes);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, server, loses, Arc::clone(&shared)));
            }
        });
        Self { address, notes, task }
    }

    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// The acknowledgements so far.
    pub fn seen(&self) -> Seen {
        self.notes.lock().unwrap().seen.clone()
    }

    /// How much was lost so far.
    pub fn lost(&self) -> u32 {
        self.notes.lock().unwrap().lost
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connection(client: TcpStream, server: SocketAddr, loses: Loses, notes: Arc<Mutex<Notes>>) {
    let server = TcpStream::connect(server).await.unwrap();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut ends = 0;
    let upward = relay(from_client, to_server, |words, payload| {
        let acknowledged = words.get(1).and_then(|subject| Acknowledged::of(subject));
        let Some(acknowledged) = acknowledged.filter(|_| loses == Loses::FirstAcks) else { return false };
        let mut notes = notes.lock().unwrap();
        if payload.starts_with(b"+ACK") || payload == b"\r\n" {
            notes.seen.entry((acknowledged.consumer, acknowledged.seq)).or_default().push(acknowledged.delivered);
        }
        notes.lost += u32::from(acknowledged.delivered == 1);
        acknowledged.delivered == 1
    });
    let downward = relay(from_server, to_client, |_, payload| {
        let is_end = ENDS.iter().any(|end| payload.starts_with(end));
        let is_lost = loses == Loses::FirstEnds && ends < ENDS_LOST && is_end;
        ends += u32::from(is_lost);
        notes.lock().unwrap().lost += u32::from(is_lost);
        is_lost
    });
    // If either side ends, both are dropped.
    tokio::select! { _ = upward => {}, _ = downward => {} }
}

/// Forwards the lines of one side, with their payloads, except those that are to be lost.
async fn relay(
    from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut is_lost: impl FnMut(&[&str], &[u8]) -> bool,
) -> std::io::Result<()> {
    let mut from = BufReader::new(from);
    loop {
        let mut line = Vec::new();
        if from.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line).into_owned();
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let mut payload = Vec::new();
        if let ["PUB" | "HPUB" | "MSG" | "HMSG", .., size] = words.as_slice() {
            payload = vec![0; size.parse::<usize>().map_err(std::io::Error::other)? + 2];
            from.read_exact(&mut payload).await?;
        }
        if !is_lost(&words, &payload) {
            to.write_all(&line).await?;
            to.write_all(&payload).await?;
        }
    }
}

/// The answer to one delivery of one message.
struct Acknowledged {
    consumer: String,
    delivered: u64,
    seq: u64,
}

impl Acknowledged {
    /// `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>...`; newer servers put domain and account before the stream.
    fn of(subject: &str) -> Option<Self> {
        let tokens: Vec<&str> = subject.strip_prefix("$JS.ACK.")?.split('.').collect();
        let tokens = if tokens.len() > 7 { &tokens[2..] } else { &tokens[..] };
        let [_, consumer, delivered, seq, ..] = tokens else { return None };
        Some(Self { consumer: (*consumer).to_owned(), delivered: delivered.parse().ok()?, seq: seq.parse().ok()? })
    }
}
