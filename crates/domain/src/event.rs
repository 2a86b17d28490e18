//! Everything that can be written down. Past tense; once written, never changed.
//!
//! These structs are the `data` of the CloudEvents in the ledger; `schemas/` holds one JSON Schema for each.

mod legs;
mod ops;
mod order;
mod signer;
mod table;

pub use ops::{DamageKind, OpsEvent, ParkedMessage, Resumed, Stopped, Stops};
pub use order::{
    AnyLegStep, Deferral, FailureReason, LegName, Minted, OrderEvent, PaidBy, ParkReason, Parked, PaymentFailure,
    PaymentProof, Reversal, Submission, WaitReason,
};
pub use signer::{Claimed, Lost, OpenTx, Purpose, Settled, SignerEvent};
pub use table::{EventData, EventType, Unreadable};

use crate::idempotency::{IdempotencyKey, KeyEvent};
use crate::ids::PaymentId;
use crate::lane::LaneId;
use crate::token::TokenTerms;
use alloy_primitives::Address;

/// An event and the stream it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Of one order.
    Order(PaymentId, OrderEvent),
    /// Of one lane.
    Signer(LaneId, SignerEvent),
    /// Of one token.
    Token(Address, TokenEvent),
    /// Of one idempotency key.
    Key(IdempotencyKey, KeyEvent),
    /// Of operations.
    Ops(OpsEvent),
}

/// What happens to a token.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenEvent {
    /// It is deployed and may be sold.
    Registered(Box<TokenTerms>),
}
