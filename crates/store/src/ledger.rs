//! The byte-exact second copy of the ledger, chained by hashes.

use crate::connect::Store;
use crate::error::StoreError;
use alloy_primitives::{Address, B256};
use chrono::{DateTime, SubsecRound, Utc};
use domain::Event;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

/// One event as read from the ledger.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Stream sequence.
    pub seq: u64,
    /// Subject.
    pub subject: String,
    /// Header block, where there is one.
    pub headers: Option<Vec<u8>>,
    /// Body.
    pub payload: Vec<u8>,
    /// When the stream stored it.
    pub recorded_at: DateTime<Utc>,
    /// The decoded event, or the reason why it cannot be decoded. It is copied in both cases.
    pub event: Result<Event, String>,
}

/// One row of the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// Stream sequence.
    pub seq: u64,
    /// Subject.
    pub subject: Vec<u8>,
    /// Header block, where there was one.
    pub headers: Option<Vec<u8>>,
    /// Body.
    pub payload: Vec<u8>,
    /// When the stream stored it, to the microsecond.
    pub recorded_at: DateTime<Utc>,
    /// Hash of the chain up to here.
    pub hash: B256,
}

impl LedgerRow {
    /// Returns `true` if this row continues a chain that ends with the hash `before` (zeros before sequence 1).
    pub fn follows(&self, before: B256) -> bool {
        self.hash == link(before, self.seq, &self.subject, self.headers.as_deref(), &self.payload)
    }
}

/// Where the chain of the copy begins: what stands before its first row.
pub const CHAIN_START: B256 = B256::ZERO;

/// Hash of the chain that stands at `before`, after `entry`.
pub fn chain_hash(before: B256, entry: &Entry) -> B256 {
    link(before, entry.seq, entry.subject.as_bytes(), entry.headers.as_deref(), &entry.payload)
}

/// The exact bytes stand at `ledger.hash` in migrations/0001_ledger.sql. Lengths, so that no byte can move from one
/// field to the next unseen.
fn link(before: B256, seq: u64, subject: &[u8], headers: Option<&[u8]>, payload: &[u8]) -> B256 {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1).to_be_bytes();
    let mut sha = Sha256::new();
    sha.update(before);
    sha.update(seq.to_be_bytes());
    sha.update(length(subject));
    sha.update(subject);
    sha.update(headers.map_or([0xff; 4], length));
    sha.update(headers.unwrap_or_default());
    sha.update(payload);
    B256::new(sha.finalize().into())
}

/// Appends `entries`, whose chain hashes are `hashes`.
pub(crate) async fn append(db: &mut PgConnection, entries: &[Entry], hashes: &[B256]) -> Result<(), StoreError> {
    let seqs = entries.iter().map(|e| seq_to(e.seq)).collect::<Result<Vec<_>, _>>()?;
    sqlx::query(
        "INSERT INTO ledger (seq, subject, headers, payload, recorded_at, hash) \
         SELECT * FROM UNNEST($1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[], $5::timestamptz[], $6::bytea[])",
    )
    .bind(seqs)
    .bind(entries.iter().map(|e| e.subject.as_bytes()).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.headers.as_deref()).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.payload.as_slice()).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.recorded_at.trunc_subsecs(6)).collect::<Vec<_>>())
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
        let pair = |row: &PgRow| Ok((seq_from(row.try_get("seq")?)?, fixed(row.try_get("hash")?)?));
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

fn ledger_row(row: &PgRow) -> Result<LedgerRow, sqlx::Error> {
    Ok(LedgerRow {
        seq: seq_from(row.try_get("seq")?)?,
        subject: row.try_get("subject")?,
        headers: row.try_get("headers")?,
        payload: row.try_get("payload")?,
        recorded_at: row.try_get("recorded_at")?,
        hash: fixed(row.try_get("hash")?)?,
    })
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

/// 20 bytes.
pub(crate) fn address(bytes: &[u8]) -> Result<Address, sqlx::Error> {
    Address::try_from(bytes).map_err(|e| sqlx::Error::Decode(e.to_string().into()))
}

/// 32 bytes.
pub(crate) fn fixed(bytes: &[u8]) -> Result<B256, sqlx::Error> {
    B256::try_from(bytes).map_err(|e| sqlx::Error::Decode(e.to_string().into()))
}
