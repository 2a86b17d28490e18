//! The order: a payment and the mint that it owes. States, events, and one match.
//!
//! The order of the arms is the order of precedence, idempotence first. The table of every stage against every
//! command is a test (`order/table.txt`) and stands in docs/ARCHITECTURE.md.

mod evolve;
mod group;
mod names;

pub use evolve::evolve;
pub use group::MintGroup;

use crate::event::{
    Deferral, Minted, OrderEvent, Parked, PaymentFailure, PaymentProof, Reversal, Submission, WaitReason,
};
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
    /// A mint that was under way when its payment fell out of the chain: it stays what it is until the payment is back.
    pub ahead: Option<Ahead>,
}

/// What of a mint is there without a payment, after a reorganisation deeper than N.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// In a transaction, which may mint or skip it.
    Minting(Submission),
    /// Minted: lost, should the payment never come back.
    Minted(Minted),
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
    /// `payment.reverted.<n>`.
    pub reverted: u32,
    /// `mint.reverted.<n>`.
    pub mint_reverted: u32,
}

/// Where an order stands. `Failed` and `Lost` are final, and so is `Minted` once its blocks are.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// Accepted, nothing sent.
    Requested,
    /// Waits for the chain to accept it.
    Deferred(Deferral),
    /// In a settlement transaction.
    Settling(Submission),
    /// Was charged, and the block is gone: in a transaction again. Nothing is minted for it.
    Reverted(Submission),
    /// Can never be charged.
    Failed(PaymentFailure),
    /// Can never be charged, and is minted: the loss that the exposure cap bounds.
    Lost(PaymentFailure, Minted),
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
    use Command::{
        Confirm, ConfirmMint, Defer, DeferMint, Fail, ParkMint, Request, Revert, RevertMint, Submit, SubmitMint,
    };
    use Stage::{
        Deferred, Failed, Lost, MintDeferred, MintParked, Minted, Minting, Paid, Requested, Reverted, Settling,
    };

    let Some(order) = order else {
        return match command {
            Request(request) => Ok(Some(OrderEvent::PaymentRequested(request))),
            other => Err(Rejection::OutOfOrder { command: other.name(), stage: "unknown" }),
        };
    };
    let next = order.counts.next();
    let refused = |command: &Command| Rejection::OutOfOrder { command: command.name(), stage: order.stage.name() };
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
        (Failed(_) | Lost(..), Fail(_)) | (Minted(..) | Lost(..), ConfirmMint(_)) => Ok(None),

        // A block is gone: what was counted on it is open again; what counts on another is as it was.
        (stage, Revert(reversal)) => Ok(stage
            .proof()
            .is_some_and(|proof| (proof.tx_hash, proof.block) == (reversal.tx_hash, reversal.block))
            .then_some(OrderEvent::PaymentReverted(next.reverted, reversal))),
        (_, RevertMint(reversal)) => Ok(order
            .minted()
            .is_some_and(|minted| (minted.tx_hash, minted.block) == (reversal.tx_hash, reversal.block))
            .then_some(OrderEvent::MintReverted(next.mint_reverted, reversal))),

        // One of the two proofs is false.
        (Failed(_) | Lost(..), Confirm(_)) => Err(Rejection::Contradiction),
        (Paid(_) | Minting(..) | MintDeferred(..) | MintParked(..) | Minted(..), Fail(_)) => {
            Err(Rejection::Contradiction)
        }

        // Forward.
        (Requested | Deferred(_), Submit(tx)) => Ok(Some(OrderEvent::PaymentSubmitted(next.submitted, tx))),
        (Requested | Deferred(_) | Settling(_) | Reverted(_), Defer(why)) => {
            Ok(Some(OrderEvent::PaymentDeferred(next.deferred, why)))
        }
        (Requested | Deferred(_) | Settling(_) | Reverted(_), Confirm(proof)) => {
            Ok(Some(match order.counts.reverted {
                0 => OrderEvent::PaymentConfirmed(proof),
                n => OrderEvent::PaymentRestored(n, proof),
            }))
        }
        // Whether it is failed or lost is not known before its mint is.
        (Requested | Deferred(_) | Settling(_) | Reverted(_), command @ Fail(_))
            if matches!(order.ahead, Some(Ahead::Minting(_))) =>
        {
            Err(refused(&command))
        }
        (Requested | Deferred(_) | Settling(_) | Reverted(_), Fail(failure)) => {
            Ok(Some(OrderEvent::PaymentFailed(failure)))
        }
        (Paid(_) | MintDeferred(..), SubmitMint(tx)) => Ok(Some(OrderEvent::MintSubmitted(next.mint_submitted, tx))),
        (Paid(_) | MintDeferred(..) | Minting(..), DeferMint(why)) => {
            Ok(Some(OrderEvent::MintDeferred(next.mint_deferred, why)))
        }
        (Paid(_) | MintDeferred(..) | Minting(..), ParkMint(why)) => {
            Ok(Some(OrderEvent::MintParked(next.mint_parked, why)))
        }
        (Paid(_) | MintDeferred(..) | Minting(..) | MintParked(..), ConfirmMint(minted)) => {
            Ok(Some(order.confirmed_mint(minted)))
        }

        // A mint that went ahead of its payment: what becomes of its transaction is a fact all the same.
        (Deferred(_) | Settling(_) | Reverted(_), command) if order.counts.reverted > 0 => {
            match (&order.ahead, command) {
                (Some(Ahead::Minted(_)), ConfirmMint(_)) => Ok(None),
                (_, ConfirmMint(minted)) => Ok(Some(order.confirmed_mint(minted))),
                (Some(Ahead::Minting(_)), DeferMint(why)) => {
                    Ok(Some(OrderEvent::MintDeferred(next.mint_deferred, why)))
                }
                (Some(Ahead::Minting(_)), ParkMint(why)) => Ok(Some(OrderEvent::MintParked(next.mint_parked, why))),
                (_, command) => Err(refused(&command)),
            }
        }

        (_, command) => Err(refused(&command)),
    }
}

