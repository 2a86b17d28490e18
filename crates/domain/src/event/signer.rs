//! What happens in a signer's lane.

use super::order::Reversal;
use super::table::EventData;
use crate::event_types;
use crate::ids::{BlockRef, PaymentId};
use crate::money::decimal_string_u128;
use alloy_primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};

event_types! {
    /// An event of a signer's lane.
    pub enum SignerEvent {
        /// An instance starts to work the lane; carries a snapshot, so that a fold starts here.
        Claimed .epoch (Claimed) = "signer.claimed",
        /// A transaction for the next nonce, before it is broadcast.
        Signed .nonce (OpenTx) = "signer.signed",
        /// The same call for the same nonce at higher fees, before it is broadcast. Counted from 1 by nonce.
        Replaced .nonce #n (OpenTx) = "signer.replaced",
        /// Somebody else used the nonce: nothing that was signed for it can be mined any more.
        Lost .nonce (Lost) = "signer.lost",
        /// The nonce is used, N blocks deep.
        Settled .nonce (Settled) = "signer.settled",
        /// The block that used it is no longer in the chain: the nonce is open again, and so are its bytes.
        Reverted .nonce #n (Reversal) = "signer.reverted",
        /// The nonce is used again, N blocks deep. The number is that of the reversal.
        Resettled .nonce #n (Settled) = "signer.resettled",
    }
}

impl EventData for Claimed {}
impl EventData for Lost {}

impl EventData for OpenTx {
    fn tx_hash(&self) -> Option<B256> {
        Some(self.tx_hash)
    }
}

impl EventData for Settled {
    fn tx_hash(&self) -> Option<B256> {
        Some(self.tx_hash)
    }
}

/// What a lane's transactions do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// `Settlement.settleBatch`.
    Settle,
    /// `MintToken.batchMint`.
    Mint,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 2] = [Self::Settle, Self::Mint];

    /// The word for it in subjects and leases.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Settle => "settle",
            Self::Mint => "mint",
        }
    }
}

/// A signed transaction: the only bytes that are ever broadcast for its nonce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OpenTx {
    /// The lane's nonce.
    pub nonce: u64,
    /// What it does.
    pub purpose: Purpose,
    /// The contract that is called.
    pub target: Address,
    /// Hash of `raw_tx`.
    pub tx_hash: B256,
    /// The signed bytes.
    pub raw_tx: Bytes,
    /// Gas limit.
    pub gas_limit: u64,
    /// EIP-1559 fee cap, wei a gas.
    #[serde(with = "decimal_string_u128")]
    pub max_fee_wei: u128,
    /// EIP-1559 tip, wei a gas.
    #[serde(with = "decimal_string_u128")]
    pub priority_fee_wei: u128,
    /// The orders inside, in the order of the call data: the index is the position of the result byte.
    pub items: Vec<PaymentId>,
}

/// A lane is taken by an instance; the snapshot is what is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Claimed {
    /// Counts claims, from 1.
    pub epoch: u32,
    /// What the lane signs for.
    pub purpose: Purpose,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Who claims it: a name for people.
    pub instance: String,
    /// The next nonce to sign for.
    pub next_nonce: u64,
    /// Nonces that are signed and not yet settled; their bytes are in `signed.<nonce>`.
    pub open: Vec<u64>,
}

/// A nonce was used by a transaction that is not ours: the key is used elsewhere (F44).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lost {
    /// The nonce.
    pub nonce: u64,
    /// The account's nonce at `block`: greater than `nonce`.
    pub account_nonce: u64,
    /// A final block.
    pub block: BlockRef,
}

/// A nonce is used for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settled {
    /// The nonce.
    pub nonce: u64,
    /// The transaction that used it.
    pub tx_hash: B256,
    /// Its block.
    pub block: BlockRef,
    /// False: it reverted as a whole.
    pub succeeded: bool,
    /// Gas used.
    pub gas_used: u64,
    /// Wei a gas.
    #[serde(with = "decimal_string_u128")]
    pub gas_price_wei: u128,
}
