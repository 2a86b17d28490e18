//! The counters of a token that units can be in, and the facts that decide if an order holds its units.

use domain::OrderEvent;
use domain::event::WaitReason;
use domain::order::LegState;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as NoSuchName;

/// The counters of a token that the units of an order or a record are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnitsIn {
    pub taken: bool,
    pub paid: bool,
    pub minted: bool,
}

impl UnitsIn {
    /// In none of them.
    pub const NONE: Self = Self { taken: false, paid: false, minted: false };
}

/// The facts that decide if an order holds its units, so that no other payer is offered them.
///
/// An order holds its units from its request on. It gives them back when its payment fails, when its payer has the money
/// back, and while its payment waits, but for one reason (`keeps_units`). One order without money must not keep a token
/// from everybody else. An order whose units are minted holds them.
///
/// The rows know these facts by the states of the legs, and a process that follows the ledger knows them by its events.
/// Both give the same answer after every event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnitsHold {
    payment: PaymentHold,
    is_minted: bool,
    is_back: bool,
}

/// The payment's part in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum PaymentHold {
    /// There is no order.
    #[default]
    Unasked,
    /// The payment is on its way or done, or an operator acts on it.
    Stands,
    /// The payment waits, and keeps nothing meanwhile.
    Waits,
    /// The payment can never be charged.
    Failed,
}

impl UnitsHold {
    /// An order without events.
    pub const NONE: Self = Self { payment: PaymentHold::Unasked, is_minted: false, is_back: false };
    /// An order to which nothing has happened but its request.
    pub const REQUESTED: Self = Self { payment: PaymentHold::Stands, ..Self::NONE };

    /// The facts in a row. `reason` is the reason for which a deferred payment waits.
    pub(crate) fn in_row(payment: LegState, reason: Option<&str>, mint: LegState, refund: LegState) -> Self {
        let payment = match payment {
            LegState::Failed => PaymentHold::Failed,
            LegState::Deferred => waiting(reason.and_then(wait_reason)),
            LegState::Unasked
            | LegState::Owed
            | LegState::Submitted
            | LegState::Parked
            | LegState::Done
            | LegState::Reverted => PaymentHold::Stands,
        };
        Self { payment, is_minted: mint == LegState::Done, is_back: refund == LegState::Done }
    }

    /// Returns whether the order holds its units.
    pub fn holds(self) -> bool {
        self.is_minted || (self.payment == PaymentHold::Stands && !self.is_back)
    }

    /// The facts after one more event of the order.
    #[must_use]
    pub fn after(self, event: &OrderEvent) -> Self {
        // Nothing follows a payment that has failed.
        let payment =
            |next| Self { payment: if self.payment == PaymentHold::Failed { self.payment } else { next }, ..self };
        let minted = |is_minted| Self { is_minted, ..self };
        let back = |is_back| Self { is_back, ..self };
        match event {
            OrderEvent::PaymentRequested(_)
            | OrderEvent::PaymentSubmitted(..)
            | OrderEvent::PaymentParked(..)
            | OrderEvent::PaymentConfirmed(_)
            | OrderEvent::PaymentReverted(..)
            | OrderEvent::PaymentRestored(..) => payment(PaymentHold::Stands),
            OrderEvent::PaymentDeferred(_, why) => payment(waiting(Some(why.reason))),
            OrderEvent::PaymentFailed(_) => payment(PaymentHold::Failed),
            OrderEvent::MintConfirmed(_) | OrderEvent::MintRestored(..) => minted(true),
            OrderEvent::MintReverted(..) => minted(false),
            OrderEvent::RefundConfirmed(_) | OrderEvent::RefundRestored(..) => back(true),
            OrderEvent::RefundReverted(..) => back(false),
            OrderEvent::MintSubmitted(..)
            | OrderEvent::MintDeferred(..)
            | OrderEvent::MintParked(..)
            | OrderEvent::MintRedriven(..)
            | OrderEvent::RefundRedriven(..)
            | OrderEvent::OrderHeld(..)
            | OrderEvent::OrderReleased(..)
            | OrderEvent::RefundRequested(_)
            | OrderEvent::RefundSubmitted(..)
            | OrderEvent::RefundDeferred(..)
            | OrderEvent::RefundParked(..) => self,
        }
    }
}

const fn waiting(reason: Option<WaitReason>) -> PaymentHold {
    match reason {
        Some(reason) if keeps_units(reason) => PaymentHold::Stands,
        _ => PaymentHold::Waits,
    }
}

/// Returns whether an order whose payment waits for `reason` keeps its units meanwhile.
///
/// Every reason that a payer can bring about alone, without money, gives the units back. Otherwise one key could hold all
/// units of a token for the whole window of its authorization. The contract decides in the end, and charges nobody who gets
/// no units: an order that gave its units back and is paid later takes them again, if there are enough.
pub(crate) const fn keeps_units(reason: WaitReason) -> bool {
    match reason {
        // The payer's own: no money, a signature that USDC refuses, a nonce that is used up, a window that is closed or
        // not open.
        WaitReason::Unfunded
        | WaitReason::SignatureRefused
        | WaitReason::AuthorizationUsedOrCancelled
        | WaitReason::AuthorizationExpired
        | WaitReason::AuthorizationNotYetValid => false,
        // The payer is blacklisted, or the token is and sells nothing.
        WaitReason::Blacklisted => false,
        // An account with code can fail for no reason that has a name, as often as its owner wants.
        WaitReason::Unexplained | WaitReason::PayerBudget => false,
        // Not the payer's own. But asset and token refuse before they look at the payer's money. Orders without money would
        // hold the units when the pause is over, and nothing is sold before that.
        WaitReason::AssetPaused | WaitReason::SettlementStopped => false,
        // The token has no units for this order. Units that come back are for whoever the token serves first.
        WaitReason::SoldOut => false,
        // The order was about to be paid, and its transaction failed because of others. It is sent again immediately.
        WaitReason::NotAttempted => true,
        // The reason of a mint, never of a payment.
        WaitReason::Unpaid => true,
    }
}

/// The reason with this name.
pub(crate) fn wait_reason(name: &str) -> Option<WaitReason> {
    let name: serde::de::value::StrDeserializer<'_, NoSuchName> = name.into_deserializer();
    WaitReason::deserialize(name).ok()
}
