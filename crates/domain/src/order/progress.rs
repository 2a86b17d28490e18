//! The legs of an order together: the rules between them, and the names of the stages.
//!
//! All that decides which event may follow, and nothing else. A row of the read models stores exactly this.

use super::leg::{LegProgress, LegState, StepName};
use crate::event::{LegName, OrderEvent};
use serde::{Deserialize, Serialize};

/// How far the legs of an order are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The payment.
    pub payment: LegProgress,
    /// The debt that the payment pays for.
    pub mint: LegProgress,
}

/// The stage of an order: the fine state that the API shows. It follows from the states of the two legs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Accepted, nothing sent.
    Requested,
    /// Waits for the chain to accept the payment.
    Deferred,
    /// In a settlement transaction.
    Settling,
    /// Was charged, and the block is gone: in a transaction again. Nothing is minted for it.
    Reverted,
    /// Can never be charged.
    Failed,
    /// Can never be charged, and is minted: the loss that the exposure cap bounds.
    Lost,
    /// Charged; the mint is owed.
    Paid,
    /// In a mint transaction.
    Minting,
    /// The mint waits.
    MintDeferred,
    /// The mint waits for a person.
    MintParked,
    /// Done.
    Minted,
}

impl Progress {
    /// The rules between the legs: whether a leg may take a step that is open to it by itself.
    pub(super) fn allows(&self, leg: LegName, step: StepName) -> bool {
        let (payment, mint) = (self.payment.state, self.mint.state);
        match (leg, step) {
            // Whether the order is failed or lost is not known before the transaction of its mint is.
            (LegName::Payment, StepName::Failed) => !mint.is_in_transaction(),
            (LegName::Payment, _) => true,
            // A mint is due when its payment is done.
            (LegName::Mint, _) if payment == LegState::Done => true,
            (LegName::Mint, _) if payment == LegState::Failed || self.payment.counts.reverted == 0 => false,
            // The payment fell out of the chain. A mint that went ahead of it is still settled by its transaction.
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
        // Without its payment a mint does not wait: it is owed again once the payment is back. One that is in a
        // transaction, or done, stays what it is.
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
            // No payment is parked: it waits, or fails.
            (LegState::Deferred | LegState::Parked, _) => Stage::Deferred,
            (LegState::Submitted, _) => Stage::Settling,
            (LegState::Reverted, _) => Stage::Reverted,
            (LegState::Failed, LegState::Done) => Stage::Lost,
            (LegState::Failed, _) => Stage::Failed,
            // No mint fails.
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
        Self::Settling,
        Self::Reverted,
        Self::Failed,
        Self::Lost,
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
            Self::Settling => "settling",
            Self::Reverted => "reverted",
            Self::Failed => "failed",
            Self::Lost => "lost",
            Self::Paid => "paid",
            Self::Minting => "minting",
            Self::MintDeferred => "mint_deferred",
            Self::MintParked => "mint_parked",
            Self::Minted => "minted",
        }
    }

    /// The stage that `event` leads to. While the payment is open again and the mint goes its own way, it is the stage of
    /// the leg that the event speaks of.
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
