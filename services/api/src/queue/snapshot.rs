//! One reading of the read models, shared by all clients that ask for statistics.
//!
//! The counters cost nothing, but the waiting payers need a scan of the backlog, and clients poll. So a process reads at
//! most once in [`MAX_AGE`], whatever the number of its clients. Counters in the fold would put every payer's number of
//! open orders into the projector's transaction, for a number that only people read.

use crate::error::Problem;
use live::Records;
use std::sync::Arc;
use std::time::Duration;
use store::Overview;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long a reading, or a failed one, is used.
const MAX_AGE: Duration = Duration::from_millis(500);

type Taken = (Instant, Result<Arc<Overview>, Problem>);

/// The last reading.
#[derive(Default)]
pub(crate) struct Snapshot(Arc<Mutex<Option<Taken>>>);

impl Snapshot {
    /// The statistics, not older than [`MAX_AGE`].
    ///
    /// # Errors
    /// `ReadModelsAway`, for all clients until the next reading.
    pub(crate) async fn overview(&self, records: &Arc<Records>) -> Result<Arc<Overview>, Problem> {
        let mut taken = Arc::clone(&self.0).lock_owned().await;
        if let Some((at, result)) = &*taken
            && at.elapsed() < MAX_AGE
        {
            return result.clone();
        }
        // A task of its own: if a client leaves in the middle, the next one does not have to read again.
        let records = Arc::clone(records);
        let reading = tokio::spawn(async move {
            let result = records.ask(async |store| store.overview().await).await.map(Arc::new).map_err(Problem::from);
            *taken = Some((Instant::now(), result.clone()));
            result
        });
        reading.await.unwrap_or(Err(Problem::Internal))
    }
}
