//! From an event to the row of its order. Pure, so that a rebuild gives the same rows.

use crate::payment::{AheadName, PaymentStatus, PaymentView, StageName};
use alloy_primitives::{Address, B256};
use chrono::{DateTime, Datelike, NaiveDate, SubsecRound, Utc};
use domain::event::{
    Deferral, FailureReason, Minted, OrderEvent, PaidBy, ParkReason, Parked, PaymentFailure, PaymentProof, Reversal,
    Submission, WaitReason,
};
use domain::order::{self, Ahead, Counts, ImpossiblePast, Order, Stage};
use domain::request::{Authorization, SignatureBytes};
use domain::{BlockRef, PaymentId, PaymentRequest, Purchase};
use serde::Serialize;

/// When and where in the ledger an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Stream sequence.
    pub seq: u64,
    /// When the stream stored it.
    pub recorded_at: DateTime<Utc>,
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
    let order = order::evolve(row.map(PaymentView::skeleton), event)?.ok_or(impossible)?;
    let at = Stamp { recorded_at: time(at.recorded_at), ..at };
    let mut row = match row {
        Some(row) => row.clone(),
        None if order.request.id() != id => return Err(impossible),
        None => requested(id, &order.request, at),
    };
    row.stage = StageName::of(&order.stage);
    row.status = row.stage.payment_status();
    // What becomes of a mint that went ahead of its payment leaves the payment, and why it waits, as it was.
    if !(is_of_mint(event) && order.stage.is_unpaid()) {
        (row.reason, row.detail, row.retry_at) = waits_for(&order.stage);
    }
    row.payment_attempts = order.counts.submitted;
    row.payment_deferrals = order.counts.deferred;
    row.mint_attempts = order.counts.mint_submitted;
    row.mint_deferrals = order.counts.mint_deferred;
    row.mint_parkings = order.counts.mint_parked;
    row.payment_reversions = order.counts.reverted;
    row.mint_reversions = order.counts.mint_reverted;
    row.ahead = order.ahead.as_ref().map(|ahead| match ahead {
        Ahead::Minting(_) => AheadName::Minting,
        Ahead::Minted(_) => AheadName::Minted,
    });
    match event {
        OrderEvent::PaymentSubmitted(_, tx) => row.settling(tx),
        OrderEvent::PaymentConfirmed(proof) | OrderEvent::PaymentRestored(_, proof) => row.paid(proof, at),
        OrderEvent::PaymentReverted(_, reversal) => row.unpaid(reversal),
        OrderEvent::PaymentFailed(failure) => row.failed(failure),
        OrderEvent::MintSubmitted(_, tx) => row.minting(tx),
        OrderEvent::MintConfirmed(minted) | OrderEvent::MintRestored(_, minted) => row.minted(minted, at),
        OrderEvent::MintReverted(_, reversal) => row.unminted(reversal),
        OrderEvent::PaymentRequested(_)
        | OrderEvent::PaymentDeferred(..)
        | OrderEvent::MintDeferred(..)
        | OrderEvent::MintParked(..) => {}
    }
    row.updated_at = at.recorded_at;
    row.last_seq = at.seq;
    Ok(row)
}

/// The row of order `id` after its whole `history`, in order: what the read models will show once they have caught up.
/// An event that does not fit is left out, as the projector does.
pub fn project_history<'a>(
    id: PaymentId,
    history: impl IntoIterator<Item = (Stamp, &'a OrderEvent)>,
) -> Option<PaymentView> {
    history.into_iter().fold(None, |row, (at, event)| project(row.as_ref(), id, event, at).ok().or(row))
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
        payment_reversions: 0,
        mint_reversions: 0,
        ahead: None,
    }
}

impl PaymentView {
    fn settling(&mut self, tx: &Submission) {
        self.settle_signer = Some(tx.signer);
        self.settle_nonce = Some(tx.nonce);
        self.settle_tx_hash = Some(tx.tx_hash);
    }

    fn paid(&mut self, proof: &PaymentProof, at: Stamp) {
        // Somebody else's transaction has no nonce of ours; an earlier one of ours may have won, but then which?
        if self.settle_tx_hash != Some(proof.tx_hash) {
            self.settle_signer = None;
            self.settle_nonce = None;
        }
        self.settle_tx_hash = Some(proof.tx_hash);
        self.settle_block_number = Some(proof.block.number);
        self.settle_block_hash = Some(proof.block.hash);
        self.settle_log_index = Some(proof.log_index);
        self.paid_by = Some(proof.paid_by);
        self.paid_at = Some(at.recorded_at);
        self.paid_seq = Some(at.seq);
    }

    /// The block is gone: the transaction is open again, and the order out of the mint queue.
    fn unpaid(&mut self, reversal: &Reversal) {
        self.settling(&reversal.submission());
        self.settle_block_number = None;
        self.settle_block_hash = None;
        self.settle_log_index = None;
        self.paid_by = None;
        self.paid_at = None;
        self.paid_seq = None;
    }

    fn failed(&mut self, failure: &PaymentFailure) {
        self.failed_block_number = Some(failure.block.number);
        self.failed_block_hash = Some(failure.block.hash);
        self.failed_tx_hash = failure.tx_hash;
    }

    fn minting(&mut self, tx: &Submission) {
        self.mint_signer = Some(tx.signer);
        self.mint_nonce = Some(tx.nonce);
        self.mint_tx_hash = Some(tx.tx_hash);
    }

    fn minted(&mut self, minted: &Minted, at: Stamp) {
        if self.mint_tx_hash != Some(minted.tx_hash) {
            self.mint_signer = None;
            self.mint_nonce = None;
        }
        self.mint_tx_hash = Some(minted.tx_hash);
        self.mint_block_number = Some(minted.block.number);
        self.mint_block_hash = Some(minted.block.hash);
        self.minted_at = Some(at.recorded_at);
    }

