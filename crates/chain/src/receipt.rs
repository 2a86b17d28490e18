//! Receipts: the block of a transaction, and its logs.

use crate::connect::Chain;
use crate::error::ChainError;
use crate::rpc::Included;
use alloy::primitives::B256;

/// A receipt, if there is one. Several providers must agree. `Missing` decides nothing: the transaction may be unmined
/// or dropped, or the nodes may lag.
#[derive(Clone, Debug)]
pub enum Inclusion {
    /// No receipt.
    Missing,
    /// In a block, which a reorg may still remove.
    Included(Box<Included>),
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