impl Order {
    /// Whether the message of `event` is the one that carries this order on. Each resting stage has exactly one; every
    /// other message of the order has had its effect and may be acknowledged.
    pub fn is_carried_by(&self, event: &OrderEvent) -> bool {
        match (&self.stage, event) {
            (Stage::Requested, OrderEvent::PaymentRequested(_)) => true,
            (Stage::Paid(_), OrderEvent::PaymentConfirmed(_)) => self.counts.reverted == 0,
            (Stage::Paid(_), OrderEvent::PaymentRestored(n, _)) => *n == self.counts.reverted,
            (Stage::Deferred(_), OrderEvent::PaymentDeferred(n, _)) => *n == self.counts.deferred,
            (Stage::MintDeferred(..), OrderEvent::MintDeferred(n, _)) => *n == self.counts.mint_deferred,
            _ => false,
        }
    }

    /// The mint that is counted on, whether or not its payment is.
    pub const fn minted(&self) -> Option<&Minted> {
        match (&self.stage, &self.ahead) {
            (Stage::Minted(_, minted), _) | (_, Some(Ahead::Minted(minted))) => Some(minted),
            _ => None,
        }
    }

    /// The mint transaction that the order is in, whether or not its payment is counted on.
    pub const fn minting(&self) -> Option<&Submission> {
        match (&self.stage, &self.ahead) {
            (Stage::Minting(_, tx), _) | (_, Some(Ahead::Minting(tx))) => Some(tx),
            _ => None,
        }
    }

    fn confirmed_mint(&self, minted: Minted) -> OrderEvent {
        match self.counts.mint_reverted {
            0 => OrderEvent::MintConfirmed(minted),
            n => OrderEvent::MintRestored(n, minted),
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
            reverted: self.reverted.saturating_add(1),
            mint_reverted: self.mint_reverted.saturating_add(1),
        }
    }
}

impl Stage {
    /// Proof of payment, once there is one.
    pub const fn proof(&self) -> Option<&PaymentProof> {
        match self {
            Self::Paid(proof)
            | Self::Minting(proof, _)
            | Self::MintDeferred(proof, _)
            | Self::MintParked(proof, _)
            | Self::Minted(proof, _) => Some(proof),
            Self::Requested
            | Self::Deferred(_)
            | Self::Settling(_)
            | Self::Reverted(_)
            | Self::Failed(_)
            | Self::Lost(..) => None,
        }
    }

    /// Whether the payment is neither proven nor dead.
    pub const fn is_unpaid(&self) -> bool {
        matches!(self, Self::Requested | Self::Deferred(_) | Self::Settling(_) | Self::Reverted(_))
    }
}

#[cfg(test)]
mod tests;
