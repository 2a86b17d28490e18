//! One event of an order as its payer is told it: a server-sent event, rendered once for everybody who listens.

use crate::openapi::schemas;
use crate::words::{MintStatus, PaymentStatus};
use alloy_primitives::{Address, B256};
use axum::body::Bytes;
use chrono::{DateTime, Utc};
use domain::{OrderEvent, PaymentId, Stage};
use ledger::Recorded;
use serde::Serialize;
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
    state: Stage,
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
        let state = Stage::after(event);
        let told = Told {
            sequence: recorded.seq,
            kind: event.name(),
            payment_queue_id: id,
            payer,
            token,
            time: recorded.recorded_at,
            status: PaymentStatus::at(state),
            state,
            mint_status: MintStatus::at(state),
            tx_hash: event.tx_hash(),
            reason: event.reason(),
            detail: event.detail(),
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
