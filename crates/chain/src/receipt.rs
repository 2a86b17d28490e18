//! Receipts: where a transaction is included, and what it logged.

use crate::connect::Chain;
use crate::error::{ChainError, from_rpc};
use alloy::primitives::{Address, B256};
use alloy::providers::Provider;
use alloy::rpc::types::{Log, TransactionReceipt};
use domain::BlockRef;

/// Whether the node has a receipt. `Missing` decides nothing: not mined, dropped, or a node that lags.
#[derive(Clone, Debug)]
pub enum Inclusion {
    /// No receipt.
    Missing,
    /// In a block, for now.
    Included(Box<Included>),
}

/// A transaction in a block. Believed once [`Chain::is_confirmed`] says so of the block.
#[derive(Clone, Debug)]
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
    /// `Transient`.
    pub async fn inclusion(&self, hash: B256) -> Result<Inclusion, ChainError> {
        let receipt = self.provider.get_transaction_receipt(hash).await;
        let receipt = receipt.map_err(|e| from_rpc("eth_getTransactionReceipt", e))?;
        Ok(receipt.and_then(included).map_or(Inclusion::Missing, |found| Inclusion::Included(Box::new(found))))
    }
}

/// A receipt without a block is pending, whatever the node thinks a receipt is.
fn included(receipt: TransactionReceipt) -> Option<Included> {
    let block = BlockRef { number: receipt.block_number?, hash: receipt.block_hash? };
    Some(Included {
        tx_hash: receipt.transaction_hash,
        block,
        succeeded: receipt.status(),
        gas_used: receipt.gas_used,
        gas_price_wei: receipt.effective_gas_price,
        from: receipt.from,
        logs: receipt.logs().to_vec(),
    })
}
