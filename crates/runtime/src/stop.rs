//! Orderly shutdown: every task watches one token, and the first task that fails stops the others.

use crate::undone::causes;
use std::fmt;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// Time in which all tasks together must finish their work. A stop must take at most ten seconds in all, and servers
/// are stopped after the tasks.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// An error that ends the process with a non-zero exit code. It is printed once, with its causes.
pub struct Fatal(Box<dyn std::error::Error + Send + Sync>);

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> From<E> for Fatal {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Debug for Fatal {
    /// The sentence and its causes on one line, as `main` prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", causes(&*self.0))
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Returns a token that SIGINT and SIGTERM cancel. A second signal ends the process immediately.
///
/// # Errors
/// If the signals cannot be watched.
pub fn stop_on_signal() -> Result<CancellationToken, Fatal> {
    let stop = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let token = stop.clone();
    tokio::spawn(async move {
        for pass in 0..2 {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            if pass == 1 {
                std::process::exit(130);
            }
            tracing::info!("stopping");
            token.cancel();
        }
    });
    Ok(stop)
}

/// Wraps a task that cannot fail, for use among tasks that can.
///
/// # Errors
/// None.
pub async fn unfailing(part: impl Future<Output = ()>) -> Result<(), Fatal> {
    part.await;
    Ok(())
}

/// Waits for all tasks. The first failure cancels `stop` and is returned. Tasks that do not end within [`STOP_TIMEOUT`]
/// after the stop are dropped.
///
/// # Errors
/// The first task's failure, or a panic.
pub async fn join(mut tasks: JoinSet<Result<(), Fatal>>, stop: CancellationToken) -> Result<(), Fatal> {
    let mut first = Ok(());
    loop {
        let next = tokio::select! { next = tasks.join_next() => next, () = stop.cancelled() => break };
        match next.map(flatten) {
            None => return first,
            Some(Ok(())) => {}
            Some(Err(fatal)) => {
                first = Err(fatal);
                stop.cancel();
            }
        }
    }
    let ending = tokio::time::timeout(STOP_TIMEOUT, async {
        while let Some(ended) = tasks.join_next().await.map(flatten) {
            first = std::mem::replace(&mut first, Ok(())).and(ended);
        }
    });
    if ending.await.is_err() {
        tracing::warn!(left = tasks.len(), "some tasks did not stop in time");
    }
    first
}

fn flatten(ended: Result<Result<(), Fatal>, JoinError>) -> Result<(), Fatal> {
    ended.map_err(Fatal::from).and_then(|result| result)
}
