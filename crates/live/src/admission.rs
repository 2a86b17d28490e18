//! Admission: decides if another order may be accepted, before anything is written.
//!
//! An accepted order is a promise. It would be broken by an order that cannot be settled while its authorization is
//! valid, by a ledger that is full or damaged, and by a token that is sold out. An order that was accepted earlier is
//! never refused here: the caller looks up a repeated authorization first.

mod refusal;
mod rules;

pub use refusal::{Closed, NotAdmitted, NotBound};

use crate::backlog::{Excess, Forecast, OrderLimits};
use crate::bought::Bought;
use crate::circuit::{Door, Trouble};
use crate::follower::Follower;
use crate::line::Newcomer;
use alloy_primitives::Address;
use chrono::{DateTime, Utc};
use domain::{IdempotencyKey, PaymentId, Quantity, TokenTerms};
use ledger::Ledger;
use refusal::LONGEST_WAIT_S;
use rules::{Conditions, Vitals, is_free, is_too_late, judge, retry_after};
use runtime::{CancellationToken, REFUSALS, Settings, SharedSettings};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The consumer whose messages are the waiting orders.
const CONSUMER: &str = "payment-sender";
/// Pause between two looks at the ledger.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Looks between two checks of its storage.
const STORAGE_EVERY: u32 = 10;
/// Maximum use of the ledger's storage, percent.
const STORAGE_MAX_PERCENT: u64 = 80;

/// Returns whether the price of the token is one at which tokens are sold.
pub fn is_dear_enough(terms: &TokenTerms, settings: &Settings) -> bool {
    terms.unit_price.0 >= settings.price_min
}

/// Decides about admission.
pub struct Admission {
    ledger: Ledger,
    follower: Arc<Follower>,
    settings: SharedSettings,
    vitals: Mutex<Vitals>,
    /// When an order was let through last although the line stands still.
    slow_probe: Mutex<Option<DateTime<Utc>>>,
}

impl Admission {
    /// Admission to `ledger` by the current `settings`.
    pub fn new(ledger: Ledger, follower: Arc<Follower>, settings: SharedSettings) -> Self {
        Self { ledger, follower, settings, vitals: Mutex::default(), slow_probe: Mutex::default() }
    }

    /// Looks at the ledger until `stop`.
    pub async fn watch(&self, stop: CancellationToken) {
        for look in 0_u32.. {
            runtime::turn("live.admission");
            let looked = async {
                self.look(look % STORAGE_EVERY == 0).await;
                tokio::time::sleep(LOOK_INTERVAL).await;
            };
            tokio::select! { () = looked => {}, () = stop.cancelled() => return }
        }
    }

    /// Checks that orders are accepted at all. The door of a token may be closed nevertheless.
    ///
    /// # Errors
    /// [`NotAdmitted`].
    pub fn open(&self) -> Result<(), NotAdmitted> {
        let (now, settings) = (Utc::now(), self.settings.now());
        let trouble = self.follower.circuit(|circuit| circuit.trouble(now));
        // A crowd that waits for one token closes nothing for the others: the zero address is a token that nobody waits for.
        let conditions =
            Conditions { may_probe: false, ..self.conditions(Newcomer::Of(Address::ZERO, None), trouble, now) };
        judge(&conditions, &settings, Duration::from_secs(settings.payment_validity_s))
    }

    /// Checks that an order for the token could be accepted. While the circuit breaker keeps its door closed, that is so
    /// whenever a payment would be let through.
    ///
    /// # Errors
    /// [`NotAdmitted`].
    pub fn open_at(&self, terms: &TokenTerms) -> Result<(), NotAdmitted> {
        let (now, settings) = (Utc::now(), self.settings.now());
        self.is_offered(terms, &settings, now)?;
        let trouble = self.follower.circuit(|circuit| circuit.refuses(Door::of(terms), now));
        judge(
            &self.conditions(Newcomer::Of(terms.token, None), trouble, now),
            &settings,
            Duration::from_secs(settings.payment_validity_s),
        )
    }

    /// Checks that an order of `quantity` units would be accepted. Asked before a client signs anything.
    ///
    /// # Errors
    /// [`NotAdmitted`].
    pub fn open_for(&self, terms: &TokenTerms, quantity: Quantity) -> Result<(), NotAdmitted> {
        self.open_at(terms)?;
        let left = self.follower.units_left(terms.token, terms.max_units);
        let is_sold_out = left.is_some_and(|left| left < u64::from(quantity.get()));
        if is_sold_out { Err(NotAdmitted::sold_out()) } else { Ok(()) }
    }

    /// Admits an order for the token with these terms, whose authorization is valid for another `left`, and counts it as
    /// under way.
    ///
    /// # Errors
    /// [`NotAdmitted`]; then it is not counted.
    pub fn admit(&self, id: PaymentId, order: Bought, terms: &TokenTerms, left: Duration) -> Result<(), NotAdmitted> {
        let admitted = self.try_admit(id, order, terms, left);
        if let Err(refusal) = &admitted {
            REFUSALS.add(&[refusal.why.code()]);
        }
        admitted
    }

