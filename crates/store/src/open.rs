//! Open orders, for a process that keeps the backlog in memory and follows the ledger from there.

use crate::columns::value;
use crate::connect::Store;
use crate::error::StoreError;
use crate::ledger::seq_from;
use crate::position::{Position, READ_MODELS, position};
use alloy_primitives::Address;
use domain::{PaymentId, Stage};
use sqlx::Row;
use sqlx::postgres::PgRow;

/// A transaction whose statements all see one moment, and that cannot write.
pub(crate) const ONE_MOMENT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// An order that is neither minted nor failed. A parked mint is open: its units are owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenOrder {
    /// The order.
    pub id: PaymentId,
    /// The payer.
    pub payer: Address,
    /// The token.
    pub token: Address,
    /// How far it is.
    pub stage: Stage,
    /// Sequence of the request: its place among the payments.
    pub requested_seq: u64,
    /// Sequence of the confirmation, its place among the mints; `None` before it is paid.
    pub paid_seq: Option<u64>,
}

impl Store {
    /// Every open order by the sequence of its request, and the position that they reflect, at one moment: whoever
    /// folds the ledger from `position.seq + 1` on misses nothing and sees nothing twice. All in memory, about 100
    /// bytes an order.
    ///
    /// # Errors
    /// [`StoreError::NotBegun`] before the first read-projector; else what the database says.
    pub async fn open_orders(&self) -> Result<(Position, Vec<OpenOrder>), StoreError> {
        const OPERATION: &str = "reading the open orders";
        let mut moment = self.pool.begin_with(ONE_MOMENT).await.map_err(StoreError::of(OPERATION))?;
        let at = position(&mut *moment, READ_MODELS).await?.ok_or(StoreError::NotBegun)?;
        let orders = sqlx::query(include_str!("open_orders.sql"))
            .fetch_all(&mut *moment)
            .await
            .and_then(|rows| rows.iter().map(open_order).collect())
            .map_err(StoreError::of(OPERATION))?;
        moment.commit().await.map_err(StoreError::of(OPERATION))?;
        Ok((at, orders))
    }
}

fn open_order(row: &PgRow) -> Result<OpenOrder, sqlx::Error> {
    Ok(OpenOrder {
        id: value(row, "id")?,
        payer: value(row, "payer")?,
        token: value(row, "token")?,
        stage: value(row, "stage")?,
        requested_seq: seq_from(row.try_get("requested_seq")?)?,
        paid_seq: row.try_get::<Option<i64>, _>("paid_seq")?.map(seq_from).transpose()?,
    })
}
