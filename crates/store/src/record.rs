//! The row of a record without an order, and its fold.

use crate::columns::table;
use crate::project::{Stamp, time};
use crate::units::UnitsIn;
use alloy_primitives::{Address, B256};
use chrono::{DateTime, Utc};
use domain::record::{ImpossibleRecord, evolve};
use domain::{FoundRecord, PaymentId, PaymentKey, Quantity, RecordEvent, RecordStage};
use serde::Deserialize;

table! {
    /// One record without an order. Field by field as in migrations/0005_records.sql, where each has its reason.
    #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(missing_docs)]
    pub struct RecordView of "records", fixed: [
        id, payment_key, token, payer, quantity, tx_hash, block_number, block_hash, found_at, found_seq,
    ] {
        pub id: PaymentId,
        pub payment_key: PaymentKey,
        pub token: Address,
        pub payer: Address,
        pub quantity: Quantity,
        pub tx_hash: B256,
        pub block_number: u64,
        pub block_hash: B256,
        pub stage: RecordStage,
        pub ended_block_number: Option<u64>,
        pub ended_block_hash: Option<B256>,
        pub found_at: DateTime<Utc>,
        pub ended_at: Option<DateTime<Utc>>,
        pub found_seq: u64,
        pub last_seq: u64,
    }
}

impl RecordView {
    /// The row of record `id` after `event`, which stands in the ledger at `at`.
    ///
    /// # Errors
    /// [`ImpossibleRecord`] if the event does not fit the row.
    pub(crate) fn after(
        row: Option<&Self>,
        id: PaymentId,
        event: &RecordEvent,
        at: Stamp,
    ) -> Result<Self, ImpossibleRecord> {
        let stage = evolve(row.map(|row| row.stage), event)?;
        Ok(match (row, event) {
            (Some(row), RecordEvent::Minted(end) | RecordEvent::Returned(end)) => Self {
                stage,
                ended_block_number: Some(end.block.number),
                ended_block_hash: Some(end.block.hash),
                ended_at: Some(time(at.recorded_at)),
                last_seq: at.seq,
                ..row.clone()
            },
            (_, RecordEvent::Found(found)) => Self::found(id, found, at),
            (None, _) => return Err(ImpossibleRecord { event: event.name(), before: None }),
        })
    }

    fn found(id: PaymentId, found: &FoundRecord, at: Stamp) -> Self {
        Self {
            id,
            payment_key: found.payment_key,
            token: found.token,
            payer: found.payer,
            quantity: found.quantity,
            tx_hash: found.tx_hash,
            block_number: found.block.number,
            block_hash: found.block.hash,
            stage: RecordStage::Found,
            ended_block_number: None,
            ended_block_hash: None,
            found_at: time(at.recorded_at),
            ended_at: None,
            found_seq: at.seq,
            last_seq: at.seq,
        }
    }

    /// The counters of its token that its units are in.
    pub(crate) const fn units(&self) -> UnitsIn {
        match self.stage {
            RecordStage::Found => UnitsIn { taken: true, paid: true, minted: false },
            RecordStage::Minted => UnitsIn { taken: true, paid: true, minted: true },
            RecordStage::Returned => UnitsIn::NONE,
        }
    }
}
