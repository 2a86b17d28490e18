//! Orders that wait, for the services that carry them by time.

use crate::columns::value;
use crate::connect::Store;
use crate::error::StoreError;
use crate::ledger::{seq_from, seq_to};
use crate::units::wait_reason;
use alloy_primitives::{Address, B256};
use domain::event::WaitReason;
use domain::{PaymentId, Usdc};
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::time::Duration;

/// The kind of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitStage {
    /// Payments that the chain does not accept yet.
    Payment,
    /// Payments that are in no transaction: new ones, and those that the chain does not accept yet.
    Unsent,
    /// Mints that are owed and not submitted.
    Mint,
    /// Money for an operator's lane: payments around the token, and refunds that are asked for and not submitted.
    Refund,
}

impl WaitStage {
    const fn stages(self) -> &'static [&'static str] {
        match self {
            Self::Payment => &["deferred"],
            Self::Unsent => &["requested", "deferred"],
            Self::Mint => &["mint_deferred", "paid"],
            Self::Refund => &["payment_parked", "refund_requested", "refund_deferred"],
        }
    }
}

/// An order that waits, as the rows say. The ledger may know better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingOrder {
    /// The order.
    pub id: PaymentId,
    /// The payer.
    pub payer: Address,
    /// The token that is bought.
    pub token: Address,
    /// The sum that its authorization moves.
    pub value: Usdc,
    /// Nonce of the authorization.
    pub nonce: B256,
    /// End of the window of the authorization, Unix seconds.
    pub valid_before: u64,
    /// Why the payment waits; `None` if it does not, or if this build does not know the reason.
    pub reason: Option<WaitReason>,
    /// True if nothing has been tried since the order became owed.
    pub is_new: bool,
    /// Sequence of its request: the key of the pages.
    pub requested_seq: u64,
    /// Sequence of the last event that the row reflects.
    pub last_seq: u64,
    /// Time until it is due; zero if it is.
    pub due_in: Duration,
}

impl Store {
    /// One page of the orders that wait in `stage`, by the sequence of their requests: those after `after`, `limit` at
    /// most. With `due_for`, only those that have been due for at least this long. An order that has no time of its own is
    /// due one minute after its last event.
    ///
    /// # Errors
    /// What the database says.
    pub async fn waiting(
        &self,
        stage: WaitStage,
        due_for: Option<Duration>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<WaitingOrder>, StoreError> {
        let due_for_ms = due_for.map(|due_for| i64::try_from(due_for.as_millis()).unwrap_or(i64::MAX));
        sqlx::query(include_str!("waiting.sql"))
            .bind(stage.stages())
            .bind(due_for_ms)
            .bind(seq_to(after)?)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .and_then(|rows| rows.iter().map(waiting_order).collect())
            .map_err(StoreError::of("reading the waiting orders"))
    }
}

fn waiting_order(row: &PgRow) -> Result<WaitingOrder, sqlx::Error> {
    let (due_in_ms, reason): (i64, Option<String>) = (row.try_get("due_in_ms")?, value(row, "reason")?);
    Ok(WaitingOrder {
        id: value(row, "id")?,
        payer: value(row, "payer")?,
        token: value(row, "token")?,
        value: value(row, "value")?,
        nonce: value(row, "nonce")?,
        valid_before: value(row, "valid_before")?,
        reason: reason.and_then(|code| wait_reason(&code)),
        is_new: row.try_get("is_new")?,
        requested_seq: seq_from(row.try_get("requested_seq")?)?,
        last_seq: seq_from(row.try_get("last_seq")?)?,
        due_in: Duration::from_millis(u64::try_from(due_in_ms).unwrap_or_default()),
    })
}
