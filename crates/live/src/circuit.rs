//! The circuit breaker: while the payments of a token cannot be settled, no further one is accepted for it.
//!
//! It closes the door of a token for one of three reasons. USDC is paused, which closes the doors of all tokens. New payments
//! are stopped, which closes those of one factory. Or many payers in a row could not pay for this one token. Outsiders can
//! bring about only the last one, and only for a short time (ADR 33).
//!
//! Each door opens by itself, because a closed one lets nothing pass that could open it. It also lets one payment through now
//! and then, which shows earlier that settlement works again.

mod run;
mod suspects;

use alloy_primitives::Address;
use chrono::{DateTime, TimeDelta, Utc};
use domain::event::WaitReason;
use domain::{OrderEvent, PaymentId, TokenTerms};
use run::FailureRun;
use std::collections::HashMap;
use suspects::Suspects;

/// Time for which a door stays closed after the last sign. The promise is 30 s after the trouble has ended, and a last sign
/// may come a few seconds after that.
const CLOSED_FOR: TimeDelta = TimeDelta::seconds(25);
/// Time between two payments for a token that are let through.
pub(crate) const PROBE_INTERVAL: TimeDelta = TimeDelta::seconds(10);

/// The circuit breaker of all tokens.
#[derive(Debug, Default)]
pub(crate) struct Circuit {
    asset: Option<Trip>,
    factories: HashMap<Address, Trip>,
    tokens: HashMap<Address, TokenBreaker>,
    suspects: Suspects,
}

/// The breaker of one token.
#[derive(Debug, Default)]
struct TokenBreaker {
    run: FailureRun,
    trip: Option<Trip>,
    /// The latest payment that was let through, and when.
    probe: Option<(PaymentId, DateTime<Utc>)>,
}

/// A closed door.
#[derive(Clone, Copy, Debug)]
struct Trip {
    since: DateTime<Utc>,
    /// Time of the last sign.
    last: DateTime<Utc>,
    /// Sequence of the sign that a good outcome has to contradict: only a payment that was submitted later does.
    seq: u64,
}

/// The door of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Door {
    pub(crate) token: Address,
    /// The factory of the token; `None` if it is not known. Then a stop closes the door of this token only.
    pub(crate) factory: Option<Address>,
}

/// An event of an order, with the facts that the breaker needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BreakerStep<'a> {
    pub(crate) event: &'a OrderEvent,
    pub(crate) id: PaymentId,
    pub(crate) payer: Address,
    pub(crate) door: Door,
    pub(crate) seq: u64,
    pub(crate) at: DateTime<Utc>,
    /// Sequence at which the payment was put in its transaction, if it is in one.
    pub(crate) settling_since: Option<u64>,
}

/// Why no payer can be charged now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// USDC is paused.
    AssetPaused,
    /// Owner or guardian of the token's factory have stopped new payments.
    SettlementStopped,
    /// Many payers in a row could not pay for this token, through no fault that has a name.
    RunOfFailures,
}

/// The meaning of an event for other payers.
enum Sign {
    /// This payment was charged, so others can be.
    Good,
    Paused,
    Stopped,
    /// The payment failed for a reason that may be everybody's.
    Failed,
    /// The payment waits because of its payer. It says nothing about others.
    Own,
    None,
}

impl Circuit {
    /// Folds one event.
    pub fn apply(&mut self, step: &BreakerStep<'_>) {
        match sign(step.event) {
            Sign::Good => self.contradict(step),
            Sign::Paused => renew(&mut self.asset, step),
            Sign::Stopped => {
                let mut trip = self.factories.remove(&step.door.stopped_with());
                renew(&mut trip, step);
                self.factories.extend(trip.map(|trip| (step.door.stopped_with(), trip)));
            }
            Sign::Failed => {
                let is_first = self.suspects.add(step.payer, step.at);
                let token = self.tokens.entry(step.door.token).or_default();
                if is_first && token.run.add(step.at) {
                    token.run.clear();
                    token.trip = Some(Trip { since: step.at, last: step.at, seq: step.seq });
                }
            }
            Sign::Own => {
                self.suspects.add(step.payer, step.at);
                self.free(step.door.token, step.id);
            }
            Sign::None => {}
        }
    }

    /// Lets a payment of `payer` pass at `now`. While the door is closed, one passes in each [`PROBE_INTERVAL`], and none of a
    /// payer whose payment has failed before: it would show nothing.
    ///
    /// # Errors
    /// Why no payment should be accepted.
    pub fn check(&mut self, door: Door, (id, payer): (PaymentId, Address), now: DateTime<Utc>) -> Result<(), Trouble> {
        let Some((why, _)) = self.closed(door, now) else { return Ok(()) };
        if self.refuses(door, now).is_some() || self.suspects.contains(payer, now) {
            return Err(why);
        }
        self.tokens.entry(door.token).or_default().probe = Some((id, now));
        Ok(())
    }

