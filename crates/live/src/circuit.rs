//! The circuit breaker: while the chain refuses all settlements, no further payment is accepted.
//!
//! It opens when USDC is paused, when new payments are stopped, or when many settlements in a row fail for reasons that are not their payers'. It closes
//! as soon as one payment is settled. While it is open, one payment is let through now and then, because only a payment
//! can show that settlement works again.

use chrono::{DateTime, TimeDelta, Utc};
use domain::OrderEvent;
use domain::event::WaitReason;

/// Failures in a row, of whatever payers, that are no coincidence.
const RUN: u32 = 20;
/// Time between two payments that are let through.
const PROBE_INTERVAL: TimeDelta = TimeDelta::seconds(10);

/// The circuit breaker.
#[derive(Debug, Default)]
pub(crate) struct Circuit {
    failures: u32,
    open: Option<Tripped>,
}

#[derive(Clone, Copy, Debug)]
struct Tripped {
    why: Trouble,
    probed: DateTime<Utc>,
}

/// Why no payer can be charged now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// USDC is paused.
    AssetPaused,
    /// Owner or guardian of the tokens' factory have stopped new payments.
    SettlementStopped,
    /// [`RUN`] settlements in a row were refused.
    RunOfFailures,
}

/// The meaning of an event for the payments of all payers.
enum Sign {
    Good,
    Stopped(Trouble),
    Bad,
    /// The event concerns its payer alone.
    None,
}

impl Circuit {
    /// Folds one event, which was recorded at `at`.
    pub fn apply(&mut self, event: &OrderEvent, at: DateTime<Utc>) {
        match sign(event) {
            Sign::Good => *self = Self::default(),
            Sign::Stopped(why) => self.trip(why, at),
            Sign::Bad => {
                self.failures += 1;
                if self.failures >= RUN {
                    self.trip(Trouble::RunOfFailures, at);
                }
            }
            Sign::None => {}
        }
    }

    fn trip(&mut self, why: Trouble, at: DateTime<Utc>) {
        let probed = self.open.map_or(at, |open| open.probed);
        self.open = Some(Tripped { why, probed });
    }

    /// Lets a payment pass at `now`: while the circuit is open, one in each [`PROBE_INTERVAL`].
    ///
    /// # Errors
    /// Why no payment should be accepted.
    pub fn check(&mut self, now: DateTime<Utc>) -> Result<(), Trouble> {
        if let Some(why) = self.refuses(now) {
            return Err(why);
        }
        if let Some(open) = &mut self.open {
            open.probed = now;
        }
        Ok(())
    }

    /// Why a payment would not pass at `now`; `None` if one would. Lets nothing pass. Offers follow this: clients sign
    /// only what they were offered, so without an offer the payment that closes the circuit would never come.
    pub fn refuses(&self, now: DateTime<Utc>) -> Option<Trouble> {
        self.open.filter(|open| now - open.probed < PROBE_INTERVAL).map(|open| open.why)
    }

    /// Why the circuit is open; `None` if it is closed. Lets nothing pass.
    pub fn trouble(&self) -> Option<Trouble> {
        self.open.map(|open| open.why)
    }
}

