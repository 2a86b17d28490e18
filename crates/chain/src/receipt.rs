//! Receipts: the block of a transaction, and its logs.

use crate::connect::Chain;
use crate::error::ChainError;
use alloy::primitives::{Address, B256};
use alloy::rpc::types::{Log, TransactionReceipt};
use domain::BlockRef;

/// A receipt, if there is one. Several providers must agree. `Missing` decides nothing: the transaction may be unmined
/// or dropped, or the nodes may lag.
#[derive(Clone, Debug)]
pub enum Inclusion {
    /// No receipt.
    Missing,
    /// In a block, which a reorg may still remove.
    Included(Box<Included>),
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

impl Chain {
    /// The receipt of a transaction.
    ///
    /// # Errors
    /// `Transient`, also while one provider has a receipt and another has none or a different one.
    pub async fn inclusion(&self, hash: B256) -> Result<Inclusion, ChainError> {
        let operation = "eth_getTransactionReceipt";
        let receipt = self.nodes.agreed(operation, |node| async move { node.receipt(hash).await }).await?;
        Ok(receipt.map_or(Inclusion::Missing, |found| Inclusion::Included(Box::new(found))))
    }
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
