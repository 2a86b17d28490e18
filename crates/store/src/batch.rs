//! The mint transactions, from the lanes' `signed` and `settled`.

use crate::columns::value;
use crate::error::StoreError;
use crate::ledger::{seq_from, seq_to};
use crate::project::{Stamp, time};
use alloy_primitives::{Address, B256};
use chrono::{DateTime, Utc};
use domain::event::{Lost, OpenTx, Purpose, Settled, SignerEvent};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use std::collections::BTreeMap;

/// Where a mint transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchStatus {
    /// Signed; not yet N blocks deep.
    Processing,
    /// In a block, N deep.
    Completed,
    /// Reverted as a whole, or another transaction used its nonce. Its orders go on.
    Failed,
}

/// One mint transaction. Field by field as in migrations/0004_queue.sql, where each has its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct MintBatch {
    pub signed_seq: u64,
    pub tx_hash: B256,
    pub token: Address,
    pub mint_count: u64,
    pub status: BatchStatus,
    pub signed_at: DateTime<Utc>,
    pub settled_at: Option<DateTime<Utc>>,
    pub block_number: Option<u64>,
}

/// The mint transactions in a batch of events.
#[derive(Debug, Default)]
pub(crate) struct MintBatches {
    signed: Vec<(Address, OpenTx, Stamp)>,
    /// The last word on a nonce.
    words: BTreeMap<(Address, u64), Word>,
}

/// The state of a nonce.
#[derive(Debug)]
struct Word {
    /// The transaction that used it, as far as a batch of events tells, be it taken back since: a rebuild reads other
    /// batches, and must come to the same row.
    tx_hash: Option<B256>,
    /// `None` if the block that used it is gone.
    ended: Option<Ended>,
}

/// The end of a nonce.
#[derive(Debug)]
struct Ended {
    block: u64,
    succeeded: bool,
    at: Stamp,
}

impl MintBatches {
    /// Takes what concerns mints. Of an end nobody knows yet whose it is. A replacement shows when it is settled.
    pub(crate) fn note(&mut self, signer: Address, event: &SignerEvent, at: Stamp) {
        match event {
            SignerEvent::Signed(tx) if tx.purpose == Purpose::Mint => self.signed.push((signer, tx.clone(), at)),
            SignerEvent::Settled(settled) | SignerEvent::Resettled(_, settled) => {
                let Settled { nonce, tx_hash, block, succeeded, .. } = settled;
                let ended = Some(Ended { block: block.number, succeeded: *succeeded, at });
                self.words.insert((signer, *nonce), Word { tx_hash: Some(*tx_hash), ended });
            }
            SignerEvent::Lost(Lost { nonce, block, .. }) => {
                let tx_hash = self.words.get(&(signer, *nonce)).and_then(|word| word.tx_hash);
                let ended = Some(Ended { block: block.number, succeeded: false, at });
                self.words.insert((signer, *nonce), Word { tx_hash, ended });
            }
            SignerEvent::Reverted(_, reversal) => {
                let word = Word { tx_hash: Some(reversal.tx_hash), ended: None };
                self.words.insert((signer, reversal.nonce), word);
            }
            SignerEvent::Signed(_) | SignerEvent::Claimed(_) | SignerEvent::Replaced(..) => {}
        }
    }

    /// Writes it down. First what was signed, then what ended: a nonce is signed for before it is used.
    pub(crate) async fn write(&self, db: &mut PgConnection) -> Result<(), StoreError> {
        if !self.signed.is_empty() {
            self.write_signed(db).await?;
        }
        if !self.words.is_empty() {
            self.write_ended(db).await?;
        }
        Ok(())
    }

