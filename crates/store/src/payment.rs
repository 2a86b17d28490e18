//! The row of an order: what was asked for, how far its legs are, and the evidence that people and the API want to see.

use crate::columns::table;
use crate::units::{UnitsHold, UnitsIn};
use alloy_primitives::{Address, B256};
use chrono::{DateTime, Utc};
use domain::event::{Actor, RefundReason};
use domain::money::decimal_string;
use domain::order::{Counts, HoldProgress, LegProgress, LegState, Progress};
use domain::{PaymentId, PaymentKey, Quantity, Stage, Usdc};
use serde::Deserialize;

/// The reason that people are told of an order that is held.
const HELD: &str = "held";

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
        pub refund_state: LegState,
        pub refund_attempts: u32,
        pub refund_deferrals: u32,
        pub refund_parkings: u32,
        pub refund_reversions: u32,
        pub reason: Option<String>,
        pub detail: Option<String>,
        pub parked_tx_hash: Option<B256>,
        pub retry_at: Option<DateTime<Utc>>,
        pub holds: u32,
        pub held_by: Option<String>,
        pub held_seq: Option<u64>,
        pub held_detail: Option<String>,
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
        pub refund_reason: Option<RefundReason>,
        pub refund_by: Option<String>,
        pub refund_detail: Option<String>,
        pub refund_signer: Option<Address>,
        pub refund_nonce: Option<u64>,
        pub refund_tx_hash: Option<B256>,
        pub refund_block_number: Option<u64>,
        pub refund_block_hash: Option<B256>,
        pub refunded_by: Option<Actor>,
        pub refund_amount: Option<Usdc>,
        pub requested_at: DateTime<Utc>,
        pub paid_at: Option<DateTime<Utc>>,
        pub minted_at: Option<DateTime<Utc>>,
        pub refunded_at: Option<DateTime<Utc>>,
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
        let refund = Counts {
            submitted: self.refund_attempts,
            deferred: self.refund_deferrals,
            parked: self.refund_parkings,
            reverted: self.refund_reversions,
        };
        Progress {
            payment: LegProgress { state: self.payment_state, counts: payment },
            mint: LegProgress { state: self.mint_state, counts: mint },
            refund: LegProgress { state: self.refund_state, counts: refund },
            hold: HoldProgress { count: self.holds, is_held: self.held_by.is_some() },
        }
    }

    /// Moves the row on to `progress`.
    pub(crate) const fn set_progress(&mut self, progress: Progress) {
        self.stage = progress.stage();
        let Progress { payment, mint, refund, hold } = progress;
        self.holds = hold.count;
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
        self.refund_state = refund.state;
        self.refund_attempts = refund.counts.submitted;
        self.refund_deferrals = refund.counts.deferred;
        self.refund_parkings = refund.counts.parked;
        self.refund_reversions = refund.counts.reverted;
    }

    /// The facts that decide if the order holds its units. Only a payment that is deferred is asked for the reason, and
    /// while it is, no other leg has one.
    pub fn hold(&self) -> UnitsHold {
        UnitsHold::in_row(self.payment_state, self.reason.as_deref(), self.mint_state, self.refund_state)
    }

    /// The counters of its token that its units are in.
    pub(crate) fn units(&self) -> UnitsIn {
        UnitsIn {
            taken: self.hold().holds(),
            paid: self.payment_state == LegState::Done && self.refund_state != LegState::Done,
            minted: self.mint_state == LegState::Done,
        }
    }

    /// The row as people are told it. An order that is held waits for a person, whatever its legs wait for. A refunded order
    /// waits for nothing, although its payment may still be deferred.
    #[must_use]
    pub fn shown(self) -> Self {
        if self.held_by.is_some() {
            return Self { reason: Some(HELD.to_owned()), detail: self.held_detail.clone(), retry_at: None, ..self };
        }
        if self.stage != Stage::Refunded {
            return self;
        }
        Self { reason: None, detail: None, parked_tx_hash: None, retry_at: None, ..self }
    }
}
