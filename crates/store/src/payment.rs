//! The row of an order: what was asked for, how far its legs are, and the evidence that people and the API want to see.

use crate::columns::table;
use alloy_primitives::{Address, B256};
use chrono::{DateTime, Utc};
use domain::event::Actor;
use domain::money::decimal_string;
use domain::order::{Counts, LegProgress, LegState, Progress};
use domain::{PaymentId, PaymentKey, Quantity, Stage, Usdc};
use serde::Deserialize;

/// `ParkReason::MoneyBack`, as the rows spell it.
const MONEY_BACK: &str = "money_back";

table! {
    /// One order. Field by field as in migrations/0002_payments.sql, where each has its reason.
    #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(missing_docs)]
    pub struct PaymentView of "payments", fixed: [
        id, payment_key, chain_id, asset, payer, token, quantity, unit_price, value, nonce, valid_after, valid_before,
        requested_at, requested_seq,
    ] {
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
        pub stage: Stage,
        pub payment_state: LegState,
        pub payment_attempts: u32,
        pub payment_deferrals: u32,
        pub payment_parkings: u32,
        pub payment_reversions: u32,
        pub mint_state: LegState,
        pub mint_attempts: u32,
        pub mint_deferrals: u32,
        pub mint_parkings: u32,
        pub mint_reversions: u32,
        pub reason: Option<String>,
        pub detail: Option<String>,
        pub parked_tx_hash: Option<B256>,
        pub retry_at: Option<DateTime<Utc>>,
        pub settle_signer: Option<Address>,
        pub settle_nonce: Option<u64>,
        pub settle_tx_hash: Option<B256>,
        pub settle_block_number: Option<u64>,
        pub settle_block_hash: Option<B256>,
        pub settle_recorded_at: Option<u64>,
        pub paid_by: Option<Actor>,
        pub failed_block_number: Option<u64>,
        pub failed_block_hash: Option<B256>,
        pub failed_tx_hash: Option<B256>,
        pub mint_signer: Option<Address>,
        pub mint_nonce: Option<u64>,
        pub mint_tx_hash: Option<B256>,
        pub mint_block_number: Option<u64>,
        pub mint_block_hash: Option<B256>,
        pub minted_by: Option<Actor>,
        pub requested_at: DateTime<Utc>,
        pub paid_at: Option<DateTime<Utc>>,
        pub minted_at: Option<DateTime<Utc>>,
        pub updated_at: DateTime<Utc>,
        pub requested_seq: u64,
        pub paid_seq: Option<u64>,
        pub last_seq: u64,
        pub event_seqs: Vec<u64>,
    }
}

impl PaymentView {
    /// How far the legs are: all that decides which event may follow.
    pub const fn progress(&self) -> Progress {
        let payment = Counts {
            submitted: self.payment_attempts,
            deferred: self.payment_deferrals,
            parked: self.payment_parkings,
            reverted: self.payment_reversions,
        };
        let mint = Counts {
            submitted: self.mint_attempts,
            deferred: self.mint_deferrals,
            parked: self.mint_parkings,
            reverted: self.mint_reversions,
        };
        Progress {
            payment: LegProgress { state: self.payment_state, counts: payment },
            mint: LegProgress { state: self.mint_state, counts: mint },
        }
    }

    /// Moves the row on to `progress`.
    pub(crate) const fn set_progress(&mut self, progress: Progress) {
        self.stage = progress.stage();
        let Progress { payment, mint } = progress;
        self.payment_state = payment.state;
        self.payment_attempts = payment.counts.submitted;
        self.payment_deferrals = payment.counts.deferred;
        self.payment_parkings = payment.counts.parked;
        self.payment_reversions = payment.counts.reverted;
        self.mint_state = mint.state;
        self.mint_attempts = mint.counts.submitted;
        self.mint_deferrals = mint.counts.deferred;
        self.mint_parkings = mint.counts.parked;
        self.mint_reversions = mint.counts.reverted;
    }
    /// Returns whether the order takes units of its token.
    pub(crate) fn takes_units(&self) -> bool {
        takes_units(self.stage, self.reason.as_deref())
    }
}

/// Returns whether an order takes units of its token: until its payment fails, or its payer has the money back.
pub(crate) fn takes_units(stage: Stage, reason: Option<&str>) -> bool {
    match stage {
        Stage::Failed => false,
        Stage::MintParked => reason != Some(MONEY_BACK),
        _ => true,
    }
}
