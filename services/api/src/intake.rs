//! From a checked request to an order in the ledger. It makes one append, and one lookup only on a conflict. It uses no
//! RPC and no SQL.

use crate::writes::{ORDER_BYTES, WriteBudgets, WroteTooMuch, names_bytes};
use alloy_primitives::Address;
use chrono::Utc;
use domain::{
    Event, IdempotencyKey, KeyBound, KeyEvent, OrderEvent, PaymentId, PaymentRequest, RequestFields, TokenTerms,
};
use edge::ClientIp;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use ledger::{AppendError, Batch, Expected, GroupCommit, Ledger, LedgerError, NewEvent};
use live::{Admission, Bought, NotAdmitted, NotBound, Records};
use runtime::failpoint::{ORDER_APPENDED_NOT_ACCEPTED, ORDER_CHECKED_NOT_APPENDED, failpoint};
use runtime::{REFUSALS, SharedSettings, causes};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Maximum number of concurrent ledger lookups for requests that were not accepted at first sight.
const LOOKUPS: usize = 32;

/// Lookups per second for unknown requests while no order is accepted. Most of these are new, and the ledger is busy.
const LOOKUPS_WHEN_CLOSED: NonZeroU32 = NonZeroU32::new(20).unwrap();

/// Appends that may wait for their turn: two group commits. Further requests are told to come back.
const WAITING_MAX: usize = 1_024;

/// The names that a payer's application gave its payment.
pub(crate) struct Names {
    pub(crate) keys: Vec<IdempotencyKey>,
    /// W3C trace context.
    pub(crate) trace: String,
    /// The address that sent them.
    pub(crate) client: ClientIp,
}

/// Why a payment is not accepted. Only after `LedgerAway` it may have been written; the same request again is safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IntakeError {
    /// The authorization pays for another order: this id, with other contents.
    KeyReused(PaymentId),
    /// An idempotency key names this order, which is another purchase.
    KeyNamesAnother(PaymentId),
    /// This order takes no further idempotency key.
    TooManyKeys(PaymentId),
    /// No order is accepted now.
    NotAdmitted(NotAdmitted),
    /// The address or the payer has written as much as it may.
    WroteTooMuch(WroteTooMuch),
    /// The ledger is unavailable.
    LedgerAway,
    /// Too many such requests at the same time.
    Busy,
    /// The ledger holds events of this order that no decider wrote. An operator must look.
    OrderUnreadable(PaymentId),
}

/// The ledger's knowledge of a payment.
enum Known {
    /// This order: it has the same authorization, or one of its keys names the same purchase. All its keys name it.
    This(PaymentId),
    /// A key names this order, and the order is missing: nats-server can keep the beginning of a refused batch.
    /// `unbound`: the keys that name no order yet.
    Half { unbound: Vec<IdempotencyKey> },
    /// Nothing.
    New,
}

impl IntakeError {
    /// Returns whether another try makes no sense soon.
    fn is_last_word(&self) -> bool {
        matches!(self, Self::NotAdmitted(refusal) if refusal.retry_after_s.is_none())
    }
}

pub(crate) struct Intake {
    ledger: Ledger,
    commit: GroupCommit,
    admission: Arc<Admission>,
    records: Arc<Records>,
    append_timeout: Duration,
    lookups: Semaphore,
    lookups_when_closed: DefaultDirectRateLimiter,
    writes: WriteBudgets,
    settings: SharedSettings,
}

impl Intake {
    /// `append_timeout` is the longest wait for the acknowledgement of an append.
    pub(crate) fn new(
        ledger: Ledger,
        admission: Arc<Admission>,
        records: Arc<Records>,
        append_timeout: Duration,
        settings: SharedSettings,
    ) -> Self {
        Self {
            commit: GroupCommit::start(ledger.clone()),
            ledger,
            admission,
            records,
            append_timeout,
            lookups: Semaphore::new(LOOKUPS),
            lookups_when_closed: RateLimiter::direct(Quota::per_second(LOOKUPS_WHEN_CLOSED)),
            writes: WriteBudgets::default(),
            settings,
        }
    }

