//! The rows of an order as the API serialises them: the payment, and the mint that it owes.

use alloy_primitives::{Address, B256};
use chrono::{DateTime, Utc};
use domain::event::PaidBy;
use domain::money::decimal_string;
use domain::order::Stage;
use domain::{PaymentId, PaymentKey, Quantity, Usdc};
use serde::{Deserialize, Serialize};

/// [`Stage`] by name: the fine state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageName {
    /// Accepted, nothing sent.
    Requested,
    /// Waits for the chain to accept the payment.
    Deferred,
    /// In a settlement transaction.
    Settling,
    /// Was charged, and the block is gone: sent again.
    Reverted,
    /// Can never be charged.
    Failed,
    /// Can never be charged, and is minted.
    Lost,
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

/// What of a mint is there while its payment is open again, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AheadName {
    /// In a transaction.
    Minting,
    /// Minted.
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
    /// Waits for a person: parked. Of an order: its payment failed.
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
    pub payment_reversions: u32,
    pub mint_reversions: u32,
    pub ahead: Option<AheadName>,
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

impl StageName {
    /// Every stage, in the order of an order's life.
    pub const ALL: [Self; 11] = [
        Self::Requested,
        Self::Deferred,
        Self::Settling,
        Self::Reverted,
        Self::Failed,
        Self::Lost,
        Self::Paid,
        Self::Minting,
        Self::MintDeferred,
        Self::MintParked,
        Self::Minted,
    ];

    /// As the tables have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Deferred => "deferred",
            Self::Settling => "settling",
            Self::Reverted => "reverted",
            Self::Failed => "failed",
            Self::Lost => "lost",
            Self::Paid => "paid",
            Self::Minting => "minting",
            Self::MintDeferred => "mint_deferred",
            Self::MintParked => "mint_parked",
            Self::Minted => "minted",
        }
    }

    /// The stage of this name.
    pub(crate) fn named(name: &str) -> Result<Self, sqlx::Error> {
        let found = Self::ALL.into_iter().find(|stage| stage.name() == name);
        found.ok_or_else(|| sqlx::Error::Decode(format!("no stage is named {name:?}").into()))
    }

    /// The name of `stage`.
    pub const fn of(stage: &Stage) -> Self {
        match stage {
            Stage::Requested => Self::Requested,
            Stage::Deferred(_) => Self::Deferred,
            Stage::Settling(_) => Self::Settling,
            Stage::Reverted(_) => Self::Reverted,
            Stage::Failed(_) => Self::Failed,
            Stage::Lost(..) => Self::Lost,
            Stage::Paid(_) => Self::Paid,
            Stage::Minting(..) => Self::Minting,
            Stage::MintDeferred(..) => Self::MintDeferred,
            Stage::MintParked(..) => Self::MintParked,
            Stage::Minted(..) => Self::Minted,
        }
    }

    /// What the earlier frontends call it.
    pub const fn payment_status(self) -> PaymentStatus {
        match self {
            Self::Requested | Self::Deferred | Self::Reverted => PaymentStatus::Pending,
            Self::Settling => PaymentStatus::Sent,
            Self::Failed | Self::Lost => PaymentStatus::Failed,
            Self::Paid | Self::Minting | Self::MintDeferred | Self::MintParked | Self::Minted => {
                PaymentStatus::Completed
            }
        }
    }

    /// The whole order as the earlier queue shows it: before it is paid its mint waits, and a payment that failed owes
    /// none and never will.
    pub const fn queue_status(self) -> MintStatus {
        match self {
            Self::Failed | Self::Lost => MintStatus::Failed,
            _ => match self.mint_status() {
                Some(status) => status,
                None => MintStatus::Pending,
            },
        }
    }

    /// The same of the mint; `None` while nothing is owed.
    pub const fn mint_status(self) -> Option<MintStatus> {
        match self {
            Self::Requested | Self::Deferred | Self::Settling | Self::Reverted | Self::Failed | Self::Lost => None,
            Self::Paid | Self::MintDeferred => Some(MintStatus::Pending),
            Self::Minting => Some(MintStatus::Processing),
            Self::Minted => Some(MintStatus::Completed),
            Self::MintParked => Some(MintStatus::Failed),
        }
    }
}

impl MintView {
    /// The mint that `payment` owes, once it is paid.
    pub fn of(payment: &PaymentView) -> Option<Self> {
        Some(Self {
            id: payment.id,
            token: payment.token,
            recipient: payment.payer,
            quantity: payment.quantity,
            status: payment.stage.mint_status()?,
            stage: payment.stage,
            reason: payment.reason.clone(),
            detail: payment.detail.clone(),
            retry_at: payment.retry_at,
            attempts: payment.mint_attempts,
            tx_hash: payment.mint_tx_hash,
            block_number: payment.mint_block_number,
            queued_seq: payment.paid_seq?,
            queued_at: payment.paid_at?,
            minted_at: payment.minted_at,
            updated_at: payment.updated_at,
            last_seq: payment.last_seq,
        })
    }
}
