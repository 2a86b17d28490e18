//! The rules of admission, which concern everybody: pure, by the conditions of one moment.

use super::refusal::{Closed, LONGEST_WAIT_S, NotAdmitted, with_jitter};
use crate::backlog::Forecast;
use crate::circuit::{PROBE_INTERVAL, Trouble};
use chrono::{DateTime, Utc};
use runtime::Settings;
use std::time::Duration;

/// State of the ledger at the last look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Vitals {
    /// Number of waiting orders; `None` before the first look.
    pub(super) lag: Option<u64>,
    pub(super) full: bool,
    /// The ledger is damaged, or payouts are stopped.
    pub(super) broken: bool,
}

/// The conditions that a request meets now, beside the limits of its payer and its token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conditions {
    pub(super) connected: bool,
    pub(super) vitals: Vitals,
    pub(super) trouble: Option<Trouble>,
    pub(super) forecast: Forecast,
    /// True if an order may be let through although the line stands still.
    pub(super) may_probe: bool,
}

/// The rules, the gravest first. `left` is the time for which the authorization is valid.
pub(super) fn judge(now: &Conditions, settings: &Settings, left: Duration) -> Result<(), NotAdmitted> {
    let settle = now.forecast.settle;
    let refused = |why| Err(NotAdmitted { why, retry_after_s: Some(with_jitter(retry_after(settle))) });
    if now.vitals.broken {
        return refused(Closed::LedgerBroken);
    }
    if !now.connected {
        return refused(Closed::LedgerAway);
    }
    if now.vitals.full {
        return refused(Closed::LedgerFull);
    }
    if let Some(trouble) = now.trouble {
        return Err(NotAdmitted::closed(trouble.into()));
    }
    if now.vitals.lag.is_some_and(|lag| lag >= settings.waiting_orders_max) {
        return refused(Closed::QueueFull);
    }
    if is_too_late(settle.saturating_sub(now.forecast.stalled), settings, left) {
        return refused(Closed::SettlementSlow);
    }
    // A line that stands still is not known to be slow. One order that will never move may stand in it alone, and only another
    // one can show that it moves.
    if is_too_late(settle, settings, left) && !now.may_probe {
        return Err(NotAdmitted::closed(Closed::SettlementSlow));
    }
    Ok(())
}

/// Returns whether an order that waits for so long would be settled too late.
pub(super) fn is_too_late(wait: Duration, settings: &Settings, left: Duration) -> bool {
    wait.saturating_mul(2).saturating_add(Duration::from_secs(settings.payment_margin_s)) > left
}

/// Returns whether the latest payment that was let through was long enough ago.
pub(super) fn is_free(probe: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    probe.is_none_or(|at| now - at >= PROBE_INTERVAL)
}

/// Seconds until half of the orders that wait now have had their turn.
pub(super) fn retry_after(wait: Duration) -> u64 {
    (wait.as_secs() / 2).clamp(1, LONGEST_WAIT_S)
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
            ("F50", true, well, Some(Trouble::AssetPaused), 1, 900, Err(Closed::AssetPaused)),
            ("a stop", true, well, Some(Trouble::SettlementStopped), 1, 900, Err(Closed::SettlementStopped)),
            ("a run", true, well, Some(Trouble::RunOfFailures), 1, 900, Err(Closed::SettlementFailing)),
            ("F11", true, Vitals { lag: Some(20_000), ..well }, None, 1, 900, Err(Closed::QueueFull)),
            ("one less", true, Vitals { lag: Some(19_999), ..well }, None, 1, 900, Ok(())),
            ("390 s twice and the margin are 900", true, well, None, 390, 900, Ok(())),
            ("a second more", true, well, None, 391, 900, Err(Closed::SettlementSlow)),
            ("a shorter window of its own", true, well, None, 100, 319, Err(Closed::SettlementSlow)),
            ("for ever", true, well, None, u64::MAX / 1_000, 900, Err(Closed::SettlementSlow)),
        ];
        for (name, connected, vitals, trouble, wait, left, expected) in cases {
            for may_probe in [false, true] {
                let now = Conditions { connected, vitals, trouble, forecast: forecast(wait, 0), may_probe };
                assert_eq!(judge(&now, &settings, S(left)).map_err(|refusal| refusal.why), expected, "{name}");
            }
        }
    }

    fn forecast(settle: u64, stalled: u64) -> Forecast {
        Forecast { settle: S(settle), stalled: S(stalled), mint: S(settle) }
    }

    /// One order that waits for a person stands in the line permanently, and nobody else comes to move it.
    #[test]
    fn a_line_that_stands_still_lets_an_order_through_that_can_show_that_it_moves() {
        let settings = Settings::default();
        let vitals = Vitals { lag: Some(0), full: false, broken: false };
        for (settle, stalled, may_probe, taken) in [
            (390, 389, false, true),
            (391, 390, false, false),
            (391, 390, true, true),
            (100_000, 99_999, true, true),
            (100_000, 99_000, true, false),
        ] {
            let (connected, forecast) = (true, forecast(settle, stalled));
            let now = Conditions { connected, vitals, trouble: None, forecast, may_probe };
            let judged = judge(&now, &settings, S(900));
            assert_eq!(judged.map_err(|refusal| refusal.why), if taken { Ok(()) } else { Err(Closed::SettlementSlow) });
            assert!(judged.map_or_else(|refusal| refusal.retry_after_s, |()| Some(1)) <= Some(90));
        }
        let at = DateTime::UNIX_EPOCH;
        assert!(is_free(None, at) && is_free(Some(at), at + PROBE_INTERVAL) && !is_free(Some(at), at));
    }

    #[test]
    fn l5_retry_after_is_half_the_wait_within_bounds() {
        for (wait, seconds) in [(0, 1), (1, 1), (10, 5), (100, 50), (1_000, 60), (u64::MAX, 60)] {
            assert_eq!(retry_after(S(wait)), seconds, "{wait}");
            assert!((seconds..=seconds * 3 / 2).contains(&with_jitter(seconds)));
        }
    }
}