    /// Why a payment would not pass at `now`; `None` if one would. Lets nothing pass. Offers follow this: clients sign only
    /// what they were offered, so without an offer the payment that opens the door would never come.
    pub fn refuses(&self, door: Door, now: DateTime<Utc>) -> Option<Trouble> {
        let (why, trip) = self.closed(door, now)?;
        let probed = self.tokens.get(&door.token).and_then(|token| token.probe).map_or(trip.since, |(_, at)| at);
        (now - probed.max(trip.since) < PROBE_INTERVAL).then_some(why)
    }

    /// Why all doors are closed at `now`; `None` if they are not.
    pub fn trouble(&self, now: DateTime<Utc>) -> Option<Trouble> {
        self.asset.filter(|trip| trip.holds(now)).map(|_| Trouble::AssetPaused)
    }

    /// Lets another payment through instead of this one, which has shown nothing or was not written.
    pub fn free(&mut self, token: Address, id: PaymentId) {
        if let Some(token) = self.tokens.get_mut(&token)
            && token.probe.is_some_and(|(probe, _)| probe == id)
        {
            token.probe = None;
        }
    }

    /// The gravest reason why the door is closed.
    fn closed(&self, door: Door, now: DateTime<Utc>) -> Option<(Trouble, Trip)> {
        let trips = [
            (Trouble::AssetPaused, self.asset),
            (Trouble::SettlementStopped, self.factories.get(&door.stopped_with()).copied()),
            (Trouble::RunOfFailures, self.tokens.get(&door.token).and_then(|token| token.trip)),
        ];
        trips.into_iter().find_map(|(why, trip)| Some((why, trip.filter(|trip| trip.holds(now))?)))
    }

    /// A payment was charged. It contradicts every sign that came before it was put in its transaction. One that was in a
    /// transaction earlier says nothing about the time since.
    fn contradict(&mut self, step: &BreakerStep<'_>) {
        self.suspects.remove(step.payer);
        let is_later = |trip: &Trip| step.settling_since.is_some_and(|since| since > trip.seq);
        self.asset = self.asset.filter(|trip| !is_later(trip));
        if self.factories.get(&step.door.stopped_with()).is_some_and(is_later) {
            self.factories.remove(&step.door.stopped_with());
        }
        if let Some(token) = self.tokens.get_mut(&step.door.token) {
            token.run.clear();
            token.trip = token.trip.filter(|trip| !is_later(trip));
        }
    }
}

impl Trip {
    fn holds(&self, now: DateTime<Utc>) -> bool {
        now - self.last < CLOSED_FOR
    }
}

impl Door {
    /// The door of a token with these terms.
    pub fn of(terms: &TokenTerms) -> Self {
        Self { token: terms.token, factory: Some(terms.factory) }
    }

    /// The factory whose stop closes this door, or the token if its factory is not known.
    fn stopped_with(&self) -> Address {
        self.factory.unwrap_or(self.token)
    }
}

/// Closes a door, or keeps it closed.
fn renew(trip: &mut Option<Trip>, step: &BreakerStep<'_>) {
    let since = trip.filter(|trip| trip.holds(step.at)).map_or(step.at, |trip| trip.since);
    *trip = Some(Trip { since, last: step.at, seq: step.seq });
}

fn sign(event: &OrderEvent) -> Sign {
    match event {
        OrderEvent::PaymentConfirmed(_) => Sign::Good,
        OrderEvent::PaymentDeferred(_, why) => match why.reason {
            WaitReason::AssetPaused => Sign::Paused,
            WaitReason::SettlementStopped => Sign::Stopped,
            // A blacklisted payee stops all its payers.
            WaitReason::Blacklisted | WaitReason::NotAttempted | WaitReason::Unexplained => Sign::Failed,
            WaitReason::Unfunded
            | WaitReason::AuthorizationUsedOrCancelled
            | WaitReason::AuthorizationExpired
            | WaitReason::AuthorizationNotYetValid
            | WaitReason::PayerBudget
            | WaitReason::SignatureRefused => Sign::Own,
            // The count of units closes the door for that.
            WaitReason::SoldOut | WaitReason::Unpaid => Sign::None,
        },
        // A payment that is submitted passed the simulation only. One that is restored was charged long ago.
        OrderEvent::PaymentSubmitted(..) | OrderEvent::PaymentRestored(..) => Sign::None,
        OrderEvent::PaymentRequested(_)
        | OrderEvent::OrderHeld(..)
        | OrderEvent::OrderReleased(..)
        | OrderEvent::MintRedriven(..)
        | OrderEvent::RefundRedriven(..)
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
mod tests;
