//! Terms of a token for sale, as registered in the ledger and immutable on chain.

use crate::ids::BlockRef;
use crate::money::{Usdc, decimal_string, decimal_string_u128};
use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

/// The layout of payments in `contracts/`: 134 bytes each.
pub const ITEM_VERSION: u8 = 1;

/// Terms of a token: the arguments baked into its bytecode, and where it was created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenTerms {
    /// The token: an ERC-20, the payee of its own sales, and their escrow.
    pub token: Address,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The USDC contract it is sold for.
    pub asset: Address,
    /// The factory that created it. The address of the token commits to the factory and to all terms below.
    pub factory: Address,
    /// Layout of the payments that it takes: [`ITEM_VERSION`] is the only one so far.
    pub item_version: u8,
    /// ERC-20 name, 1 to 64 bytes.
    pub name: String,
    /// ERC-20 symbol, 1 to 16 bytes.
    pub symbol: String,
    /// Token base units (18 decimals) that one unit mints.
    #[serde(with = "decimal_string_u128")]
    pub unit: u128,
    /// Units that can ever be minted.
    #[serde(with = "decimal_string")]
    pub max_units: u64,
    /// Atomic USDC a unit.
    pub unit_price: Usdc,
    /// The account that may withdraw the earnings.
    pub creator: Address,
    /// Price of the deployment, atomic USDC.
    pub fee: Usdc,
    /// Hash of a document about the token; zero if there is none.
    pub metadata_hash: B256,
    /// Tells tokens of equal terms apart.
    pub salt: B256,
    /// Block in which the factory's event stands.
    pub block: BlockRef,
}
