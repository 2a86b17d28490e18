//! The byte-exact second copy of the ledger, chained by hashes.

use crate::columns::value;
use crate::connect::Store;
use crate::error::StoreError;
use alloy_primitives::B256;
use chrono::SubsecRound;
use domain::{Recorded, StoredMessage};
use sha2::{Digest, Sha256};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

/// One row of the copy: the message, dated to the microsecond, and its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// The message as the ledger had it.
    pub message: StoredMessage,
    /// Hash of the chain up to here.
    pub hash: B256,
}

impl LedgerRow {
    /// Returns `true` if this row continues a chain that ends with the hash `before` (zeros before sequence 1).
    pub fn follows(&self, before: B256) -> bool {
        self.hash == chain_hash(before, &self.message)
    }
}

/// Where the chain of the copy begins: what stands before its first row.
pub const CHAIN_START: B256 = B256::ZERO;

/// Hash of the chain that stands at `before`, after `message`.
///
/// The exact bytes stand at `ledger.hash` in migrations/0001_ledger.sql. Lengths, so that no byte can move from one
/// field to the next unseen.
pub fn chain_hash(before: B256, message: &StoredMessage) -> B256 {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1).to_be_bytes();
    let headers = message.headers.as_deref();
    let mut sha = Sha256::new();
    sha.update(before);
    sha.update(message.seq.to_be_bytes());
    sha.update(length(message.subject.as_bytes()));
    sha.update(message.subject.as_bytes());
    sha.update(headers.map_or([0xff; 4], length));
    sha.update(headers.unwrap_or_default());
    sha.update(&message.payload);
    B256::new(sha.finalize().into())
}

/// Appends the messages of `batch`, whose chain hashes are `hashes`.
pub(crate) async fn append(db: &mut PgConnection, batch: &[Recorded], hashes: &[B256]) -> Result<(), StoreError> {
    let seqs = batch.iter().map(|recorded| seq_to(recorded.seq)).collect::<Result<Vec<_>, _>>()?;
    sqlx::query(
        "INSERT INTO ledger (seq, subject, headers, payload, recorded_at, hash) \
         SELECT * FROM UNNEST($1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[], $5::timestamptz[], $6::bytea[])",
    )
    .bind(seqs)
    .bind(batch.iter().map(|recorded| recorded.subject.as_bytes()).collect::<Vec<_>>())
    .bind(batch.iter().map(|recorded| recorded.headers.as_deref()).collect::<Vec<_>>())
    .bind(batch.iter().map(|recorded| recorded.payload.as_ref()).collect::<Vec<_>>())
    .bind(batch.iter().map(|recorded| recorded.recorded_at.trunc_subsecs(6)).collect::<Vec<_>>())
    .bind(hashes.iter().map(B256::as_slice).collect::<Vec<_>>())
    .execute(db)
    .await
    .map_err(StoreError::of("appending to the copy"))?;
    Ok(())
}

impl Store {
    /// The rows from `from` to `to`, both included, in order. The caller bounds the range: all of it is in memory.
    ///
    /// # Errors
    /// What the database says.
    pub async fn ledger_range(&self, from: u64, to: u64) -> Result<Vec<LedgerRow>, StoreError> {
        const OPERATION: &str = "reading the copy";
        sqlx::query(
            "SELECT seq, subject, headers, payload, recorded_at, hash FROM ledger \
             WHERE seq BETWEEN $1 AND $2 ORDER BY seq",
        )
        .bind(seq_to(from)?)
        .bind(seq_to(to)?)
        .fetch_all(&self.pool)
        .await
        .and_then(|rows| rows.iter().map(ledger_row).collect())
        .map_err(StoreError::of(OPERATION))
    }

    /// Hashes of the chain from sequence `from` to `to`, both included, in order; of the one before the first, too, where
    /// there is one. The caller bounds the range.
    ///
    /// # Errors
    /// What the database says.
    pub async fn chain_between(&self, from: u64, to: u64) -> Result<Vec<(u64, B256)>, StoreError> {
        const OPERATION: &str = "reading the copy's hashes";
        let rows = sqlx::query("SELECT seq, hash FROM ledger WHERE seq BETWEEN $1 AND $2 ORDER BY seq")
            .bind(seq_to(from.saturating_sub(1))?)
            .bind(seq_to(to)?)
            .fetch_all(&self.pool)
            .await;
        let pair = |row: &PgRow| Ok((seq_from(row.try_get("seq")?)?, value(row, "hash")?));
        rows.and_then(|rows| rows.iter().map(pair).collect()).map_err(StoreError::of(OPERATION))
    }

    /// The last `count` rows, in order.
    ///
    /// # Errors
    /// What the database says.
    pub async fn ledger_tail(&self, count: u32) -> Result<Vec<LedgerRow>, StoreError> {
        const OPERATION: &str = "reading the copy's tail";
        let rows = sqlx::query(
            "SELECT seq, subject, headers, payload, recorded_at, hash FROM ledger ORDER BY seq DESC LIMIT $1",
        )
        .bind(i64::from(count))
        .fetch_all(&self.pool)
        .await
        .and_then(|rows| rows.iter().rev().map(ledger_row).collect());
        rows.map_err(StoreError::of(OPERATION))
    }
}

pub(crate) fn ledger_row(row: &PgRow) -> Result<LedgerRow, sqlx::Error> {
    let message = StoredMessage {
        seq: seq_from(row.try_get("seq")?)?,
        // Only a damaged row has a subject that is not UTF-8. It differs from these characters, so its hash fails.
        subject: String::from_utf8_lossy(row.try_get("subject")?).into_owned(),
        headers: row.try_get("headers")?,
        payload: row.try_get::<Vec<u8>, _>("payload")?.into(),
        recorded_at: row.try_get("recorded_at")?,
    };
    Ok(LedgerRow { message, hash: value(row, "hash")? })
}

/// A sequence as Postgres holds it. JetStream counts in 64 bits, but nobody gets to 2^63.
pub(crate) fn seq_to(seq: u64) -> Result<i64, StoreError> {
    i64::try_from(seq).map_err(|_| StoreError::Corrupt {
        operation: "reading a sequence",
        what: format!("sequence {seq} does not fit in a bigint"),
    })
}

/// The way back.
pub(crate) fn seq_from(seq: i64) -> Result<u64, sqlx::Error> {
    u64::try_from(seq).map_err(|e| sqlx::Error::Decode(e.into()))
}
