//! A wire to nats-server on which the answer to every first delivery is lost (F09), so that every message comes twice.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf};
use tokio::task::JoinHandle;

/// By consumer and stream sequence: on which deliveries the message was acknowledged, lost answers included.
pub type Seen = BTreeMap<(String, u64), Vec<u64>>;

/// The wire. It is cut when dropped.
pub struct LostAcks {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl LostAcks {
    /// In front of the server at `nats_url`.
    pub async fn before(nats_url: &str) -> Self {
        let server: SocketAddr = nats_url.trim_start_matches("nats://").parse().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::new()));
        let shared = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, server, Arc::clone(&shared)));
            }
        });
        Self { address, seen, task }
    }

    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// What was acknowledged so far.
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for LostAcks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connection(client: TcpStream, server: SocketAddr, seen: Arc<Mutex<Seen>>) {
    let server = TcpStream::connect(server).await.unwrap();
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = server.into_split();
    // Either side's end is the end of both: the halves are dropped.
    tokio::select! {
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
        _ = lossy(from_client, to_server, &seen) => {}
    }
}

/// Hands on what the client says, line by line, but for answers to first deliveries.
async fn lossy(client: OwnedReadHalf, mut server: OwnedWriteHalf, seen: &Mutex<Seen>) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    loop {
        let mut line = Vec::new();
        if client.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line).into_owned();
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let mut payload = Vec::new();
        if let [verb, _, .., size] = words.as_slice()
            && (verb.eq_ignore_ascii_case("PUB") || verb.eq_ignore_ascii_case("HPUB"))
        {
            payload = vec![0; size.parse::<usize>().map_err(std::io::Error::other)? + 2];
            client.read_exact(&mut payload).await?;
        }
        if words.get(1).is_some_and(|subject| is_lost(subject, &payload, seen)) {
            continue;
        }
        server.write_all(&line).await?;
        server.write_all(&payload).await?;
    }
}

/// `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>...`; newer servers put domain and account before the stream.
fn is_lost(subject: &str, payload: &[u8], seen: &Mutex<Seen>) -> bool {
    let Some(rest) = subject.strip_prefix("$JS.ACK.") else { return false };
    let tokens: Vec<&str> = rest.split('.').collect();
    let tokens = if tokens.len() > 7 { &tokens[2..] } else { &tokens[..] };
    let [_, consumer, delivered, seq, ..] = tokens else { return false };
    let (Ok(delivered), Ok(seq)) = (delivered.parse(), seq.parse()) else { return false };
    if payload.starts_with(b"+ACK") || payload == b"\r\n" {
        seen.lock().unwrap().entry(((*consumer).to_owned(), seq)).or_default().push(delivered);
    }
    delivered == 1
}
