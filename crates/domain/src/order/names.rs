//! Names of stages, commands and events, as the API, rejections, types and subjects spell them.

use super::{Command, Stage};
use crate::event::OrderEvent;

impl Stage {
    /// The stage's name: the fine state that the API shows.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Deferred(_) => "deferred",
            Self::Settling(_) => "settling",
            Self::Reverted(_) => "reverted",
            Self::Failed(_) => "failed",
            Self::Lost(..) => "lost",
            Self::Paid(_) => "paid",
            Self::Minting(..) => "minting",
            Self::MintDeferred(..) => "mint_deferred",
            Self::MintParked(..) => "mint_parked",
            Self::Minted(..) => "minted",
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
            Self::Revert(_) => "revert",
            Self::SubmitMint(_) => "submit_mint",
            Self::DeferMint(_) => "defer_mint",
            Self::ParkMint(_) => "park_mint",
            Self::ConfirmMint(_) => "confirm_mint",
            Self::RevertMint(_) => "revert_mint",
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
            Self::PaymentReverted(..) => "payment.reverted",
            Self::PaymentRestored(..) => "payment.restored",
            Self::PaymentFailed(_) => "payment.failed",
            Self::MintSubmitted(..) => "mint.submitted",
            Self::MintDeferred(..) => "mint.deferred",
            Self::MintParked(..) => "mint.parked",
            Self::MintConfirmed(_) => "mint.confirmed",
            Self::MintReverted(..) => "mint.reverted",
            Self::MintRestored(..) => "mint.restored",
        }
    }
}
