//! The order: a payment leg, the leg of the debt that it pays for, which today is a mint, and the leg of a refund.
//!
//! [`leg`] says what may happen to one leg, [`progress`] what one leg means for the other. The table of every stage
//! against every command is a test (`order/table.txt`) beside this file.

mod hold;
mod in_block;
mod leg;
mod progress;

pub use hold::{HoldProgress, Holds};
pub use in_block::InBlock;
pub use leg::{Counts, Leg, LegProgress, LegRefusal, LegState, LegStep, StepName, Wish};
pub use progress::{Progress, Stage};

use crate::event::{
    AnyLegStep, Deferral, LegName, Minted, OrderEvent, OrderHold, Parked, PaymentFailure, PaymentProof, Redrive,
    RefundRequest, Refunded, Reversal, Submission,
};
use crate::request::{PaymentRequest, RequestFields};

/// One order, folded from its events. Built only by [`evolve`], and never stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The request as accepted.
    pub request: PaymentRequest,
    /// The payment.
    pub payment: Leg<PaymentProof>,
    /// The debt.
    pub mint: Leg<Minted>,
    /// The way back of the money, if somebody asks for it.
    pub refund: Leg<Refunded>,
    /// Messages of the order that were set aside.
    pub holds: Holds,
}

/// A fact about an order that a service wants to have recorded.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// From the api: the order is accepted.
    Request(Box<PaymentRequest>),
    /// From payment-sender: the payment is in this signed transaction.
    Submit(Submission),
    /// From payment-sender or confirmer: the payment cannot be charged now.
    Defer(Deferral),
    /// From confirmer: the payer was charged around the token.
    Park(Parked),
    /// From confirmer: the payer was charged.
    Confirm(PaymentProof),
    /// From confirmer: the payment can never be charged, by proof.
    Fail(PaymentFailure),
    /// From confirmer: this transaction, and the charge in it, is no longer in the chain.
    Revert(Reversal),
    /// From mint-projector: the mint is in this signed transaction.
    SubmitMint(Submission),
    /// From mint-projector or confirmer: the mint cannot be made now.
    DeferMint(Deferral),
    /// From mint-projector or confirmer: an operator must look at the mint.
    ParkMint(Parked),
    /// From a person: the parked mint is tried once more.
    RedriveMint(Redrive),
    /// From confirmer: the units are minted.
    ConfirmMint(Minted),
    /// From confirmer: this transaction, and the mint in it, is no longer in the chain.
    RevertMint(Reversal),
    /// From a person, or from the operator's lane: the money is to go back.
    RequestRefund(RefundRequest),
    /// From the operator's lane: the refund is in this signed transaction.
    SubmitRefund(Submission),
    /// From the operator's lane or confirmer: the money cannot go back now.
    DeferRefund(Deferral),
    /// From the operator's lane or confirmer: a person must look at the refund.
    ParkRefund(Parked),
    /// From a person: the parked refund is tried once more.
    RedriveRefund(Redrive),
    /// From confirmer: the payer has the money back.
    ConfirmRefund(Refunded),
    /// From confirmer: this transaction, and the refund in it, is no longer in the chain.
    RevertRefund(Reversal),
    /// From any service: a message of the order can never be handled.
    Hold(OrderHold),
    /// From a person: that message is handled once more.
    Release(Redrive),
}

/// A refusal of a command. Nothing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandRejection {
    /// The authorization was accepted for another order. The api answers 409.
    #[error("this authorization already pays for another order")]
    KeyReusedWithAnotherOrder,
    /// There is proof that the payment was charged and proof that it can never be. One of them is false, so an operator
    /// must look.
    #[error("proof of payment and proof of failure contradict each other")]
    Contradiction,
    /// The command does not fit the stage of the order. Read the order again.
    #[error("{command} does not fit an order that is {stage}")]
    OutOfOrder {
        /// The refused command.
        command: &'static str,
        /// The stage of the order.
        stage: &'static str,
    },
}

/// A history that [`decide`] could not have written. The order is parked, and others go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event} cannot follow {stage}")]
pub struct ImpossiblePast {
    /// The event.
    pub event: &'static str,
    /// The stage before it.
    pub stage: &'static str,
}

