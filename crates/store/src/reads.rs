//! Reads for the API and for operators. They are small, by key, and never on the path of a payment.

use crate::connect::Store;
use crate::error::StoreError;
use crate::fold::{SetAside, SetAsideKind};
use crate::ledger::seq_from;
use crate::payment::PaymentView;
use crate::token::TokenView;
use alloy_primitives::Address;
use domain::PaymentId;
use serde::de::DeserializeOwned;
use sqlx::Row;

/// One row of a read model in canonical JSON, by which a rebuild is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadModelRow {
    /// Table.
    pub table: String,
    /// Primary key.
    pub key: String,
    /// The row; keys sorted.
    pub json: String,
}

impl Store {
    /// The order `id`; `None` where the read models have not seen it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn payment(&self, id: PaymentId) -> Result<Option<PaymentView>, StoreError> {
        let found: Option<String> = sqlx::query_scalar("SELECT to_json(r)::text FROM payment_rows r WHERE id = $1")
            .bind(id.0)
            .fetch_optional(&self.pool)
            .await
            .map_err(StoreError::of("reading a payment"))?;
        found.as_deref().map(row_from).transpose()
    }

    /// All tokens, in the order of their registration.
    ///
    /// # Errors
    /// What the database says.
    pub async fn tokens(&self) -> Result<Vec<TokenView>, StoreError> {
        let found: Vec<String> =
            sqlx::query_scalar("SELECT to_json(r)::text FROM token_rows r ORDER BY registered_seq")
                .fetch_all(&self.pool)
                .await
                .map_err(StoreError::of("reading the tokens"))?;
        found.iter().map(|row| row_from(row)).collect()
    }

    /// The token at `address`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn token(&self, address: Address) -> Result<Option<TokenView>, StoreError> {
        let found: Option<String> =
            sqlx::query_scalar("SELECT to_json(r)::text FROM token_rows r WHERE token = hex_of($1)")
                .bind(address.as_slice())
                .fetch_optional(&self.pool)
                .await
                .map_err(StoreError::of("reading a token"))?;
        found.as_deref().map(row_from).transpose()
    }

    /// The last `count` events that were set aside, newest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_aside(&self, count: u32) -> Result<Vec<SetAside>, StoreError> {
        sqlx::query("SELECT seq, kind, reason, recorded_at FROM set_aside ORDER BY seq DESC LIMIT $1")
            .bind(i64::from(count))
            .fetch_all(&self.pool)
            .await
            .and_then(|rows| {
                rows.iter()
                    .map(|row| {
                        let kind = match row.try_get("kind")? {
                            "undecodable" => SetAsideKind::Undecodable,
                            "impossible" => SetAsideKind::Impossible,
                            _ => SetAsideKind::ParkedMessage,
                        };
                        let seq = seq_from(row.try_get("seq")?)?;
                        let recorded_at = row.try_get("recorded_at")?;
                        Ok(SetAside { seq, kind, reason: row.try_get("reason")?, recorded_at })
                    })
                    .collect()
            })
            .map_err(StoreError::of("reading what is set aside"))
    }

    /// Every row of every read model, by table and key: equal dumps mean equal read models. A stage without orders has
    /// no row. All rows are in memory.
    ///
    /// # Errors
    /// The database's error.
    pub async fn dump_read_models(&self) -> Result<Vec<ReadModelRow>, StoreError> {
        sqlx::query(
            "SELECT 'payments' AS of_table, id::text AS key, to_jsonb(r)::text AS json FROM payment_rows r \
             UNION ALL SELECT 'set_aside', lpad(seq::text, 20, '0'), to_jsonb(r)::text FROM set_aside r \
             UNION ALL SELECT 'tokens', token, to_jsonb(r)::text FROM token_rows r \
             UNION ALL SELECT 'records', id::text, to_jsonb(r)::text FROM record_rows r \
             UNION ALL SELECT 'stage_totals', stage, to_jsonb(r)::text FROM stage_totals r WHERE orders > 0 \
             UNION ALL SELECT 'pace', begins_at::text, to_jsonb(r)::text FROM pace r \
             UNION ALL SELECT 'token_loads', hex_of(token) || ' ' || begins_at, to_jsonb(r)::text FROM token_loads r \
             UNION ALL SELECT 'payers', hex_of(payer), to_jsonb(r)::text FROM payers r \
             UNION ALL SELECT 'mint_batches', lpad(signed_seq::text, 20, '0'), to_jsonb(r)::text FROM mint_batches r \
             ORDER BY 1, 2",
        )
        .fetch_all(&self.pool)
        .await
        .and_then(|rows| {
            rows.iter()
                .map(|row| {
                    Ok(ReadModelRow {
                        table: row.try_get("of_table")?,
                        key: row.try_get("key")?,
                        json: row.try_get("json")?,
                    })
                })
                .collect()
        })
        .map_err(StoreError::of("dumping the read models"))
    }
}

/// A row as `to_json` spells it.
pub(crate) fn row_from<T: DeserializeOwned>(json: &str) -> Result<T, StoreError> {
    serde_json::from_str(json).map_err(|e| StoreError::Corrupt { operation: "reading a row", what: e.to_string() })
}
