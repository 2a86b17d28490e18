//! Counters that change while orders are folded: stages, pace, payers. Differences are kept in memory and added to the
//! tables in the batch's own transaction, so that counters and rows can never disagree.

use crate::error::StoreError;
use crate::ledger::seq_to;
use crate::payment::PaymentView;
use alloy_primitives::Address;
use chrono::{DateTime, Utc};
use domain::Stage;
use sqlx::PgConnection;
use std::collections::BTreeMap;

/// Width of a row of `pace`, seconds: the last minute is seven rows, and a year's are three million at most.
const PACE_S: i64 = 10;

/// The changes of the counters by a batch.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    stages: BTreeMap<Stage, Moved>,
    pace: BTreeMap<i64, Pace>,
    /// With the sequence of their first request in the batch.
    payers: BTreeMap<Address, u64>,
}

/// Orders that entered a stage less those that left it. A batch is 1,000 events, so no sum comes near its width.
#[derive(Debug, Default, PartialEq, Eq)]
struct Moved {
    orders: i64,
    units: i128,
    value: i128,
}

#[derive(Debug, Default)]
struct Pace {
    requested: i64,
    paid: i64,
    minted: i64,
    units_minted: i64,
}

impl Tally {
    /// An order was `before` and is `after`.
    pub(crate) fn count(&mut self, before: Option<&PaymentView>, after: &PaymentView) {
        if before.is_none() {
            self.payers.entry(after.payer).or_insert(after.requested_seq);
            self.pace(after.requested_at).requested += 1;
        }
        if let Some(at) = after.paid_at.filter(|_| before.is_none_or(|row| row.paid_at.is_none())) {
            self.pace(at).paid += 1;
        }
        if let Some(at) = after.minted_at.filter(|_| before.is_none_or(|row| row.minted_at.is_none())) {
            let pace = self.pace(at);
            pace.minted += 1;
            pace.units_minted += i64::from(after.quantity.get());
        }
        if let Some(before) = before {
            self.moved(before, -1);
        }
        self.moved(after, 1);
    }

    fn moved(&mut self, row: &PaymentView, by: i64) {
        let moved = self.stages.entry(row.stage).or_default();
        moved.orders += by;
        moved.units += i128::from(by) * i128::from(row.quantity.get());
        moved.value += i128::from(by) * i128::from(row.value.0);
    }

    fn pace(&mut self, at: DateTime<Utc>) -> &mut Pace {
        let seconds = at.timestamp();
        self.pace.entry(seconds - seconds.rem_euclid(PACE_S)).or_default()
    }

    /// Adds it to the tables.
    ///
    /// # Errors
    /// What the database says. `Corrupt` where a counter would fall below zero: somebody else wrote there.
    pub(crate) async fn write(&self, db: &mut PgConnection) -> Result<(), StoreError> {
        self.write_stages(db).await?;
        self.write_pace(db).await?;
        self.write_payers(db).await
    }

    async fn write_stages(&self, db: &mut PgConnection) -> Result<(), StoreError> {
        let moved: Vec<_> = self.stages.iter().filter(|(_, moved)| **moved != Moved::default()).collect();
        if moved.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "UPDATE stage_totals t SET orders = t.orders + m.orders, units = t.units + m.units, value = t.value + m.value \
             FROM UNNEST($1::text[], $2::bigint[], $3::text[]::numeric[], $4::text[]::numeric[]) \
             AS m(stage, orders, units, value) WHERE t.stage = m.stage",
        )
        .bind(moved.iter().map(|(stage, _)| stage.name()).collect::<Vec<_>>())
        .bind(moved.iter().map(|(_, moved)| moved.orders).collect::<Vec<_>>())
        .bind(moved.iter().map(|(_, moved)| moved.units.to_string()).collect::<Vec<_>>())
        .bind(moved.iter().map(|(_, moved)| moved.value.to_string()).collect::<Vec<_>>())
        .execute(db)
        .await
        .map_err(StoreError::of("counting stages"))?;
        Ok(())
    }

    async fn write_pace(&self, db: &mut PgConnection) -> Result<(), StoreError> {
        if self.pace.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO pace AS known (begins_at, requested, paid, minted, units_minted) \
             SELECT to_timestamp(at), requested, paid, minted, units_minted \
             FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) \
             AS new(at, requested, paid, minted, units_minted) \
             ON CONFLICT (begins_at) DO UPDATE SET requested = known.requested + EXCLUDED.requested, \
             paid = known.paid + EXCLUDED.paid, minted = known.minted + EXCLUDED.minted, \
             units_minted = known.units_minted + EXCLUDED.units_minted",
        )
        .bind(self.pace.keys().copied().collect::<Vec<_>>())
        .bind(self.pace.values().map(|pace| pace.requested).collect::<Vec<_>>())
        .bind(self.pace.values().map(|pace| pace.paid).collect::<Vec<_>>())
        .bind(self.pace.values().map(|pace| pace.minted).collect::<Vec<_>>())
        .bind(self.pace.values().map(|pace| pace.units_minted).collect::<Vec<_>>())
        .execute(db)
        .await
        .map_err(StoreError::of("counting the pace"))?;
        Ok(())
    }

    async fn write_payers(&self, db: &mut PgConnection) -> Result<(), StoreError> {
        if self.payers.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO payers (payer, nth, first_seq) \
             SELECT payer, (SELECT coalesce(max(nth), 0) FROM payers) + row_number() OVER (ORDER BY seq), seq \
             FROM UNNEST($1::bytea[], $2::bigint[]) AS new(payer, seq) \
             WHERE NOT EXISTS (SELECT FROM payers known WHERE known.payer = new.payer)",
        )
        .bind(self.payers.keys().map(|payer| payer.to_vec()).collect::<Vec<_>>())
        .bind(self.payers.values().map(|seq| seq_to(*seq)).collect::<Result<Vec<_>, _>>()?)
        .execute(db)
        .await
        .map_err(StoreError::of("counting payers"))?;
        Ok(())
    }
}
