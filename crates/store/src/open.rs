//! Open orders, for a process that keeps the backlog in memory and follows the ledger from there.

use crate::columns::value;
use crate::connect::Store;
use crate::error::StoreError;
use crate::ledger::seq_from;
use crate::load::{TokenLoad, recent_loads};
use crate::position::{Position, READ_MODELS, position};
use crate::units::UnitsHold;
use alloy_primitives::Address;
use domain::order::LegState;
use domain::{PaymentId, Quantity, Stage};
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::collections::BTreeMap;

/// A transaction whose statements all see one moment, and that cannot write.
pub(crate) const ONE_MOMENT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// The orders under way, and the units that are taken, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The last event that all of this reflects.
    pub position: Position,
    /// Every open order, by the sequence of its request.
    pub open: Vec<OpenOrder>,
    /// Units of each token that all its orders and records hold, open or not.
    pub units_taken: BTreeMap<Address, u64>,
    /// Every record without an order that was found.
    pub found: Vec<PaymentId>,
    /// The work of the last day and a little more, token by token, the oldest first.
    pub loads: Vec<TokenLoad>,
}

/// An order that is neither minted nor failed nor refunded. What is parked is open: an operator owes an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenOrder {
    /// The order.
    pub id: PaymentId,
    /// The payer.
    pub payer: Address,
    /// The token.
    pub token: Address,
    /// The units that it buys.
    pub quantity: Quantity,
    /// True if its money is to go back.
    pub goes_back: bool,
    /// How far it is.
    pub stage: Stage,
    /// True if a message of it was set aside.
    pub is_held: bool,
    /// The facts that decide if it holds its units.
    pub hold: UnitsHold,
    /// Sequence of the request: its place among the payments.
    pub requested_seq: u64,
    /// Sequence of the confirmation, its place among the mints; `None` before it is paid.
    pub paid_seq: Option<u64>,
}

impl Store {
    /// The orders under way and the units that are taken, at one moment. A reader that goes on at `position.seq + 1`
    /// misses nothing and sees nothing twice. All in memory, about 100 bytes an order.
    ///
    /// # Errors
    /// [`StoreError::NotBegun`] before the first read-projector; else what the database says.
    pub async fn standing(&self) -> Result<Standing, StoreError> {
        const OPERATION: &str = "reading the open orders";
        let mut moment = self.pool.begin_with(ONE_MOMENT).await.map_err(StoreError::of(OPERATION))?;
        let position = position(&mut *moment, READ_MODELS).await?.ok_or(StoreError::NotBegun)?;
        let open = sqlx::query(include_str!("open_orders.sql"))
            .fetch_all(&mut *moment)
            .await
            .and_then(|rows| rows.iter().map(open_order).collect())
            .map_err(StoreError::of(OPERATION))?;
        let units_taken = sqlx::query("SELECT token, units_taken::text AS units_taken FROM tokens")
            .fetch_all(&mut *moment)
            .await
            .and_then(|rows| rows.iter().map(|row| Ok((value(row, "token")?, value(row, "units_taken")?))).collect())
            .map_err(StoreError::of(OPERATION))?;
        let found = sqlx::query("SELECT id FROM records")
            .fetch_all(&mut *moment)
            .await
            .and_then(|rows| rows.iter().map(|row| value(row, "id")).collect())
            .map_err(StoreError::of(OPERATION))?;
        let loads = recent_loads(&mut moment).await.map_err(StoreError::of(OPERATION))?;
        moment.commit().await.map_err(StoreError::of(OPERATION))?;
        Ok(Standing { position, open, units_taken, found, loads })
    }
}

fn open_order(row: &PgRow) -> Result<OpenOrder, sqlx::Error> {
    let (payment, mint): (LegState, LegState) = (value(row, "payment_state")?, value(row, "mint_state")?);
    let (refund, reason): (LegState, Option<String>) = (value(row, "refund_state")?, value(row, "reason")?);
    Ok(OpenOrder {
        id: value(row, "id")?,
        payer: value(row, "payer")?,
        token: value(row, "token")?,
        quantity: value(row, "quantity")?,
        goes_back: refund != LegState::Unasked,
        stage: value(row, "stage")?,
        is_held: row.try_get("is_held")?,
        hold: UnitsHold::in_row(payment, reason.as_deref(), mint, refund),
        requested_seq: seq_from(row.try_get("requested_seq")?)?,
        paid_seq: row.try_get::<Option<i64>, _>("paid_seq")?.map(seq_from).transpose()?,
    })
}
