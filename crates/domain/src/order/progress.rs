//! The progress of an order's legs, the rules between the legs, and the names of the stages.
//!
//! [`Progress`] is everything that decides which event may follow, and nothing else. A row of the read models stores
//! exactly this.

use super::hold::HoldProgress;
use super::leg::{LegProgress, LegState, StepName};
use crate::event::{LegName, OrderEvent};
use serde::{Deserialize, Serialize};

/// The progress of the legs of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The payment.
    pub payment: LegProgress,
    /// The debt that the payment pays for.
    pub mint: LegProgress,
    /// The way back of the money.
    pub refund: LegProgress,
    /// Messages of the order that were set aside.
    pub hold: HoldProgress,
}

impl Default for Progress {
    fn default() -> Self {
        Self::REQUESTED
    }
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
    /// The money is to go back, and nothing is sent yet.
    RefundRequested,
    /// The refund is in a transaction.
    Refunding,
    /// The refund waits, and is tried again.
    RefundDeferred,
    /// The refund waits for a person.
    RefundParked,
    /// The payer has the money back, N blocks deep.
    Refunded,
}

impl Progress {
    /// An order that was accepted, and nothing else.
    const REQUESTED: Self = Self {
        payment: LegProgress::OWED,
        mint: LegProgress::OWED,
        refund: LegProgress::UNASKED,
        hold: HoldProgress::NONE,
    };

    /// The rules between the legs. Returns whether a leg may take a step that its own rules allow.
    pub(super) fn allows(&self, leg: LegName, step: StepName) -> bool {
        match leg {
            LegName::Payment => self.allows_payment(step),
            LegName::Mint => self.allows_mint(step),
            LegName::Refund => self.allows_refund(step),
        }
    }

    /// Returns whether `leg` may go into a transaction now. A lane asks this before it makes a call, because an order that
    /// refuses its event would hold up everybody else in the transaction.
    pub fn may_submit(&self, leg: LegName) -> bool {
        let progress = match leg {
            LegName::Payment => self.payment,
            LegName::Mint => self.mint,
            LegName::Refund => self.refund,
        };
        progress.state.allows(StepName::Submitted) && self.allows(leg, StepName::Submitted)
    }

    fn allows_payment(&self, step: StepName) -> bool {
        match step {
            // Units are minted, and money goes back, by the record of the payment. If the payment is gone, these are gone,
            // too, and that is recorded first. A refund that was only asked for is moot.
            StepName::Failed => {
                self.mint.state == LegState::Owed && matches!(self.refund.state, LegState::Unasked | LegState::Owed)
            }
            // Nobody charges for what is to go back.
            StepName::Submitted => self.refund.state == LegState::Unasked,
            _ => true,
        }
    }

    fn allows_mint(&self, step: StepName) -> bool {
        let (payment, mint) = (self.payment.state, self.mint.state);
        let is_unasked = self.refund.state == LegState::Unasked;
        // Money that is on its way back buys no units. A record knows one end only.
        match step {
            // A person looks at a parked mint, and no lane.
            StepName::Submitted if !is_unasked || mint == LegState::Parked => return false,
            StepName::Deferred | StepName::Parked if !is_unasked && !mint.is_in_transaction() => return false,
            StepName::Confirmed | StepName::Restored if self.refund.state == LegState::Done => return false,
            _ => {}
        }
        match step {
            // A mint is due when its payment is done.
            _ if payment == LegState::Done => true,
            _ if payment == LegState::Failed || self.payment.counts.reverted == 0 => false,
            // The payment fell out of the chain. A mint that was already in a transaction is still decided by that
            // transaction.
            StepName::Confirmed | StepName::Restored | StepName::Reverted => true,
            StepName::Deferred | StepName::Parked => mint.is_in_transaction(),
            StepName::Requested | StepName::Submitted | StepName::Redriven | StepName::Failed => false,
        }
    }

    fn allows_refund(&self, step: StepName) -> bool {
        let (payment, mint) = (self.payment.state, self.mint.state);
        match step {
            StepName::Requested => match payment {
                LegState::Done => matches!(mint, LegState::Owed | LegState::Deferred | LegState::Parked),
                // Charged around the token.
                LegState::Parked => true,
                _ => false,
            },
            StepName::Submitted => {
                matches!(payment, LegState::Done | LegState::Parked)
                    && mint != LegState::Done
                    && !mint.is_in_transaction()
            }
            // A payer may take the money back, and that may be known before our own steps are.
            StepName::Confirmed | StepName::Restored => mint != LegState::Done && payment != LegState::Failed,
            // A refund waits only where it could be made. One that is in a transaction is decided by it in any case.
            StepName::Deferred | StepName::Parked => {
                let is_there = matches!(payment, LegState::Done | LegState::Parked) && mint != LegState::Done;
                is_there || self.refund.state.is_in_transaction()
            }
            StepName::Reverted | StepName::Redriven => true,
            StepName::Failed => false,
        }
    }

