//! One event of an order as its payer is told it: a server-sent event, rendered once for everybody who listens.

use crate::openapi::schemas;
use alloy_primitives::{Address, B256};
use axum::body::Bytes;
use chrono::{DateTime, Utc};
use domain::{OrderEvent, PaymentId};
use ledger::Recorded;
use serde::Serialize;
use store::{MintStatus, PaymentStatus, StageName};
use utoipa::ToSchema;

/// What is told, to whom it matters, and its bytes.
#[derive(Debug)]
pub(crate) struct News {
    /// Sequence in the ledger, and the `id:` of the frame.
    pub(crate) seq: u64,
    pub(crate) id: PaymentId,
    pub(crate) payer: Address,
    pub(crate) token: Address,
    /// Nothing can follow: failed, or minted.
    pub(crate) last: bool,
    pub(crate) frame: Bytes,
}

/// The `data:` of a frame: no signature, no raw transaction.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = News)]
pub(crate) struct Told<'a> {
    sequence: u64,
    #[serde(rename = "type")]
    #[schema(value_type = schemas::EventType)]
    kind: &'static str,
    #[schema(value_type = schemas::PaymentId)]
    payment_queue_id: PaymentId,
    #[schema(value_type = schemas::Address)]
    payer: Address,
    #[schema(value_type = schemas::Address)]
    token: Address,
    time: DateTime<Utc>,
    #[schema(value_type = schemas::PaymentStatus)]
    status: PaymentStatus,
    #[schema(value_type = schemas::State)]
    state: StageName,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schemas::MintStatus>, nullable = false)]
    mint_status: Option<MintStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schemas::Hash>, nullable = false)]
    tx_hash: Option<B256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schemas::Reason>, nullable = false)]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<&'a str>,
}

impl News {
    /// What `event`, which stands in the ledger as `recorded`, tells of the order of `payer`.
    pub(crate) fn of(recorded: &Recorded, id: PaymentId, event: &OrderEvent, payer: Address, token: Address) -> Self {
        let state = stage_after(event);
        let (reason, detail) = reason(event);
        let told = Told {
            sequence: recorded.seq,
            kind: event.name(),
            payment_queue_id: id,
            payer,
            token,
            time: recorded.recorded_at,
            status: state.payment_status(),
            state,
            mint_status: state.mint_status(),
            tx_hash: tx_hash(event),
            reason,
            detail,
        };
        // JSON on one line: a line break in a text is escaped, so nothing can end the frame early (B54).
        let data = serde_json::to_string(&told).unwrap_or_default();
        let frame = Bytes::from(format!("id: {}\nevent: {}\ndata: {data}\n\n", recorded.seq, event.name()));
        Self { seq: recorded.seq, id, payer, token, last: is_last(event), frame }
    }
}

/// Whether an order can have another event after this one, unless the chain is reorganised deeper than N.
pub(crate) fn is_last(event: &OrderEvent) -> bool {
    matches!(event, OrderEvent::PaymentFailed(_) | OrderEvent::MintConfirmed(_) | OrderEvent::MintRestored(..))
}

/// The stage of an order after `event`: each event leads to one. Only of a payment that is open again, or back, while its
/// mint goes its own way, this is the stage of what the event speaks of; the status has both.
fn stage_after(event: &OrderEvent) -> StageName {
    match event {
        OrderEvent::PaymentRequested(_) => StageName::Requested,
        OrderEvent::PaymentDeferred(..) => StageName::Deferred,
        OrderEvent::PaymentSubmitted(..) => StageName::Settling,
        OrderEvent::PaymentConfirmed(_) | OrderEvent::PaymentRestored(..) => StageName::Paid,
        OrderEvent::PaymentReverted(..) => StageName::Reverted,
        OrderEvent::PaymentFailed(_) => StageName::Failed,
        OrderEvent::MintSubmitted(..) | OrderEvent::MintReverted(..) => StageName::Minting,
        OrderEvent::MintDeferred(..) => StageName::MintDeferred,
        OrderEvent::MintParked(..) => StageName::MintParked,
        OrderEvent::MintConfirmed(_) | OrderEvent::MintRestored(..) => StageName::Minted,
    }
}

/// The stable code of what waits or has failed, and what the chain said.
fn reason(event: &OrderEvent) -> (Option<String>, Option<&str>) {
    fn code<T: Serialize>(reason: &T) -> Option<String> {
        serde_json::to_value(reason).ok()?.as_str().map(str::to_owned)
    }
    match event {
        OrderEvent::PaymentDeferred(_, why) | OrderEvent::MintDeferred(_, why) => {
            (code(&why.reason), Some(why.detail.as_str()))
        }
        OrderEvent::PaymentFailed(failure) => (code(&failure.reason), Some(failure.detail.as_str())),
        OrderEvent::MintParked(_, parked) => (code(&parked.reason), Some(parked.detail.as_str())),
        OrderEvent::PaymentRequested(_)
        | OrderEvent::PaymentSubmitted(..)
        | OrderEvent::PaymentConfirmed(_)
        | OrderEvent::PaymentReverted(..)
        | OrderEvent::PaymentRestored(..)
        | OrderEvent::MintSubmitted(..)
        | OrderEvent::MintConfirmed(_)
        | OrderEvent::MintReverted(..)
        | OrderEvent::MintRestored(..) => (None, None),
    }
}

/// The transaction that the event names.
fn tx_hash(event: &OrderEvent) -> Option<B256> {
    match event {
        OrderEvent::PaymentSubmitted(_, tx) | OrderEvent::MintSubmitted(_, tx) => Some(tx.tx_hash),
        OrderEvent::PaymentConfirmed(proof) | OrderEvent::PaymentRestored(_, proof) => Some(proof.tx_hash),
        OrderEvent::PaymentReverted(_, reversal) | OrderEvent::MintReverted(_, reversal) => Some(reversal.tx_hash),
        OrderEvent::PaymentFailed(failure) => failure.tx_hash,
        OrderEvent::MintConfirmed(minted) | OrderEvent::MintRestored(_, minted) => Some(minted.tx_hash),
        OrderEvent::PaymentRequested(_)
        | OrderEvent::PaymentDeferred(..)
        | OrderEvent::MintDeferred(..)
        | OrderEvent::MintParked(..) => None,
    }
}
