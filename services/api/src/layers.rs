//! The layers around all paths: quotas, ambiguous requests, caching.

use crate::docs::CACHED;
use crate::error::Problem;
use crate::state::Api;
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONNECTION};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use edge::ClientIp;
use std::sync::Arc;

/// Limits the requests per second of one client.
pub(crate) async fn per_client(
    State(api): State<Arc<Api>>,
    Extension(client): Extension<ClientIp>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    api.quotas.rates.take(client, api.settings().requests_per_client_s)?;
    Ok(next.run(request).await)
}

/// Limits the requests per second of all clients. It lies beneath [`per_client`], so that a request which is refused
/// there takes nothing from the others.
pub(crate) async fn in_total(State(api): State<Arc<Api>>, request: Request, next: Next) -> Result<Response, Problem> {
    api.quotas.rates.take_of_all(api.settings().requests_total_s)?;
    Ok(next.run(request).await)
}

/// Answers 400 to an ambiguous request and closes its connection, because the beginning of the next one is unknown.
pub(crate) async fn unambiguous(request: Request, next: Next) -> Response {
    if edge::is_unambiguous(request.uri(), request.version(), request.headers()) {
        return next.run(request).await;
    }
    let mut response = Problem::RequestMalformed.into_response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Forbids caches to store an answer. An offer, an order and a status are true for a moment; the description is not.
pub(crate) async fn not_stored(mut response: Response) -> Response {
    if response.headers().get(CACHE_CONTROL).is_none_or(|said| said != CACHED) {
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
