//! Admission: decides if another order may be accepted, before anything is written.
//!
//! An accepted order is a promise. It would be broken by an order that cannot be settled while its authorization is
//! valid, by a ledger that is full or damaged, and by a token that is sold out. An order that was accepted earlier is
//! never refused here: the caller looks up a repeated authorization first.

use crate::backlog::{Excess, Forecast, OrderLimits};
use crate::bought::Bought;
use crate::circuit::Trouble;
use crate::follower::Follower;
use chrono::{DateTime, Utc};
use domain::{PaymentId, Quantity, TokenTerms};
use ledger::Ledger;
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
/// Bounds of `Retry-After`, seconds.
const RETRY_AFTER_S: (u64, u64) = (1, 60);

/// State of the ledger at the last look.
#[derive(Clone, Copy, Debug, Default)]
struct Vitals {
    /// Number of waiting orders; `None` before the first look.
    lag: Option<u64>,
    full: bool,
    /// The ledger is damaged, or payouts are stopped.
    broken: bool,
}

/// Why no order is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The ledger is unavailable.
    LedgerAway,
    /// The ledger is damaged, or payouts are stopped: see [`Ledger::stopped`].
    LedgerBroken,
    /// Its storage is nearly full.
    LedgerFull,
    /// USDC is paused, new payments are stopped, or settlements fail one after the other.
    SettlementPaused,
    /// Too many orders wait.
    QueueFull,
    /// The order could not be settled while its authorization is valid.
    SettlementSlow,
    /// This payer has too many unpaid orders.
    PayerBusy,
    /// The token has too few units left.
    SoldOut,
}

impl Closed {
    /// All variants. A new variant does not compile before it is listed.
    pub fn all() -> [Self; 8] {
        use Closed::{
            LedgerAway, LedgerBroken, LedgerFull, PayerBusy, QueueFull, SettlementPaused, SettlementSlow, SoldOut,
        };
        let all =
            [LedgerAway, LedgerBroken, LedgerFull, SettlementPaused, QueueFull, SettlementSlow, PayerBusy, SoldOut];
        for why in all {
            match why {
                LedgerAway | LedgerBroken | LedgerFull | SettlementPaused => {}
                QueueFull | SettlementSlow | PayerBusy | SoldOut => {}
            }
        }
        all
    }

    /// The stable code, as clients and counters see it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::LedgerAway => "ledger_unavailable",
            Self::LedgerBroken => "ledger_broken",
            Self::LedgerFull => "ledger_full",
            Self::SettlementPaused => "settlement_paused",
            Self::QueueFull => "queue_full",
            Self::SettlementSlow => "settlement_slow",
            Self::PayerBusy => "payer_busy",
            Self::SoldOut => "sold_out",
        }
    }
}

/// A refusal, and the time after which another try makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAdmitted {
    /// Why.
    pub why: Closed,
    /// Seconds to wait. `None`: another try makes no sense soon.
    pub retry_after_s: Option<u64>,
}

impl NotAdmitted {
    /// The refusal of a damaged ledger. Only an operator can repair it, so the wait is the longest one.
    pub const fn broken() -> Self {
        Self { why: Closed::LedgerBroken, retry_after_s: Some(RETRY_AFTER_S.1) }
    }

    /// The refusal of units that are not left. Units come back when payments fail or are refunded, at no known time.
    const fn sold_out() -> Self {
        Self { why: Closed::SoldOut, retry_after_s: None }
    }
}

/// Decides about admission.
pub struct Admission {
    ledger: Ledger,
    follower: Arc<Follower>,
    settings: SharedSettings,
    vitals: Mutex<Vitals>,
}

