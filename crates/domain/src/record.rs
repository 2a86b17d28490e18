//! Records without an order: payments that a token has recorded, and that no order of ours stands for. Anybody may settle a
//! payment, and a payer may sign two payments with one nonce. Pure.
//!
//! A record is found once and ends once. Its events are written only when they are final, so nothing is ever taken back.

use crate::event::EventData;
use crate::event_types;
use crate::ids::{BlockRef, PaymentKey};
use crate::money::Quantity;
use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

event_types! {
    /// An event of a record without an order.
    pub enum RecordEvent {
        /// A token has a record that no order stands for. Its units count as taken from now on.
        Found (FoundRecord) = "record.found",
        /// The units are minted for the recorded payer.
        Minted (RecordEnd) = "record.minted",
        /// The payer has the money back, and the units are free again.
        Returned (RecordEnd) = "record.returned",
    }
}

impl EventData for FoundRecord {
    fn tx_hash(&self) -> Option<B256> {
        Some(self.tx_hash)
    }
}

impl EventData for RecordEnd {}

/// A record that no order stands for, and that a final block made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FoundRecord {
    /// The payment. It is what `batchMint` of the token is called with.
    pub payment_key: PaymentKey,
    /// The token.
    pub token: Address,
    /// The payer, who receives the units or the money.
    pub payer: Address,
    /// Units.
    pub quantity: Quantity,
    /// The transaction that made the record.
    pub tx_hash: B256,
    /// Its block, which is final.
    pub block: BlockRef,
}

/// The end of a record, as its token shows it after a final block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordEnd {
    /// The token.
    pub token: Address,
    /// Units.
    pub quantity: Quantity,
    /// The final block after which the record was read. The end itself is in this block or an earlier one.
    pub block: BlockRef,
}

/// The state of a record without an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordStage {
    /// Waits to be minted.
    Found,
    /// Its units are minted.
    Minted,
    /// Its payer has the money back.
    Returned,
}

/// A history that no finder could have written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event} of a record that is {before:?}")]
pub struct ImpossibleRecord {
    /// Name of the event.
    pub event: &'static str,
    /// The state that it does not follow.
    pub before: Option<RecordStage>,
}

/// Folds one event.
///
/// # Errors
/// [`ImpossibleRecord`] if the event does not follow from `before`.
pub const fn evolve(before: Option<RecordStage>, event: &RecordEvent) -> Result<RecordStage, ImpossibleRecord> {
    match (before, event) {
        (None, RecordEvent::Found(_)) => Ok(RecordStage::Found),
        (Some(RecordStage::Found), RecordEvent::Minted(_)) => Ok(RecordStage::Minted),
        (Some(RecordStage::Found), RecordEvent::Returned(_)) => Ok(RecordStage::Returned),
        _ => Err(ImpossibleRecord { event: event.name(), before }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;

    #[test]
    fn a_record_is_found_once_and_ends_once() {
        let found = RecordEvent::Found(examples::found_record());
        let (minted, returned) =
            (RecordEvent::Minted(examples::record_end()), RecordEvent::Returned(examples::record_end()));
        let cases: [(&[&RecordEvent], Option<RecordStage>); 8] = [
            (&[&found], Some(RecordStage::Found)),
            (&[&found, &minted], Some(RecordStage::Minted)),
            (&[&found, &returned], Some(RecordStage::Returned)),
            (&[&minted], None),
            (&[&returned], None),
            (&[&found, &found], None),
            (&[&found, &minted, &returned], None),
            (&[&found, &returned, &minted], None),
        ];
        for (events, expected) in cases {
            let stage = events.iter().try_fold(None, |before, event| evolve(before, event).map(Some));
            assert_eq!(stage.ok().flatten(), expected, "{events:?}");
        }
    }
}
