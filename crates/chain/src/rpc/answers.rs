//! The answers of a node, reduced to the used parts.

use alloy::primitives::{Address, B256};
use alloy::rpc::types::{Log, TransactionReceipt};
use domain::BlockRef;

/// The used part of a block header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Height and hash.
    pub block: BlockRef,
    /// Hash of the block before it.
    pub parent: B256,
    /// Unix seconds.
    pub time: u64,
    /// Wei per gas.
    pub base_fee_wei: u128,
}

/// Knowledge of the nodes about a transaction. `Unknown` decides nothing: another node may have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Neither in a block nor in the pool.
    Unknown,
    /// In the pool.
    Pooled,
    /// In a block, which a reorg may still remove.
    Mined,
}

/// A transaction in a block. It counts once [`Chain::is_confirmed`] returns `true` for the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Included {
    /// The transaction.
    pub tx_hash: B256,
    /// The block.
    pub block: BlockRef,
    /// `false` if it reverted as a whole.
    pub succeeded: bool,
    /// Gas used.
    pub gas_used: u64,
    /// Wei per gas.
    pub gas_price_wei: u128,
    /// Its sender.
    pub from: Address,
    pub(crate) logs: Vec<Log>,
}

/// Converts a receipt. A receipt without a block is pending, whatever the node's answer is called.
pub(crate) fn included(receipt: TransactionReceipt) -> Option<Included> {
    let block = BlockRef { number: receipt.block_number?, hash: receipt.block_hash? };
    Some(Included {
        tx_hash: receipt.transaction_hash,
        block,
        succeeded: receipt.status(),
        gas_used: receipt.gas_used,
        gas_price_wei: receipt.effective_gas_price,
        from: receipt.from,
        // Some nodes send the block's time with each log and others do not, so agreement ignores it.
        logs: receipt.logs().iter().map(|log| Log { block_timestamp: None, ..log.clone() }).collect(),
    })
}
