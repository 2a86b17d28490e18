//! Waiting: for a state, never for a time.

use std::time::{Duration, Instant};

/// Time limit of every wait. An event that has not happened by then on a busy machine will not happen any more.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Calls `look` until it returns something.
///
/// # Panics
/// After [`PATIENCE`], with the description of the wait.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let begun = Instant::now();
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            assert!(begun.elapsed() < PATIENCE, "{caller}: still not after {} s: {what}", PATIENCE.as_secs());
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Calls `look` until it returns true.
///
/// # Panics
/// As [`eventually`].
#[track_caller]
pub fn until(what: &str, look: impl AsyncFn() -> bool) -> impl Future<Output = ()> {
    eventually(what, async move || look().await.then_some(()))
}
