//! HTTP/1.1 over TCP: limits before a handler sees anything, and an orderly end.
//!
//! Not `axum::serve`, which has no limits on headers and no time-out on slow ones.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use runtime::{CancellationToken, Fatal};
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::config::ADDR_VARIABLE;

/// All headers of a request together, bytes; a payment header has up to 16 KiB, and is refused by its own name above
/// that. More is answered 431 unread.
const HEADERS_MAX: usize = 64 * 1024;
/// From the first moment of a connection, or the end of an answer, to the end of the next request's headers (B48).
const HEADERS_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections that wait to be accepted: a thousand clients may come at once.
const BACKLOG: u32 = 4096;
/// After an accept that failed: most likely there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Requests under way have this long to be answered after a stop; the append of a payment is among them.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);

/// Listens on `addr`.
///
/// # Errors
/// Names the address and the variable that changes it.
pub(crate) fn listen(addr: SocketAddr) -> Result<TcpListener, Fatal> {
    let open = || {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        socket.listen(BACKLOG)
    };
    open().map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => Fatal::from(format!(
            "port {} is taken: {addr} cannot be listened on; {ADDR_VARIABLE} changes it",
            addr.port()
        )),
        _ => Fatal::from(format!("{ADDR_VARIABLE}: cannot listen on {addr}: {e}")),
    })
}

/// Answers until `stop`, then finishes what is under way.
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADERS_TIMEOUT).max_buf_size(HEADERS_MAX);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((socket, _)) => {
                connections.spawn(converse(http.clone(), socket, router.clone(), stop.clone()));
            }
            Err(e) => {
                tracing::warn!(error = %e, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let drained = tokio::time::timeout(DRAIN_TIMEOUT, async { while connections.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!(left = connections.len(), "some connections did not end in time");
    }
}

/// One connection. Its errors are the client's affair: broken off, malformed, too slow.
async fn converse(http: http1::Builder, socket: TcpStream, router: Router, stop: CancellationToken) {
    let _ = socket.set_nodelay(true);
    let mut connection = pin!(http.serve_connection(TokioIo::new(socket), TowerToHyperService::new(router)));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(e) = ended {
        tracing::debug!(error = %e, "a connection broke off");
    }
}