    async fn write_signed(&self, db: &mut PgConnection) -> Result<(), StoreError> {
        let signed = &self.signed;
        let count = |tx: &OpenTx| i64::try_from(tx.items.len()).unwrap_or(i64::MAX);
        sqlx::query(
            "INSERT INTO mint_batches (signed_seq, signer, nonce, tx_hash, token, mint_count, status, signed_at) \
             SELECT seq, signer, nonce, tx_hash, token, mint_count, 'processing', at \
             FROM UNNEST($1::bigint[], $2::bytea[], $3::text[]::numeric[], $4::bytea[], $5::bytea[], $6::bigint[], \
                         $7::timestamptz[]) AS new(seq, signer, nonce, tx_hash, token, mint_count, at) \
             ON CONFLICT (signer, nonce) DO NOTHING",
        )
        .bind(signed.iter().map(|(_, _, at)| seq_to(at.seq)).collect::<Result<Vec<_>, _>>()?)
        .bind(signed.iter().map(|(signer, ..)| signer.to_vec()).collect::<Vec<_>>())
        .bind(signed.iter().map(|(_, tx, _)| tx.nonce.to_string()).collect::<Vec<_>>())
        .bind(signed.iter().map(|(_, tx, _)| tx.tx_hash.to_vec()).collect::<Vec<_>>())
        .bind(signed.iter().map(|(_, tx, _)| tx.target.to_vec()).collect::<Vec<_>>())
        .bind(signed.iter().map(|(_, tx, _)| count(tx)).collect::<Vec<_>>())
        .bind(signed.iter().map(|(_, _, at)| time(at.recorded_at)).collect::<Vec<_>>())
        .execute(db)
        .await
        .map_err(StoreError::of("writing mint transactions"))?;
        Ok(())
    }

    async fn write_ended(&self, db: &mut PgConnection) -> Result<(), StoreError> {
        let ends = || self.words.values().map(|word| word.ended.as_ref());
        sqlx::query(
            "UPDATE mint_batches b SET settled_at = e.at, block_number = e.block, \
             tx_hash = COALESCE(e.tx_hash, b.tx_hash), \
             status = CASE WHEN e.at IS NULL THEN 'processing' WHEN e.succeeded THEN 'completed' ELSE 'failed' END \
             FROM UNNEST($1::bytea[], $2::text[]::numeric[], $3::bytea[], $4::text[]::numeric[], $5::bool[], \
                         $6::timestamptz[]) AS e(signer, nonce, tx_hash, block, succeeded, at) \
             WHERE b.signer = e.signer AND b.nonce = e.nonce",
        )
        .bind(self.words.keys().map(|(signer, _)| signer.to_vec()).collect::<Vec<_>>())
        .bind(self.words.keys().map(|(_, nonce)| nonce.to_string()).collect::<Vec<_>>())
        .bind(self.words.values().map(|word| word.tx_hash.map(|hash| hash.to_vec())).collect::<Vec<_>>())
        .bind(ends().map(|end| end.map(|ended| ended.block.to_string())).collect::<Vec<_>>())
        .bind(ends().map(|end| end.map(|ended| ended.succeeded)).collect::<Vec<_>>())
        .bind(ends().map(|end| end.map(|ended| time(ended.at.recorded_at))).collect::<Vec<_>>())
        .execute(db)
        .await
        .map_err(StoreError::of("ending mint transactions"))?;
        Ok(())
    }
}

/// A row of `mint_batches` with its block as text.
pub(crate) fn mint_batch(row: &PgRow) -> Result<MintBatch, sqlx::Error> {
    Ok(MintBatch {
        signed_seq: seq_from(row.try_get("signed_seq")?)?,
        tx_hash: value(row, "tx_hash")?,
        token: value(row, "token")?,
        mint_count: seq_from(row.try_get("mint_count")?)?,
        status: match row.try_get("status")? {
            "processing" => BatchStatus::Processing,
            "completed" => BatchStatus::Completed,
            _ => BatchStatus::Failed,
        },
        signed_at: row.try_get("signed_at")?,
        settled_at: row.try_get("settled_at")?,
        block_number: value(row, "block_number")?,
    })
}
