//! From a checked request to an order in the ledger. No RPC, no SQL: one append, and a look back only on a conflict.

use crate::admission::{Admission, Refusal};
use crate::error::Problem;
use crate::records::Records;
use domain::order::{self, Command, Rejection};
use domain::{Event, IdempotencyKey, KeyBound, KeyEvent, OrderEvent, PaymentId, PaymentRequest, Purchase};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use ledger::{AppendError, Expected, GroupCommit, Ledger, LedgerError, NewEvent};
use runtime::{causes, failpoint};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Longest wait for the ledger's ack. A leader election takes 6.5 s, and a 202 after that is better than a 503 after
/// which nobody knows.
const APPEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Looks into the ledger at once for requests that are not taken as they are.
const LOOKUPS: usize = 32;

/// The same in a second while no order is taken, for requests of which nothing is known here: most of them are new, and
/// the ledger has enough to do.
const LOOKUPS_WHEN_CLOSED: NonZeroU32 = NonZeroU32::new(20).unwrap();

/// Appends that may wait for their turn: two group commits. Who would be behind these is told to come back.
const WAITING_MAX: usize = 1_024;

/// A payment that its payer has signed, and the names that its application gave it.
pub(crate) struct Incoming {
    pub(crate) request: PaymentRequest,
    pub(crate) keys: Vec<IdempotencyKey>,
    pub(crate) trace: String,
}

pub(crate) struct Intake {
    ledger: Ledger,
    commit: GroupCommit,
    admission: Arc<Admission>,
    records: Arc<Records>,
    lookups: Semaphore,
    lookups_when_closed: DefaultDirectRateLimiter,
}

impl Intake {
    pub(crate) fn new(ledger: Ledger, admission: Arc<Admission>, records: Arc<Records>) -> Self {
        let commit = GroupCommit::start(ledger.clone());
        let lookups_when_closed = RateLimiter::direct(Quota::per_second(LOOKUPS_WHEN_CLOSED));
        Self { commit, ledger, admission, records, lookups: Semaphore::new(LOOKUPS), lookups_when_closed }
    }

    /// Before anything dear is done: while no order is taken, only those go on that may have been accepted.
    ///
    /// # Errors
    /// `NotAdmitted`: a new one would not be taken, and nothing is known of this one.
    pub(crate) fn pass(&self, id: PaymentId) -> Result<(), Problem> {
        let Err(refusal) = self.admission.open() else { return Ok(()) };
        let may_be_known = self.admission.has_seen(id) || self.lookups_when_closed.check().is_ok();
        if may_be_known { Ok(()) } else { Err(Problem::NotAdmitted(refusal)) }
    }

    /// Writes the order down and answers with its id: the first time, and every time the same order comes again, with
    /// the same authorization or under the same key. `now_s` are unix seconds.
    ///
    /// # Errors
    /// `KeyReused` and `KeyNamesAnother` with nothing written; `NotAdmitted` the same; `LedgerAway` when it is not known
    /// whether it was: the same request is safe.
    pub(crate) async fn accept(&self, incoming: Incoming, now_s: u64) -> Result<PaymentId, Problem> {
        let request = &incoming.request;
        let Purchase::Mint { token, .. } = request.purchase;
        let left = Duration::from_secs(request.authorization.valid_before.saturating_sub(now_s));
        if let Err(refusal) = self.admission.admit(request.id(), (request.payer(), token), left) {
            return match self.accepted_before(&incoming).await {
                Ok(Some(id)) => Ok(id),
                // It is new, or nobody can tell now: either way it is not taken.
                Ok(None) | Err(Problem::LedgerAway | Problem::Busy) => Err(Problem::NotAdmitted(refusal)),
                Err(told) => Err(told),
            };
        }
        let accepted = self.write(&incoming).await;
        match &accepted {
            // Written, or nobody knows: then it counts as under way until it is seen, or long overdue.
            Ok(id) if *id == incoming.request.id() => {}
            Err(Problem::LedgerAway) => {}
            Ok(_) | Err(_) => self.admission.release(incoming.request.id()),
        }
        accepted
    }