    fn try_admit(&self, id: PaymentId, order: Bought, terms: &TokenTerms, left: Duration) -> Result<(), NotAdmitted> {
        let (now, settings) = (Utc::now(), self.settings.now());
        self.is_offered(terms, &settings, now)?;
        let newcomer = Newcomer::Of(terms.token, Some(order.payer));
        let conditions = self.conditions(newcomer, None, now);
        judge(&conditions, &settings, left)?;
        let units = self.follower.is_caught_up().then_some(terms.max_units);
        let limits = OrderLimits { unpaid: settings.unpaid_orders_per_payer_max, units };
        self.follower.backlog(|backlog| backlog.reserve(id, order, limits, now)).map_err(|excess| match excess {
            Excess::Units => NotAdmitted::sold_out(),
            Excess::Unpaid => {
                let wait = retry_after(self.forecast(newcomer, now).settle);
                NotAdmitted { why: Closed::PayerBusy, retry_after_s: Some(wait) }
            }
        })?;
        // An order that was accepted before is answered, and shows nothing.
        if self.has_seen(id) {
            return Ok(());
        }
        // Closed doors come last. They let one order pass in ten seconds, and that one must not be refused here.
        let door = Door::of(terms);
        let passed = self.follower.circuit(|circuit| circuit.check(door, (id, order.payer), now)).map_err(Closed::from);
        let is_probe = is_too_late(conditions.forecast.settle, &settings, left);
        let passed = passed.and_then(|()| if is_probe { self.take_slow_probe(now) } else { Ok(()) });
        passed.map_err(|why| {
            self.release(id, order);
            NotAdmitted::closed(why)
        })
    }

    /// Returns true if the order is known to be in the ledger.
    pub fn has_seen(&self, id: PaymentId) -> bool {
        self.follower.backlog(|backlog| backlog.has_seen(id))
    }

    /// Returns whether the order is one of the latest, which are cheap to read: under way, among those that ended last, or
    /// perhaps being written.
    pub fn is_recent(&self, id: PaymentId) -> bool {
        self.follower.backlog(|backlog| backlog.is_recent(id))
    }

    /// Removes the count of an order that was not written.
    pub fn release(&self, id: PaymentId, order: Bought) {
        self.follower.backlog(|backlog| backlog.release(id));
        self.follower.circuit(|circuit| circuit.free(order.token, id));
    }

    /// Notes keys that are written together with their order.
    pub fn named(&self, id: PaymentId, keys: &[IdempotencyKey]) {
        self.follower.keys(|bound| bound.add(id, keys));
    }

    /// Notes further keys of an order that is in the ledger, up to sequence `version`.
    ///
    /// # Errors
    /// [`NotBound`]; then none of them may be bound.
    pub fn bind(&self, id: PaymentId, version: u64, keys: &[IdempotencyKey]) -> Result<(), NotBound> {
        if self.vitals().full {
            let refusal = NotAdmitted { why: Closed::LedgerFull, retry_after_s: Some(LONGEST_WAIT_S) };
            return Err(NotBound::NotAdmitted(refusal));
        }
        // An order that this process has not read yet is younger than everything that it has forgotten.
        if !self.has_seen(id) && version <= self.follower.hub.last() {
            return Err(if self.follower.is_complete() { NotBound::TooMany } else { NotBound::Starting });
        }
        if self.follower.keys(|bound| bound.add(id, keys)) { Ok(()) } else { Err(NotBound::TooMany) }
    }

    /// Predicted waits of an order that arrives now.
    pub fn forecast(&self, newcomer: Newcomer, now: DateTime<Utc>) -> Forecast {
        self.follower.backlog(|backlog| backlog.forecast(newcomer, now))
    }

    /// Checks the price of the token, and that it has gas for another purchase.
    fn is_offered(&self, terms: &TokenTerms, settings: &Settings, now: DateTime<Utc>) -> Result<(), NotAdmitted> {
        if !is_dear_enough(terms, settings) {
            return Err(NotAdmitted::price_too_low());
        }
        let wait = self.follower.gas(|gas| gas.wait(terms.token, settings.token_gas_per_day, now));
        wait.map_or(Ok(()), |wait| Err(NotAdmitted::token_budget(wait)))
    }

    fn conditions(&self, newcomer: Newcomer, trouble: Option<Trouble>, now: DateTime<Utc>) -> Conditions {
        Conditions {
            connected: self.ledger.is_connected(),
            vitals: self.vitals(),
            trouble,
            forecast: self.forecast(newcomer, now),
            may_probe: self.slow_probe(|probe| is_free(*probe, now)),
        }
    }

    /// Lets an order through although the line stands still.
    ///
    /// # Errors
    /// Another one was first.
    fn take_slow_probe(&self, now: DateTime<Utc>) -> Result<(), Closed> {
        self.slow_probe(|probe| {
            if !is_free(*probe, now) {
                return Err(Closed::SettlementSlow);
            }
            *probe = Some(now);
            Ok(())
        })
    }

    fn slow_probe<T>(&self, act: impl FnOnce(&mut Option<DateTime<Utc>>) -> T) -> T {
        act(&mut self.slow_probe.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn vitals(&self) -> Vitals {
        let vitals = *self.vitals.lock().unwrap_or_else(PoisonError::into_inner);
        // Orders that were delivered wait in the sender, and their messages are acknowledged.
        let read = self.follower.backlog(|backlog| backlog.waiting()) as u64;
        let lag = vitals.lag.map(|lag| lag.max(read));
        Vitals { lag, broken: self.ledger.stopped().is_some(), ..vitals }
    }

    async fn look(&self, storage: bool) {
        let lag = self.ledger.lag(CONSUMER).await;
        let full = if storage { Some(self.ledger.storage().await) } else { None };
        let mut vitals = self.vitals.lock().unwrap_or_else(PoisonError::into_inner);
        match lag {
            Ok(lag) => vitals.lag = Some(lag.pending + lag.held),
            Err(e) => tracing::debug!(error = %runtime::causes(&e), "the consumer's lag is not known"),
        }
        match full {
            Some(Ok(storage)) => vitals.full = storage.used_percent() >= STORAGE_MAX_PERCENT,
            Some(Err(e)) => tracing::debug!(error = %runtime::causes(&e), "how full the ledger is, is not known"),
            None => {}
        }
    }
}
