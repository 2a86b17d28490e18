//! One leg of an order: something that is sent in a transaction, and is done when that transaction is N blocks deep.
//!
//! A payment is a leg, and so is every debt that it pays for. The rules of a leg are written once, in this file. The
//! rules between the legs of an order stand in [`progress`](super::progress).

use super::in_block::InBlock;
use crate::event::{Deferral, Parked, PaymentFailure, Redrive, RefundRequest, Reversal, Submission, WaitReason};
use serde::{Deserialize, Serialize};

/// The state of a leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegState {
    /// The leg was not asked for. Only a refund begins here.
    Unasked,
    /// The leg is in no transaction.
    #[default]
    Owed,
    /// The leg is in a transaction.
    Submitted,
    /// The leg waits, for a reason that may pass.
    Deferred,
    /// The leg waits for an operator.
    Parked,
    /// The transaction of the leg is N blocks deep.
    Done,
    /// The leg was done, and its block is no longer in the chain. Its transaction is open again.
    Reverted,
    /// The leg can never be done, by proof. Only a payment can fail.
    Failed,
}

/// The steps of a leg, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum StepName {
    Requested,
    Submitted,
    Deferred,
    Parked,
    Redriven,
    Confirmed,
    Reverted,
    Restored,
    Failed,
}

/// A step of a leg whose evidence is `D`. A step that repeats carries its number, from 1.
#[derive(Clone, Debug, PartialEq)]
pub enum LegStep<D> {
    /// The leg is asked for. Only a refund is.
    Requested(RefundRequest),
    /// The leg is in this signed transaction.
    Submitted(u32, Submission),
    /// The leg waits, and is tried again.
    Deferred(u32, Deferral),
    /// The leg waits for an operator.
    Parked(u32, Parked),
    /// The parked leg is owed again. The number is that of the parking. A payment has no such step.
    Redriven(u32, Redrive),
    /// The transaction is N blocks deep.
    Confirmed(D),
    /// The block that made the leg done is no longer in the chain.
    Reverted(u32, Reversal),
    /// The transaction is N blocks deep again. The number is that of the reversal.
    Restored(u32, D),
    /// The leg can never be done, by proof.
    Failed(PaymentFailure),
}

/// A fact about a leg that a service wants to have recorded.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Wish<D> {
    Request(RefundRequest),
    Submit(Submission),
    Defer(Deferral),
    Park(Parked),
    Redrive(Redrive),
    Confirm(D),
    Revert(Reversal),
    Fail(PaymentFailure),
}

/// How often each repeating step has happened. The next one has the next number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Counts {
    pub submitted: u32,
    pub deferred: u32,
    pub parked: u32,
    pub reverted: u32,
}

/// The part of a leg that decides which step may follow. A row of the read models stores exactly this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct LegProgress {
    pub state: LegState,
    pub counts: Counts,
}

/// The evidence of the state that a leg is in.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact<D> {
    /// No evidence: the leg is owed.
    None,
    /// The decision that the leg is owed.
    Request(RefundRequest),
    /// The transaction that the leg is in.
    Submission(Submission),
    /// The reason why the leg waits.
    Deferral(Deferral),
    /// The reason why an operator must look.
    Parked(Parked),
    /// The decision that the leg, which was parked, is owed again.
    Redrive(Redrive),
    /// The proof that the leg is done.
    Done(D),
    /// The proof that the leg can never be done.
    Failure(PaymentFailure),
}

/// One leg with its evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Leg<D> {
    progress: LegProgress,
    fact: Fact<D>,
}

/// The reason why a leg refuses a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegRefusal {
    /// There is proof that the leg is done and proof that it never can be. One of them is false.
    Contradiction,
    /// The command does not fit the state of the leg.
    OutOfOrder,
}

const NO_COUNTS: Counts = Counts { submitted: 0, deferred: 0, parked: 0, reverted: 0 };

impl LegState {
    /// Returns whether the leg is in a transaction that may still be mined.
    pub const fn is_in_transaction(self) -> bool {
        matches!(self, Self::Submitted | Self::Reverted)
    }

    /// Returns whether the leg may take this step.
    pub(super) const fn allows(self, step: StepName) -> bool {
        use LegState::{Deferred, Done, Owed, Parked, Reverted, Submitted, Unasked};
        match step {
            StepName::Requested => matches!(self, Unasked),
            // What is parked is tried again by an operator's lane.
            StepName::Submitted => matches!(self, Owed | Deferred | Parked),
            StepName::Deferred | StepName::Parked | StepName::Failed => {
                matches!(self, Owed | Deferred | Submitted | Reverted)
            }
            StepName::Confirmed | StepName::Restored => {
                matches!(self, Unasked | Owed | Deferred | Parked | Submitted | Reverted)
            }
            StepName::Redriven => matches!(self, Parked),
            StepName::Reverted => matches!(self, Done),
        }
    }
}

