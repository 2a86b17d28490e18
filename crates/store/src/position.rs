//! How far a projection has come, and whether the stream still is the one that it has read.

use crate::columns::value;
use crate::connect::Store;
use crate::error::StoreError;
use crate::ledger::{CHAIN_START, chain_hash, seq_from, seq_to};
use alloy_primitives::B256;
use chrono::{DateTime, SubsecRound, Utc};
use domain::StoredMessage;
use sqlx::Row;
use sqlx::postgres::PgRow;

/// The projection that keeps the copy of the ledger and the read models.
pub const READ_MODELS: &str = "read-models";

/// Where a projection stands. Equal positions mean equal histories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Creation time of the stream, to the microsecond.
    pub incarnation: DateTime<Utc>,
    /// Last sequence whose effect is in the rows; 0 before the first.
    pub seq: u64,
    /// Hash of the copy's chain at that sequence.
    pub hash: B256,
}

impl Position {
    /// Returns `true` if it belongs to the stream that was created at `incarnation`. The tables keep microseconds.
    pub fn is_of(&self, incarnation: DateTime<Utc>) -> bool {
        self.incarnation == incarnation.trunc_subsecs(6)
    }
}

impl Store {
    /// Where `projection` stands; `None` before it was opened.
    ///
    /// # Errors
    /// What the database says.
    pub async fn position(&self, projection: &str) -> Result<Option<Position>, StoreError> {
        position(&self.pool, projection).await
    }

    /// The position of `projection` over the stream created at `incarnation`. The first call starts it at 0.
    ///
    /// # Errors
    /// [`StoreError::IncarnationChanged`] if it was started over another stream.
    pub async fn open(&self, projection: &str, incarnation: DateTime<Utc>) -> Result<Position, StoreError> {
        const OPERATION: &str = "opening the position";
        let incarnation = incarnation.trunc_subsecs(6);
        sqlx::query(
            "INSERT INTO projections (name, incarnation, seq, hash) VALUES ($1, $2, 0, $3) ON CONFLICT (name) DO NOTHING",
        )
        .bind(projection)
        .bind(incarnation)
        .bind(CHAIN_START.as_slice())
        .execute(&self.pool)
        .await
        .map_err(StoreError::of(OPERATION))?;
        let position = self
            .position(projection)
            .await?
            .ok_or(StoreError::Corrupt { operation: OPERATION, what: format!("the row of {projection:?} vanished") })?;
        if !position.is_of(incarnation) {
            return Err(StoreError::IncarnationChanged { stored: position.incarnation, found: incarnation });
        }
        Ok(position)
    }

    /// The copy up to `at` stands in the stream created at `incarnation` as well, byte for byte and at the same sequences:
    /// the position counts there from now on. May be repeated.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] where the position is no longer `at`: something projects.
    pub async fn adopt(&self, at: &Position, incarnation: DateTime<Utc>) -> Result<(), StoreError> {
        let moved = sqlx::query(
            "UPDATE projections SET incarnation = $4, moved_at = now() \
             WHERE name = $1 AND seq = $2 AND hash = $3 AND incarnation IN ($4, $5)",
        )
        .bind(READ_MODELS)
        .bind(seq_to(at.seq)?)
        .bind(at.hash.as_slice())
        .bind(incarnation.trunc_subsecs(6))
        .bind(at.incarnation)
        .execute(&self.pool)
        .await
        .map_err(StoreError::of("adopting a refilled ledger"))?;
        if moved.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Fenced { expected: at.seq }) }
    }

    /// Checks that `message`, re-read from the stream at the position's sequence, is the message that was copied there.
    ///
    /// # Errors
    /// [`StoreError::Diverged`] if it is not.
    pub async fn verify(&self, position: &Position, message: &StoredMessage) -> Result<(), StoreError> {
        let before = match seq_to(position.seq)? {
            0 | 1 => CHAIN_START,
            seq => self.hash_at(seq - 1).await?,
        };
        if message.seq != position.seq || chain_hash(before, message) != position.hash {
            return Err(StoreError::Diverged { seq: position.seq });
        }
        Ok(())
    }

    async fn hash_at(&self, seq: i64) -> Result<B256, StoreError> {
        const OPERATION: &str = "reading the copy's hash";
        let row = sqlx::query("SELECT hash FROM ledger WHERE seq = $1").bind(seq).fetch_one(&self.pool).await;
        row.and_then(|row| value(&row, "hash")).map_err(StoreError::of(OPERATION))
    }
}

/// Where `projection` stands, as `db` sees it.
pub(crate) async fn position(db: impl sqlx::PgExecutor<'_>, projection: &str) -> Result<Option<Position>, StoreError> {
    const OPERATION: &str = "reading the position";
    let row =
        sqlx::query("SELECT incarnation, seq AS position, hash AS position_hash FROM projections WHERE name = $1")
            .bind(projection)
            .fetch_optional(db)
            .await
            .map_err(StoreError::of(OPERATION))?;
    row.as_ref().map(position_of).transpose().map_err(StoreError::of(OPERATION))
}

/// The position in the columns `incarnation`, `position` and `position_hash`.
pub(crate) fn position_of(row: &PgRow) -> Result<Position, sqlx::Error> {
    Ok(Position {
        incarnation: row.try_get("incarnation")?,
        seq: seq_from(row.try_get("position")?)?,
        hash: value(row, "position_hash")?,
    })
}