    async fn write(&self, incoming: &Incoming) -> Result<PaymentId, Problem> {
        if self.commit.waiting() >= WAITING_MAX {
            return Err(Problem::Busy);
        }
        let id = incoming.request.id();
        failpoint("C01");
        let append = in_flight(self.commit.append(incoming.events()));
        match tokio::time::timeout(APPEND_TIMEOUT, append).await {
            Ok(Ok(())) => {
                failpoint("C03");
                Ok(id)
            }
            // Somebody wrote before us; what it was may not be seen yet.
            Ok(Err(AppendError::WrongVersion)) => match self.known(incoming).await? {
                Some(known) => Ok(known),
                None => self.complete(incoming).await,
            },
            Ok(Err(AppendError::Stopped(why))) => {
                tracing::error!(%id, why, "order {id} is not written");
                Err(Problem::NotAdmitted(Refusal::broken()))
            }
            Ok(Err(e @ (AppendError::Unknown(_) | AppendError::Refused(_)))) => {
                tracing::error!(%id, error = %causes(&e), "order {id} could not be written");
                Err(Problem::LedgerAway)
            }
            Err(_) => {
                tracing::error!(%id, timeout_s = APPEND_TIMEOUT.as_secs(), "no answer to the append of order {id}");
                Err(Problem::LedgerAway)
            }
        }
    }

    /// The id of this order if it was accepted before. For a payment that is not taken now, and comes again: its time
    /// is over, it comes with another order, or too much is under way.
    ///
    /// # Errors
    /// `KeyReused` and `KeyNamesAnother` when it is another order; `LedgerAway` and `Busy` when that is not known.
    pub(crate) async fn accepted_before(&self, incoming: &Incoming) -> Result<Option<PaymentId>, Problem> {
        if !self.ledger.is_connected() {
            return Err(Problem::LedgerAway);
        }
        let _permit = self.lookups.try_acquire().map_err(|_| Problem::Busy)?;
        self.known(incoming).await
    }

    /// The same, and also of an earlier ledger: its orders have rows, and their windows have closed (D2).
    ///
    /// # Errors
    /// As [`Intake::accepted_before`].
    pub(crate) async fn accepted_ever(&self, incoming: &Incoming) -> Result<Option<PaymentId>, Problem> {
        let id = incoming.request.id();
        match self.accepted_before(incoming).await? {
            Some(known) => Ok(Some(known)),
            None => match self.records.stored(id).await {
                Some(row) if row.is_of(&incoming.request) => Ok(Some(id)),
                Some(_) => Err(Problem::KeyReused(id)),
                None => Ok(None),
            },
        }
    }

    /// First what the authorization itself says: it is one payment for ever. Then what its keys name. Keys that name
    /// nothing yet name the same order from now on, or the next authorization under one of them would be charged, too.
    async fn known(&self, incoming: &Incoming) -> Result<Option<PaymentId>, Problem> {
        let id = incoming.request.id();
        let loaded = self.ledger.load_order(id).await.map_err(|e| unreadable(id, &e))?;
        match order::decide(loaded.state.as_ref(), Command::Request(Box::new(incoming.request.clone()))) {
            Ok(None) => return self.bind(incoming, id).await,
            Ok(Some(_)) => {}
            Err(Rejection::KeyReusedWithAnotherOrder) => return Err(Problem::KeyReused(id)),
            Err(Rejection::Contradiction | Rejection::OutOfOrder { .. }) => return Err(Problem::OrderUnreadable(id)),
        }
        let Some(named) = self.ledger.bound_to(&incoming.keys).await.map_err(|e| unreadable(id, &e))? else {
            return Ok(None);
        };
        if named == id {
            // Its key alone is there: see `complete`.
            return Ok(None);
        }
        let first = self.ledger.load_order(named).await.map_err(|e| unreadable(named, &e))?;
        let first = first.state.ok_or(Problem::LedgerAway)?.request;
        let second = &incoming.request;
        let same = (first.chain_id, first.asset, &first.purchase) == (second.chain_id, second.asset, &second.purchase);
        if same { self.bind(incoming, named).await } else { Err(Problem::KeyNamesAnother(named)) }
    }