impl StepName {
    /// The state of a leg after the step.
    pub const fn leads_to(self) -> LegState {
        match self {
            Self::Requested | Self::Redriven => LegState::Owed,
            Self::Submitted => LegState::Submitted,
            Self::Deferred => LegState::Deferred,
            Self::Parked => LegState::Parked,
            Self::Confirmed | Self::Restored => LegState::Done,
            Self::Reverted => LegState::Reverted,
            Self::Failed => LegState::Failed,
        }
    }
}

impl LegProgress {
    /// A leg to which nothing has happened.
    pub const OWED: Self = Self { state: LegState::Owed, counts: NO_COUNTS };

    /// A leg that nobody has asked for.
    pub const UNASKED: Self = Self { state: LegState::Unasked, counts: NO_COUNTS };

    /// The number that the step would carry; `None` if the step carries none or cannot come now.
    const fn number(self, step: StepName) -> Option<u32> {
        let Counts { submitted, deferred, parked, reverted } = self.counts;
        match step {
            StepName::Submitted => submitted.checked_add(1),
            StepName::Deferred => deferred.checked_add(1),
            StepName::Parked => parked.checked_add(1),
            StepName::Redriven if parked > 0 => Some(parked),
            StepName::Reverted => reverted.checked_add(1),
            StepName::Restored if reverted > 0 => Some(reverted),
            StepName::Requested | StepName::Redriven | StepName::Restored | StepName::Confirmed | StepName::Failed => {
                None
            }
        }
    }

    /// Folds a step with this number. Returns `None` if [`Leg::decide`] could not have written it: the step does not
    /// fit the state, or the number is not the next one.
    pub fn after(self, step: StepName, number: Option<u32>) -> Option<Self> {
        let is_first = !matches!(step, StepName::Confirmed) || self.counts.reverted == 0;
        let carries_none = matches!(step, StepName::Requested | StepName::Confirmed | StepName::Failed);
        let fits = number == self.number(step) && number.is_none() == carries_none;
        if !(self.state.allows(step) && is_first && fits) {
            return None;
        }
        let mut counts = self.counts;
        let count = match step {
            StepName::Submitted => Some(&mut counts.submitted),
            StepName::Deferred => Some(&mut counts.deferred),
            StepName::Parked => Some(&mut counts.parked),
            StepName::Reverted => Some(&mut counts.reverted),
            StepName::Requested | StepName::Redriven | StepName::Restored | StepName::Confirmed | StepName::Failed => {
                None
            }
        };
        if let (Some(count), Some(number)) = (count, number) {
            *count = number;
        }
        Some(Self { state: step.leads_to(), counts })
    }
}

impl<D> Default for Leg<D> {
    fn default() -> Self {
        Self { progress: LegProgress::default(), fact: Fact::None }
    }
}

impl<D: InBlock> Leg<D> {
    /// Returns the step that records `wish`, or `None` if the leg is in that state already. The order of the cases is
    /// the order of precedence, with idempotence first.
    ///
    /// # Errors
    /// [`LegRefusal`]: the wish is refused.
    pub fn decide(&self, wish: Wish<D>) -> Result<Option<LegStep<D>>, LegRefusal> {
        if self.is_so(&wish) {
            return Ok(None);
        }
        if matches!((&self.fact, &wish), (Fact::Failure(_), Wish::Confirm(_)) | (Fact::Done(_), Wish::Fail(_))) {
            return Err(LegRefusal::Contradiction);
        }
        let number = |step| self.progress.number(step).ok_or(LegRefusal::OutOfOrder);
        let step = match wish {
            Wish::Request(request) => LegStep::Requested(request),
            Wish::Submit(tx) => LegStep::Submitted(number(StepName::Submitted)?, tx),
            Wish::Defer(why) => LegStep::Deferred(number(StepName::Deferred)?, why),
            Wish::Park(why) => LegStep::Parked(number(StepName::Parked)?, why),
            Wish::Redrive(redrive) => LegStep::Redriven(number(StepName::Redriven)?, redrive),
            Wish::Confirm(done) => match self.progress.number(StepName::Restored) {
                None => LegStep::Confirmed(done),
                Some(n) => LegStep::Restored(n, done),
            },
            Wish::Revert(reversal) => LegStep::Reverted(number(StepName::Reverted)?, reversal),
            Wish::Fail(failure) => LegStep::Failed(failure),
        };
        if self.progress.state.allows(step.name()) { Ok(Some(step)) } else { Err(LegRefusal::OutOfOrder) }
    }

