//! The state of a payment, from the read models, or from the ledger if these lag, lack it, or do not answer.
//!
//! Both ways go through [`store::project`], so every status has one meaning.

use chrono::{DateTime, Utc};
use domain::{Event, PaymentId, Recorded, Stage};
use ledger::Ledger;
use runtime::CancellationToken;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store::{PaymentView, Stamp, Standing, Store, StoreError, project};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Connections to the read models. Reads are by key and take less than a millisecond.
const CONNECTIONS: u32 = 4;
/// Pause between two checks of the read models.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// Longest wait for a row. After that the ledger is read instead.
const READ_TIMEOUT: Duration = Duration::from_millis(500);
/// Longest wait for all open orders, which are tens of thousands of rows.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(5);

/// Concurrent reads of the history of one order in the ledger. The events of an old order are in blocks that the server
/// has to load from disk, under the lock that appends need; everybody can name old orders. So the second copy is asked
/// first.
const HISTORIES: usize = 1;
/// Concurrent reads of the second copy, which leave connections to the reads of rows.
const COPIES: usize = 2;
/// Longest wait until one of these reads may begin.
const PLACE_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads payments.
pub struct Records {
    ledger: Ledger,
    histories: Semaphore,
    copies: Semaphore,
    store: OnceLock<Store>,
    store_answers: AtomicBool,
}

/// Why a payment or a list cannot be read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    /// The ledger is unavailable, or damaged and without this order.
    #[error("the ledger is unavailable")]
    LedgerAway,
    /// The read models are unavailable, and only they have the answer.
    #[error("the read models are unavailable")]
    ReadModelsAway,
    /// The ledger holds events of this order that no decider wrote. An operator must look.
    #[error("the history of order {0} cannot be read")]
    OrderUnreadable(PaymentId),
}

impl Records {
    /// Reads from the ledger only, until [`Records::watch_store`] has found the read models.
    pub fn new(ledger: Ledger) -> Self {
        let (histories, copies) = (Semaphore::new(HISTORIES), Semaphore::new(COPIES));
        Self { ledger, histories, copies, store: OnceLock::new(), store_answers: AtomicBool::new(false) }
    }

    /// Returns true if the read models answer.
    pub fn store_answers(&self) -> bool {
        self.store_answers.load(Ordering::Relaxed)
    }

    /// The payment, also if the read models do not have it yet; `None` if it does not exist.
    ///
    /// # Errors
    /// `LedgerAway` and `OrderUnreadable`.
    pub async fn payment(&self, id: PaymentId) -> Result<Option<PaymentView>, RecordsError> {
        if let Some(view) = self.stored(id).await {
            return Ok(Some(view));
        }
        let history = self.history(id).await?;
        // A damaged ledger may have lost the order, so it must not be reported as absent.
        if history.is_empty() && self.ledger.stopped().is_some() {
            return Err(RecordsError::LedgerAway);
        }
        let view = fold(id, &history);
        if view.is_none() && !history.is_empty() { Err(RecordsError::OrderUnreadable(id)) } else { Ok(view) }
    }

    /// The orders under way and the units that are taken. Returns `None` if the read models do not answer, or follow
    /// another ledger than the one that was created at `incarnation`.
    pub(crate) async fn standing(&self, incarnation: DateTime<Utc>) -> Option<Standing> {
        let standing = self.within(SNAPSHOT_TIMEOUT, async |store| store.standing().await).await?;
        standing.position.is_of(incarnation).then_some(standing)
    }

    /// Returns true if the rows say that the order has ended, and that its last event is at sequence `after` or before.
    /// Costs the ledger nothing.
    pub async fn has_ended_by(&self, id: PaymentId, after: u64) -> bool {
        let row = self.stored(id).await;
        row.is_some_and(|row| {
            row.last_seq <= after && matches!(row.stage, Stage::Failed | Stage::Minted | Stage::Refunded)
        })
    }

    /// Every event of the order in the second copy, and the sequence up to which that follows the ledger. `None` if the
    /// read models do not answer, or follow another ledger. Costs the ledger nothing.
    pub(crate) async fn copied(&self, id: PaymentId) -> Option<(u64, Vec<Recorded>)> {
        let _place = place(&self.copies).await.ok()?;
        let (position, messages) = self.ask(async |store| store.order_copy(id).await).await.ok()?;
        let is_current = position.is_of(self.ledger.incarnation());
        is_current.then(|| (position.seq, messages.into_iter().map(ledger::decode_copied).collect()))
    }

