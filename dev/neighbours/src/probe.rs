//! Asks a server whether it answers, over plain sockets so that no HTTP or SQL client is needed here.

use serde_json::Value;
use std::{io, net::Ipv4Addr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// One question and its answer. A server that recovers or executes a large block is asked again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// `/varz` is the largest answer read here, about 4 kB.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// The answer with which a server counts as started.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Probe {
    /// The `INFO` greeting to clients, and 200 from the monitor's `/healthz` (JetStream has recovered).
    Nats { port: u16, monitor_port: u16 },
    /// A request for a password in answer to a startup packet; while starting or recovering it is an error.
    Postgres { port: u16 },
    /// The chain's id for `eth_chainId`.
    Anvil { port: u16, chain_id: u64 },
}

impl Probe {
    /// Returns `true` if the server gives the expected answer. An error counts as no.
    pub(crate) async fn answers(self) -> bool {
        let answer = async {
            match self {
                Self::Nats { port, monitor_port } => {
                    let mut greeting = [0; 5];
                    connect(port).await?.read_exact(&mut greeting).await?;
                    Ok(&greeting == b"INFO " && get(monitor_port, "/healthz").await?.0 == 200)
                }
                Self::Postgres { port } => {
                    let mut connection = connect(port).await?;
                    connection.write_all(&startup_packet("paymint", "paymint")?).await?;
                    Ok(connection.read_u8().await? == b'R')
                }
                Self::Anvil { port, chain_id: wanted } => Ok(chain_id(port).await? == wanted),
            }
        };
        matches!(timeout(ANSWER_TIMEOUT, answer).await, Ok(io::Result::Ok(true)))
    }
}

/// The chain id of the JSON-RPC node on `port`.
async fn chain_id(port: u16) -> io::Result<u64> {
    let answer = rpc(port, "eth_chainId").await?;
    let id = answer["result"].as_str().and_then(|hex| u64::from_str_radix(hex.strip_prefix("0x")?, 16).ok());
    id.ok_or_else(|| io::Error::other(format!("no chain id in {answer}")))
}

/// The answer of the JSON-RPC node on `port` to a method without parameters, with its result or error.
pub(crate) async fn rpc(port: u16, method: &str) -> io::Result<Value> {
    let question = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":[]}}"#);
    Ok(http(port, "POST", "/", &question).await?.1)
}

/// GETs `path` from the HTTP server on `port`: status and body, which is `Null` unless it is JSON.
pub(crate) async fn get(port: u16, path: &str) -> io::Result<(u16, Value)> {
    http(port, "GET", path, "").await
}

async fn http(port: u16, method: &str, path: &str, body: &str) -> io::Result<(u16, Value)> {
    let mut connection = connect(port).await?;
    let head = "Host: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json";
    let request = format!("{method} {path} HTTP/1.0\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    connection.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    connection.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

async fn connect(port: u16) -> io::Result<TcpStream> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await
}

/// Source: PostgreSQL documentation, "Message Formats", StartupMessage of protocol 3.0.
fn startup_packet(user: &str, database: &str) -> io::Result<Vec<u8>> {
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    for text in ["user", user, "database", database, ""] {
        body.extend_from_slice(text.as_bytes());
        body.push(0);
    }
    let length = u32::try_from(body.len() + 4).map_err(io::Error::other)?;
    Ok([length.to_be_bytes().as_slice(), &body].concat())
}
