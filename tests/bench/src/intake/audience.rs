//! Many event streams that are listened to at once, on one thread of their own: what each has heard, and when.
//!
//! A listener reads lines and remembers those that begin with `id:`. The api sends a whole event as one chunk, so a line
//! is never torn by the transfer encoding; were it, the event would be missing here, and be reported as that.

use futures_util::future::join_all;
use runtime::Fatal;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// First bytes come within this: each stream begins with a look into the ledger.
const OPENING_TIMEOUT: Duration = Duration::from_secs(30);
/// Streams that are opened at once.
const OPENING: usize = 64;
/// An event is a few hundred bytes; thousands of buffers are kept.
const BUFFER: usize = 1_024;

/// Sequences that one listener received, each with its time.
pub type Heard = Vec<(u64, Instant)>;

/// Listeners at work.
pub struct Audience {
    stop: watch::Sender<bool>,
    there: watch::Receiver<usize>,
    count: usize,
    task: JoinHandle<Result<Vec<Heard>, Fatal>>,
}

impl Audience {
    /// One listener for each of `paths`; returns when all of them have got their first bytes.
    ///
    /// # Errors
    /// The first stream that is not opened with a 200, or does not begin in time.
    pub async fn gather(api: SocketAddr, paths: Vec<String>) -> Result<Self, Fatal> {
        let (stop, stopped) = watch::channel(false);
        let (arrived, there) = watch::channel(0);
        let count = paths.len();
        let task = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(listen_all(api, paths, arrived, stopped))
        });
        let mut audience = Self { stop, there, count, task };
        audience.all_there().await?;
        Ok(audience)
    }

    async fn all_there(&mut self) -> Result<(), Fatal> {
        let count = self.count;
        let waiting = tokio::time::timeout(OPENING_TIMEOUT, self.there.wait_for(|there| *there >= count));
        let arrived = waiting.await.map(|arrived| arrived.is_ok());
        match arrived {
            Ok(true) => Ok(()),
            Ok(false) => match (&mut self.task).await? {
                Ok(_) => Err("the streams ended before they began".into()),
                Err(why) => Err(why),
            },
            Err(_) => {
                let there = *self.there.borrow();
                Err(format!("{there} of {count} event streams began within {} s", OPENING_TIMEOUT.as_secs()).into())
            }
        }
    }

    /// Everybody leaves, and says what they have heard, in the order of the paths.
    ///
    /// # Errors
    /// A connection that broke before it was left.
    pub async fn leave(self) -> Result<Vec<Heard>, Fatal> {
        let _ = self.stop.send(true); // whoever has left already has said so
        self.task.await?
    }
}

async fn listen_all(
    api: SocketAddr,
    paths: Vec<String>,
    arrived: watch::Sender<usize>,
    stopped: watch::Receiver<bool>,
) -> Result<Vec<Heard>, Fatal> {
    let mut listening = Vec::with_capacity(paths.len());
    for some in paths.chunks(OPENING) {
        let streams = join_all(some.iter().map(|path| open(api, path))).await;
        for (stream, path) in streams.into_iter().zip(some) {
            let stream = stream.map_err(|e| format!("{path}: {e}"))?;
            listening.push(tokio::spawn(listen(stream, arrived.clone(), stopped.clone())));
        }
    }
    drop(arrived);
    join_all(listening).await.into_iter().map(|heard| Ok(heard??)).collect()
}

/// Sends the request and reads the head of the answer.
async fn open(api: SocketAddr, path: &str) -> io::Result<BufReader<TcpStream>> {
    let (status, stream) = ask(api, path).await?;
    if status == 200 { Ok(stream) } else { Err(io::Error::other(format!("answered with {status}"))) }
}

/// Sends a request for `path` and returns its status and the rest of the answer.
async fn ask(api: SocketAddr, path: &str) -> io::Result<(u16, BufReader<TcpStream>)> {
    let mut stream = TcpStream::connect(api).await?;
    stream.set_nodelay(true)?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {api}\r\n\r\n").as_bytes()).await?;
    let mut stream = BufReader::with_capacity(BUFFER, stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let status = line.get(9..12).and_then(|code| code.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((status, stream))
}

/// The status that `path` is answered with.
///
/// # Errors
/// No answer.
pub async fn status(api: SocketAddr, path: &str) -> io::Result<u16> {
    Ok(ask(api, path).await?.0)
}

/// Reads to the end of the stream, or until it is time to leave.
async fn listen(
    mut stream: BufReader<TcpStream>,
    arrived: watch::Sender<usize>,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<Heard> {
    let mut heard = Vec::new();
    let mut line = Vec::new();
    let mut is_there = false;
    loop {
        let read = tokio::select! {
            read = stream.read_until(b'\n', &mut line) => read?,
            _ = stopped.wait_for(|stopped| *stopped) => return Ok(heard),
        };
        if read == 0 {
            return Ok(heard); // the last event of its order has come
        }
        if !is_there {
            is_there = true;
            arrived.send_modify(|there| *there += 1);
        }
        heard.extend(sequence(&line).map(|sequence| (sequence, Instant::now())));
        line.clear();
    }
}

/// The sequence in a line `id: 42`.
fn sequence(line: &[u8]) -> Option<u64> {
    std::str::from_utf8(line).ok()?.strip_prefix("id:")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_sequence_and_other_lines_are_none() {
        let cases: [(&[u8], Option<u64>); 6] = [
            (b"id: 42\n", Some(42)),
            (b"id:7\r\n", Some(7)),
            (b"event: payment.requested\n", None),
            (b"data: {\"id: 3\"}\n", None),
            (b"1a\r\n", None),
            (b"id: \xff\n", None),
        ];
        for (line, expected) in cases {
            assert_eq!(sequence(line), expected);
        }
    }
}