    /// Folds an event that follows the request. Returns `None` if [`decide`](super::decide) could not have written it.
    pub fn after(self, event: &OrderEvent) -> Option<Self> {
        let hold = self.hold.after(event)?;
        let Some((leg, step)) = event.leg() else {
            return (!matches!(event, OrderEvent::PaymentRequested(_))).then_some(Self { hold, ..self });
        };
        if !self.allows(leg, step) {
            return None;
        }
        let mut next = Self { hold, ..self };
        match leg {
            LegName::Payment => next.payment = self.payment.after(step, event.number())?,
            LegName::Mint => next.mint = self.mint.after(step, event.number())?,
            LegName::Refund => next.refund = self.refund.after(step, event.number())?,
        }
        next.settle_down();
        Some(next)
    }

    /// A leg does not wait if its time has not come: without its payment, or if the money goes back. It is owed again once
    /// the payment is back. A leg that is in a transaction or done stays as it is.
    fn settle_down(&mut self) {
        let waits = |leg: &LegProgress| matches!(leg.state, LegState::Deferred | LegState::Parked);
        let is_paid = self.payment.state == LegState::Done;
        if waits(&self.mint) && !(is_paid && self.refund.state == LegState::Unasked) {
            self.mint.state = LegState::Owed;
        }
        let can_go_back = is_paid || self.payment.state == LegState::Parked;
        if waits(&self.refund) && !(can_go_back && self.mint.state != LegState::Done) {
            self.refund.state = LegState::Owed;
        }
    }

    /// Returns whether the payment is neither proven nor dead.
    pub const fn is_unpaid(&self) -> bool {
        !matches!(self.payment.state, LegState::Done | LegState::Failed)
    }

    /// The stage of the order.
    pub const fn stage(&self) -> Stage {
        match (self.payment.state, self.mint.state, self.refund.state) {
            (_, _, LegState::Done) => Stage::Refunded,
            (LegState::Owed | LegState::Unasked, _, _) => Stage::Requested,
            (LegState::Deferred, _, _) => Stage::Deferred,
            (LegState::Submitted, _, _) => Stage::Settling,
            (LegState::Reverted, _, _) => Stage::Reverted,
            (LegState::Failed, _, _) => Stage::Failed,
            (LegState::Done, LegState::Done, _) => Stage::Minted,
            (LegState::Done | LegState::Parked, _, LegState::Owed | LegState::Failed) => Stage::RefundRequested,
            (LegState::Done | LegState::Parked, _, LegState::Submitted | LegState::Reverted) => Stage::Refunding,
            (LegState::Done | LegState::Parked, _, LegState::Deferred) => Stage::RefundDeferred,
            (LegState::Done | LegState::Parked, _, LegState::Parked) => Stage::RefundParked,
            (LegState::Parked, _, LegState::Unasked) => Stage::PaymentParked,
            // A mint never fails.
            (LegState::Done, LegState::Owed | LegState::Unasked | LegState::Failed, _) => Stage::Paid,
            (LegState::Done, LegState::Submitted | LegState::Reverted, _) => Stage::Minting,
            (LegState::Done, LegState::Deferred, _) => Stage::MintDeferred,
            (LegState::Done, LegState::Parked, _) => Stage::MintParked,
        }
    }
}

impl Stage {
    /// Every stage, in the order of an order's life.
    pub const ALL: [Self; 16] = [
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
        Self::RefundRequested,
        Self::Refunding,
        Self::RefundDeferred,
        Self::RefundParked,
        Self::Refunded,
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
            Self::RefundRequested => "refund_requested",
            Self::Refunding => "refunding",
            Self::RefundDeferred => "refund_deferred",
            Self::RefundParked => "refund_parked",
            Self::Refunded => "refunded",
        }
    }

    /// The stage that `event` leads to; `None` if it stays what it was. If the payment is open again and the mint continues
    /// on its own, this is the stage of the leg that the event is about.
    pub const fn after(event: &OrderEvent) -> Option<Self> {
        let mut progress = Progress::REQUESTED;
        match event.leg() {
            None if matches!(event, OrderEvent::PaymentRequested(_)) => {}
            None => return None,
            Some((LegName::Payment, step)) => progress.payment.state = step.leads_to(),
            Some((LegName::Mint, step)) => {
                progress.payment.state = LegState::Done;
                progress.mint.state = step.leads_to();
            }
            Some((LegName::Refund, step)) => {
                progress.payment.state = LegState::Done;
                progress.refund.state = step.leads_to();
            }
        }
        Some(progress.stage())
    }
}
