//! The order: a payment leg, and the leg of the debt that it pays for, which today is a mint.
//!
//! [`leg`] says what may happen to one leg, [`progress`] what one leg means for the other. The table of every stage
//! against every command is a test (`order/table.txt`) beside this file.

mod group;
mod leg;
mod progress;

pub use group::MintGroup;
pub use leg::{Counts, InBlock, Leg, LegProgress, LegRefusal, LegState, LegStep, StepName, Wish};
pub use progress::{Progress, Stage};

use crate::event::{
    AnyLegStep, Deferral, LegName, Minted, OrderEvent, Parked, PaymentFailure, PaymentProof, Reversal, Submission,
};
use crate::request::PaymentRequest;

/// One order as its events tell it. Built only by [`evolve`]; never stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The request as accepted.
    pub request: PaymentRequest,
    /// The payment.
    pub payment: Leg<PaymentProof>,
    /// The debt.
    pub mint: Leg<Minted>,
}

/// A wish that a service has about an order: that this be true.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// api: accept it.
    Request(Box<PaymentRequest>),
    /// payment-sender: it is in this signed transaction.
    Submit(Submission),
    /// payment-sender, confirmer: not now.
    Defer(Deferral),
    /// confirmer: charged.
    Confirm(PaymentProof),
    /// confirmer: provably never.
    Fail(PaymentFailure),
    /// confirmer: this transaction, and what it charged, is no longer in the chain.
    Revert(Reversal),
    /// mint-projector: it is in this signed transaction.
    SubmitMint(Submission),
    /// mint-projector, confirmer: not now.
    DeferMint(Deferral),
    /// mint-projector, confirmer: a person must look.
    ParkMint(Parked),
    /// confirmer: the units are there.
    ConfirmMint(Minted),
    /// confirmer: this transaction, and what it minted, is no longer in the chain.
    RevertMint(Reversal),
}

/// A refusal of a command. Nothing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The authorization was accepted for another order: HTTP 409.
    #[error("this authorization already pays for another order")]
    KeyReusedWithAnotherOrder,
    /// Proof of payment meets proof of failure. One of them is false: stop and look.
    #[error("proof of payment and proof of failure contradict each other")]
    Contradiction,
    /// Not in this stage; read again.
    #[error("{command} does not fit an order that is {stage}")]
    OutOfOrder {
        /// The refused command.
        command: &'static str,
        /// Where the order stands.
        stage: &'static str,
    },
}

/// A past that [`decide`] could not have written. The order is parked, and others go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event} cannot follow {stage}")]
pub struct ImpossiblePast {
    /// The event.
    pub event: &'static str,
    /// The stage before it.
    pub stage: &'static str,
}

/// Decides what to write so that `command` is true. Returns `None` if it already is.
///
/// # Errors
/// [`Rejection`], with nothing changed.
pub fn decide(order: Option<&Order>, command: Command) -> Result<Option<OrderEvent>, Rejection> {
    let name = command.name();
    let Some(order) = order else {
        return match command {
            Command::Request(request) => Ok(Some(OrderEvent::PaymentRequested(request))),
            _ => Err(Rejection::OutOfOrder { command: name, stage: "unknown" }),
        };
    };
    let step = match command {
        Command::Request(request) if request.same_order_as(&order.request) => return Ok(None),
        Command::Request(_) => return Err(Rejection::KeyReusedWithAnotherOrder),
        Command::Submit(tx) => order.pays(Wish::Submit(tx)),
        Command::Defer(why) => order.pays(Wish::Defer(why)),
        Command::Confirm(proof) => order.pays(Wish::Confirm(proof)),
        Command::Fail(failure) => order.pays(Wish::Fail(failure)),
        Command::Revert(reversal) => order.pays(Wish::Revert(reversal)),
        Command::SubmitMint(tx) => order.mints(Wish::Submit(tx)),
        Command::DeferMint(why) => order.mints(Wish::Defer(why)),
        Command::ParkMint(why) => order.mints(Wish::Park(why)),
        Command::ConfirmMint(minted) => order.mints(Wish::Confirm(minted)),
        Command::RevertMint(reversal) => order.mints(Wish::Revert(reversal)),
    };
    let out_of_order = Rejection::OutOfOrder { command: name, stage: order.stage().name() };
    let step = step.map_err(|refusal| match refusal {
        LegRefusal::Contradiction => Rejection::Contradiction,
        LegRefusal::OutOfOrder => out_of_order,
    })?;
    let Some(event) = step.and_then(OrderEvent::of) else { return Ok(None) };
    match event.leg() {
        Some((leg, step)) if order.progress().allows(leg, step) => Ok(Some(event)),
        // Nothing more is written about a lost order, whatever happens to its mint.
        Some((_, StepName::Reverted)) => Ok(None),
        _ => Err(out_of_order),
    }
}

/// Folds one event: `events.try_fold(None, evolve)`.
///
/// # Errors
/// [`ImpossiblePast`] on a past that [`decide`] could not have written.
pub fn evolve(order: Option<Order>, event: &OrderEvent) -> Result<Option<Order>, ImpossiblePast> {
    let Some(mut order) = order else {
        return match event {
            OrderEvent::PaymentRequested(request) => Ok(Some(Order::requested((**request).clone()))),
            _ => Err(ImpossiblePast { event: event.name(), stage: "unknown" }),
        };
    };
    let impossible = ImpossiblePast { event: event.name(), stage: order.stage().name() };
    let Progress { payment, mint } = order.progress().after(event).ok_or(impossible)?;
    let (paid, minted) = match event.step() {
        Some(AnyLegStep::Payment(step)) => (Some(step), None),
        Some(AnyLegStep::Mint(step)) => (None, Some(step)),
        None => (None, None),
    };
    order.payment.follow(payment, paid);
    order.mint.follow(mint, minted);
    Ok(Some(order))
}

impl Order {
    /// An order that is accepted, and no more.
    pub fn requested(request: PaymentRequest) -> Self {
        Self { request, payment: Leg::default(), mint: Leg::default() }
    }

    /// How far the legs are.
    pub const fn progress(&self) -> Progress {
        Progress { payment: self.payment.progress(), mint: self.mint.progress() }
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
        let (paid, minted) = (self.payment.counts(), self.mint.counts());
        let number = match (self.stage(), event.leg()) {
            (Stage::Requested, None) => None,
            (Stage::Paid, Some((LegName::Payment, StepName::Confirmed | StepName::Restored))) => {
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
            Self::Confirm(_) => "confirm",
            Self::Fail(_) => "fail",
            Self::Revert(_) => "revert",
            Self::SubmitMint(_) => "submit_mint",
            Self::DeferMint(_) => "defer_mint",
            Self::ParkMint(_) => "park_mint",
            Self::ConfirmMint(_) => "confirm_mint",
            Self::RevertMint(_) => "revert_mint",
        }
    }
}

#[cfg(test)]
mod tests;
