//! A proxy that knows the wire protocol of NATS well enough to lose a single message.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A proxy on 127.0.0.1 before one nats-server. Dropped, it cuts every connection and listens no more.
#[derive(Debug)]
pub struct NatsProxy {
    address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
    listening: JoinHandle<()>,
}

/// Which message is lost.
#[derive(Debug, Default)]
struct Plan {
    /// The message to lose: so many messages of its answer pass before it.
    pass: Option<u64>,
    /// The subject of the last message with stored headers. Each answer has a subject of its own.
    answering: String,
    /// An answer that began before the message was planned: the rest of it passes.
    earlier: String,
    /// Acknowledgements of batches to lose.
    acks: u64,
    lost: u64,
}

impl Plan {
    fn lose(&mut self, n: u64) {
        self.earlier = self.answering.clone();
        self.pass = Some(n.saturating_sub(1));
    }

    /// True for an acknowledgement of a batch that is to be lost.
    fn loses_ack(&mut self) -> bool {
        let loses = self.acks > 0;
        self.acks -= u64::from(loses);
        self.lost += u64::from(loses);
        loses
    }

    /// Counts the message with stored headers that arrived on `subject`. True for the one to lose.
    fn loses(&mut self, subject: &str) -> bool {
        subject.clone_into(&mut self.answering);
        if subject == self.earlier {
            return false;
        }
        match self.pass {
            None => return false,
            Some(0) => {}
            Some(more) => {
                self.pass = Some(more - 1);
                return false;
            }
        }
        self.pass = None;
        self.lost += 1;
        true
    }
}

impl NatsProxy {
    /// Starts a proxy in front of `target`.
    ///
    /// # Errors
    /// No free port.
    pub async fn before(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let plan = Arc::<Mutex<Plan>>::default();
        let listening = tokio::spawn(listen(listener, target, Arc::clone(&plan)));
        Ok(Self { address, plan, listening })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Loses the `n`-th message, counted from 1, that the server sends with a `Nats-Sequence` header in answers that
    /// begin from now on. A reader gives an answer up at its first gap; the rest of it still comes and is not counted.
    pub fn lose(&self, n: u64) {
        plan(&self.plan).lose(n);
    }

    /// Loses the acknowledgement of the next batch.
    pub fn lose_ack(&self) {
        plan(&self.plan).acks += 1;
    }

    /// Number of messages lost so far.
    pub fn lost(&self) -> u64 {
        plan(&self.plan).lost
    }
}

fn plan(of: &Mutex<Plan>) -> std::sync::MutexGuard<'_, Plan> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for NatsProxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, target: SocketAddr, planned: Arc<Mutex<Plan>>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let planned = Arc::clone(&planned);
        connections.spawn(async move {
            let Ok(server) = TcpStream::connect(target).await else { return };
            let ((mut from_client, to_client), (from_server, mut to_server)) =
                (client.into_split(), server.into_split());
            tokio::select! {
                _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                _ = down(from_server, to_client, &planned) => {}
            }
        });
    }
}

/// Passes the server's frames on, except the one that is to be lost.
async fn down(from: OwnedReadHalf, mut to: OwnedWriteHalf, planned: &Mutex<Plan>) -> io::Result<()> {
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
            let subject = line.split_whitespace().nth(1).unwrap_or_default();
            if is_stored(&frame) && plan(planned).loses(subject) || is_ack(&frame) && plan(planned).loses_ack() {
                continue;
            }
        }
        to.write_all(&frame).await?;
    }
}

fn is_stored(frame: &[u8]) -> bool {
    frame.windows(15).any(|bytes| bytes == b"Nats-Sequence: ")
}

/// True for the acknowledgement of a batch: `{"stream":"LEDGER",…,"batch":"…","count":3}`.
fn is_ack(frame: &[u8]) -> bool {
    let has = |part: &[u8]| frame.windows(part.len()).any(|bytes| bytes == part);
    has(b"{\"stream\":") && has(b"\"batch\":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_an_answer_that_was_given_up_is_not_counted() {
        let mut plan = Plan { answering: "first".to_owned(), ..Plan::default() };
        plan.lose(2);
        let lost = ["first", "first", "second", "second", "second"].map(|subject| plan.loses(subject));
        assert_eq!((lost, plan.lost), ([false, false, false, true, false], 1));
    }
}
