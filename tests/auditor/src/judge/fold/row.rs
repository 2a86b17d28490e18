//! One row of `payment_rows`, step by step.

use super::{COUNTERS, set, time};
use crate::decode::event::Event;
use crate::evidence::tables::Row;
use crate::legal::{Mint, Payment, Refund, State};
use chrono::{DateTime, SubsecRound, Utc};

/// Columns of a payment that are empty until an event fills them.
const LATER: [&str; 36] = [
    "held_by",
    "held_seq",
    "held_detail",
    "reason",
    "detail",
    "parked_tx_hash",
    "retry_at",
    "settle_signer",
    "settle_nonce",
    "settle_tx_hash",
    "settle_block_number",
    "settle_block_hash",
    "settle_recorded_at",
    "paid_by",
    "failed_block_number",
    "failed_block_hash",
    "failed_tx_hash",
    "mint_signer",
    "mint_nonce",
    "mint_tx_hash",
    "mint_block_number",
    "mint_block_hash",
    "minted_by",
    "refund_reason",
    "refund_by",
    "refund_detail",
    "refund_signer",
    "refund_nonce",
    "refund_tx_hash",
    "refund_block_number",
    "refund_block_hash",
    "refunded_by",
    "refund_amount",
    "paid_at",
    "minted_at",
    "refunded_at",
];

/// Columns that a proof of payment fills, and its reversal empties.
pub const PAID: [&str; 6] =
    ["settle_block_number", "settle_block_hash", "settle_recorded_at", "paid_by", "paid_at", "paid_seq"];

/// Columns that are set when a mint is confirmed.
pub const MINTED: [&str; 4] = ["mint_block_number", "mint_block_hash", "minted_by", "minted_at"];

/// Columns that are set when the money is back.
pub const REFUNDED: [&str; 5] =
    ["refund_block_number", "refund_block_hash", "refunded_by", "refund_amount", "refunded_at"];

pub fn requested(id: &str, event: &Event, at: DateTime<Utc>) -> Row {
    let data = &event.data;
    let mut row: Row = LATER.iter().map(|column| ((*column).to_owned(), None)).collect();
    for (column, field) in [
        ("payment_key", "paymentKey"),
        ("chain_id", "chainId"),
        ("asset", "asset"),
        ("payer", "authorization.from"),
        ("token", "purchase.token"),
        ("quantity", "purchase.quantity"),
        ("unit_price", "purchase.unitPrice"),
        ("value", "authorization.value"),
        ("nonce", "authorization.nonce"),
        ("valid_after", "authorization.validAfter"),
        ("valid_before", "authorization.validBefore"),
    ] {
        set(&mut row, column, data.text(field));
    }
    for (_, counter) in COUNTERS {
        set(&mut row, counter, Some("0".to_owned()));
    }
    set(&mut row, "id", Some(id.to_owned()));
    stands(&mut row, State { payment: Payment::Requested, ..State::default() });
    set(&mut row, "paid_seq", None);
    for column in ["requested_at", "updated_at"] {
        set(&mut row, column, Some(time(at)));
    }
    for column in ["requested_seq", "last_seq"] {
        set(&mut row, column, Some(event.seq.to_string()));
    }
    set(&mut row, "event_seqs", Some(format!("[{}]", event.seq)));
    row
}

/// The transaction that it is in.
pub fn submitted(row: &mut Row, prefix: &str, event: &Event) {
    for (column, field) in [("signer", "signer"), ("nonce", "nonce"), ("tx_hash", "txHash")] {
        set(row, &format!("{prefix}_{column}"), event.data.text(field));
    }
}

/// The transaction that did it, and its block; signer and nonce stay only if it is the one that was submitted last.
fn done(row: &mut Row, prefix: &str, event: &Event) {
    let (hash, tx) = (event.data.text("txHash"), format!("{prefix}_tx_hash"));
    if row.get(&tx).cloned().flatten() != hash {
        set(row, &format!("{prefix}_signer"), None);
        set(row, &format!("{prefix}_nonce"), None);
    }
    set(row, &tx, hash);
    block(row, prefix, event);
}

pub fn block(row: &mut Row, prefix: &str, event: &Event) {
    set(row, &format!("{prefix}_block_number"), event.data.text("block.number"));
    set(row, &format!("{prefix}_block_hash"), event.data.text("block.hash"));
}