    /// nats-server can keep the beginning of a batch and refuse the rest (F07, `Ledger::append`): a key of this order, and
    /// not the order. Then what is missing is written now. In every other case nothing is.
    async fn complete(&self, incoming: &Incoming) -> Result<PaymentId, Problem> {
        let id = incoming.request.id();
        let mut missing = vec![incoming.order()];
        for key in &incoming.keys {
            match self.ledger.bound_to(&[*key]).await.map_err(|e| unreadable(id, &e))? {
                Some(named) if named == id => {}
                Some(_) => return Err(Problem::LedgerAway),
                None => missing.insert(0, incoming.bound(*key, id)),
            }
        }
        if missing.len() > incoming.keys.len() {
            return Err(Problem::LedgerAway);
        }
        match self.ledger.append(&missing).await {
            Ok(_) => Ok(id),
            Err(AppendError::Stopped(_)) => Err(Problem::NotAdmitted(Refusal::broken())),
            Err(error @ (AppendError::WrongVersion | AppendError::Unknown(_) | AppendError::Refused(_))) => {
                tracing::error!(%id, error = %causes(&error), "order {id}, whose key is written, could not be written");
                Err(Problem::LedgerAway)
            }
        }
    }

    /// The keys that came name `id` from now on; answers with it. One that names another order stays what it is.
    async fn bind(&self, incoming: &Incoming, id: PaymentId) -> Result<Option<PaymentId>, Problem> {
        for key in &incoming.keys {
            match self.ledger.append(&[incoming.bound(*key, id)]).await {
                Ok(_) | Err(AppendError::WrongVersion) => {}
                // It may name the order already, and then the order is answered.
                Err(AppendError::Stopped(_)) => match self.ledger.bound_to(&[*key]).await {
                    Ok(Some(named)) if named == id => {}
                    Ok(_) => return Err(Problem::NotAdmitted(Refusal::broken())),
                    Err(e) => return Err(unreadable(id, &e)),
                },
                Err(e @ (AppendError::Unknown(_) | AppendError::Refused(_))) => {
                    tracing::error!(%id, error = %causes(&e), "a key of order {id} could not be written");
                    return Err(Problem::LedgerAway);
                }
            }
        }
        Ok(Some(id))
    }
}

impl Incoming {
    /// What is written if all of it is new: each key that names the order, and the order. All or nothing; and should the
    /// server keep a beginning all the same, then a key without its order, which charges nobody. The other way round, the
    /// next authorization under the key would be charged, too.
    fn events(&self) -> Vec<NewEvent> {
        let payment_id = self.request.id();
        self.keys.iter().map(|key| self.bound(*key, payment_id)).chain([self.order()]).collect()
    }

    fn order(&self) -> NewEvent {
        let request = OrderEvent::PaymentRequested(Box::new(self.request.clone()));
        let event = Event::Order(self.request.id(), request);
        NewEvent { event, expected: Expected::Version(0), trace: Some(self.trace.clone()) }
    }

    fn bound(&self, key: IdempotencyKey, payment_id: PaymentId) -> NewEvent {
        let event = Event::Key(key, KeyEvent::Bound(KeyBound { payment_id }));
        NewEvent { event, expected: Expected::Absent, trace: Some(self.trace.clone()) }
    }
}

fn unreadable(id: PaymentId, error: &LedgerError) -> Problem {
    tracing::error!(%id, error = %causes(error), "order {id} could not be read back");
    match error {
        LedgerError::Transient { .. } | LedgerError::Newer { .. } => Problem::LedgerAway,
        LedgerError::Corrupt { .. } => Problem::OrderUnreadable(id),
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
