//! The row of an order, and the pure fold from an event to the row.

use alloy_primitives::{Address, B256};
use chrono::{DateTime, Datelike, SubsecRound, Utc};
use domain::event::{Deferral, Minted, OrderEvent, PaidBy, Parked, PaymentFailure, PaymentProof, Submission};
use domain::money::decimal_string;
use domain::order::{self, Counts, ImpossiblePast, Order, Stage};
use domain::{PaymentId, PaymentKey, PaymentRequest, Purchase, Quantity, Usdc};
use serde::{Deserialize, Serialize};
use std::fmt;

/// When and where in the ledger an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Stream sequence.
    pub seq: u64,
    /// When the stream stored it.
    pub recorded_at: DateTime<Utc>,
}

/// [`Stage`] by name: the fine state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageName {
    /// Accepted, nothing sent.
    Requested,
    /// Waits for the chain to accept the payment.
    Deferred,
    /// In a settlement transaction.
    Settling,
    /// Can never be charged.
    Failed,
    /// Charged; the mint is owed.
    Paid,
    /// In a mint transaction.
    Minting,
    /// The mint waits.
    MintDeferred,
    /// The mint waits for a person.
    MintParked,
    /// Done.
    Minted,
}

/// The payment as the earlier system's frontends know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Nothing is sent.
    Pending,
    /// In a transaction, not yet deep enough.
    Sent,
    /// Charged, N blocks deep. The mint has a status of its own.
    Completed,
    /// Can never be charged.
    Failed,
}

/// The mint as the earlier system's frontends know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MintStatus {
    /// In the queue, or waits to be tried again.
    Pending,
    /// In a transaction.
    Processing,
    /// Minted, N blocks deep.
    Completed,
    /// Waits for a person: parked.
    Failed,
}

/// One order. Field by field as in migrations/0002_payments.sql, where each has its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct PaymentView {
    pub id: PaymentId,
    pub payment_key: PaymentKey,
    pub chain_id: u64,
    pub asset: Address,
    pub payer: Address,
    pub token: Address,
    pub quantity: Quantity,
    pub unit_price: Usdc,
    pub value: Usdc,
    pub nonce: B256,
    #[serde(with = "decimal_string")]
    pub valid_after: u64,
    #[serde(with = "decimal_string")]
    pub valid_before: u64,
    pub stage: StageName,
    pub status: PaymentStatus,
    pub reason: Option<String>,
    pub detail: Option<String>,
    pub retry_at: Option<DateTime<Utc>>,
    pub payment_attempts: u32,
    pub payment_deferrals: u32,
    pub mint_attempts: u32,
    pub mint_deferrals: u32,
    pub mint_parkings: u32,
    pub settle_signer: Option<Address>,
    pub settle_nonce: Option<u64>,
    pub settle_tx_hash: Option<B256>,
    pub settle_block_number: Option<u64>,
    pub settle_block_hash: Option<B256>,
    pub settle_log_index: Option<u64>,
    pub paid_by: Option<PaidBy>,
    pub failed_block_number: Option<u64>,
    pub failed_block_hash: Option<B256>,
    pub failed_tx_hash: Option<B256>,
    pub mint_signer: Option<Address>,
    pub mint_nonce: Option<u64>,
    pub mint_tx_hash: Option<B256>,
    pub mint_block_number: Option<u64>,
    pub mint_block_hash: Option<B256>,
    pub requested_at: DateTime<Utc>,
    pub paid_at: Option<DateTime<Utc>>,
    pub minted_at: Option<DateTime<Utc>>,
    pub updated_at: DateTime<Utc>,
    pub requested_seq: u64,
    pub paid_seq: Option<u64>,
    pub last_seq: u64,
}