pub fn paid(row: &mut Row, event: &Event, at: DateTime<Utc>) {
    done(row, "settle", event);
    set(row, "settle_recorded_at", event.data.text("recordedAt"));
    set(row, "paid_by", event.data.text("paidBy"));
    set(row, "paid_at", Some(time(at)));
    set(row, "paid_seq", Some(event.seq.to_string()));
}

pub fn minted(row: &mut Row, event: &Event, at: DateTime<Utc>) {
    done(row, "mint", event);
    set(row, "minted_by", event.data.text("mintedBy"));
    set(row, "minted_at", Some(time(at)));
}

pub fn refunded(row: &mut Row, event: &Event, at: DateTime<Utc>) {
    done(row, "refund", event);
    set(row, "refunded_by", event.data.text("refundedBy"));
    set(row, "refund_amount", event.data.text("amount"));
    set(row, "refunded_at", Some(time(at)));
}

/// The block is gone: its transaction is open again, and what it proved is not so.
pub fn taken_back(row: &mut Row, prefix: &str, proved: &[&str], event: &Event) {
    submitted(row, prefix, event);
    for column in proved {
        set(row, column, None);
    }
}

/// The reason why a leg waits, has failed or is parked. The leg that holds these columns after the event writes them
/// when it moves, and keeps them while another leg moves. They are empty if there is no such leg.
pub fn waits(row: &mut Row, state: State, event: &Event) {
    let holder = holder(state);
    if holder.is_some_and(|leg| !event.kind.name.starts_with(leg)) {
        return;
    }
    let data = holder.map(|_| &event.data);
    let parked = event.kind.name.ends_with(".parked");
    set(row, "reason", data.and_then(|data| data.text("reason")));
    set(row, "detail", data.and_then(|data| data.prose("detail")));
    set(row, "parked_tx_hash", data.and_then(|data| data.text("txHash")).filter(|_| parked));
    let retry_at = data.and_then(|data| data.get::<DateTime<Utc>>("retryAt"));
    set(row, "retry_at", retry_at.map(|at| time(at.trunc_subsecs(6))));
}

/// The message that was set aside. Any other event of the order ends the hold.
pub fn held(row: &mut Row, event: &Event) {
    let data = (event.kind.name == "order.held").then_some(&event.data);
    set(row, "held_by", data.and_then(|data| data.prose("consumer")));
    set(row, "held_seq", data.and_then(|data| data.text("sequence")));
    set(row, "held_detail", data.and_then(|data| data.prose("detail")));
}

/// The leg that waits, has failed or is parked. A parked payment is the refund's affair once a refund is asked for.
fn holder(state: State) -> Option<&'static str> {
    let State { payment, mint, refund, .. } = state;
    if matches!(refund, Refund::Deferred | Refund::Parked) {
        Some("refund.")
    } else if matches!(mint, Mint::Deferred | Mint::Parked) {
        Some("mint.")
    } else if matches!(payment, Payment::Deferred | Payment::Failed)
        || (payment, refund) == (Payment::Parked, Refund::Unasked)
    {
        Some("payment.")
    } else {
        None
    }
}

/// The stage, and the legs as the tables spell them.
pub fn stands(row: &mut Row, state: State) {
    let payment = match state.payment {
        Payment::New | Payment::Requested => "owed",
        Payment::Deferred => "deferred",
        Payment::Parked => "parked",
        Payment::Settling => "submitted",
        Payment::Reverted => "reverted",
        Payment::Paid => "done",
        Payment::Failed => "failed",
    };
    let mint = match state.mint {
        Mint::NotYet | Mint::Owed => "owed",
        Mint::Minting => "submitted",
        Mint::Reverted => "reverted",
        Mint::Deferred => "deferred",
        Mint::Parked => "parked",
        Mint::Minted => "done",
    };
    let refund = match state.refund {
        Refund::Unasked => "unasked",
        Refund::Owed => "owed",
        Refund::Refunding => "submitted",
        Refund::Reverted => "reverted",
        Refund::Deferred => "deferred",
        Refund::Parked => "parked",
        Refund::Back => "done",
    };
    let columns =
        [("stage", state.stage()), ("payment_state", payment), ("mint_state", mint), ("refund_state", refund)];
    for (column, value) in columns {
        set(row, column, Some(value.to_owned()));
    }
}
