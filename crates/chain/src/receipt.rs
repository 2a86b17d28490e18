//! Receipts: where a transaction is included, and what it logged.

use crate::connect::Chain;
use crate::error::ChainError;
use alloy::primitives::{Address, B256};
use alloy::rpc::types::{Log, TransactionReceipt};
use domain::BlockRef;

/// Whether there is a receipt; with several providers, what two of them say. `Missing` decides nothing: not mined,
/// dropped, or nodes that lag.
#[derive(Clone, Debug)]
pub enum Inclusion {
    /// No receipt.
    Missing,
    /// In a block, for now.
    Included(Box<Included>),
}

/// A transaction in a block. Believed once [`Chain::is_confirmed`] says so of the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Included {
    /// The transaction.
    pub tx_hash: B256,
    /// The block.
    pub block: BlockRef,
    /// False: it reverted whole.
    pub succeeded: bool,
    /// Gas used.
    pub gas_used: u64,
    /// Wei a gas.
    pub gas_price_wei: u128,
    /// Its sender.
    pub from: Address,
    pub(crate) logs: Vec<Log>,
}

impl Chain {
    /// The receipt of a transaction.
    ///
    /// # Errors
    /// `Transient`; also while one provider has a receipt and another has none (F35), or another one (F36).
    pub async fn inclusion(&self, hash: B256) -> Result<Inclusion, ChainError> {
        let operation = "eth_getTransactionReceipt";
        let receipt = self.nodes.agreed(operation, |node| async move { node.receipt(hash).await }).await?;
        Ok(receipt.map_or(Inclusion::Missing, |found| Inclusion::Included(Box::new(found))))
    }
}

/// A receipt without a block is pending, whatever the node thinks a receipt is.
pub(crate) fn included(receipt: TransactionReceipt) -> Option<Included> {
    let block = BlockRef { number: receipt.block_number?, hash: receipt.block_hash? };
    Some(Included {
        tx_hash: receipt.transaction_hash,
        block,
        succeeded: receipt.status(),
        gas_used: receipt.gas_used,
        gas_price_wei: receipt.effective_gas_price,
        from: receipt.from,
        // Some nodes tell the block's time with each log and others do not: it is no part of what they agree on.
        logs: receipt.logs().iter().map(|log| Log { block_timestamp: None, ..log.clone() }).collect(),
    })
}
