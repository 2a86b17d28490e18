//! `GET /healthz` (the process is alive) and `GET /readyz` (it can work, or the reasons why not).

use crate::stop::Fatal;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// The current obstacles to work, by dependency. If there are none, the process is ready. Shared by all tasks of a
/// process.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<BTreeMap<String, String>>>);

impl Health {
    /// Records that `part` prevents work, with the reason as a sentence.
    pub fn bad(&self, part: &str, why: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(part.to_owned(), why.into());
    }

    /// Records that `part` works.
    pub fn good(&self, part: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(part);
    }

    /// The current obstacles.
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

/// Serves the two routes until `stop`. Serves nothing if no address is configured.
///
/// # Errors
/// If the address is in use: names it and `HEALTH_ADDR`.
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
