//! Every event that the ledger can hold. Events are facts in the past tense, and never change once they are stored.
//!
//! These structs are the `data` of the CloudEvents in the ledger; `schemas/` holds one JSON Schema for each.

mod evidence;
mod hold;
mod legs;
mod ops;
mod order;
mod signer;
mod table;

pub use evidence::{
    Actor, Deferral, FailureReason, Minted, ParkReason, Parked, PaymentFailure, PaymentProof, Redrive, RefundReason,
    RefundRequest, Refunded, Reversal, Submission, WaitReason,
};
pub use hold::OrderHold;
pub use ops::{DamageKind, OpsEvent, ParkedMessage, RedrivenMessage, Resumed, Stopped, Stops};
pub use order::{AnyLegStep, LegName, OrderEvent};
pub use signer::{Claimed, Lost, OpenTx, Purpose, Settled, SignerEvent};
pub use table::{EventData, EventRow, EventType, Unreadable};

use crate::event_types;
use crate::idempotency::{IdempotencyKey, KeyEvent};
use crate::ids::PaymentId;
use crate::lane::LaneId;
use crate::record::RecordEvent;
use crate::token::TokenTerms;
use alloy_primitives::Address;

/// An event and the stream it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An event of one order.
    Order(PaymentId, OrderEvent),
    /// An event of one lane.
    Signer(LaneId, SignerEvent),
    /// An event of one token.
    Token(Address, TokenEvent),
    /// An event of one record without an order.
    Record(PaymentId, RecordEvent),
    /// An event of one idempotency key.
    Key(IdempotencyKey, KeyEvent),
    /// An event for operators.
    Ops(OpsEvent),
}

event_types! {
    /// An event of a token.
    pub enum TokenEvent {
        /// The token is deployed and may be sold.
        Registered (Box<TokenTerms>) = "token.registered",
    }
}

impl EventData for TokenTerms {}

impl Event {
    /// The event's name: the last part of its type.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Order(_, event) => event.name(),
            Self::Signer(_, event) => event.name(),
            Self::Token(_, event) => event.name(),
            Self::Record(_, event) => event.name(),
            Self::Key(_, event) => event.name(),
            Self::Ops(event) => event.name(),
        }
    }

    /// The `data` of its CloudEvent.
    ///
    /// # Errors
    /// Errors of the serializer.
    pub fn data(&self) -> Result<serde_json::Value, serde_json::Error> {
        match self {
            Self::Order(_, event) => event.data(),
            Self::Signer(_, event) => event.data(),
            Self::Token(_, event) => event.data(),
            Self::Record(_, event) => event.data(),
            Self::Key(_, event) => event.data(),
            Self::Ops(event) => event.data(),
        }
    }
}
