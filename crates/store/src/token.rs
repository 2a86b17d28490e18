//! The row of a token, and its fold.

use crate::columns::table;
use crate::project::{Stamp, text, time};
use alloy_primitives::{Address, B256};
use chrono::{DateTime, Utc};
use domain::money::{decimal_string, decimal_string_u128};
use domain::{PaymentKey, Quantity, TokenTerms, Usdc};
use serde::Deserialize;

table! {
    /// One token. Field by field as in migrations/0003_tokens.sql, where each has its reason.
    #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(missing_docs)]
    pub struct TokenView of "tokens", fixed: [
        token, chain_id, asset, name, symbol, unit, max_units, unit_price, creator, payment_key, config_hash, block_number,
        block_hash, registered_at, registered_seq,
    ] {
        pub token: Address,
        pub chain_id: u64,
        pub asset: Address,
        pub name: String,
        pub symbol: String,
        #[serde(with = "decimal_string_u128")]
        pub unit: u128,
        #[serde(with = "decimal_string")]
        pub max_units: u64,
        pub unit_price: Usdc,
        pub creator: Address,
        pub payment_key: PaymentKey,
        pub config_hash: B256,
        pub block_number: u64,
        pub block_hash: B256,
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
            name: text(&terms.name),
            symbol: text(&terms.symbol),
            unit: terms.unit,
            max_units: terms.max_units,
            unit_price: terms.unit_price,
            creator: terms.creator,
            payment_key: terms.payment_key,
            config_hash: terms.config_hash,
            block_number: terms.block.number,
            block_hash: terms.block.hash,
            units_paid: 0,
            units_minted: 0,
            registered_at: time(at.recorded_at),
            registered_seq: at.seq,
            last_seq: at.seq,
        }
    }

    /// `quantity` units of it are paid for. `None` past 2^64 units, which no token has.
    pub(crate) fn paid(&mut self, quantity: Quantity, at: Stamp) -> Option<()> {
        self.units_paid = self.units_paid.checked_add(u64::from(quantity.get()))?;
        self.last_seq = at.seq;
        Some(())
    }

    /// `quantity` units of it are minted. `None` past 2^64 units.
    pub(crate) fn minted(&mut self, quantity: Quantity, at: Stamp) -> Option<()> {
        self.units_minted = self.units_minted.checked_add(u64::from(quantity.get()))?;
        self.last_seq = at.seq;
        Some(())
    }

    /// Takes back `quantity` paid units, because the block in which they were paid is gone. Returns `None` if fewer
    /// were paid.
    pub(crate) fn unpaid(&mut self, quantity: Quantity, at: Stamp) -> Option<()> {
        self.units_paid = self.units_paid.checked_sub(u64::from(quantity.get()))?;
        self.last_seq = at.seq;
        Some(())
    }

    /// Takes back `quantity` minted units, because the block in which they were minted is gone. Returns `None` if fewer
    /// were minted.
    pub(crate) fn unminted(&mut self, quantity: Quantity, at: Stamp) -> Option<()> {
        self.units_minted = self.units_minted.checked_sub(u64::from(quantity.get()))?;
        self.last_seq = at.seq;
        Some(())
    }
}
