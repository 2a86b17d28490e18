//! The work that the orders and records of each token make, by the hour. A restarted api computes from it how much of its gas a
//! token has used up.

use crate::columns::value;
use crate::error::StoreError;
use alloy_primitives::Address;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use std::collections::BTreeMap;

/// Width of a row, seconds. A token that is sold throughout has 24 rows a day.
const HOUR_S: i64 = 3_600;

/// The work for one token in one hour, by the ledger's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenLoad {
    /// The token.
    pub token: Address,
    /// Beginning of the hour.
    pub begins_at: DateTime<Utc>,
    /// Payments that were put in a transaction, each time.
    pub submitted: u64,
    /// Records without an order that were found.
    pub found: u64,
}

/// The work in a batch of events, by token and beginning of the hour in unix seconds.
#[derive(Debug, Default)]
pub(crate) struct Loads(BTreeMap<(Address, i64), Work>);

#[derive(Debug, Default)]
struct Work {
    submitted: i64,
    found: i64,
}

impl Loads {
    /// Counts a payment that was put in a transaction.
    pub(crate) fn submitted(&mut self, token: Address, at: DateTime<Utc>) {
        self.of(token, at).submitted += 1;
    }

    /// Counts a record that was found.
    pub(crate) fn found(&mut self, token: Address, at: DateTime<Utc>) {
        self.of(token, at).found += 1;
    }

    fn of(&mut self, token: Address, at: DateTime<Utc>) -> &mut Work {
        let seconds = at.timestamp();
        self.0.entry((token, seconds - seconds.rem_euclid(HOUR_S))).or_default()
    }

    /// Adds it to the table.
    ///
    /// # Errors
    /// What the database says.
    pub(crate) async fn write(&self, db: &mut PgConnection) -> Result<(), StoreError> {
        if self.0.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO token_loads AS known (token, begins_at, submitted, found) \
             SELECT token, to_timestamp(at), submitted, found \
             FROM UNNEST($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[]) AS new(token, at, submitted, found) \
             ON CONFLICT (begins_at, token) DO UPDATE SET submitted = known.submitted + EXCLUDED.submitted, \
             found = known.found + EXCLUDED.found",
        )
        .bind(self.0.keys().map(|(token, _)| token.to_vec()).collect::<Vec<_>>())
        .bind(self.0.keys().map(|(_, at)| *at).collect::<Vec<_>>())
        .bind(self.0.values().map(|work| work.submitted).collect::<Vec<_>>())
        .bind(self.0.values().map(|work| work.found).collect::<Vec<_>>())
        .execute(db)
        .await
        .map_err(StoreError::of("counting the work for tokens"))?;
        Ok(())
    }
}

/// The work of the last 25 hours: what is older has no part in the budget of a day.
pub(crate) async fn recent_loads(db: &mut PgConnection) -> Result<Vec<TokenLoad>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT token, begins_at, submitted, found FROM token_loads WHERE begins_at > now() - interval '25 h' ORDER BY begins_at",
    )
    .fetch_all(db)
    .await?;
    let count = |row: &sqlx::postgres::PgRow, name| row.try_get::<i64, _>(name).map(|count| count.unsigned_abs());
    rows.iter()
        .map(|row| {
            let (submitted, found) = (count(row, "submitted")?, count(row, "found")?);
            Ok(TokenLoad { token: value(row, "token")?, begins_at: row.try_get("begins_at")?, submitted, found })
        })
        .collect()
}