/// The mint that a payment owes: the view `mints` of migrations/0002_payments.sql.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct MintView {
    pub id: PaymentId,
    pub token: Address,
    pub recipient: Address,
    pub quantity: Quantity,
    pub status: MintStatus,
    pub stage: StageName,
    pub reason: Option<String>,
    pub detail: Option<String>,
    pub retry_at: Option<DateTime<Utc>>,
    pub attempts: u32,
    pub tx_hash: Option<B256>,
    pub block_number: Option<u64>,
    pub queued_seq: u64,
    pub queued_at: DateTime<Utc>,
    pub minted_at: Option<DateTime<Utc>>,
    pub updated_at: DateTime<Utc>,
    pub last_seq: u64,
}

/// The row of order `id` after `event`, which stands in the ledger at `at`.
///
/// # Errors
/// [`ImpossiblePast`] where the event does not fit the row; the row stays as it is.
pub fn project(
    row: Option<&PaymentView>,
    id: PaymentId,
    event: &OrderEvent,
    at: Stamp,
) -> Result<PaymentView, ImpossiblePast> {
    let impossible = ImpossiblePast { event: event.name(), stage: "unknown" };
    let order = order::evolve(row.map(PaymentView::order), event)?.ok_or(impossible)?;
    let now = clamped(at.recorded_at);
    let mut row = match row {
        Some(row) => row.clone(),
        None if order.request.id() != id => return Err(impossible),
        None => requested(id, &order.request, Stamp { recorded_at: now, ..at }),
    };
    row.stage = StageName::of(&order.stage);
    row.status = row.stage.payment_status();
    (row.reason, row.detail, row.retry_at) = waits_for(&order.stage);
    row.payment_attempts = order.counts.submitted;
    row.payment_deferrals = order.counts.deferred;
    row.mint_attempts = order.counts.mint_submitted;
    row.mint_deferrals = order.counts.mint_deferred;
    row.mint_parkings = order.counts.mint_parked;
    match event {
        OrderEvent::PaymentSubmitted(_, tx) => row.settling(tx),
        OrderEvent::PaymentConfirmed(proof) => row.paid(proof, at.seq, now),
        OrderEvent::PaymentFailed(failure) => row.failed(failure),
        OrderEvent::MintSubmitted(_, tx) => row.minting(tx),
        OrderEvent::MintConfirmed(minted) => row.minted(minted, now),
        OrderEvent::PaymentRequested(_)
        | OrderEvent::PaymentDeferred(..)
        | OrderEvent::MintDeferred(..)
        | OrderEvent::MintParked(..) => {}
    }
    row.updated_at = now;
    row.last_seq = at.seq;
    Ok(row)
}

fn requested(id: PaymentId, request: &PaymentRequest, at: Stamp) -> PaymentView {
    let Purchase::Mint { token, quantity, unit_price } = request.purchase;
    let auth = &request.authorization;
    PaymentView {
        id,
        payment_key: request.payment_key,
        chain_id: request.chain_id,
        asset: request.asset,
        payer: auth.from,
        token,
        quantity,
        unit_price,
        value: auth.value,
        nonce: auth.nonce,
        valid_after: auth.valid_after,
        valid_before: auth.valid_before,
        stage: StageName::Requested,
        status: PaymentStatus::Pending,
        reason: None,
        detail: None,
        retry_at: None,
        payment_attempts: 0,
        payment_deferrals: 0,
        mint_attempts: 0,
        mint_deferrals: 0,
        mint_parkings: 0,
        settle_signer: None,
        settle_nonce: None,
        settle_tx_hash: None,
        settle_block_number: None,
        settle_block_hash: None,
        settle_log_index: None,
        paid_by: None,
        failed_block_number: None,
        failed_block_hash: None,
        failed_tx_hash: None,
        mint_signer: None,
        mint_nonce: None,
        mint_tx_hash: None,
        mint_block_number: None,
        mint_block_hash: None,
        requested_at: at.recorded_at,
        paid_at: None,
        minted_at: None,
        updated_at: at.recorded_at,
        requested_seq: at.seq,
        paid_seq: None,
        last_seq: at.seq,
    }
}
