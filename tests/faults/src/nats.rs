//! A proxy that knows the wire protocol of NATS well enough to lose a single message.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A proxy on 127.0.0.1 before one nats-server. Dropped, it cuts every connection and listens no more.
#[derive(Debug)]
pub struct NatsProxy {
    address: SocketAddr,
    plan: Arc<Plan>,
    listening: JoinHandle<()>,
}

/// Which message is lost.
#[derive(Debug, Default)]
struct Plan {
    /// Messages with stored headers that still pass; 0: nothing is planned.
    countdown: AtomicU64,
    lost: AtomicU64,
}

impl NatsProxy {
    /// Starts a proxy in front of `target`.
    ///
    /// # Errors
    /// No free port.
    pub async fn before(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let plan = Arc::<Plan>::default();
        let listening = tokio::spawn(listen(listener, target, Arc::clone(&plan)));
        Ok(Self { address, plan, listening })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Loses the `n`-th message, counted from 1, that the server sends from now on with a `Nats-Sequence` header.
    pub fn lose(&self, n: u64) {
        self.plan.countdown.store(n, Ordering::SeqCst);
    }

    /// Number of messages lost so far.
    pub fn lost(&self) -> u64 {
        self.plan.lost.load(Ordering::SeqCst)
    }
}

impl Drop for NatsProxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, target: SocketAddr, plan: Arc<Plan>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let plan = Arc::clone(&plan);
        connections.spawn(async move {
            let Ok(server) = TcpStream::connect(target).await else { return };
            let ((mut from_client, to_client), (from_server, mut to_server)) =
                (client.into_split(), server.into_split());
            tokio::select! {
                _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                _ = down(from_server, to_client, &plan) => {}
            }
        });
    }
}

/// Passes the server's frames on, except the one that is to be lost.
async fn down(from: OwnedReadHalf, mut to: OwnedWriteHalf, plan: &Plan) -> io::Result<()> {
    let mut from = BufReader::new(from);
    loop {
        let mut frame = Vec::new();
        if from.read_until(b'\n', &mut frame).await? == 0 {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&frame).into_owned();
        if line.starts_with("MSG ") || line.starts_with("HMSG ") {
            // The last word is the length of headers and payload, without the final line break.
            let length = line.split_whitespace().next_back().and_then(|word| word.parse::<usize>().ok());
            let length = length.ok_or(io::ErrorKind::InvalidData)?;
            let begin = frame.len();
            frame.resize(begin + length + 2, 0);
            from.read_exact(&mut frame[begin..]).await?;
            if is_stored(&frame) && plan.countdown.load(Ordering::SeqCst) > 0 {
                let passes = plan.countdown.fetch_sub(1, Ordering::SeqCst);
                if passes == 1 {
                    plan.lost.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
            }
        }
        to.write_all(&frame).await?;
    }
}

fn is_stored(frame: &[u8]) -> bool {
    frame.windows(15).any(|bytes| bytes == b"Nats-Sequence: ")
}