/// Decides which event records `command`. Returns `None` if the order is in that state already.
///
/// # Errors
/// [`CommandRejection`]: the command is refused.
pub fn decide(order: Option<&Order>, command: Command) -> Result<Option<OrderEvent>, CommandRejection> {
    let name = command.name();
    let Some(order) = order else {
        return match command {
            Command::Request(request) => Ok(Some(OrderEvent::PaymentRequested(request))),
            _ => Err(CommandRejection::OutOfOrder { command: name, stage: "unknown" }),
        };
    };
    let step = match command {
        Command::Request(request) => return order.request_again(&request).map(|()| None),
        Command::Hold(hold) => return Ok(order.holds.hold(hold)),
        Command::Release(redrive) => return Ok(order.holds.release(redrive)),
        Command::Submit(tx) => order.pays(Wish::Submit(tx)),
        Command::Defer(why) => order.pays(Wish::Defer(why)),
        Command::Park(why) => order.pays(Wish::Park(why)),
        Command::Confirm(proof) => order.pays(Wish::Confirm(proof)),
        Command::Fail(failure) => order.pays(Wish::Fail(failure)),
        Command::Revert(reversal) => order.pays(Wish::Revert(reversal)),
        Command::SubmitMint(tx) => order.mints(Wish::Submit(tx)),
        Command::DeferMint(why) => order.mints(Wish::Defer(why)),
        Command::ParkMint(why) => order.mints(Wish::Park(why)),
        Command::RedriveMint(redrive) => order.mints(Wish::Redrive(redrive)),
        Command::ConfirmMint(minted) => order.mints(Wish::Confirm(minted)),
        Command::RevertMint(reversal) => order.mints(Wish::Revert(reversal)),
        Command::RequestRefund(request) => order.refunds(Wish::Request(request)),
        Command::SubmitRefund(tx) => order.refunds(Wish::Submit(tx)),
        Command::DeferRefund(why) => order.refunds(Wish::Defer(why)),
        Command::ParkRefund(why) => order.refunds(Wish::Park(why)),
        Command::RedriveRefund(redrive) => order.refunds(Wish::Redrive(redrive)),
        Command::ConfirmRefund(refunded) => order.refunds(Wish::Confirm(refunded)),
        Command::RevertRefund(reversal) => order.refunds(Wish::Revert(reversal)),
    };
    let out_of_order = CommandRejection::OutOfOrder { command: name, stage: order.stage().name() };
    let step = step.map_err(|refusal| match refusal {
        LegRefusal::Contradiction => CommandRejection::Contradiction,
        LegRefusal::OutOfOrder => out_of_order,
    })?;
    let Some(event) = step.and_then(OrderEvent::of) else { return Ok(None) };
    match event.leg() {
        Some((leg, step)) if order.progress().allows(leg, step) => Ok(Some(event)),
        _ => Err(out_of_order),
    }
}

/// Folds one event: `events.try_fold(None, evolve)`.
///
/// # Errors
/// [`ImpossiblePast`]: [`decide`] could not have written this event here.
pub fn evolve(order: Option<Order>, event: &OrderEvent) -> Result<Option<Order>, ImpossiblePast> {
    let Some(mut order) = order else {
        return match event {
            OrderEvent::PaymentRequested(request) => Ok(Some(Order::requested((**request).clone()))),
            _ => Err(ImpossiblePast { event: event.name(), stage: "unknown" }),
        };
    };
    let impossible = ImpossiblePast { event: event.name(), stage: order.stage().name() };
    let Progress { payment, mint, refund, hold } = order.progress().after(event).ok_or(impossible)?;
    let (paid, minted, refunded) = match event.step() {
        Some(AnyLegStep::Payment(step)) => (Some(step), None, None),
        Some(AnyLegStep::Mint(step)) => (None, Some(step), None),
        Some(AnyLegStep::Refund(step)) => (None, None, Some(step)),
        // A leg that is owed keeps its evidence beside what moves no leg.
        None => {
            order.holds.follow(hold, event);
            return Ok(Some(order));
        }
    };
    order.payment.follow(payment, paid);
    order.mint.follow(mint, minted);
    order.refund.follow(refund, refunded);
    order.holds.follow(hold, event);
    Ok(Some(order))
}

impl Order {
    /// An order that was accepted, and nothing else.
    pub fn requested(request: PaymentRequest) -> Self {
        let (payment, mint, refund) = (Leg::default(), Leg::default(), Leg::unasked());
        Self { request, payment, mint, refund, holds: Holds::default() }
    }

