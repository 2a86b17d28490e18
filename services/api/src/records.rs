//! Where a payment stands: from the read models, and from the ledger where these lag, lack it, or do not answer.
//!
//! Both ways go through [`store::project`], so that there is one meaning of every status.

use crate::error::Problem;
use crate::queue::Snapshot;
use chrono::{DateTime, Utc};
use domain::{Event, PaymentId};
use ledger::{Ledger, Recorded};
use runtime::CancellationToken;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store::{OpenOrder, PaymentView, Stamp, Store, StoreError, project};

/// Connections to the read models: reads are by key and take under a millisecond.
const CONNECTIONS: u32 = 4;
/// How often the read models are asked whether they are there.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// A read model that takes longer than this is passed over: the ledger knows as well.
const READ_TIMEOUT: Duration = Duration::from_millis(500);
/// The same of everything that is under way: ten thousands of rows.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct Records {
    ledger: Ledger,
    store: OnceLock<Store>,
    store_answers: AtomicBool,
    pub(crate) snapshot: Snapshot,
}

impl Records {
    /// Reads from the ledger alone until [`Records::watch_store`] has found the read models.
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self { ledger, store: OnceLock::new(), store_answers: AtomicBool::new(false), snapshot: Snapshot::default() }
    }

    /// Whether the read models answer.
    pub(crate) fn store_answers(&self) -> bool {
        self.store_answers.load(Ordering::Relaxed)
    }

    /// The payment, whether or not the read models have it yet.
    pub(crate) async fn payment(&self, id: PaymentId) -> Result<Option<PaymentView>, Problem> {
        if let Some(view) = self.stored(id).await {
            return Ok(Some(view));
        }
        let history = self.history(id).await?;
        // What a damaged ledger lacks may have been in it: nobody is told that their order does not exist.
        if history.is_empty() && self.ledger.stopped().is_some() {
            return Err(Problem::LedgerAway);
        }
        let view = fold(id, &history);
        if view.is_none() && !history.is_empty() { Err(Problem::OrderUnreadable(id)) } else { Ok(view) }
    }

    /// What is under way, and the sequence that this reflects; none while the read models do not answer, or follow
    /// another ledger than the one that was created at `incarnation`.
    pub(crate) async fn open_orders(&self, incarnation: DateTime<Utc>) -> Option<(u64, Vec<OpenOrder>)> {
        let (position, open) = self.within(SNAPSHOT_TIMEOUT, async |store| store.open_orders().await).await?;
        position.is_of(incarnation).then_some((position.seq, open))
    }

    /// Every event of the order that the ledger has now, by sequence.
    pub(crate) async fn history(&self, id: PaymentId) -> Result<Vec<Recorded>, Problem> {
        if !self.ledger.is_connected() {
            return Err(Problem::LedgerAway);
        }
        self.ledger.order_history(id).await.map_err(|e| {
            tracing::warn!(%id, error = %runtime::causes(&e), "the history of order {id} could not be read");
            Problem::LedgerAway
        })
    }

    /// Its row; none where the read models lack it or do not answer.
    pub(crate) async fn stored(&self, id: PaymentId) -> Option<PaymentView> {
        self.within(READ_TIMEOUT, async |store| store.payment(id).await).await?
    }

    /// What the read models answer within `limit`; who does not is passed over from then on.
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

    /// What the read models answer to a question that the ledger cannot answer: a list, a count.
    ///
    /// # Errors
    /// `ReadModelsAway`: not connected, not begun, refused, or slower than [`READ_TIMEOUT`]. A list that is slow says
    /// nothing of single rows, which are still read.
    pub(crate) async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&Store) -> Result<T, StoreError>,
    ) -> Result<T, Problem> {
        let store = self.store.get().filter(|_| self.store_answers()).ok_or(Problem::ReadModelsAway)?;
        match tokio::time::timeout(READ_TIMEOUT, question(store)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(StoreError::NotBegun)) => {}
            Ok(Err(e)) => self.store_fails(&e),
            Err(slow) => tracing::warn!(error = %slow, "the read models are slow"),
        }
        Err(Problem::ReadModelsAway)
    }

    fn store_fails(&self, why: &dyn std::error::Error) {
        if self.store_answers.swap(false, Ordering::Relaxed) {
            let cause = why.source().map(ToString::to_string);
            tracing::warn!(error = %why, cause, "the read models do not answer; reading from the ledger");
        }
    }

    /// Connects to the read models, however long that takes, and keeps an eye on them until `stop`.
    pub(crate) async fn watch_store(&self, url: &str, stop: CancellationToken) {
        while !stop.is_cancelled() {
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

/// The row that these events of one order make. What cannot be read or cannot follow is passed over, as the
/// read-projector does; a person sees it there.
pub(crate) fn fold(id: PaymentId, history: &[Recorded]) -> Option<PaymentView> {
    history.iter().fold(None, |view, recorded| next(view, id, recorded))
}

/// The row after one more event.
pub(crate) fn next(view: Option<PaymentView>, id: PaymentId, recorded: &Recorded) -> Option<PaymentView> {
    let Ok(Event::Order(_, event)) = &recorded.event else { return view };
    let at = Stamp { seq: recorded.seq, recorded_at: recorded.recorded_at };
    project(view.as_ref(), id, event, at).ok().or(view)
}