    fn unminted(&mut self, reversal: &Reversal) {
        self.minting(&reversal.submission());
        self.mint_block_number = None;
        self.mint_block_hash = None;
        self.minted_at = None;
    }

    /// Whether this is the row of `request`: the same authorization for the same purchase.
    pub fn is_of(&self, request: &PaymentRequest) -> bool {
        self.skeleton().request.same_order_as(request)
    }

    /// The order as far as [`order::evolve`] looks at it: request, counts and the name of the stage. What it carries
    /// through without looking (signature, texts, hashes) is left empty.
    fn skeleton(&self) -> Order {
        let request = PaymentRequest {
            payment_key: self.payment_key,
            chain_id: self.chain_id,
            asset: self.asset,
            authorization: Authorization {
                from: self.payer,
                to: self.token,
                value: self.value,
                valid_after: self.valid_after,
                valid_before: self.valid_before,
                nonce: self.nonce,
            },
            signature: SignatureBytes::ZERO,
            purchase: Purchase::Mint { token: self.token, quantity: self.quantity, unit_price: self.unit_price },
        };
        let counts = Counts {
            submitted: self.payment_attempts,
            deferred: self.payment_deferrals,
            mint_submitted: self.mint_attempts,
            mint_deferred: self.mint_deferrals,
            mint_parked: self.mint_parkings,
            reverted: self.payment_reversions,
            mint_reverted: self.mint_reversions,
        };
        let block = BlockRef { number: 0, hash: B256::ZERO };
        let tx = Submission { signer: Address::ZERO, nonce: 0, tx_hash: B256::ZERO };
        let proof = PaymentProof { tx_hash: B256::ZERO, block, log_index: 0, paid_by: PaidBy::Paymint };
        let detail = String::new();
        let why = Deferral { reason: WaitReason::Unexplained, detail: detail.clone(), retry_at: DateTime::UNIX_EPOCH };
        let minted = Minted { tx_hash: B256::ZERO, block, to: self.payer, quantity: self.quantity };
        let ahead = self.ahead.map(|ahead| match ahead {
            AheadName::Minting => Ahead::Minting(tx.clone()),
            AheadName::Minted => Ahead::Minted(minted.clone()),
        });
        let failure = |detail| {
            let reason = FailureReason::Expired;
            PaymentFailure { reason, detail, block, block_time: 0, tx_hash: None }
        };
        let stage = match self.stage {
            StageName::Requested => Stage::Requested,
            StageName::Deferred => Stage::Deferred(why),
            StageName::Settling => Stage::Settling(tx),
            StageName::Reverted => Stage::Reverted(tx),
            StageName::Failed => Stage::Failed(failure(detail)),
            StageName::Lost => Stage::Lost(failure(detail), minted),
            StageName::Paid => Stage::Paid(proof),
            StageName::Minting => Stage::Minting(proof, tx),
            StageName::MintDeferred => Stage::MintDeferred(proof, why),
            StageName::MintParked => Stage::MintParked(proof, Parked { reason: ParkReason::Unexplained, detail }),
            StageName::Minted => Stage::Minted(proof, minted),
        };
        Order { request, counts, stage, ahead }
    }
}

const fn is_of_mint(event: &OrderEvent) -> bool {
    match event {
        OrderEvent::MintSubmitted(..)
        | OrderEvent::MintDeferred(..)
        | OrderEvent::MintParked(..)
        | OrderEvent::MintConfirmed(_)
        | OrderEvent::MintReverted(..)
        | OrderEvent::MintRestored(..) => true,
        OrderEvent::PaymentRequested(_)
        | OrderEvent::PaymentSubmitted(..)
        | OrderEvent::PaymentDeferred(..)
        | OrderEvent::PaymentConfirmed(_)
        | OrderEvent::PaymentReverted(..)
        | OrderEvent::PaymentRestored(..)
        | OrderEvent::PaymentFailed(_) => false,
    }
}

/// Reason, detail and time of the next try, where the stage has them.
fn waits_for(stage: &Stage) -> (Option<String>, Option<String>, Option<DateTime<Utc>>) {
    match stage {
        Stage::Deferred(why) | Stage::MintDeferred(_, why) => {
            (Some(code(&why.reason)), Some(text(&why.detail)), Some(time(why.retry_at)))
        }
        Stage::Failed(failure) | Stage::Lost(failure, _) => {
            (Some(code(&failure.reason)), Some(text(&failure.detail)), None)
        }
        Stage::MintParked(_, why) => (Some(code(&why.reason)), Some(text(&why.detail)), None),
        Stage::Requested
        | Stage::Settling(_)
        | Stage::Reverted(_)
        | Stage::Paid(_)
        | Stage::Minting(..)
        | Stage::Minted(..) => (None, None, None),
    }
}

/// A reason's stable code, as in the event.
fn code(reason: &impl Serialize) -> String {
    match serde_json::to_value(reason) {
        Ok(serde_json::Value::String(code)) => code,
        _ => "unexplained".to_owned(),
    }
}

/// Text that Postgres can hold: it refuses NUL, and one event must not stop the projection for ever.
pub(crate) fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A time that Postgres can hold and that reads back equal: microseconds, years 1970 to 9999.
pub(crate) fn time(time: DateTime<Utc>) -> DateTime<Utc> {
    let last = NaiveDate::from_ymd_opt(9999, 12, 31).and_then(|day| day.and_hms_opt(0, 0, 0));
    match (time.year(), last) {
        (10_000.., Some(last)) => last.and_utc(),
        (..1970, _) => DateTime::UNIX_EPOCH,
        _ => time.trunc_subsecs(6),
    }
}
