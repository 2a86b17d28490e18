//! HTTP spoken by hand, byte by byte.

use super::Instance;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Longer than any limit that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
pub struct Raw(pub TcpStream);

/// The answer. Its head is empty if the connection ended instead.
#[derive(Clone, Debug, Default)]
pub struct Said {
    pub head: String,
    pub body: String,
}

impl Raw {
    pub async fn to(api: &Instance) -> Self {
        Self::from(api, "127.0.0.1").await
    }

    /// From another address of this machine: all of 127.0.0.0/8 are.
    pub async fn from(api: &Instance, ip: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{ip}:0").parse().unwrap()).unwrap();
        Self(socket.connect(api.address()).await.unwrap())
    }

    /// Sends; that the other side may not take it all is its affair.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref()).await;
    }

    /// The next answer, with its body; interim answers (1xx) count as one.
    pub async fn hear(&mut self) -> Said {
        self.hear_for("").await
    }

    /// Reads the answer to a request with this method: HEAD has no body.
    pub async fn hear_for(&mut self, method: &str) -> Said {
        let mut said = Said::default();
        while !said.head.ends_with("\r\n\r\n") {
            match self.byte().await {
                Some(byte) => said.head.push(byte.into()),
                None => return said,
            }
        }
        let length = said.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; if method == "HEAD" { 0 } else { length }];
        self.0.read_exact(&mut body).await.unwrap();
        said.body = String::from_utf8(body).unwrap();
        said
    }

    async fn byte(&mut self) -> Option<u8> {
        tokio::time::timeout(PATIENCE, self.0.read_u8()).await.expect("an answer, or the end").ok()
    }

    /// Returns `true` if the connection still accepts a request.
    pub async fn is_open(&mut self) -> bool {
        self.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
        self.hear().await.status() == 200
    }

    /// The time from now until the other side closes; what it says meanwhile is read.
    pub async fn until_closed(&mut self) -> Duration {
        let began = Instant::now();
        while self.byte().await.is_some() {}
        began.elapsed()
    }
}

impl Said {
    /// 0 where nothing was said.
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).map_or(0, |status| status.parse().unwrap())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The code of a problem document; empty where there is none.
    pub fn code(&self) -> String {
        let json: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        json["code"].as_str().unwrap_or_default().to_owned()
    }
}