fn sign(event: &OrderEvent) -> Sign {
    match event {
        // This payment passed the simulation, so others can.
        OrderEvent::PaymentSubmitted(..) | OrderEvent::PaymentConfirmed(_) | OrderEvent::PaymentRestored(..) => {
            Sign::Good
        }
        OrderEvent::PaymentDeferred(_, why) => match why.reason {
            WaitReason::AssetPaused => Sign::Stopped(Trouble::AssetPaused),
            WaitReason::SettlementStopped => Sign::Stopped(Trouble::SettlementStopped),
            // A blacklisted payee stops all payers; a blacklisted payer never makes a run.
            WaitReason::Blacklisted | WaitReason::NotAttempted | WaitReason::Unexplained => Sign::Bad,
            // Other tokens have units.
            WaitReason::SoldOut
            | WaitReason::Unfunded
            | WaitReason::AuthorizationUsedOrCancelled
            | WaitReason::AuthorizationExpired
            | WaitReason::AuthorizationNotYetValid
            | WaitReason::SignatureRefused
            | WaitReason::Unpaid => Sign::None,
        },
        OrderEvent::PaymentRequested(_)
        | OrderEvent::PaymentParked(..)
        | OrderEvent::PaymentReverted(..)
        | OrderEvent::PaymentFailed(_)
        | OrderEvent::MintReverted(..)
        | OrderEvent::MintRestored(..)
        | OrderEvent::MintSubmitted(..)
        | OrderEvent::MintDeferred(..)
        | OrderEvent::MintParked(..)
        | OrderEvent::MintConfirmed(_)
        | OrderEvent::RefundRequested(_)
        | OrderEvent::RefundSubmitted(..)
        | OrderEvent::RefundDeferred(..)
        | OrderEvent::RefundParked(..)
        | OrderEvent::RefundConfirmed(_)
        | OrderEvent::RefundReverted(..)
        | OrderEvent::RefundRestored(..) => Sign::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::event::Deferral;
    use domain::examples;

    fn refused(reason: WaitReason) -> OrderEvent {
        OrderEvent::PaymentDeferred(1, Deferral { reason, ..examples::deferral() })
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn f50_a_paused_asset_opens_it_and_one_settlement_closes_it() {
        let mut circuit = Circuit::default();
        circuit.apply(&refused(WaitReason::AssetPaused), at(0));
        assert_eq!(circuit.check(at(1)), Err(Trouble::AssetPaused));
        assert_eq!(circuit.refuses(at(9)), Some(Trouble::AssetPaused));
        assert_eq!((circuit.refuses(at(10)), circuit.refuses(at(10))), (None, None), "offers are made");
        assert_eq!(circuit.check(at(10)), Ok(()), "one is let through");
        assert_eq!(circuit.check(at(11)), Err(Trouble::AssetPaused), "and no other");
        assert_eq!(circuit.refuses(at(11)), Some(Trouble::AssetPaused));
        circuit.apply(&refused(WaitReason::AssetPaused), at(12));
        assert_eq!(circuit.check(at(13)), Err(Trouble::AssetPaused));
        circuit.apply(&OrderEvent::PaymentSubmitted(2, examples::submission(7)), at(14));
        assert_eq!((circuit.check(at(14)), circuit.trouble()), (Ok(()), None));
    }

    #[test]
    fn payments_that_were_stopped_open_it_and_one_settlement_closes_it() {
        let mut circuit = Circuit::default();
        circuit.apply(&refused(WaitReason::SettlementStopped), at(0));
        assert_eq!(circuit.check(at(1)), Err(Trouble::SettlementStopped));
        circuit.apply(&OrderEvent::PaymentConfirmed(examples::proof()), at(2));
        assert_eq!(circuit.check(at(2)), Ok(()));
    }

    #[test]
    fn only_a_run_of_failures_that_are_nobodys_own_opens_it() {
        for (reason, opens) in [
            (WaitReason::Unfunded, false),
            (WaitReason::SoldOut, false),
            (WaitReason::SignatureRefused, false),
            (WaitReason::AuthorizationExpired, false),
            (WaitReason::Unexplained, true),
            (WaitReason::NotAttempted, true),
            (WaitReason::Blacklisted, true),
        ] {
            let mut circuit = Circuit::default();
            for n in 0..i64::from(RUN) - 1 {
                circuit.apply(&refused(reason), at(n));
            }
            assert_eq!(circuit.check(at(19)), Ok(()), "{reason:?}");
            circuit.apply(&refused(reason), at(19));
            assert_eq!(circuit.check(at(19)).is_err(), opens, "{reason:?}");
        }
        let mut circuit = Circuit::default();
        for n in 0..100 {
            circuit.apply(&refused(WaitReason::Unexplained), at(n));
            if n % 19 == 0 {
                circuit.apply(&OrderEvent::PaymentConfirmed(examples::proof()), at(n));
            }
        }
        assert_eq!(circuit.trouble(), None);
    }
}
