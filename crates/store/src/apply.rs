//! A batch of events into the tables: the copy, the read models and the position, all or nothing.

use crate::columns::{Column, Table};
use crate::connect::Store;
use crate::error::StoreError;
use crate::fold::{Rows, SetAside, orders, tokens};
use crate::ledger::{append, chain_hash, seq_to};
use crate::payment::PaymentView;
use crate::position::{Position, READ_MODELS};
use crate::record::RecordView;
use crate::token::TokenView;
use domain::Recorded;
use sqlx::{AssertSqlSafe, PgConnection};
use std::collections::{BTreeMap, BTreeSet};

/// The result of applying a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Where the projection stands now.
    pub position: Position,
    /// Events that an operator should see.
    pub set_aside: Vec<SetAside>,
}

impl Store {
    /// Applies `batch`, which continues at `previous`, in one transaction. Events up to `previous` were applied before
    /// and are left out, so that a redelivery changes nothing.
    ///
    /// After an error nothing was applied, except after [`StoreError::Transient`]: then the outcome is unknown until
    /// [`Store::position`] has been read again.
    ///
    /// # Errors
    /// [`StoreError::Gap`] unless every sequence follows the one before it. [`StoreError::Fenced`] if the position is
    /// no longer `previous`.
    pub async fn apply(&self, batch: &[Recorded], previous: &Position) -> Result<Applied, StoreError> {
        let known = batch.iter().take_while(|recorded| recorded.seq <= previous.seq).count();
        let batch = &batch[known..];
        let mut position = *previous;
        let mut hashes = Vec::with_capacity(batch.len());
        for recorded in batch {
            let expected = position.seq + 1;
            if recorded.seq != expected {
                return Err(StoreError::Gap { expected, found: recorded.seq });
            }
            position = Position { seq: recorded.seq, hash: chain_hash(position.hash, recorded), ..position };
            hashes.push(position.hash);
        }
        if batch.is_empty() {
            return Ok(Applied { position, set_aside: Vec::new() });
        }

        let mut db = self.pool.begin().await.map_err(StoreError::of("beginning a batch"))?;
        // First, because it takes the row's lock: nobody else loads rows until this is committed or rolled back.
        move_position(&mut db, previous, &position).await?;
        append(&mut db, batch, &hashes).await?;
        let mut rows = load(&mut db, batch).await?;
        batch.iter().for_each(|recorded| rows.apply(recorded));
        write(&mut db, &rows).await?;
        db.commit().await.map_err(StoreError::of("committing a batch"))?;
        Ok(Applied { position, set_aside: rows.set_aside })
    }
}

async fn move_position(db: &mut PgConnection, from: &Position, to: &Position) -> Result<(), StoreError> {
    let moved = sqlx::query(
        "UPDATE projections SET seq = $5, hash = $6, moved_at = now() \
         WHERE name = $1 AND incarnation = $2 AND seq = $3 AND hash = $4",
    )
    .bind(READ_MODELS)
    .bind(from.incarnation)
    .bind(seq_to(from.seq)?)
    .bind(from.hash.as_slice())
    .bind(seq_to(to.seq)?)
    .bind(to.hash.as_slice())
    .execute(db)
    .await
    .map_err(StoreError::of("moving the position"))?;
    if moved.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Fenced { expected: from.seq }) }
}

async fn load(db: &mut PgConnection, batch: &[Recorded]) -> Result<Rows, StoreError> {
    let ids = orders(batch);
    let payments = loaded(db, &ids, |row: &PaymentView| row.id).await.map_err(StoreError::of("loading payments"))?;
    let records = loaded(db, &ids, |row: &RecordView| row.id).await.map_err(StoreError::of("loading records"))?;
    let tokens = loaded(db, &tokens(batch, &payments), |row: &TokenView| row.token).await;
    let tokens = tokens.map_err(StoreError::of("loading tokens"))?;
    Ok(Rows { payments, tokens, records, ..Rows::default() })
}

/// The rows with these keys, by key.
async fn loaded<K: Column + Ord, T: Table>(
    db: &mut PgConnection,
    keys: &[K],
    key: impl Fn(&T) -> K,
) -> Result<BTreeMap<K, T>, sqlx::Error> {
    let keys: Vec<K::Wire> = keys.iter().map(Column::to_wire).collect();
    let found = sqlx::query(AssertSqlSafe(T::select())).bind(keys).fetch_all(db).await?;
    found.iter().map(|row| T::read(row).map(|row| (key(&row), row))).collect()
}

/// Writes those of `rows` that have changed.
async fn upsert<K: Ord, T: Table>(
    db: &mut PgConnection,
    rows: &BTreeMap<K, T>,
    changed: &BTreeSet<K>,
) -> Result<(), sqlx::Error> {
    let rows: Vec<&T> = changed.iter().filter_map(|key| rows.get(key)).collect();
    if !rows.is_empty() {
        T::bind(&rows, sqlx::query(AssertSqlSafe(T::upsert()))).execute(db).await?;
    }
    Ok(())
}

async fn write(db: &mut PgConnection, rows: &Rows) -> Result<(), StoreError> {
    upsert(db, &rows.payments, &rows.changed_payments).await.map_err(StoreError::of("writing payments"))?;
    upsert(db, &rows.tokens, &rows.changed_tokens).await.map_err(StoreError::of("writing tokens"))?;
    upsert(db, &rows.records, &rows.changed_records).await.map_err(StoreError::of("writing records"))?;
    if !rows.set_aside.is_empty() {
        sqlx::query(
            "INSERT INTO set_aside (seq, kind, reason, recorded_at) \
             SELECT * FROM UNNEST($1::bigint[], $2::text[], $3::text[], $4::timestamptz[])",
        )
        .bind(rows.set_aside.iter().map(|s| seq_to(s.seq)).collect::<Result<Vec<_>, _>>()?)
        .bind(rows.set_aside.iter().map(|s| s.kind.name()).collect::<Vec<_>>())
        .bind(rows.set_aside.iter().map(|s| s.reason.as_str()).collect::<Vec<_>>())
        .bind(rows.set_aside.iter().map(|s| s.recorded_at).collect::<Vec<_>>())
        .execute(&mut *db)
        .await
        .map_err(StoreError::of("writing what is set aside"))?;
    }
    rows.tally.write(db).await?;
    rows.loads.write(db).await?;
    rows.mint_batches.write(db).await
}
