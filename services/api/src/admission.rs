//! Whether another order may be taken: the one place that says "not now" before anything is written.
//!
//! An order that cannot be settled while its authorization lasts would be a promise that is broken; so would one that is
//! written to a ledger which is full, or is not the one that it was. Rule L5 of `docs/CATALOGUE.md`. Nobody who was
//! accepted is turned away here: an authorization that comes again is looked up first.

use crate::backlog::{Forecast, TooMany};
use crate::circuit::Trouble;
use crate::follower::Follower;
use alloy_primitives::Address;
use chrono::{DateTime, Utc};
use domain::PaymentId;
use ledger::Ledger;
use runtime::CancellationToken;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The consumer whose messages are the orders that wait.
const CONSUMER: &str = "payment-sender";
/// Between two looks at the ledger.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Looks between two at how full it is.
const STORAGE_EVERY: u32 = 10;
/// How full the ledger's storage may be, percent.
const STORAGE_MAX_PERCENT: u64 = 80;
/// Bounds of `Retry-After`, seconds.
const RETRY_AFTER_S: (u64, u64) = (1, 60);

/// What the operator allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Orders that may wait for settlement.
    pub(crate) lag_max: u64,
    /// Unpaid orders of one payer.
    pub(crate) payer_max: usize,
    /// How long the signatures last that clients are asked for.
    pub(crate) window: Duration,
    /// What must be left of it beside twice the predicted wait.
    pub(crate) margin: Duration,
}

/// What is known about the ledger now.
#[derive(Clone, Copy, Debug, Default)]
struct Vitals {
    /// Orders that wait; unknown before the first look.
    lag: Option<u64>,
    full: bool,
    /// It is damaged, or payouts are stopped.
    broken: bool,
}

/// Why no order is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The ledger does not answer.
    LedgerAway,
    /// It is not what it was, or payouts are stopped: see [`Ledger::stopped`].
    LedgerBroken,
    /// Its storage is nearly full.
    LedgerFull,
    /// USDC is paused, or settlements fail one after the other.
    SettlementPaused,
    /// Too many orders wait.
    QueueFull,
    /// It could not be settled while its authorization lasts.
    SettlementSlow,
    /// This payer has too many unpaid orders.
    PayerBusy,
}

impl Closed {
    /// One of each; a new one does not compile before it is listed.
    pub(crate) fn all() -> [Self; 7] {
        use Closed::{LedgerAway, LedgerBroken, LedgerFull, PayerBusy, QueueFull, SettlementPaused, SettlementSlow};
        let all = [LedgerAway, LedgerBroken, LedgerFull, SettlementPaused, QueueFull, SettlementSlow, PayerBusy];
        for why in all {
            match why {
                LedgerAway | LedgerBroken | LedgerFull | SettlementPaused | QueueFull | SettlementSlow | PayerBusy => {}
            }
        }
        all
    }
}

/// A refusal, and when to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) why: Closed,
    pub(crate) retry_after_s: u64,
}

impl Refusal {
    /// By a ledger that is damaged. When a person will have looked is not known.
    pub(crate) const fn broken() -> Self {
        Self { why: Closed::LedgerBroken, retry_after_s: RETRY_AFTER_S.1 }
    }
}

pub(crate) struct Admission {
    ledger: Ledger,
    follower: Arc<Follower>,
    limits: Limits,
    vitals: Mutex<Vitals>,
}

impl Admission {
    pub(crate) fn new(ledger: Ledger, follower: Arc<Follower>, limits: Limits) -> Self {
        Self { ledger, follower, limits, vitals: Mutex::default() }
    }

    /// Looks at the ledger until `stop`.
    pub(crate) async fn watch(&self, stop: CancellationToken) {
        for look in 0_u32.. {
            let looked = async {
                self.look(look % STORAGE_EVERY == 0).await;
                tokio::time::sleep(LOOK_INTERVAL).await;
            };
            tokio::select! { () = looked => {}, () = stop.cancelled() => return }
        }
    }

    /// Whether orders are taken at all; asked before anybody signs anything.
    ///
    /// # Errors
    /// Why not, and when to come back.
    pub(crate) fn open(&self) -> Result<(), Refusal> {
        let trouble = self.follower.circuit(|circuit| circuit.trouble());
        self.judge(self.limits.window, trouble)
    }

    /// Whether this order of `payer` may be written, of whose window `left` is left. Counts it as under way.
    ///
    /// # Errors
    /// Why not, and when to come back. Nothing is counted.
    pub(crate) fn admit(&self, id: PaymentId, parties: (Address, Address), left: Duration) -> Result<(), Refusal> {
        let now = Utc::now();
        // First what costs the breaker nothing: it lets one in ten seconds through, and that one shall be written.
        self.judge(left, None)?;
        let reserved = self.follower.backlog(|backlog| backlog.reserve(id, parties, self.limits.payer_max, now));
        if let Err(TooMany) = reserved {
            let wait = self.forecast(now).settle;
            return Err(Refusal { why: Closed::PayerBusy, retry_after_s: retry_after(wait) });
        }
        self.follower.circuit(|circuit| circuit.check(now)).map_err(|_: Trouble| {
            self.release(id);
            Refusal { why: Closed::SettlementPaused, retry_after_s: RETRY_AFTER_S.1 }
        })
    }

    /// Whether the order is, or lately was, in the ledger.
    pub(crate) fn has_seen(&self, id: PaymentId) -> bool {
        self.follower.backlog(|backlog| backlog.has_seen(id))
    }

    /// The order was not written.
    pub(crate) fn release(&self, id: PaymentId) {
        self.follower.backlog(|backlog| backlog.release(id));
    }

    /// What an order that comes now can expect.
    pub(crate) fn forecast(&self, now: DateTime<Utc>) -> Forecast {
        let waiting = self.vitals().lag.map(|lag| usize::try_from(lag).unwrap_or(usize::MAX));
        self.follower.backlog(|backlog| backlog.forecast(waiting, now))
    }

    fn judge(&self, left: Duration, trouble: Option<Trouble>) -> Result<(), Refusal> {
        let forecast = self.forecast(Utc::now());
        let (connected, vitals) = (self.ledger.is_connected(), self.vitals());
        judge(connected, &vitals, &self.limits, trouble, forecast.settle, left)
            .map_err(|why| Refusal { why, retry_after_s: with_jitter(retry_after(forecast.settle)) })
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
    limits: &Limits,
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
    if vitals.lag.is_some_and(|lag| lag >= limits.lag_max) {
        return Err(Closed::QueueFull);
    }
    if wait.saturating_mul(2).saturating_add(limits.margin) > left {
        return Err(Closed::SettlementSlow);
    }
    Ok(())
}

/// When half of those who wait now have had their turn.
fn retry_after(wait: Duration) -> u64 {
    (wait.as_secs() / 2).clamp(RETRY_AFTER_S.0, RETRY_AFTER_S.1)
}

/// Up to half as long again, so that those who were refused together do not come back together.
fn with_jitter(seconds: u64) -> u64 {
    seconds + rand::random_range(0..=seconds / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn l5_an_order_is_taken_only_if_it_can_be_kept() {
        let limits = Limits { lag_max: 20_000, payer_max: 16, window: S(900), margin: S(120) };
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
            assert_eq!(judge(connected, &vitals, &limits, trouble, S(wait), S(left)), expected, "{name}");
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
