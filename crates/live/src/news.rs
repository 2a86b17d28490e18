//! An event of an order as clients see it: a server-sent event, rendered once for all listeners.

use crate::words::{MintStatus, PaymentStatus};
use alloy_primitives::{Address, B256};
use bytes::Bytes;
use chrono::{DateTime, SubsecRound, Utc};
use domain::{OrderEvent, PaymentId, Recorded, Stage};
use serde::Serialize;

/// An event, the parties concerned, and its frame.
#[derive(Debug)]
pub struct News {
    /// Sequence in the ledger, and the `id:` of the frame.
    pub seq: u64,
    /// The order.
    pub id: PaymentId,
    /// Its payer.
    pub payer: Address,
    /// Its token.
    pub token: Address,
    /// True for `payment.requested`: nothing stands before it.
    pub first: bool,
    /// True if no event can follow, unless the chain is reorganised deeper than N.
    pub last: bool,
    /// The frame of the event stream.
    pub frame: Bytes,
}

/// The `data:` of a frame. It holds no signature and no raw transaction.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewsData<'a> {
    sequence: u64,
    #[serde(rename = "type")]
    kind: &'static str,
    payment_queue_id: PaymentId,
    payer: Address,
    token: Address,
    time: DateTime<Utc>,
    /// Absent if the event changes no state.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<PaymentStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Stage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mint_status: Option<MintStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_hash: Option<B256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl News {
    /// The news of `event`, which stands in the ledger as `recorded`.
    pub fn of(recorded: &Recorded, id: PaymentId, event: &OrderEvent, payer: Address, token: Address) -> Self {
        let state = Stage::after(event);
        let data = NewsData {
            sequence: recorded.seq,
            kind: event.name(),
            payment_queue_id: id,
            payer,
            token,
            // As the second copy has it, so that both make the same frame.
            time: recorded.recorded_at.trunc_subsecs(6),
            status: state.map(PaymentStatus::at),
            state,
            mint_status: state.and_then(MintStatus::at),
            tx_hash: event.tx_hash(),
            reason: event.reason(),
            detail: event.detail(),
        };
        // JSON on one line: a line break in a text is escaped, so no text can end the frame early.
        let data = serde_json::to_string(&data).unwrap_or_default();
        let frame = Bytes::from(format!("id: {}\nevent: {}\ndata: {data}\n\n", recorded.seq, event.name()));
        Self {
            seq: recorded.seq,
            id,
            payer,
            token,
            first: matches!(event, OrderEvent::PaymentRequested(_)),
            last: is_last(event),
            frame,
        }
    }
}

/// Returns true if no event of the order can follow this one, unless the chain is reorganised deeper than N.
fn is_last(event: &OrderEvent) -> bool {
    matches!(
        event,
        OrderEvent::PaymentFailed(_)
            | OrderEvent::MintConfirmed(_)
            | OrderEvent::MintRestored(..)
            | OrderEvent::RefundConfirmed(_)
            | OrderEvent::RefundRestored(..)
    )
}
