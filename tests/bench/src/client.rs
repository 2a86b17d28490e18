//! A lean HTTP/1.1 client: one keep-alive connection, one request at a time, requests made beforehand.
//!
//! A full client would take more of the two processors than the service that is measured. It knows what the api answers
//! with, a status line, headers and a body of known length, and fails on everything else.

use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Answers are about 700 bytes; more is read in steps of this.
const READ_SIZE: usize = 4 * 1024;

/// One connection.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

/// One answer; borrowed from the connection until its next request.
pub struct Answer<'a> {
    /// The status code.
    pub status: u16,
    /// Status line and headers.
    pub head: &'a str,
    /// The body.
    pub body: &'a [u8],
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// As the system says.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        Self::of(TcpStream::connect(address).await?)
    }

    /// Connects from `source`, one of this machine's addresses.
    ///
    /// # Errors
    /// As the system says.
    pub async fn open_from(source: IpAddr, address: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((source, 0).into())?;
        Self::of(socket.connect(address).await?)
    }

    fn of(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(READ_SIZE) })
    }

    /// Sends a whole request and reads the whole answer.
    ///
    /// # Errors
    /// The connection ended, or the answer is not one that is understood here.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.received.clear();
        self.stream.write_all(request).await?;
        let (head, length) = loop {
            self.read_more().await?;
            if let Some(end) = find(&self.received, b"\r\n\r\n") {
                let head = std::str::from_utf8(&self.received[..end]).map_err(|_| bad("headers that are not text"))?;
                break (end, header(head, "content-length").and_then(|value| value.parse::<usize>().ok()));
            }
        };
        let body = head + 4;
        let end = body + length.ok_or_else(|| bad("an answer without Content-Length"))?;
        while self.received.len() < end {
            self.read_more().await?;
        }
        if self.received.len() > end {
            return Err(bad("more than one answer"));
        }
        let head = std::str::from_utf8(&self.received[..head]).map_err(|_| bad("headers that are not text"))?;
        let status = head.get(9..12).and_then(|code| code.parse().ok()).ok_or_else(|| bad("no status"))?;
        Ok(Answer { status, head, body: &self.received[body..end] })
    }

    async fn read_more(&mut self) -> io::Result<()> {
        self.received.reserve(READ_SIZE);
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// The value of a header, by its name in lower case.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Where `needle` begins.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
