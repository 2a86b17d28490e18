//! The coarse words that the earlier system's frontends know, from the stage of an order.

use domain::Stage;
use serde::Serialize;

/// The payment in the earlier system's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Nothing is sent, or an operator must look.
    Pending,
    /// In a transaction, not yet deep enough.
    Sent,
    /// Charged, N blocks deep. The mint has a status of its own.
    Completed,
    /// Can never be charged, or the payer has the money back.
    Failed,
}

/// The mint in the earlier system's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MintStatus {
    /// In the queue, or waits to be tried again.
    Pending,
    /// In a transaction.
    Processing,
    /// Minted, N blocks deep.
    Completed,
    /// Waits for a person: parked. Or nothing is minted for the payment: its money goes back. Of an order: its payment failed.
    Failed,
}

impl PaymentStatus {
    /// The status of the payment of an order that is at `stage`.
    ///
    /// A frontend of the earlier system waits until the payment is completed or failed, and then for the mint. So an order
    /// whose money goes back shows a payment that is completed, because it was charged, and a mint that failed. The payment
    /// is failed only when the money is back: whoever is told that a payment failed may sign another one, and until then
    /// somebody else could still have the first one minted.
    pub const fn at(stage: Stage) -> Self {
        match stage {
            Stage::Requested | Stage::Deferred | Stage::PaymentParked | Stage::Reverted => Self::Pending,
            Stage::Settling => Self::Sent,
            Stage::Failed | Stage::Refunded => Self::Failed,
            Stage::Paid
            | Stage::Minting
            | Stage::MintDeferred
            | Stage::MintParked
            | Stage::Minted
            | Stage::RefundRequested
            | Stage::Refunding
            | Stage::RefundDeferred
            | Stage::RefundParked => Self::Completed,
        }
    }
}

impl MintStatus {
    /// The status of the mint of an order that is at `stage`; `None` while nothing is owed.
    pub const fn at(stage: Stage) -> Option<Self> {
        match stage {
            Stage::Requested
            | Stage::Deferred
            | Stage::PaymentParked
            | Stage::Settling
            | Stage::Reverted
            | Stage::Failed => None,
            Stage::Paid | Stage::MintDeferred => Some(Self::Pending),
            Stage::Minting => Some(Self::Processing),
            Stage::Minted => Some(Self::Completed),
            Stage::MintParked
            | Stage::RefundRequested
            | Stage::Refunding
            | Stage::RefundDeferred
            | Stage::RefundParked
            | Stage::Refunded => Some(Self::Failed),
        }
    }

    /// The status of the whole order, as the earlier queue shows it. Before the order is paid its mint waits; a payment
    /// that failed owes none and never will.
    pub const fn of_order(stage: Stage) -> Self {
        match (stage, Self::at(stage)) {
            (Stage::Failed, _) => Self::Failed,
            (_, Some(status)) => status,
            (_, None) => Self::Pending,
        }
    }
}
