//! HTTP/1.1 over TCP, with limits before a handler sees anything, and an orderly end.
//!
//! `axum::serve` counts no connections and has one time limit, for headers. This server does not speak HTTP/2: its
//! preface ends the connection, and an upgrade to it is ignored.

use crate::client::ClientIp;
use crate::config::EdgeConfig;
use crate::paced::paced;
use crate::permits::Permits;
use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use runtime::{CancellationToken, Fatal};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// Longest headers of a request together, bytes. A payment header has up to 16 KiB, and its own error above that. More
/// is answered with 431, unread.
const HEADERS_MAX: usize = 64 * 1024;
/// Connections that wait to be accepted. A thousand clients may come at the same moment.
const BACKLOG: u32 = 4096;
/// Pause after an accept that failed, most likely because there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Shortest time between two warnings of a kind, so that an attack does not fill the log.
const WARNING_PAUSE: Duration = Duration::from_secs(60);
/// Time to answer the requests in progress after a stop; the append of a payment may be among them.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);

/// Listens on `addr`, which the variable `variable` configures.
///
/// # Errors
/// Names the address and the variable.
pub fn listen(addr: SocketAddr, variable: &str) -> Result<TcpListener, Fatal> {
    let open = || {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        socket.listen(BACKLOG)
    };
    open().map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => {
            Fatal::from(format!("port {} is taken: {addr} cannot be listened on; {variable} changes it", addr.port()))
        }
        _ => Fatal::from(format!("{variable}: cannot listen on {addr}: {e}")),
    })
}

/// Answers requests until `stop`, then finishes those in progress.
pub async fn serve(listener: TcpListener, router: Router, edge: EdgeConfig, stop: CancellationToken) {
    let edge = Arc::new(edge);
    let permits = permits(&edge);
    let mut connections = JoinSet::new();
    let (mut full, mut crowded, mut failed) = (Rarely::default(), Rarely::default(), Rarely::default());
    loop {
        let has_room = connections.len() < edge.max_connections.get();
        if !has_room {
            full.then(|| tracing::warn!(connections = connections.len(), "no more connections: MAX_CONNECTIONS"));
        }
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept(), if has_room => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((socket, peer)) => match permits.enter(peer.ip().into()) {
                Ok(permit) => {
                    let talk = converse(socket, peer.ip(), router.clone(), Arc::clone(&edge), stop.clone());
                    connections.spawn(async move {
                        talk.await;
                        drop(permit);
                    });
                }
                Err(_) => {
                    let client = peer.ip();
                    crowded.then(|| tracing::warn!(%client, "too many connections: MAX_CONNECTIONS_PER_IP"));
                }
            },
            Err(e) => {
                failed.then(|| tracing::warn!(error = %e, "a connection could not be accepted"));
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

/// Permits for connections. A trusted proxy is one address with many clients, and limits them itself.
fn permits(edge: &EdgeConfig) -> Arc<Permits> {
    let is_direct = edge.trusted_proxy_hops == 0;
    Permits::new(if is_direct { edge.max_connections_per_ip } else { NonZeroUsize::MAX }, NonZeroUsize::MAX)
}

/// Serves one connection. Its errors are the client's: broken off, malformed, too slow.
async fn converse(socket: TcpStream, peer: IpAddr, router: Router, edge: Arc<EdgeConfig>, stop: CancellationToken) {
    let _ = socket.set_nodelay(true);
    let (socket, timer) = paced(socket, &edge);
    let hops = edge.trusted_proxy_hops;
    let router = TowerToHyperService::new(router);
    let answer = service_fn(move |mut request: Request<Incoming>| {
        let client = ClientIp::of(peer, request.headers(), hops);
        request.extensions_mut().insert(client);
        router.call(request)
    });
    let mut http = http1::Builder::new();
    http.timer(timer).header_read_timeout(edge.idle_timeout).max_buf_size(HEADERS_MAX);
    let mut connection = pin!(http.serve_connection(TokioIo::new(socket), answer));
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

/// A warning that is logged once in [`WARNING_PAUSE`], however often it happens.
#[derive(Default)]
struct Rarely(Option<Instant>);

impl Rarely {
    fn then(&mut self, say: impl FnOnce()) {
        if self.0.is_none_or(|last| last.elapsed() >= WARNING_PAUSE) {
            self.0 = Some(Instant::now());
            say();
        }
    }
}
