//! An orderly end: one token that every task watches; the first task to fail stops the rest.

use crate::undone::causes;
use std::fmt;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// Tasks have this long, together, to finish what they began. C29 allows ten seconds in all, and servers stop after them.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// What ends a process with a non-zero exit; printed once, with its causes.
pub struct Fatal(Box<dyn std::error::Error + Send + Sync>);

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> From<E> for Fatal {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Debug for Fatal {
    /// The sentence and its causes on one line: this is what `main` prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", causes(&*self.0))
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A token that SIGINT and SIGTERM cancel. A second signal ends the process at once.
///
/// # Errors
/// When the signals cannot be watched.
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

/// A part that only ends when it is told to, as a task among others that can fail.
///
/// # Errors
/// None.
pub async fn unfailing(part: impl Future<Output = ()>) -> Result<(), Fatal> {
    part.await;
    Ok(())
}

/// Waits for all tasks. The first failure cancels `stop` and is returned; tasks that do not end within
/// [`STOP_TIMEOUT`] of the stop are dropped.
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
