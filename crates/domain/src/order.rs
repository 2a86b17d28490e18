//! The order: a payment and the mint that it owes. States, events, and one match.
//!
//! The order of the arms is the order of precedence, idempotence first. The table of every stage against every
//! command is a test (`order/table.txt`) and stands in docs/ARCHITECTURE.md.

use crate::event::{Deferral, Minted, OrderEvent, Parked, PaymentFailure, PaymentProof, Submission, WaitReason};
use crate::request::PaymentRequest;

/// What the events so far say of one order. Built only by [`evolve`]; never stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// As accepted.
    pub request: PaymentRequest,
    /// How often what can repeat has happened.
    pub counts: Counts,
    /// Where it stands.
    pub stage: Stage,
}

/// Numbers of the repeating events; the next one carries one more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// `payment.submitted.<n>`.
    pub submitted: u32,
    /// `payment.deferred.<n>`.
    pub deferred: u32,
    /// `mint.submitted.<n>`.
    pub mint_submitted: u32,
    /// `mint.deferred.<n>`.
    pub mint_deferred: u32,
    /// `mint.parked.<n>`.
    pub mint_parked: u32,
}

/// Where an order stands. `Failed` and `Minted` are final.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// Accepted, nothing sent.
    Requested,
    /// Waits for the chain to accept it.
    Deferred(Deferral),
    /// In a settlement transaction.
    Settling(Submission),
    /// Can never be charged.
    Failed(PaymentFailure),
    /// Charged; the mint is owed.
    Paid(PaymentProof),
    /// In a mint transaction.
    Minting(PaymentProof, Submission),
    /// The mint waits.
    MintDeferred(PaymentProof, Deferral),
    /// The mint waits for a person.
    MintParked(PaymentProof, Parked),
    /// Done.
    Minted(PaymentProof, Minted),
}

/// What a service wants to be true of an order.
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
    /// mint-projector: it is in this signed transaction.
    SubmitMint(Submission),
    /// mint-projector, confirmer: not now.
    DeferMint(Deferral),
    /// mint-projector, confirmer: a person must look.
    ParkMint(Parked),
    /// confirmer: the units are there.
    ConfirmMint(Minted),
}

/// Why a command is refused. Nothing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The same authorization was accepted for another order: HTTP 409.
    #[error("this authorization already pays for another order")]
    KeyReusedWithAnotherOrder,
    /// Proof of payment meets proof of failure. One of them is false: stop and look.
    #[error("proof of payment and proof of failure contradict each other")]
    Contradiction,
    /// Not in this stage; read again.
    #[error("{command} does not fit an order that is {stage}")]
    OutOfOrder {
        /// What was wanted.
        command: &'static str,
        /// Where the order stands.
        stage: &'static str,
    },
}

/// A past that [`decide`] could not have written: that order is parked, others go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event} cannot follow {stage}")]
pub struct ImpossiblePast {
    /// The event.
    pub event: &'static str,
    /// The stage before it.
    pub stage: &'static str,
}

