//! Events of a signer's lane.

use super::evidence::Reversal;
use super::table::EventData;
use crate::event_types;
use crate::ids::{BlockRef, PaymentId};
use crate::money::decimal_string_u128;
use alloy_primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};

event_types! {
    /// An event of a signer's lane. Those that say in which block a nonce was used are in the queue `mined`.
    pub enum SignerEvent {
        /// An instance starts to work the lane. The event carries a snapshot, so that a fold can start here.
        Claimed .epoch (Claimed) = "signer.claimed",
        /// A transaction is signed for the next nonce. It is broadcast after this event is stored.
        Signed .nonce (OpenTx) = "signer.signed",
        /// A replacement: the same call is signed for the same nonce at higher fees. It is broadcast after this event
        /// is stored. The number counts replacements of the nonce from 1.
        Replaced .nonce #n (OpenTx) = "signer.replaced",
        /// Another sender used the nonce. No transaction that was signed for it can be mined any more.
        Lost .nonce (Lost) = "signer.lost",
        /// A transaction of the lane has used the nonce, N blocks deep.
        Settled .nonce (Settled) = "signer.settled" in "mined",
        /// The block that used the nonce is no longer in the chain. The nonce and its signed bytes are open again.
        Reverted .nonce #n (Reversal) = "signer.reverted",
        /// The nonce is used again, N blocks deep. The number is that of the reversal.
        Resettled .nonce #n (Settled) = "signer.resettled" in "mined",
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

/// The purpose of a lane's transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// `settle` of a token, or of several through the hub.
    Settle,
    /// `batchMint` of a token.
    Mint,
    /// `credit`, `giveBack` or `refund` of a token, by an operator of its factory.
    Operate,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 3] = [Self::Settle, Self::Mint, Self::Operate];

    /// Name of the purpose in subjects and leases.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Settle => "settle",
            Self::Mint => "mint",
            Self::Operate => "operate",
        }
    }
}

/// A signed transaction. Only bytes that are recorded in such an event are ever broadcast for its nonce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OpenTx {
    /// The lane's nonce.
    pub nonce: u64,
    /// Purpose of the transaction.
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

/// An instance takes over a lane. The snapshot lists the open nonces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Claimed {
    /// Counts claims, from 1.
    pub epoch: u32,
    /// Purpose of the lane.
    pub purpose: Purpose,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Name of the instance that claims the lane, for operators.
    pub instance: String,
    /// The next nonce to sign for.
    pub next_nonce: u64,
    /// Nonces that are signed and not yet settled; their bytes are in `signed.<nonce>`.
    pub open: Vec<u64>,
}

/// A nonce that another sender's transaction used, because the key is also used elsewhere.
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

/// A nonce that a transaction of the lane has used, N blocks deep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settled {
    /// The nonce.
    pub nonce: u64,
    /// The transaction that used it.
    pub tx_hash: B256,
    /// The block of the transaction.
    pub block: BlockRef,
    /// False if the transaction reverted as a whole.
    pub succeeded: bool,
    /// Gas used.
    pub gas_used: u64,
    /// Wei a gas.
    #[serde(with = "decimal_string_u128")]
    pub gas_price_wei: u128,
}