    /// Every event of the order that the ledger has now, by sequence. Waits while others read histories.
    ///
    /// # Errors
    /// `LedgerAway`: no answer, or too many read histories.
    pub(crate) async fn history(&self, id: PaymentId) -> Result<Vec<Recorded>, RecordsError> {
        if !self.ledger.is_connected() {
            return Err(RecordsError::LedgerAway);
        }
        let _place = place(&self.histories).await?;
        self.ledger.order_history(id).await.map_err(|e| {
            tracing::warn!(%id, error = %runtime::causes(&e), "the history of order {id} could not be read");
            RecordsError::LedgerAway
        })
    }

    /// The row of the payment. Returns `None` if the read models lack it or do not answer.
    pub async fn stored(&self, id: PaymentId) -> Option<PaymentView> {
        self.within(READ_TIMEOUT, async |store| store.payment(id).await).await?
    }

    /// The answer of the read models within `limit`. After a failure they are not asked until they answer a check.
    async fn within<T>(
        &self,
        limit: Duration,
        question: impl AsyncFnOnce(&Store) -> Result<T, StoreError>,
    ) -> Option<T> {
        let store = self.store.get().filter(|_| self.store_answers())?;
        match tokio::time::timeout(limit, question(store)).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(StoreError::NotBegun)) => {}
            Ok(Err(e)) => self.store_fails(&e),
            Err(slow) => self.store_fails(&slow),
        }
        None
    }

    /// The answer of the read models to a question that the ledger cannot answer, such as a list or a count.
    ///
    /// # Errors
    /// `ReadModelsAway`: not connected, empty, refused, or slower than [`READ_TIMEOUT`]. After a slow list single rows are
    /// still read.
    pub async fn ask<T>(&self, question: impl AsyncFnOnce(&Store) -> Result<T, StoreError>) -> Result<T, RecordsError> {
        let store = self.store.get().filter(|_| self.store_answers()).ok_or(RecordsError::ReadModelsAway)?;
        match tokio::time::timeout(READ_TIMEOUT, question(store)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(StoreError::NotBegun)) => {}
            Ok(Err(e)) => self.store_fails(&e),
            Err(slow) => tracing::warn!(error = %slow, "the read models are slow"),
        }
        Err(RecordsError::ReadModelsAway)
    }

    fn store_fails(&self, why: &dyn std::error::Error) {
        if self.store_answers.swap(false, Ordering::Relaxed) {
            let cause = why.source().map(ToString::to_string);
            tracing::warn!(error = %why, cause, "the read models do not answer; reading from the ledger");
        }
    }

    /// Connects to the read models, however long that takes, and checks them until `stop`.
    pub async fn watch_store(&self, url: &str, stop: CancellationToken) {
        while !stop.is_cancelled() {
            runtime::turn("live.read_models");
            match self.ask_store(url).await {
                Ok(()) if !self.store_answers.swap(true, Ordering::Relaxed) => {
                    tracing::info!("the read models answer");
                }
                Ok(()) => {}
                Err(e) => self.store_fails(&e),
            }
            tokio::select! { () = tokio::time::sleep(PING_INTERVAL) => {}, () = stop.cancelled() => {} }
        }
        if let Some(store) = self.store.get() {
            store.close().await;
        }
    }

    async fn ask_store(&self, url: &str) -> Result<(), StoreError> {
        match self.store.get() {
            Some(store) => store.ping().await,
            None => {
                let store = Store::connect(url, CONNECTIONS).await?;
                let _ = self.store.set(store);
                Ok(())
            }
        }
    }
}

/// Waits until one of the limited reads may begin. The semaphore is never closed.
async fn place(places: &Semaphore) -> Result<SemaphorePermit<'_>, RecordsError> {
    let place = tokio::time::timeout(PLACE_TIMEOUT, places.acquire()).await;
    place.ok().and_then(Result::ok).ok_or(RecordsError::LedgerAway)
}

/// The row that these events of one order make. It skips events that cannot be read or cannot follow, as the
/// read-projector does.
fn fold(id: PaymentId, history: &[Recorded]) -> Option<PaymentView> {
    history.iter().fold(None, |view, recorded| next(view, id, recorded))
}

/// The row after one more event.
fn next(view: Option<PaymentView>, id: PaymentId, recorded: &Recorded) -> Option<PaymentView> {
    let Ok(Event::Order(_, event)) = &recorded.event else { return view };
    let at = Stamp { seq: recorded.seq, recorded_at: recorded.recorded_at };
    project(view.as_ref(), id, event, at).ok().or(view)
}
