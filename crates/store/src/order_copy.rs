//! The history of one order, from the copy of the ledger.

use crate::connect::Store;
use crate::error::StoreError;
use crate::ledger::ledger_row;
use crate::position::{Position, READ_MODELS, position_of};
use domain::{PaymentId, StoredMessage};
use sqlx::Row;
use sqlx::postgres::PgRow;

impl Store {
    /// Every event of the order `id` in the copy, in order, and the position of the copy, at one moment. No event if the
    /// read models have not seen the order. An event that does not fit the order's past is left out, as in its row.
    ///
    /// # Errors
    /// [`StoreError::NotBegun`] before the first read-projector; else what the database says.
    pub async fn order_copy(&self, id: PaymentId) -> Result<(Position, Vec<StoredMessage>), StoreError> {
        const OPERATION: &str = "reading an order in the copy";
        let rows = sqlx::query(include_str!("order_copy.sql"))
            .bind(id.0)
            .bind(READ_MODELS)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::of(OPERATION))?;
        let Some(row) = rows.first() else { return Err(StoreError::NotBegun) };
        let position = position_of(row).map_err(StoreError::of(OPERATION))?;
        let messages = rows.iter().filter_map(|row| event(row).transpose()).collect::<Result<_, _>>();
        Ok((position, messages.map_err(StoreError::of(OPERATION))?))
    }
}

/// The event of a row; `None` in the one row of an order without events.
fn event(row: &PgRow) -> Result<Option<StoredMessage>, sqlx::Error> {
    match row.try_get::<Option<i64>, _>("seq")? {
        Some(_) => ledger_row(row).map(|found| Some(found.message)),
        None => Ok(None),
    }
}
