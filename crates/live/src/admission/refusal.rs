//! The reasons why an order, or a key of one, is not taken.

use crate::circuit::{PROBE_INTERVAL, Trouble};
use std::time::Duration;

/// Longest wait that a refusal tells, seconds.
pub(super) const LONGEST_WAIT_S: u64 = 60;
/// Longest wait for the gas of a token that a refusal tells, seconds. Its operator may give it more meanwhile.
const LONGEST_BUDGET_WAIT_S: u64 = 3_600;

/// Why no order is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The ledger is unavailable.
    LedgerAway,
    /// The ledger is damaged, or payouts are stopped: see [`ledger::Ledger::stopped`].
    LedgerBroken,
    /// Its storage is nearly full.
    LedgerFull,
    /// USDC is paused.
    AssetPaused,
    /// Owner or guardian of the token's factory have stopped new payments.
    SettlementStopped,
    /// Payments to this token fail one after the other.
    SettlementFailing,
    /// Too many orders wait.
    QueueFull,
    /// The order could not be settled while its authorization is valid.
    SettlementSlow,
    /// This payer has too many unpaid orders.
    PayerBusy,
    /// The token has too few units left.
    SoldOut,
    /// The token's price is below the lowest one.
    PriceTooLow,
    /// The token has used up its gas.
    TokenBudget,
}

impl Closed {
    /// All variants. A new variant does not compile before it is listed.
    pub fn all() -> [Self; 12] {
        use Closed::{
            AssetPaused, LedgerAway, LedgerBroken, LedgerFull, PayerBusy, PriceTooLow, QueueFull, SettlementFailing,
            SettlementSlow, SettlementStopped, SoldOut, TokenBudget,
        };
        let all = [
            LedgerAway,
            LedgerBroken,
            LedgerFull,
            AssetPaused,
            SettlementStopped,
            SettlementFailing,
            QueueFull,
            SettlementSlow,
            PayerBusy,
            SoldOut,
            PriceTooLow,
            TokenBudget,
        ];
        for why in all {
            match why {
                LedgerAway | LedgerBroken | LedgerFull | AssetPaused | SettlementStopped | SettlementFailing => {}
                QueueFull | SettlementSlow | PayerBusy | SoldOut | PriceTooLow | TokenBudget => {}
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
            Self::AssetPaused => "asset_paused",
            Self::SettlementStopped => "settlement_stopped",
            Self::SettlementFailing => "settlement_failing",
            Self::QueueFull => "queue_full",
            Self::SettlementSlow => "settlement_slow",
            Self::PayerBusy => "payer_busy",
            Self::SoldOut => "sold_out",
            Self::PriceTooLow => "price_too_low",
            Self::TokenBudget => "token_budget",
        }
    }
}

impl From<Trouble> for Closed {
    fn from(why: Trouble) -> Self {
        match why {
            Trouble::AssetPaused => Self::AssetPaused,
            Trouble::SettlementStopped => Self::SettlementStopped,
            Trouble::RunOfFailures => Self::SettlementFailing,
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
        Self { why: Closed::LedgerBroken, retry_after_s: Some(LONGEST_WAIT_S) }
    }

    /// The refusal of units that are not left. Units come back when payments fail or are refunded, at no known time.
    pub(super) const fn sold_out() -> Self {
        Self { why: Closed::SoldOut, retry_after_s: None }
    }

    /// The refusal of a price that never changes.
    pub(super) const fn price_too_low() -> Self {
        Self { why: Closed::PriceTooLow, retry_after_s: None }
    }

    /// The refusal of a token that has gas for a purchase again after `wait`.
    pub(super) fn token_budget(wait: Duration) -> Self {
        let seconds = wait.as_secs().saturating_add(1).min(LONGEST_BUDGET_WAIT_S);
        Self { why: Closed::TokenBudget, retry_after_s: Some(with_jitter(seconds)) }
    }

    /// The refusal at a closed door, which lets one payment through in each interval.
    pub(super) fn closed(why: Closed) -> Self {
        Self { why, retry_after_s: Some(with_jitter(PROBE_INTERVAL.num_seconds().unsigned_abs())) }
    }
}

/// Why a key is not bound to a known order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotBound {
    /// The ledger has no room for it.
    NotAdmitted(NotAdmitted),
    /// The order has as many keys as it may have, or ended too long ago to tell.
    TooMany,
    /// The orders under way are not all known yet.
    Starting,
}

/// Up to half as long again, so that clients which were refused together do not return together.
pub(super) fn with_jitter(seconds: u64) -> u64 {
    seconds + rand::random_range(0..=seconds / 2)
}