    /// Checks that `client` may write another order. Asked before a client signs anything.
    ///
    /// # Errors
    /// `WroteTooMuch`.
    pub(crate) fn may_write(&self, client: ClientIp) -> Result<(), IntakeError> {
        self.check_bytes(client, None, ORDER_BYTES)
    }

    fn check_bytes(&self, client: ClientIp, payer: Option<Address>, bytes: u64) -> Result<(), IntakeError> {
        let checked = self.writes.check(client, payer, bytes, &self.settings.now(), Utc::now());
        checked.map_err(IntakeError::WroteTooMuch)
    }

    fn wrote(&self, client: ClientIp, payer: Address, bytes: u64) {
        self.writes.wrote(client, payer, bytes, &self.settings.now(), Utc::now());
    }

    /// Checked before the signature, which is expensive. While no order is accepted, only those pass that may have been
    /// accepted earlier.
    ///
    /// # Errors
    /// `NotAdmitted`: a new order would be refused, and this one is not known.
    pub(crate) fn pass(&self, id: PaymentId, terms: &TokenTerms) -> Result<(), IntakeError> {
        let Err(refusal) = self.admission.open_at(terms) else { return Ok(()) };
        if self.admission.has_seen(id) || self.lookups_when_closed.check().is_ok() {
            return Ok(());
        }
        REFUSALS.add(&[refusal.why.code()]);
        Err(IntakeError::NotAdmitted(refusal))
    }

    /// Writes the order and returns its id. The same order again, with the same authorization or under the same key,
    /// gets the same id. `terms` are those of its token. `now_s` is in unix seconds.
    ///
    /// # Errors
    /// [`IntakeError`].
    pub(crate) async fn accept(
        &self,
        request: &PaymentRequest,
        names: &Names,
        terms: &TokenTerms,
        now_s: u64,
    ) -> Result<PaymentId, IntakeError> {
        let (id, bought) = (request.id(), Bought::by(request));
        let left = Duration::from_secs(request.authorization.valid_before.saturating_sub(now_s));
        let (is_new, bytes) = (!self.admission.has_seen(id), ORDER_BYTES.saturating_add(names_bytes(names.keys.len())));
        let room = if is_new { self.check_bytes(names.client, Some(bought.payer), bytes) } else { Ok(()) };
        let admit = || self.admission.admit(id, bought, terms, left).map_err(IntakeError::NotAdmitted);
        if let Err(refusal) = room.and_then(|()| admit()) {
            return match self.accepted_before(request, names).await {
                Ok(Some(known)) => Ok(known),
                // A last word is not said to a payer whose order may be known: the answer is to ask again.
                Err(unknown @ (IntakeError::LedgerAway | IntakeError::Busy)) if refusal.is_last_word() => Err(unknown),
                // The order is new, or it is unknown if it is. In both cases it is not accepted.
                Ok(None) | Err(IntakeError::LedgerAway | IntakeError::Busy) => Err(refusal),
                Err(other) => Err(other),
            };
        }
        let accepted = self.write(request, names).await;
        // An order that is stored, or may be stored, counts as under way until the follower sees it or it is long
        // overdue.
        if accepted != Ok(id) && accepted != Err(IntakeError::LedgerAway) {
            self.admission.release(id, bought);
        } else if is_new {
            self.wrote(names.client, bought.payer, bytes);
        }
        accepted
    }

    /// The id of an order that was accepted before, also one of an earlier ledger: its row is in the read models.
    /// For a payment that is not accepted now, because it expired or comes with another purchase.
    ///
    /// # Errors
    /// [`IntakeError`], but not `NotAdmitted` while the ledger is sound.
    pub(crate) async fn accepted_ever(
        &self,
        request: &RequestFields,
        names: &Names,
    ) -> Result<Option<PaymentId>, IntakeError> {
        let id = request.id();
        if let Some(known) = self.accepted_before(request, names).await? {
            return Ok(Some(known));
        }
        match self.records.stored(id).await {
            Some(row) if row.is_of(request) => Ok(Some(id)),
            Some(_) => Err(IntakeError::KeyReused(id)),
            None => Ok(None),
        }
    }

