//! The row of a token, and its fold.

use crate::columns::table;
use crate::payment::PaymentView;
use crate::project::{Stamp, text, time};
use crate::units::UnitsIn;
use alloy_primitives::{Address, B256};
use chrono::{DateTime, Utc};
use domain::money::{decimal_string, decimal_string_u128};
use domain::{Quantity, TokenTerms, Usdc};
use serde::Deserialize;

table! {
    /// One token. Field by field as in migrations/0003_tokens.sql, where each has its reason.
    #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(missing_docs)]
    pub struct TokenView of "tokens", fixed: [
        token, chain_id, asset, factory, item_version, name, symbol, unit, max_units, unit_price, creator, fee, metadata_hash,
        salt, block_number, block_hash, registered_at, registered_seq,
    ] {
        pub token: Address,
        pub chain_id: u64,
        pub asset: Address,
        pub factory: Address,
        pub item_version: u8,
        pub name: String,
        pub symbol: String,
        #[serde(with = "decimal_string_u128")]
        pub unit: u128,
        #[serde(with = "decimal_string")]
        pub max_units: u64,
        pub unit_price: Usdc,
        pub creator: Address,
        pub fee: Usdc,
        pub metadata_hash: B256,
        pub salt: B256,
        pub block_number: u64,
        pub block_hash: B256,
        #[serde(with = "decimal_string")]
        pub units_taken: u64,
        #[serde(with = "decimal_string")]
        pub units_paid: u64,
        #[serde(with = "decimal_string")]
        pub units_minted: u64,
        pub registered_at: DateTime<Utc>,
        pub registered_seq: u64,
        pub last_seq: u64,
    }
}

impl TokenView {
    /// The row of a token that is registered with `terms` by the event at `at`.
    pub fn registered(terms: &TokenTerms, at: Stamp) -> Self {
        Self {
            token: terms.token,
            chain_id: terms.chain_id,
            asset: terms.asset,
            factory: terms.factory,
            item_version: terms.item_version,
            name: text(&terms.name),
            symbol: text(&terms.symbol),
            unit: terms.unit,
            max_units: terms.max_units,
            unit_price: terms.unit_price,
            creator: terms.creator,
            fee: terms.fee,
            metadata_hash: terms.metadata_hash,
            salt: terms.salt,
            block_number: terms.block.number,
            block_hash: terms.block.hash,
            units_taken: 0,
            units_paid: 0,
            units_minted: 0,
            registered_at: time(at.recorded_at),
            registered_seq: at.seq,
            last_seq: at.seq,
        }
    }

    /// Counts the units of one of its orders, whose row was `before` and is `after`. An order from before the registration
    /// counts nothing. Returns whether a counter has changed, and `None` if one would leave its range.
    pub(crate) fn count(&mut self, before: Option<&PaymentView>, after: &PaymentView) -> Option<bool> {
        if after.requested_seq < self.registered_seq {
            return Some(false);
        }
        let was = before.map_or(UnitsIn::NONE, PaymentView::units);
        self.shift(after.quantity, was, after.units(), after.last_seq)
    }

    /// Takes the units of one of its orders out of the counters, by the event at `seq`: a record of the payment counts
    /// instead. Returns as [`TokenView::count`] does.
    pub(crate) fn discount(&mut self, order: &PaymentView, seq: u64) -> Option<bool> {
        if order.requested_seq < self.registered_seq {
            return Some(false);
        }
        self.shift(order.quantity, order.units(), UnitsIn::NONE, seq)
    }

    /// Moves units from the counters `was` to the counters `is`, by the event at `seq`. Returns as [`TokenView::count`] does.
    pub(crate) fn shift(&mut self, quantity: Quantity, was: UnitsIn, is: UnitsIn, seq: u64) -> Option<bool> {
        let quantity = u64::from(quantity.get());
        let moved = |units: u64, was: bool, is: bool| match (was, is) {
            (false, true) => units.checked_add(quantity),
            (true, false) => units.checked_sub(quantity),
            _ => Some(units),
        };
        let units = (
            moved(self.units_taken, was.taken, is.taken)?,
            moved(self.units_paid, was.paid, is.paid)?,
            moved(self.units_minted, was.minted, is.minted)?,
        );
        let has_changed = units != (self.units_taken, self.units_paid, self.units_minted);
        if has_changed {
            (self.units_taken, self.units_paid, self.units_minted) = units;
            self.last_seq = seq;
        }
        Some(has_changed)
    }
}