/// What to write so that `command` is true; nothing to write where it already is.
///
/// # Errors
/// [`Rejection`], with nothing changed.
pub fn decide(order: Option<&Order>, command: Command) -> Result<Option<OrderEvent>, Rejection> {
    use Command::{Confirm, ConfirmMint, Defer, DeferMint, Fail, ParkMint, Request, Submit, SubmitMint};
    use Stage::{Deferred, Failed, MintDeferred, MintParked, Minted, Minting, Paid, Requested, Settling};

    let Some(order) = order else {
        return match command {
            Request(request) => Ok(Some(OrderEvent::PaymentRequested(request))),
            other => Err(Rejection::OutOfOrder { command: other.name(), stage: "unknown" }),
        };
    };
    let next = order.counts.next();
    match (&order.stage, command) {
        // Said already.
        (_, Request(request)) if request.same_order_as(&order.request) => Ok(None),
        (_, Request(_)) => Err(Rejection::KeyReusedWithAnotherOrder),
        (Settling(known), Submit(new)) | (Minting(_, known), SubmitMint(new)) if *known == new => Ok(None),
        (Deferred(known), Defer(new)) | (MintDeferred(_, known), DeferMint(new)) if known.reason == new.reason => {
            Ok(None)
        }
        // Its window closed while it waited for funds: why it waited is why it will fail.
        (Deferred(known), Defer(new))
            if (known.reason, new.reason) == (WaitReason::Unfunded, WaitReason::AuthorizationExpired) =>
        {
            Ok(None)
        }
        (MintParked(_, known), ParkMint(new)) if known.reason == new.reason => Ok(None),
        (Paid(_) | Minting(..) | MintDeferred(..) | MintParked(..) | Minted(..), Confirm(_)) => Ok(None),
        (Failed(_), Fail(_)) | (Minted(..), ConfirmMint(_)) => Ok(None),

        // One of the two proofs is false.
        (Failed(_), Confirm(_)) => Err(Rejection::Contradiction),
        (Paid(_) | Minting(..) | MintDeferred(..) | MintParked(..) | Minted(..), Fail(_)) => {
            Err(Rejection::Contradiction)
        }

        // Forward.
        (Requested | Deferred(_), Submit(tx)) => Ok(Some(OrderEvent::PaymentSubmitted(next.submitted, tx))),
        (Requested | Deferred(_) | Settling(_), Defer(why)) => {
            Ok(Some(OrderEvent::PaymentDeferred(next.deferred, why)))
        }
        (Requested | Deferred(_) | Settling(_), Confirm(proof)) => Ok(Some(OrderEvent::PaymentConfirmed(proof))),
        (Requested | Deferred(_) | Settling(_), Fail(failure)) => Ok(Some(OrderEvent::PaymentFailed(failure))),
        (Paid(_) | MintDeferred(..), SubmitMint(tx)) => Ok(Some(OrderEvent::MintSubmitted(next.mint_submitted, tx))),
        (Paid(_) | MintDeferred(..) | Minting(..), DeferMint(why)) => {
            Ok(Some(OrderEvent::MintDeferred(next.mint_deferred, why)))
        }
        (Paid(_) | MintDeferred(..) | Minting(..), ParkMint(why)) => {
            Ok(Some(OrderEvent::MintParked(next.mint_parked, why)))
        }
        (Paid(_) | MintDeferred(..) | Minting(..) | MintParked(..), ConfirmMint(minted)) => {
            Ok(Some(OrderEvent::MintConfirmed(minted)))
        }

        (stage, command) => Err(Rejection::OutOfOrder { command: command.name(), stage: stage.name() }),
    }
}

/// Folds one event: `events.try_fold(None, evolve)`.
///
/// # Errors
/// [`ImpossiblePast`] on a past that [`decide`] could not have written.
pub fn evolve(order: Option<Order>, event: &OrderEvent) -> Result<Option<Order>, ImpossiblePast> {
    use OrderEvent::{
        MintConfirmed, MintDeferred, MintParked, MintSubmitted, PaymentConfirmed, PaymentDeferred, PaymentFailed,
        PaymentRequested, PaymentSubmitted,
    };
    let Some(mut order) = order else {
        return match event {
            PaymentRequested(request) => {
                Ok(Some(Order { request: (**request).clone(), counts: Counts::default(), stage: Stage::Requested }))
            }
            other => Err(ImpossiblePast { event: other.name(), stage: "unknown" }),
        };
    };
    let before = order.stage.name();
    let unpaid = matches!(order.stage, Stage::Requested | Stage::Deferred(_) | Stage::Settling(_));
    let proof = order.stage.proof().cloned();
    let open = !matches!(order.stage, Stage::Minted(..));
    // A number out of turn: its writer did not read this past. The greatest would leave no next one.
    let next = order.counts.next();
    let (counts, stage) = match (event, proof) {
        (PaymentSubmitted(n, tx), None) if unpaid && *n == next.submitted => {
            (Counts { submitted: *n, ..order.counts }, Stage::Settling(tx.clone()))
        }
        (PaymentDeferred(n, why), None) if unpaid && *n == next.deferred => {
            (Counts { deferred: *n, ..order.counts }, Stage::Deferred(why.clone()))
        }
        (PaymentConfirmed(proof), None) if unpaid => (order.counts, Stage::Paid(proof.clone())),
        (PaymentFailed(failure), None) if unpaid => (order.counts, Stage::Failed(failure.clone())),
        (MintSubmitted(n, tx), Some(proof)) if open && *n == next.mint_submitted => {
            (Counts { mint_submitted: *n, ..order.counts }, Stage::Minting(proof, tx.clone()))
        }
        (MintDeferred(n, why), Some(proof)) if open && *n == next.mint_deferred => {
            (Counts { mint_deferred: *n, ..order.counts }, Stage::MintDeferred(proof, why.clone()))
        }
        (MintParked(n, why), Some(proof)) if open && *n == next.mint_parked => {
            (Counts { mint_parked: *n, ..order.counts }, Stage::MintParked(proof, why.clone()))
        }
        (MintConfirmed(minted), Some(proof)) if open => (order.counts, Stage::Minted(proof, minted.clone())),
        (event, _) => return Err(ImpossiblePast { event: event.name(), stage: before }),
    };
    order.counts = counts;
    order.stage = stage;
    Ok(Some(order))
}