    /// Returns whether the leg is in the wished state already, or the wish is about a block that the leg does not count
    /// on.
    fn is_so(&self, wish: &Wish<D>) -> bool {
        match (&self.fact, wish) {
            (_, Wish::Request(_)) => self.progress.state != LegState::Unasked,
            (Fact::Submission(known), Wish::Submit(new)) => known == new,
            // If the window closed while the payer had no funds or the token no units, the earlier reason stays: it will be
            // the reason of the failure.
            (Fact::Deferral(known), Wish::Defer(new)) => {
                known.reason == new.reason
                    || matches!(
                        (known.reason, new.reason),
                        (WaitReason::Unfunded | WaitReason::SoldOut, WaitReason::AuthorizationExpired)
                    )
            }
            (Fact::Redrive(_), Wish::Redrive(_)) => true,
            (Fact::Parked(known), Wish::Park(new)) => known.reason == new.reason,
            (Fact::Done(_), Wish::Confirm(_)) | (Fact::Failure(_), Wish::Fail(_)) => true,
            (Fact::Done(done), Wish::Revert(gone)) => done.place() != (gone.tx_hash, gone.block),
            (_, Wish::Revert(_)) => true,
            _ => false,
        }
    }
}

impl<D> Leg<D> {
    /// A leg that nobody has asked for.
    pub const fn unasked() -> Self {
        Self { progress: LegProgress::UNASKED, fact: Fact::None }
    }

    /// The part that decides which step may follow.
    pub const fn progress(&self) -> LegProgress {
        self.progress
    }

    /// The state of the leg.
    pub const fn state(&self) -> LegState {
        self.progress.state
    }

    /// How often each repeating step has happened.
    pub const fn counts(&self) -> Counts {
        self.progress.counts
    }

    /// The transaction that the leg is in and that may still be mined.
    pub const fn submission(&self) -> Option<&Submission> {
        if let Fact::Submission(tx) = &self.fact { Some(tx) } else { None }
    }

    /// The reason why the leg waits; `None` if it does not.
    pub const fn deferral(&self) -> Option<&Deferral> {
        if let Fact::Deferral(why) = &self.fact { Some(why) } else { None }
    }

    /// The reason why an operator must look; `None` if none must.
    pub const fn parked(&self) -> Option<&Parked> {
        if let Fact::Parked(why) = &self.fact { Some(why) } else { None }
    }

    /// Returns whether the leg is owed because a person has it tried once more.
    pub const fn is_redriven(&self) -> bool {
        matches!(self.fact, Fact::Redrive(_))
    }

    /// The proof that the leg is done; `None` if it is not.
    pub const fn done(&self) -> Option<&D> {
        if let Fact::Done(done) = &self.fact { Some(done) } else { None }
    }

    /// The proof that the leg can never be done; `None` if there is none.
    pub const fn failure(&self) -> Option<&PaymentFailure> {
        if let Fact::Failure(failure) = &self.fact { Some(failure) } else { None }
    }

    /// Moves on to `progress`, by `step` if it was a step of this leg. A leg that is owed again keeps no evidence.
    pub(super) fn follow(&mut self, progress: LegProgress, step: Option<LegStep<D>>) {
        self.progress = progress;
        if progress.state == LegState::Owed && !matches!(step, Some(LegStep::Requested(_) | LegStep::Redriven(..))) {
            self.fact = Fact::None;
        } else if let Some(step) = step {
            self.fact = step.into_fact();
        }
    }
}

impl<D> LegStep<D> {
    /// The step's name.
    pub const fn name(&self) -> StepName {
        match self {
            Self::Requested(_) => StepName::Requested,
            Self::Submitted(..) => StepName::Submitted,
            Self::Deferred(..) => StepName::Deferred,
            Self::Parked(..) => StepName::Parked,
            Self::Redriven(..) => StepName::Redriven,
            Self::Confirmed(_) => StepName::Confirmed,
            Self::Reverted(..) => StepName::Reverted,
            Self::Restored(..) => StepName::Restored,
            Self::Failed(_) => StepName::Failed,
        }
    }

    /// The step's number, if it repeats.
    pub const fn number(&self) -> Option<u32> {
        match self {
            Self::Submitted(n, _)
            | Self::Deferred(n, _)
            | Self::Parked(n, _)
            | Self::Redriven(n, _)
            | Self::Reverted(n, _)
            | Self::Restored(n, _) => Some(*n),
            Self::Requested(_) | Self::Confirmed(_) | Self::Failed(_) => None,
        }
    }

    fn into_fact(self) -> Fact<D> {
        match self {
            Self::Requested(request) => Fact::Request(request),
            Self::Submitted(_, tx) => Fact::Submission(tx),
            Self::Deferred(_, why) => Fact::Deferral(why),
            Self::Parked(_, why) => Fact::Parked(why),
            Self::Redriven(_, redrive) => Fact::Redrive(redrive),
            Self::Confirmed(done) | Self::Restored(_, done) => Fact::Done(done),
            Self::Reverted(_, reversal) => Fact::Submission(reversal.submission()),
            Self::Failed(failure) => Fact::Failure(failure),
        }
    }
}
