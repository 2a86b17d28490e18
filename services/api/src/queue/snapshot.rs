//! One look at the read models for all who ask for statistics.
//!
//! The counters cost nothing, but who waits is a scan of the backlog, and clients poll. So a process asks at most once
//! in [`MAX_AGE`], however many clients it has. Counting that in the fold as well would put every payer's number of
//! open orders into the projector's transaction, for a number that only people read.

use crate::Api;
use crate::error::Problem;
use std::sync::Arc;
use std::time::Duration;
use store::Overview;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// An answer, or a failure, is good for this long.
const MAX_AGE: Duration = Duration::from_millis(500);

type Taken = (Instant, Result<Arc<Overview>, Problem>);

/// The last look.
#[derive(Default)]
pub(crate) struct Snapshot(Arc<Mutex<Option<Taken>>>);

/// What the read models said not longer than [`MAX_AGE`] ago.
///
/// # Errors
/// `ReadModelsAway`, for everybody until the next look.
pub(crate) async fn overview(api: &Arc<Api>) -> Result<Arc<Overview>, Problem> {
    let mut taken = Arc::clone(&api.records.snapshot.0).lock_owned().await;
    if let Some((at, result)) = &*taken
        && at.elapsed() < MAX_AGE
    {
        return result.clone();
    }
    // A task of its own: a client that leaves in the middle must not make the next one ask again.
    let api = Arc::clone(api);
    let look = tokio::spawn(async move {
        let result = api.records.ask(async |store| store.overview().await).await.map(Arc::new);
        *taken = Some((Instant::now(), result.clone()));
        result
    });
    look.await.unwrap_or(Err(Problem::Internal))
}