impl Order {
    /// Whether the message of `event` is the one that carries this order on. Each resting stage has exactly one; every
    /// other message of the order has had its effect and may be acknowledged.
    pub fn is_carried_by(&self, event: &OrderEvent) -> bool {
        match (&self.stage, event) {
            (Stage::Requested, OrderEvent::PaymentRequested(_)) | (Stage::Paid(_), OrderEvent::PaymentConfirmed(_)) => {
                true
            }
            (Stage::Deferred(_), OrderEvent::PaymentDeferred(n, _)) => *n == self.counts.deferred,
            (Stage::MintDeferred(..), OrderEvent::MintDeferred(n, _)) => *n == self.counts.mint_deferred,
            _ => false,
        }
    }
}

impl Counts {
    /// Saturating, because nothing is counted that often: [`evolve`] takes no number but the next.
    fn next(self) -> Self {
        Self {
            submitted: self.submitted.saturating_add(1),
            deferred: self.deferred.saturating_add(1),
            mint_submitted: self.mint_submitted.saturating_add(1),
            mint_deferred: self.mint_deferred.saturating_add(1),
            mint_parked: self.mint_parked.saturating_add(1),
        }
    }
}

impl Stage {
    /// The stage's name: the fine state that the API shows.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Deferred(_) => "deferred",
            Self::Settling(_) => "settling",
            Self::Failed(_) => "failed",
            Self::Paid(_) => "paid",
            Self::Minting(..) => "minting",
            Self::MintDeferred(..) => "mint_deferred",
            Self::MintParked(..) => "mint_parked",
            Self::Minted(..) => "minted",
        }
    }

    /// Proof of payment, once there is one.
    pub const fn proof(&self) -> Option<&PaymentProof> {
        match self {
            Self::Paid(proof)
            | Self::Minting(proof, _)
            | Self::MintDeferred(proof, _)
            | Self::MintParked(proof, _)
            | Self::Minted(proof, _) => Some(proof),
            Self::Requested | Self::Deferred(_) | Self::Settling(_) | Self::Failed(_) => None,
        }
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
            Self::SubmitMint(_) => "submit_mint",
            Self::DeferMint(_) => "defer_mint",
            Self::ParkMint(_) => "park_mint",
            Self::ConfirmMint(_) => "confirm_mint",
        }
    }
}

impl OrderEvent {
    /// The event's name, `payment.requested` and so on: last part of its type and of its subject.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PaymentRequested(_) => "payment.requested",
            Self::PaymentSubmitted(..) => "payment.submitted",
            Self::PaymentDeferred(..) => "payment.deferred",
            Self::PaymentConfirmed(_) => "payment.confirmed",
            Self::PaymentFailed(_) => "payment.failed",
            Self::MintSubmitted(..) => "mint.submitted",
            Self::MintDeferred(..) => "mint.deferred",
            Self::MintParked(..) => "mint.parked",
            Self::MintConfirmed(_) => "mint.confirmed",
        }
    }
}

mod group;
#[cfg(test)]
mod tests;

pub use group::MintGroup;
