//! `GET /healthz` (the process lives) and `GET /readyz` (it can do its work, or why not).

use crate::stop::Fatal;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// What stands in the way of work, by neighbour. Empty: ready. Shared by all tasks of a process.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<BTreeMap<String, String>>>);

impl Health {
    /// `part` is in the way, with a sentence why.
    pub fn bad(&self, part: &str, why: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(part.to_owned(), why.into());
    }

    /// `part` works.
    pub fn good(&self, part: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(part);
    }

    /// What stands in the way now.
    pub fn problems(&self) -> BTreeMap<String, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The two routes, for a service that has its own server.
    pub fn routes<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        let ready = move || async move {
            let problems = self.problems();
            let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, Json(problems))
        };
        Router::new().route("/healthz", get(|| async { "ok" })).route("/readyz", get(ready))
    }
}

/// Serves the two routes until `stop`; nothing where no address is configured.
///
/// # Errors
/// When the address is taken: names it and `HEALTH_ADDR`.
pub async fn serve_health(address: Option<SocketAddr>, health: Health, stop: CancellationToken) -> Result<(), Fatal> {
    let Some(address) = address else {
        stop.cancelled().await;
        return Ok(());
    };
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|e| format!("HEALTH_ADDR: cannot listen on {address}: {e}"))?;
    axum::serve(listener, health.routes::<()>()).with_graceful_shutdown(stop.cancelled_owned()).await?;
    Ok(())
}
