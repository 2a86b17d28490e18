//! `GET /healthz` (the process runs), `GET /readyz` (it can do its work, or the reasons why not) and `GET /metrics`.

use crate::metrics::metrics_text;
use crate::stop::Fatal;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use axum::{Json, Router};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Pause between two log lines about work that stands still.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// The name in `/readyz` of the oldest work of all parts.
const OLDEST: &str = "oldest";

/// The state of a process: the reasons why it cannot do its work, and the oldest work that is not done, both by part.
/// Without a reason, and without work that stands still, it is ready. All tasks of a process share it.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<Parts>>);

/// The oldest work of one part that is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldestWork {
    /// The order, transaction, message or connection that it is about.
    pub what: String,
    /// Time since the work began, or since the event that asks for it was stored.
    pub age: Duration,
    /// The words of whoever holds it up, such as a node. Empty if nothing was said.
    pub words: String,
    /// The work stands still from this age on, and the process is not ready. [`Duration::MAX`] for work that is shown
    /// only.
    pub limit: Duration,
}

#[derive(Debug, Default)]
struct Parts {
    problems: BTreeMap<String, String>,
    work: BTreeMap<String, Reported>,
}

/// Work of a part as it was last reported. It grows older also if its part reports no more.
#[derive(Debug)]
struct Reported {
    work: OldestWork,
    at: Instant,
    /// When the log last said that it stands still.
    told: Option<Instant>,
}

impl Reported {
    fn age(&self) -> Duration {
        self.work.age.saturating_add(self.at.elapsed())
    }

    fn stands_still(&self) -> bool {
        self.age() >= self.work.limit
    }
}

/// Prints the work, its age, and the words.
impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OldestWork { what, words, .. } = &self.work;
        write!(f, "{what}, not done for {} s", self.age().as_secs())?;
        if words.is_empty() { Ok(()) } else { write!(f, ": {words}") }
    }
}

impl Health {
    /// Records that `part` prevents work, with a sentence that says why.
    pub fn bad(&self, part: &str, why: impl Into<String>) {
        self.parts().problems.insert(part.to_owned(), why.into());
    }

    /// Records that `part` works. Work of it that stands still is another matter.
    pub fn good(&self, part: &str) {
        self.parts().problems.remove(part);
    }

    /// Records the oldest work of `part` that is not done, or that there is none. Call it again and again: the log says at
    /// these calls that work stands still, at most once a minute for each part.
    pub fn oldest(&self, part: &str, work: Option<OldestWork>) {
        let mut parts = self.parts();
        let before = parts.work.remove(part).and_then(|before| before.told);
        let now = work.map(|work| Reported { work, at: Instant::now(), told: before });
        let stands_still = now.as_ref().is_some_and(Reported::stands_still);
        if let Some(mut now) = now {
            if !stands_still {
                now.told = None;
            } else if before.is_none_or(|told| told.elapsed() >= TOLD_AGAIN) {
                let (age_s, OldestWork { what, words, .. }) = (now.age().as_secs(), &now.work);
                tracing::error!(part, what, age_s, words, "work stands still");
                now.told = Some(Instant::now());
            }
            parts.work.insert(part.to_owned(), now);
        }
        if before.is_some() && !stands_still {
            tracing::info!(part, "work moves again");
        }
    }

    /// The reasons why the process is not ready, by part.
    pub fn problems(&self) -> BTreeMap<String, String> {
        let parts = self.parts();
        let mut problems = parts.problems.clone();
        for (part, work) in parts.work.iter().filter(|(_, work)| work.stands_still()) {
            let why = problems.entry(part.clone()).or_default();
            let also = if why.is_empty() { "" } else { "; " };
            why.push_str(&format!("{also}{work}"));
        }
        problems
    }

    /// The reasons, and the oldest work of all parts.
    fn shown(&self) -> BTreeMap<String, String> {
        let mut shown = self.problems();
        let parts = self.parts();
        let oldest = parts.work.iter().max_by_key(|(_, work)| work.age());
        shown.extend(oldest.map(|(part, work)| (OLDEST.to_owned(), format!("{part}: {work}"))));
        shown
    }

    /// The age of the oldest work of each part, as Prometheus text.
    fn ages(&self) -> String {
        let mut text = String::new();
        let parts = self.parts();
        if !parts.work.is_empty() {
            text.push_str("# HELP paymint_oldest_work_seconds Age of the oldest work that is not done, by part.\n");
            text.push_str("# TYPE paymint_oldest_work_seconds gauge\n");
        }
        for (part, work) in &parts.work {
            text.push_str(&format!("paymint_oldest_work_seconds{{part=\"{part}\"}} {}\n", work.age().as_secs()));
        }
        text
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The three routes.
    fn routes(self) -> Router {
        let of_work = self.clone();
        let ready = move || async move {
            let status = if self.problems().is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, Json(self.shown()))
        };
        let metrics = move || async move { ([(CONTENT_TYPE, METRICS_TYPE)], metrics_text() + &of_work.ages()) };
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn work(what: &str, age_s: u64, limit: Duration) -> Option<OldestWork> {
        let words = "fee too low for this pool".to_owned();
        Some(OldestWork { what: what.to_owned(), age: Duration::from_secs(age_s), words, limit })
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_stands_still_is_named_with_its_age_and_words_and_is_not_ready_until_it_moves() {
        let health = Health::default();
        let limit = Duration::from_secs(30);
        assert!(health.shown().is_empty() && health.ages().is_empty());
        health.oldest("lane 0x1", work("nonce 7", 2, limit));
        health.oldest("orders", work("order a", 600, Duration::MAX));
        assert!(health.problems().is_empty(), "what is shown only is never an obstacle");
        let oldest = "orders: order a, not done for 600 s: fee too low for this pool";
        assert_eq!(health.shown(), [(OLDEST.to_owned(), oldest.to_owned())].into());
        // A part that hangs reports no more.
        advance(Duration::from_secs(28)).await;
        let why = "nonce 7, not done for 30 s: fee too low for this pool";
        assert_eq!(health.problems(), [("lane 0x1".to_owned(), why.to_owned())].into());
        assert!(health.ages().contains("paymint_oldest_work_seconds{part=\"lane 0x1\"} 30\n"), "{}", health.ages());
        health.bad("lane 0x1", "the node does not answer");
        assert_eq!(health.problems()["lane 0x1"], format!("the node does not answer; {why}"));
        health.good("lane 0x1");
        health.oldest("lane 0x1", work("nonce 8", 1, limit));
        assert!(health.problems().is_empty());
        health.oldest("lane 0x1", None);
        health.oldest("orders", None);
        assert!(health.shown().is_empty());
    }
}