    /// Decides a request for this order's payment that comes again. `Ok`: it is the same order.
    ///
    /// # Errors
    /// `KeyReusedWithAnotherOrder`: it pays for something else.
    pub fn request_again(&self, request: &RequestFields) -> Result<(), CommandRejection> {
        if request.same_order_as(&self.request) { Ok(()) } else { Err(CommandRejection::KeyReusedWithAnotherOrder) }
    }

    /// The progress of the legs.
    pub const fn progress(&self) -> Progress {
        Progress {
            payment: self.payment.progress(),
            mint: self.mint.progress(),
            refund: self.refund.progress(),
            hold: self.holds.progress(),
        }
    }

    /// The stage of the order.
    pub const fn stage(&self) -> Stage {
        self.progress().stage()
    }

    /// Returns whether the payment is neither proven nor dead.
    pub const fn is_unpaid(&self) -> bool {
        self.progress().is_unpaid()
    }

    /// Returns whether the message of `event` is the one that carries this order on. Each resting stage has exactly one;
    /// every other message of the order has had its effect and may be acknowledged.
    pub fn is_carried_by(&self, event: &OrderEvent) -> bool {
        let (paid, minted, back) = (self.payment.counts(), self.mint.counts(), self.refund.counts());
        let number = match (self.stage(), event.leg()) {
            (Stage::PaymentParked, Some((LegName::Payment, StepName::Parked))) => Some(paid.parked),
            (Stage::RefundRequested, Some((LegName::Refund, StepName::Redriven))) if self.refund.is_redriven() => {
                Some(back.parked)
            }
            (Stage::RefundRequested, Some((LegName::Refund, StepName::Requested))) if !self.refund.is_redriven() => {
                None
            }
            (Stage::RefundDeferred, Some((LegName::Refund, StepName::Deferred))) => Some(back.deferred),
            (Stage::Requested, None) => None,
            (Stage::Paid, Some((LegName::Mint, StepName::Redriven))) if self.mint.is_redriven() => Some(minted.parked),
            (Stage::Paid, Some((LegName::Payment, StepName::Confirmed | StepName::Restored)))
                if !self.mint.is_redriven() =>
            {
                (paid.reverted > 0).then_some(paid.reverted)
            }
            (Stage::Deferred, Some((LegName::Payment, StepName::Deferred))) => Some(paid.deferred),
            (Stage::MintDeferred, Some((LegName::Mint, StepName::Deferred))) => Some(minted.deferred),
            _ => return false,
        };
        event.number() == number
    }

    fn pays(&self, wish: Wish<PaymentProof>) -> Result<Option<AnyLegStep>, LegRefusal> {
        self.payment.decide(wish).map(|step| step.map(AnyLegStep::Payment))
    }

    fn refunds(&self, wish: Wish<Refunded>) -> Result<Option<AnyLegStep>, LegRefusal> {
        self.refund.decide(wish).map(|step| step.map(AnyLegStep::Refund))
    }

    fn mints(&self, wish: Wish<Minted>) -> Result<Option<AnyLegStep>, LegRefusal> {
        self.mint.decide(wish).map(|step| step.map(AnyLegStep::Mint))
    }
}

impl Command {
    /// The command's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Request(_) => "request",
            Self::Submit(_) => "submit",
            Self::Defer(_) => "defer",
            Self::Park(_) => "park",
            Self::Confirm(_) => "confirm",
            Self::Fail(_) => "fail",
            Self::Revert(_) => "revert",
            Self::SubmitMint(_) => "submit_mint",
            Self::DeferMint(_) => "defer_mint",
            Self::ParkMint(_) => "park_mint",
            Self::RedriveMint(_) => "redrive_mint",
            Self::ConfirmMint(_) => "confirm_mint",
            Self::RevertMint(_) => "revert_mint",
            Self::RequestRefund(_) => "request_refund",
            Self::SubmitRefund(_) => "submit_refund",
            Self::DeferRefund(_) => "defer_refund",
            Self::ParkRefund(_) => "park_refund",
            Self::RedriveRefund(_) => "redrive_refund",
            Self::ConfirmRefund(_) => "confirm_refund",
            Self::RevertRefund(_) => "revert_refund",
            Self::Hold(_) => "hold",
            Self::Release(_) => "release",
        }
    }
}

#[cfg(test)]
mod tests;
