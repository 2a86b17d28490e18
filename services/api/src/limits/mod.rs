//! How much of the service one client may take, and all of them together: requests per second and open streams.
//!
//! Who pays nothing can still cost something. Whoever goes beyond is refused before anything is read or written, and
//! told when to come back. Connections are counted by [`crate::server`], health routes not at all.

mod client;
mod places;
mod rates;

pub(crate) use client::ClientIp;
pub(crate) use places::{Full, Place, Places};

use crate::Api;
use crate::config::Edge;
use crate::error::Problem;
use axum::Extension;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use rates::Rates;
use std::sync::Arc;

/// What is left, at this process: instances do not count for each other.
pub(crate) struct Quotas {
    rates: Rates,
    pub(crate) streams: Streams,
}

/// Open event streams.
pub(crate) struct Streams(Arc<Places>);

/// One open stream; its place is free again when this is dropped.
pub(crate) struct StreamPermit(#[allow(dead_code, reason = "held for its drop")] Place);

impl Quotas {
    pub(crate) fn new(edge: &Edge) -> Self {
        Self {
            rates: Rates::new(edge.rate_per_ip, edge.rate_total),
            streams: Streams(Places::new(edge.sse_per_ip, edge.sse_max)),
        }
    }
}

impl Streams {
    /// A place for one more stream of this client.
    ///
    /// # Errors
    /// `TooManyStreams` when it has enough, `StreamsExhausted` when all together do.
    pub(crate) fn enter(&self, client: ClientIp) -> Result<StreamPermit, Problem> {
        self.0.enter(client).map(StreamPermit).map_err(|full| match full {
            Full::Client => Problem::TooManyStreams,
            Full::All => Problem::StreamsExhausted,
        })
    }
}

/// Layer: so many requests per second of one client.
pub(crate) async fn per_client(
    State(api): State<Arc<Api>>,
    Extension(client): Extension<ClientIp>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    api.quotas.rates.take(client)?;
    Ok(next.run(request).await)
}

/// Layer: so many requests per second of all clients. Beneath [`per_client`], so that one who is refused there takes
/// nothing from the others.
pub(crate) async fn in_total(State(api): State<Arc<Api>>, request: Request, next: Next) -> Result<Response, Problem> {
    api.quotas.rates.take_of_all()?;
    Ok(next.run(request).await)
}
