//! `GET /healthz` (the process runs), `GET /readyz` (it can do its work, or the reasons why not) and `GET /metrics`.

use crate::metrics::metrics_text;
use crate::stop::Fatal;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use axum::{Json, Router};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// The reasons why a process cannot do its work, by part. Without any it is ready. All tasks of a process share it.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<BTreeMap<String, String>>>);

impl Health {
    /// Records that `part` prevents work, with a sentence that says why.
    pub fn bad(&self, part: &str, why: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(part.to_owned(), why.into());
    }

    /// Records that `part` works.
    pub fn good(&self, part: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(part);
    }

    /// The current reasons.
    pub fn problems(&self) -> BTreeMap<String, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The three routes.
    fn routes(self) -> Router {
        let ready = move || async move {
            let problems = self.problems();
            let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, Json(problems))
        };
        let metrics = || async { ([(CONTENT_TYPE, METRICS_TYPE)], metrics_text()) };
        Router::new()
            .route("/healthz", get(|| async { "ok" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
    }
}

/// Media type of Prometheus text.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves the three routes until `stop`. Without an address it serves nothing.
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
    axum::serve(listener, health.routes()).with_graceful_shutdown(stop.cancelled_owned()).await?;
    Ok(())
}