    async fn accepted_before(&self, request: &RequestFields, names: &Names) -> Result<Option<PaymentId>, IntakeError> {
        if !self.ledger.is_connected() {
            return Err(IntakeError::LedgerAway);
        }
        let _permit = self.lookups.try_acquire().map_err(|_| IntakeError::Busy)?;
        match self.known(request, names).await? {
            Known::This(id) => Ok(Some(id)),
            Known::Half { .. } | Known::New => Ok(None),
        }
    }

    /// Appends the order. After a conflict, what the ledger knows decides.
    async fn write(&self, request: &PaymentRequest, names: &Names) -> Result<PaymentId, IntakeError> {
        if self.commit.waiting() >= WAITING_MAX {
            return Err(IntakeError::Busy);
        }
        let id = request.id();
        failpoint(ORDER_CHECKED_NOT_APPENDED);
        let append = in_flight(self.commit.append(names.batch(request, &names.keys)), &self.ledger, id);
        let Ok(appended) = tokio::time::timeout(self.append_timeout, append).await else {
            let timeout_s = self.append_timeout.as_secs();
            tracing::error!(%id, timeout_s, "no answer to the append of order {id}");
            return Err(IntakeError::LedgerAway);
        };
        match appended {
            Ok(()) => {
                failpoint(ORDER_APPENDED_NOT_ACCEPTED);
                self.admission.named(id, &names.keys);
                return Ok(id);
            }
            Err(AppendError::WrongVersion) => {}
            Err(error @ (AppendError::Stopped(_) | AppendError::Unknown(_) | AppendError::Refused(_))) => {
                return Err(unwritten(id, &error));
            }
        }
        // Another request was first. Its order may not be visible in memory yet.
        match self.known(request, names).await? {
            Known::This(id) => Ok(id),
            Known::Half { unbound } => {
                self.ledger.append(names.batch(request, &unbound)).await.map(|_| id).map_err(|e| unwritten(id, &e))
            }
            Known::New => Err(IntakeError::LedgerAway),
        }
    }

    /// Asks the ledger for the order and its keys, in one request. The authorization decides first, because it is one
    /// payment permanently; then the keys. Binds the other keys of a known order to it.
    ///
    /// # Errors
    /// `KeyReused`, `KeyNamesAnother`: the authorization or one of the keys belongs to another order. `TooManyKeys`: the order
    /// takes no further key. Otherwise the ledger did not answer, has no room, or what it holds cannot be read.
    async fn known(&self, request: &RequestFields, names: &Names) -> Result<Known, IntakeError> {
        let (keys, id) = (&names.keys, request.id());
        let (order, named) = self.ledger.order_and_keys(id, keys).await.map_err(|e| unreadable(id, &e))?;
        let unbound: Vec<_> =
            keys.iter().zip(&named).filter(|(_, named)| named.is_none()).map(|(key, _)| *key).collect();
        let (known, version) = match (order.state, named.iter().flatten().find(|named| **named != id)) {
            (Some(first), _) => {
                first.request_again(request).map_err(|_| IntakeError::KeyReused(id))?;
                (id, order.version)
            }
            (None, Some(named)) => (*named, self.same_purchase(*named, request).await?),
            (None, None) if unbound.len() < keys.len() => return Ok(Known::Half { unbound }),
            (None, None) => return Ok(Known::New),
        };
        self.bind(names, (known, version), &unbound).await.map(Known::This)
    }

    /// Returns the version of the order that a key names, if it is the purchase of `request`.
    ///
    /// # Errors
    /// `KeyNamesAnother`: it is another purchase.
    async fn same_purchase(&self, named: PaymentId, request: &RequestFields) -> Result<u64, IntakeError> {
        let loaded = self.ledger.load_order(named).await.map_err(|e| unreadable(named, &e))?;
        let first = loaded.state.ok_or(IntakeError::LedgerAway)?.request;
        let same =
            (first.chain_id, first.asset, &first.purchase) == (request.chain_id, request.asset, &request.purchase);
        if same { Ok(loaded.version) } else { Err(IntakeError::KeyNamesAnother(named)) }
    }

