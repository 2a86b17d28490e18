//! An event of an order as clients see it: a server-sent event, rendered once for all listeners.

use alloy_primitives::{Address, B256};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::{OrderEvent, PaymentId};
use ledger::Recorded;
use serde::Serialize;
use store::{MintStatus, PaymentStatus, StageName};

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
    status: PaymentStatus,
    state: StageName,
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
        let state = stage_after(event);
        let (reason, detail) = reason(event);
        let data = NewsData {
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
        // JSON on one line: a line break in a text is escaped, so no text can end the frame early.
        let data = serde_json::to_string(&data).unwrap_or_default();
        let frame = Bytes::from(format!("id: {}\nevent: {}\ndata: {data}\n\n", recorded.seq, event.name()));
        Self { seq: recorded.seq, id, payer, token, last: is_last(event), frame }
    }
}

/// Returns true if no event of the order can follow this one, unless the chain is reorganised deeper than N.
pub fn is_last(event: &OrderEvent) -> bool {
    matches!(event, OrderEvent::PaymentFailed(_) | OrderEvent::MintConfirmed(_) | OrderEvent::MintRestored(..))
}

/// The stage of an order after `event`. When a payment is reverted or restored while its mint stands, this is the stage
/// of the payment alone; the status shows both.
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

/// The stable code of a wait or failure, and the words of the chain.
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
