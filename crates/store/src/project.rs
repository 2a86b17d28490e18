//! From an event to the row of its order. Pure, so that a rebuild gives the same rows.

use crate::payment::PaymentView;
use alloy_primitives::B256;
use chrono::{DateTime, Datelike, NaiveDate, SubsecRound, Utc};
use domain::event::{
    LegName, Minted, OrderEvent, PaymentFailure, PaymentProof, RefundRequest, Refunded, Reversal, Submission,
};
use domain::order::{ImpossiblePast, LegState, Progress};
use domain::{PaymentId, Purchase, RequestFields, Stage};

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
/// [`ImpossiblePast`] if the event does not fit the row; the row stays as it is.
pub fn project(
    row: Option<&PaymentView>,
    id: PaymentId,
    event: &OrderEvent,
    at: Stamp,
) -> Result<PaymentView, ImpossiblePast> {
    let at = Stamp { recorded_at: time(at.recorded_at), ..at };
    let mut row = match (row, event) {
        (None, OrderEvent::PaymentRequested(request)) if request.id() == id => {
            return Ok(PaymentView::requested(id, request, at));
        }
        (None, _) => return Err(ImpossiblePast { event: event.name(), stage: "unknown" }),
        (Some(row), _) => row.clone(),
    };
    let impossible = ImpossiblePast { event: event.name(), stage: row.stage.name() };
    let progress = row.progress().after(event).ok_or(impossible)?;
    row.set_progress(progress);
    row.wait(waiting_leg(progress), event);
    row.hold_by(event);
    match event {
        OrderEvent::PaymentSubmitted(_, tx) => row.settling(tx),
        OrderEvent::PaymentConfirmed(proof) | OrderEvent::PaymentRestored(_, proof) => row.paid(proof, at),
        OrderEvent::PaymentReverted(_, reversal) => row.unpaid(reversal),
        OrderEvent::PaymentFailed(failure) => row.failed(failure),
        OrderEvent::MintSubmitted(_, tx) => row.minting(tx),
        OrderEvent::MintConfirmed(minted) | OrderEvent::MintRestored(_, minted) => row.minted(minted, at),
        OrderEvent::MintReverted(_, reversal) => row.unminted(reversal),
        OrderEvent::RefundRequested(request) => row.refund_asked(request),
        OrderEvent::RefundSubmitted(_, tx) => row.refunding(tx),
        OrderEvent::RefundConfirmed(refunded) | OrderEvent::RefundRestored(_, refunded) => row.refunded(refunded, at),
        OrderEvent::RefundReverted(_, reversal) => row.unrefunded(reversal),
        OrderEvent::PaymentRequested(_)
        | OrderEvent::PaymentDeferred(..)
        | OrderEvent::PaymentParked(..)
        | OrderEvent::MintDeferred(..)
        | OrderEvent::MintParked(..)
        | OrderEvent::MintRedriven(..)
        | OrderEvent::RefundRedriven(..)
        | OrderEvent::OrderHeld(..)
        | OrderEvent::OrderReleased(..)
        | OrderEvent::RefundDeferred(..)
        | OrderEvent::RefundParked(..) => {}
    }
    row.updated_at = at.recorded_at;
    row.last_seq = at.seq;
    row.event_seqs.push(at.seq);
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

impl PaymentView {
    fn requested(id: PaymentId, request: &RequestFields, at: Stamp) -> Self {
        let Purchase::Mint { token, quantity, unit_price } = request.purchase;
        let auth = &request.authorization;
        Self {
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
            stage: Stage::Requested,
            payment_state: LegState::Owed,
            payment_attempts: 0,
            payment_deferrals: 0,
            payment_parkings: 0,
            payment_reversions: 0,
            mint_state: LegState::Owed,
            mint_attempts: 0,
            mint_deferrals: 0,
            mint_parkings: 0,
            mint_reversions: 0,
            refund_state: LegState::Unasked,
            refund_attempts: 0,
            refund_deferrals: 0,
            refund_parkings: 0,
            refund_reversions: 0,
            reason: None,
            detail: None,
            parked_tx_hash: None,
            retry_at: None,
            holds: 0,
            held_by: None,
            held_seq: None,
            held_detail: None,
            settle_signer: None,
            settle_nonce: None,
            settle_tx_hash: None,
            settle_block_number: None,
            settle_block_hash: None,
            settle_recorded_at: None,
            paid_by: None,
            failed_block_number: None,
            failed_block_hash: None,
            failed_tx_hash: None,
            mint_signer: None,
            mint_nonce: None,
            mint_tx_hash: None,
            mint_block_number: None,
            mint_block_hash: None,
            minted_by: None,
            refund_reason: None,
            refund_by: None,
            refund_detail: None,
            refund_signer: None,
            refund_nonce: None,
            refund_tx_hash: None,
            refund_block_number: None,
            refund_block_hash: None,
            refunded_by: None,
            refund_amount: None,
            requested_at: at.recorded_at,
            paid_at: None,
            minted_at: None,
            refunded_at: None,
            updated_at: at.recorded_at,
            requested_seq: at.seq,
            paid_seq: None,
            last_seq: at.seq,
            event_seqs: vec![at.seq],
        }
    }

    /// Notes why `leg` waits after `event`. A leg that waits on while another one moves keeps its reason.
    fn wait(&mut self, leg: Option<LegName>, event: &OrderEvent) {
        if leg.is_some() && leg != event.leg().map(|(leg, _)| leg) {
            return;
        }
        let event = leg.map(|_| event);
        self.reason = event.and_then(OrderEvent::reason);
        self.detail = event.and_then(OrderEvent::detail).map(text);
        self.parked_tx_hash = event.and_then(parked_tx_hash);
        self.retry_at = event.and_then(OrderEvent::retry_at).map(time);
    }

    /// Notes the message that was set aside. Any other event of the order ends the hold.
    fn hold_by(&mut self, event: &OrderEvent) {
        let hold = if let OrderEvent::OrderHeld(_, hold) = event { Some(hold) } else { None };
        self.held_by = hold.map(|hold| text(&hold.consumer));
        self.held_seq = hold.map(|hold| hold.sequence);
        self.held_detail = hold.map(|hold| text(&hold.detail));
    }

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
        self.settle_recorded_at = Some(proof.recorded_at);
        self.paid_by = Some(proof.paid_by);
        self.paid_at = Some(at.recorded_at);
        self.paid_seq = Some(at.seq);
    }

    /// The block is gone: the transaction is open again, and the order out of the mint queue.
    fn unpaid(&mut self, reversal: &Reversal) {
        self.settling(&reversal.submission());
        self.settle_block_number = None;
        self.settle_block_hash = None;
        self.settle_recorded_at = None;
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
        self.minted_by = Some(minted.minted_by);
        self.minted_at = Some(at.recorded_at);
    }

    fn unminted(&mut self, reversal: &Reversal) {
        self.minting(&reversal.submission());
        self.mint_block_number = None;
        self.mint_block_hash = None;
        self.minted_by = None;
        self.minted_at = None;
    }

    fn refund_asked(&mut self, request: &RefundRequest) {
        self.refund_reason = Some(request.reason);
        self.refund_by = Some(text(&request.by));
        self.refund_detail = Some(text(&request.detail));
    }

    fn refunding(&mut self, tx: &Submission) {
        self.refund_signer = Some(tx.signer);
        self.refund_nonce = Some(tx.nonce);
        self.refund_tx_hash = Some(tx.tx_hash);
    }

    fn refunded(&mut self, refunded: &Refunded, at: Stamp) {
        if self.refund_tx_hash != Some(refunded.tx_hash) {
            self.refund_signer = None;
            self.refund_nonce = None;
        }
        self.refund_tx_hash = Some(refunded.tx_hash);
        self.refund_block_number = Some(refunded.block.number);
        self.refund_block_hash = Some(refunded.block.hash);
        self.refunded_by = Some(refunded.refunded_by);
        self.refund_amount = Some(refunded.amount);
        self.refunded_at = Some(at.recorded_at);
    }

    fn unrefunded(&mut self, reversal: &Reversal) {
        self.refunding(&reversal.submission());
        self.refund_block_number = None;
        self.refund_block_hash = None;
        self.refunded_by = None;
        self.refund_amount = None;
        self.refunded_at = None;
    }

    /// Returns whether this is the row of `request`: the same authorization for the same purchase.
    pub fn is_of(&self, request: &RequestFields) -> bool {
        let same = Self::requested(self.id, request, Stamp { seq: self.requested_seq, recorded_at: self.requested_at });
        let asked_for = |row: &Self| {
            let parties = (row.payment_key, row.chain_id, row.asset, row.payer, row.token);
            let terms = (row.quantity, row.unit_price, row.value, row.nonce, row.valid_after, row.valid_before);
            (parties, terms)
        };
        asked_for(self) == asked_for(&same) && request.authorization.to == self.token
    }
}

/// The leg that waits or has failed. There is one at most: a mint and a refund wait only while the payment does not, and
/// a payment that is parked is the refund's affair once a refund is asked for.
const fn waiting_leg(progress: Progress) -> Option<LegName> {
    match (progress.payment.state, progress.mint.state, progress.refund.state) {
        (_, _, LegState::Deferred | LegState::Parked) => Some(LegName::Refund),
        (_, LegState::Deferred | LegState::Parked, _) => Some(LegName::Mint),
        (LegState::Deferred | LegState::Failed, ..) | (LegState::Parked, _, LegState::Unasked) => {
            Some(LegName::Payment)
        }
        _ => None,
    }
}

/// The transaction because of which the event parks a leg.
const fn parked_tx_hash(event: &OrderEvent) -> Option<B256> {
    match event {
        OrderEvent::PaymentParked(_, parked)
        | OrderEvent::MintParked(_, parked)
        | OrderEvent::RefundParked(_, parked) => parked.tx_hash,
        _ => None,
    }
}

/// Makes a text that PostgreSQL can hold: it refuses NUL, and one event must not stop the projection permanently.
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