impl Admission {
    /// Admission to `ledger` by the current `settings`.
    pub fn new(ledger: Ledger, follower: Arc<Follower>, settings: SharedSettings) -> Self {
        Self { ledger, follower, settings, vitals: Mutex::default() }
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

    /// Checks that orders are accepted at all.
    ///
    /// # Errors
    /// [`NotAdmitted`].
    pub fn open(&self) -> Result<(), NotAdmitted> {
        let settings = self.settings.now();
        let trouble = self.follower.circuit(|circuit| circuit.trouble());
        self.judge(&settings, Duration::from_secs(settings.payment_validity_s), trouble)
    }

    /// Checks that an order of `quantity` units would be accepted. Asked before a client signs anything. While the circuit
    /// breaker is open, it is so whenever a payment would be let through.
    ///
    /// # Errors
    /// [`NotAdmitted`].
    pub fn open_for(&self, terms: &TokenTerms, quantity: Quantity) -> Result<(), NotAdmitted> {
        let settings = self.settings.now();
        let trouble = self.follower.circuit(|circuit| circuit.refuses(Utc::now()));
        self.judge(&settings, Duration::from_secs(settings.payment_validity_s), trouble)?;
        let left = self.follower.units_left(terms.token, terms.max_units);
        let is_sold_out = left.is_some_and(|left| left < u64::from(quantity.get()));
        if is_sold_out { Err(NotAdmitted::sold_out()) } else { Ok(()) }
    }

    /// Admits an order whose authorization is valid for another `left`, and counts it as under way. Its token can have
    /// `max_units`.
    ///
    /// # Errors
    /// [`NotAdmitted`]; then it is not counted.
    pub fn admit(&self, id: PaymentId, order: Bought, max_units: u64, left: Duration) -> Result<(), NotAdmitted> {
        let admitted = self.try_admit(id, order, max_units, left);
        if let Err(refusal) = &admitted {
            REFUSALS.add(&[refusal.why.code()]);
        }
        admitted
    }

    fn try_admit(&self, id: PaymentId, order: Bought, max_units: u64, left: Duration) -> Result<(), NotAdmitted> {
        let (now, settings) = (Utc::now(), self.settings.now());
        // The circuit breaker comes last. It lets one order pass in ten seconds, and that one must not be refused here.
        self.judge(&settings, left, None)?;
        let units = self.follower.is_caught_up().then_some(max_units);
        let limits = OrderLimits { unpaid: settings.unpaid_orders_per_payer_max, units };
        self.follower.backlog(|backlog| backlog.reserve(id, order, limits, now)).map_err(|excess| match excess {
            Excess::Units => NotAdmitted::sold_out(),
            Excess::Unpaid => {
                let wait = retry_after(self.forecast(now).settle);
                NotAdmitted { why: Closed::PayerBusy, retry_after_s: Some(wait) }
            }
        })?;
        self.follower.circuit(|circuit| circuit.check(now)).map_err(|_: Trouble| {
            self.release(id);
            NotAdmitted { why: Closed::SettlementPaused, retry_after_s: Some(RETRY_AFTER_S.1) }
        })
    }

    /// Returns true if the order is known to be in the ledger.
    pub fn has_seen(&self, id: PaymentId) -> bool {
        self.follower.backlog(|backlog| backlog.has_seen(id))
    }

    /// Removes the count of an order that was not written.
    pub fn release(&self, id: PaymentId) {
        self.follower.backlog(|backlog| backlog.release(id));
    }

    /// Predicted waits of an order that arrives now.
    pub fn forecast(&self, now: DateTime<Utc>) -> Forecast {
        let waiting = self.vitals().lag.map(|lag| usize::try_from(lag).unwrap_or(usize::MAX));
        self.follower.backlog(|backlog| backlog.forecast(waiting, now))
    }

    fn judge(&self, settings: &Settings, left: Duration, trouble: Option<Trouble>) -> Result<(), NotAdmitted> {
        let forecast = self.forecast(Utc::now());
        let (connected, vitals) = (self.ledger.is_connected(), self.vitals());
        judge(connected, &vitals, settings, trouble, forecast.settle, left)
            .map_err(|why| NotAdmitted { why, retry_after_s: Some(with_jitter(retry_after(forecast.settle))) })
    }

    fn vitals(&self) -> Vitals {
        let vitals = *self.vitals.lock().unwrap_or_else(PoisonError::into_inner);
        Vitals { broken: self.ledger.stopped().is_some(), ..vitals }
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

/// The rules, the gravest first.
fn judge(
    connected: bool,
    vitals: &Vitals,
    settings: &Settings,
    trouble: Option<Trouble>,
    wait: Duration,
    left: Duration,
) -> Result<(), Closed> {
    if vitals.broken {
        return Err(Closed::LedgerBroken);
    }
    if !connected {
        return Err(Closed::LedgerAway);
    }
    if vitals.full {
        return Err(Closed::LedgerFull);
    }
    if trouble.is_some() {
        return Err(Closed::SettlementPaused);
    }
    if vitals.lag.is_some_and(|lag| lag >= settings.waiting_orders_max) {
        return Err(Closed::QueueFull);
    }
    if wait.saturating_mul(2).saturating_add(Duration::from_secs(settings.payment_margin_s)) > left {
        return Err(Closed::SettlementSlow);
    }
    Ok(())
}

/// Seconds until half of the orders that wait now have had their turn.
fn retry_after(wait: Duration) -> u64 {
    (wait.as_secs() / 2).clamp(RETRY_AFTER_S.0, RETRY_AFTER_S.1)
}

/// Up to half as long again, so that clients which were refused together do not return together.
fn with_jitter(seconds: u64) -> u64 {
    seconds + rand::random_range(0..=seconds / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn l5_an_order_is_taken_only_if_it_can_be_kept() {
        let settings = Settings::default();
        let well = Vitals { lag: Some(10), full: false, broken: false };
        let cases = [
            ("all is well", true, well, None, 1, 900, Ok(())),
            ("nothing is known yet", true, Vitals::default(), None, 1, 900, Ok(())),
            ("the ledger is away", false, well, None, 1, 900, Err(Closed::LedgerAway)),
            ("another ledger", true, Vitals { broken: true, ..well }, None, 1, 900, Err(Closed::LedgerBroken)),
            ("another ledger, away", false, Vitals { broken: true, ..well }, None, 1, 900, Err(Closed::LedgerBroken)),
            ("a full disk", true, Vitals { full: true, ..well }, None, 1, 900, Err(Closed::LedgerFull)),
            ("F50", true, well, Some(Trouble::AssetPaused), 1, 900, Err(Closed::SettlementPaused)),
            ("F11", true, Vitals { lag: Some(20_000), ..well }, None, 1, 900, Err(Closed::QueueFull)),
            ("one less", true, Vitals { lag: Some(19_999), ..well }, None, 1, 900, Ok(())),
            ("390 s twice and the margin are 900", true, well, None, 390, 900, Ok(())),
            ("a second more", true, well, None, 391, 900, Err(Closed::SettlementSlow)),
            ("a shorter window of its own", true, well, None, 100, 319, Err(Closed::SettlementSlow)),
            ("for ever", true, well, None, u64::MAX / 1_000, 900, Err(Closed::SettlementSlow)),
        ];
        for (name, connected, vitals, trouble, wait, left, expected) in cases {
            assert_eq!(judge(connected, &vitals, &settings, trouble, S(wait), S(left)), expected, "{name}");
        }
    }

    #[test]
    fn l5_retry_after_is_half_the_wait_within_bounds() {
        for (wait, seconds) in [(0, 1), (1, 1), (10, 5), (100, 50), (1_000, 60), (u64::MAX, 60)] {
            assert_eq!(retry_after(S(wait)), seconds, "{wait}");
            assert!((seconds..=seconds * 3 / 2).contains(&with_jitter(seconds)));
        }
    }
}
