//! From a checked request to an order in the ledger. No RPC, no SQL: one append, and a look back only on a conflict.

use crate::error::Problem;
use domain::order::{self, Command};
use domain::{Event, OrderEvent, PaymentId, PaymentRequest};
use ledger::{AppendError, Expected, GroupCommit, Ledger, NewEvent};
use runtime::failpoint;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Longest wait for the ledger's ack. A leader election takes 6.5 s, and a 202 after that is better than a 503 after
/// which nobody knows.
const APPEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Looks into the ledger at once for requests that are not payable as they are.
const LOOKUPS: usize = 32;

pub(crate) struct Intake {
    ledger: Ledger,
    commit: GroupCommit,
    lookups: Semaphore,
}

impl Intake {
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self { commit: GroupCommit::start(ledger.clone()), ledger, lookups: Semaphore::new(LOOKUPS) }
    }

    /// Writes the order down and answers with its id: the first time, and every time the same order comes again.
    ///
    /// # Errors
    /// `KeyReused` with nothing written; `LedgerAway` when it is not known whether it was: the same request is safe.
    pub(crate) async fn accept(&self, request: PaymentRequest, trace: String) -> Result<PaymentId, Problem> {
        self.admit()?;
        let id = request.id();
        let event = Event::Order(id, OrderEvent::PaymentRequested(Box::new(request.clone())));
        let append = NewEvent { event, expected: Expected::Version(0), trace: Some(trace) };
        failpoint("C01");
        let append = in_flight(self.commit.append(vec![append]));
        match tokio::time::timeout(APPEND_TIMEOUT, append).await {
            Ok(Ok(_)) => {
                failpoint("C03");
                Ok(id)
            }
            Ok(Err(AppendError::WrongVersion)) => match self.known(request).await? {
                Some(id) => Ok(id),
                // Somebody wrote before us, and what it was cannot be seen yet.
                None => Err(Problem::LedgerAway),
            },
            Ok(Err(e)) => {
                tracing::error!(%id, error = %e, "order {id} could not be written");
                Err(Problem::LedgerAway)
            }
            Err(_) => {
                tracing::error!(%id, timeout_s = APPEND_TIMEOUT.as_secs(), "no answer to the append of order {id}");
                Err(Problem::LedgerAway)
            }
        }
    }

    /// The id of `request` if it was accepted before. For a payment that could no longer be taken, and is asked for
    /// again: its time is over, or it comes with another order.
    ///
    /// # Errors
    /// `KeyReused` when its authorization pays for another order; `LedgerAway` and `Busy` when that is not known.
    pub(crate) async fn accepted_before(&self, request: PaymentRequest) -> Result<Option<PaymentId>, Problem> {
        self.admit()?;
        let _permit = self.lookups.try_acquire().map_err(|_| Problem::Busy)?;
        self.known(request).await
    }

    async fn known(&self, request: PaymentRequest) -> Result<Option<PaymentId>, Problem> {
        let id = request.id();
        let loaded = self.ledger.load_order(id).await.map_err(|e| {
            tracing::error!(%id, error = %e, "order {id} could not be read back");
            match e {
                ledger::LedgerError::Transient(_) => Problem::LedgerAway,
                ledger::LedgerError::Corrupt(_) => Problem::OrderUnreadable(id),
            }
        })?;
        match order::decide(loaded.state.as_ref(), Command::Request(Box::new(request))) {
            Ok(None) => Ok(Some(id)),
            Ok(Some(_)) => Ok(None),
            Err(_) => Err(Problem::KeyReused(id)),
        }
    }

    /// Whether an order may be taken now. The one place that says 503 before anything is written.
    fn admit(&self) -> Result<(), Problem> {
        if self.ledger.is_connected() { Ok(()) } else { Err(Problem::LedgerAway) }
    }
}

/// Awaits the append. Test builds pass C02 here: the message is on its way, its ack is not processed.
#[cfg(feature = "failpoints")]
async fn in_flight<T>(append: impl Future<Output = T>) -> T {
    let crash = async {
        tokio::time::sleep(Duration::from_millis(2)).await;
        failpoint("C02");
    };
    futures_util::future::join(append, crash).await.0
}

#[cfg(not(feature = "failpoints"))]
async fn in_flight<T>(append: impl Future<Output = T>) -> T {
    append.await
}