    /// Binds the keys that name no order yet to `id`, which has this version, and returns it. Otherwise the next
    /// authorization under one of them would be charged as well. If the order takes no further key, its payer is told so,
    /// and must not rely on the key.
    async fn bind(
        &self,
        names: &Names,
        (id, version): (PaymentId, u64),
        unbound: &[IdempotencyKey],
    ) -> Result<PaymentId, IntakeError> {
        let payer = unbound.first().map(|key| key.payer);
        if let Some(payer) = payer {
            let bytes = names_bytes(unbound.len());
            self.check_bytes(names.client, Some(payer), bytes)?;
            self.wrote(names.client, payer, bytes);
            self.admission.bind(id, version, unbound).map_err(|why| match why {
                NotBound::NotAdmitted(refusal) => IntakeError::NotAdmitted(refusal),
                NotBound::TooMany => IntakeError::TooManyKeys(id),
                NotBound::Starting => IntakeError::Busy,
            })?;
        }
        for key in unbound {
            match self.ledger.append(&[names.bound(*key, id)]).await {
                // After a wrong version another request has bound the key, and its order stands.
                Ok(_) | Err(AppendError::WrongVersion) => {}
                Err(error @ (AppendError::Stopped(_) | AppendError::Unknown(_) | AppendError::Refused(_))) => {
                    return Err(unwritten(id, &error));
                }
            }
        }
        Ok(id)
    }
}

impl Names {
    fn bound(&self, key: IdempotencyKey, payment_id: PaymentId) -> NewEvent {
        let event = Event::Key(key, KeyEvent::Bound(KeyBound { payment_id }));
        NewEvent { event, expected: Expected::Absent, trace: Some(self.trace.clone()) }
    }

    /// The events of `keys`, and then the order. A key without its order charges no payer, while after an order without
    /// its key the next authorization under the key could be charged as well.
    fn batch(&self, request: &PaymentRequest, keys: &[IdempotencyKey]) -> Batch {
        let id = request.id();
        let request = OrderEvent::PaymentRequested(Box::new(request.clone()));
        let (event, trace) = (Event::Order(id, request), Some(self.trace.clone()));
        let order = NewEvent { event, expected: Expected::Version(0), trace };
        Batch::led_by(keys.iter().map(|key| self.bound(*key, id))).then([order])
    }
}

/// The answer to an append that failed. After `WrongVersion` the lookup was stale as well, so the outcome is unknown.
fn unwritten(id: PaymentId, error: &AppendError) -> IntakeError {
    tracing::error!(%id, error = %causes(error), "order {id} or one of its keys could not be written");
    match error {
        AppendError::Stopped(_) => IntakeError::NotAdmitted(NotAdmitted::broken()),
        AppendError::WrongVersion | AppendError::Unknown(_) | AppendError::Refused(_) => IntakeError::LedgerAway,
    }
}

fn unreadable(id: PaymentId, error: &LedgerError) -> IntakeError {
    tracing::error!(%id, error = %causes(error), "order {id} could not be read back");
    match error {
        LedgerError::Transient { .. } | LedgerError::Newer { .. } => IntakeError::LedgerAway,
        LedgerError::Corrupt { .. } => IntakeError::OrderUnreadable(id),
    }
}

/// Awaits the append of order `id`. Test builds can be killed here, once the ledger has the order and before its answer
/// is processed.
#[cfg(feature = "failpoints")]
async fn in_flight<T>(append: impl Future<Output = T>, ledger: &Ledger, id: PaymentId) -> T {
    use runtime::failpoint::{ORDER_APPEND_NOT_ANSWERED, is_armed};
    let crash = async {
        while is_armed(ORDER_APPEND_NOT_ANSWERED)
            && !ledger.load_order(id).await.is_ok_and(|order| order.state.is_some())
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        failpoint(ORDER_APPEND_NOT_ANSWERED);
    };
    futures_util::future::join(append, crash).await.0
}

#[cfg(not(feature = "failpoints"))]
async fn in_flight<T>(append: impl Future<Output = T>, _: &Ledger, _: PaymentId) -> T {
    append.await
}
