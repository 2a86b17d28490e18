//! HTTP: one connection after the other, one request after the other.

use super::{Node, Reply};
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, header};
use futures_util::future::join_all;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::io;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Maximum size of a request in bytes: a hundred transactions of the largest size that pools accept.
const BODY_MAX: usize = 16 * 1024 * 1024;

/// The page of a provider's load balancer.
const PAGE: &str = "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>";

/// Connections end with it.
pub(super) async fn listen(listener: TcpListener, node: Arc<Node>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let node = Arc::clone(&node);
        connections.spawn(async move {
            let answer = service_fn(|request| answer(Arc::clone(&node), request));
            // A connection that is closed without an answer is an error to hyper, and what was asked for here.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), answer).await;
        });
    }
}

/// An error closes the connection without an answer.
async fn answer(node: Arc<Node>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let body = to_bytes(Body::new(request.into_body()), BODY_MAX).await.map_err(io::Error::other)?;
    let Ok(asked) = serde_json::from_slice::<Value>(&body) else {
        return status(400, None);
    };
    let Value::Array(batch) = asked else {
        return match node.answer(&asked).await {
            Reply::Json(answer) => json(answer.to_string()),
            other => misbehave(other),
        };
    };
    let mut answers = Vec::with_capacity(batch.len());
    let mut half = false;
    for reply in join_all(batch.iter().map(|request| node.answer(request))).await {
        match reply {
            Reply::Json(answer) => answers.push(answer),
            Reply::Half(answer) => {
                answers.push(answer);
                half = true;
            }
            other => return misbehave(other),
        }
    }
    let answers = Value::Array(answers);
    if half { misbehave(Reply::Half(answers)) } else { json(answers.to_string()) }
}

fn misbehave(reply: Reply) -> io::Result<Response<Body>> {
    match reply {
        Reply::Json(answer) => json(answer.to_string()),
        Reply::Half(answer) => {
            let text = answer.to_string();
            json(text.chars().take(text.chars().count() / 2).collect())
        }
        Reply::Html => respond(Response::builder().header(header::CONTENT_TYPE, "text/html"), PAGE.to_owned()),
        Reply::Status(code, retry_after_s) => status(code, retry_after_s),
        Reply::Nothing => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

fn status(code: u16, retry_after_s: Option<u64>) -> io::Result<Response<Body>> {
    let mut response = Response::builder().status(code);
    if let Some(seconds) = retry_after_s {
        response = response.header(header::RETRY_AFTER, seconds);
    }
    respond(response, String::new())
}

fn json(text: String) -> io::Result<Response<Body>> {
    respond(Response::builder().header(header::CONTENT_TYPE, "application/json"), text)
}

fn respond(response: axum::http::response::Builder, body: String) -> io::Result<Response<Body>> {
    response.body(Body::from(body)).map_err(io::Error::other)
}
