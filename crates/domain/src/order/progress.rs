//! The progress of an order's legs, the rules between the legs, and the names of the stages.
//!
//! [`Progress`] is everything that decides which event may follow, and nothing else. A row of the read models stores
//! exactly this.

use super::leg::{LegProgress, LegState, StepName};
use crate::event::{LegName, OrderEvent};
use serde::{Deserialize, Serialize};

/// The progress of the legs of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The payment.
    pub payment: LegProgress,
    /// The debt that the payment pays for.
    pub mint: LegProgress,
}

/// The stage of an order, which the API shows as its fine state. It follows from the states of the two legs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The order is accepted, and nothing is sent yet.
    Requested,
    /// The payment waits until the chain would accept it.
    Deferred,
    /// The payment waits for an operator: the payer was charged around the token.
    PaymentParked,
    /// The payment is in a settlement transaction.
    Settling,
    /// The payment was charged, and its block is no longer in the chain. It is in an open transaction again, and
    /// nothing is minted for it.
    Reverted,
    /// The payment can never be charged.
    Failed,
    /// The payment is charged, and the mint is owed.
    Paid,
    /// The mint is in a mint transaction.
    Minting,
    /// The mint waits, and is tried again.
    MintDeferred,
    /// The mint waits for an operator.
    MintParked,
    /// The units are minted, N blocks deep.
    Minted,
}

impl Progress {
    /// The rules between the legs. Returns whether a leg may take a step that its own rules allow.
    pub(super) fn allows(&self, leg: LegName, step: StepName) -> bool {
        let (payment, mint) = (self.payment.state, self.mint.state);
        match (leg, step) {
            // Units are minted by the record of their payment. If the payment is gone, a mint that is done or under way
            // goes, too, and that is recorded first.
            (LegName::Payment, StepName::Failed) => matches!(mint, LegState::Owed),
            (LegName::Payment, _) => true,
            // A mint is due when its payment is done.
            (LegName::Mint, _) if payment == LegState::Done => true,
            (LegName::Mint, _) if payment == LegState::Failed || self.payment.counts.reverted == 0 => false,
            // The payment fell out of the chain. A mint that was already in a transaction is still decided by that
            // transaction.
            (LegName::Mint, StepName::Confirmed | StepName::Restored | StepName::Reverted) => true,
            (LegName::Mint, StepName::Deferred | StepName::Parked) => mint.is_in_transaction(),
            (LegName::Mint, StepName::Submitted | StepName::Failed) => false,
        }
    }

    /// Folds an event that follows the request. Returns `None` if [`decide`](super::decide) could not have written it.
    pub fn after(self, event: &OrderEvent) -> Option<Self> {
        let (leg, step) = event.leg()?;
        if !self.allows(leg, step) {
            return None;
        }
        let mut next = self;
        match leg {
            LegName::Payment => next.payment = self.payment.after(step, event.number())?,
            LegName::Mint => next.mint = self.mint.after(step, event.number())?,
        }
        // Without its payment a mint does not wait. It is owed again once the payment is back. A mint that is in a
        // transaction or done stays as it is.
        if next.payment.state != LegState::Done && matches!(next.mint.state, LegState::Deferred | LegState::Parked) {
            next.mint.state = LegState::Owed;
        }
        Some(next)
    }

    /// Returns whether the payment is neither proven nor dead.
    pub const fn is_unpaid(&self) -> bool {
        !matches!(self.payment.state, LegState::Done | LegState::Failed)
    }

    /// The stage of the order.
    pub const fn stage(&self) -> Stage {
        match (self.payment.state, self.mint.state) {
            (LegState::Owed, _) => Stage::Requested,
            (LegState::Deferred, _) => Stage::Deferred,
            (LegState::Parked, _) => Stage::PaymentParked,
            (LegState::Submitted, _) => Stage::Settling,
            (LegState::Reverted, _) => Stage::Reverted,
            (LegState::Failed, _) => Stage::Failed,
            // A mint never fails.
            (LegState::Done, LegState::Owed | LegState::Failed) => Stage::Paid,
            (LegState::Done, LegState::Submitted | LegState::Reverted) => Stage::Minting,
            (LegState::Done, LegState::Deferred) => Stage::MintDeferred,
            (LegState::Done, LegState::Parked) => Stage::MintParked,
            (LegState::Done, LegState::Done) => Stage::Minted,
        }
    }
}

impl Stage {
    /// Every stage, in the order of an order's life.
    pub const ALL: [Self; 11] = [
        Self::Requested,
        Self::Deferred,
        Self::PaymentParked,
        Self::Settling,
        Self::Reverted,
        Self::Failed,
        Self::Paid,
        Self::Minting,
        Self::MintDeferred,
        Self::MintParked,
        Self::Minted,
    ];

    /// The stage's name, as the API and the tables spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Deferred => "deferred",
            Self::PaymentParked => "payment_parked",
            Self::Settling => "settling",
            Self::Reverted => "reverted",
            Self::Failed => "failed",
            Self::Paid => "paid",
            Self::Minting => "minting",
            Self::MintDeferred => "mint_deferred",
            Self::MintParked => "mint_parked",
            Self::Minted => "minted",
        }
    }

    /// The stage that `event` leads to. If the payment is open again and the mint continues on its own, this is the
    /// stage of the leg that the event is about.
    pub const fn after(event: &OrderEvent) -> Self {
        let mut progress = Progress { payment: LegProgress::OWED, mint: LegProgress::OWED };
        match event.leg() {
            None => {}
            Some((LegName::Payment, step)) => progress.payment.state = step.leads_to(),
            Some((LegName::Mint, step)) => {
                progress.payment.state = LegState::Done;
                progress.mint.state = step.leads_to();
            }
        }
        progress.stage()
    }
}
