//! The head, and how deep a block is. Decisions are pinned to hashes; a height alone survives no reorg.

use crate::connect::Chain;
use crate::error::{ChainError, from_rpc};
use alloy::eips::BlockNumberOrTag;
use alloy::providers::Provider;
use domain::BlockRef;

/// A block header's part that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Height and hash.
    pub block: BlockRef,
    /// Unix seconds.
    pub time: u64,
    /// Wei a gas.
    pub base_fee_wei: u128,
}

impl Chain {
    /// The latest block.
    ///
    /// # Errors
    /// `Transient`.
    pub async fn head(&self) -> Result<Head, ChainError> {
        self.block(BlockNumberOrTag::Latest).await
    }

    /// The highest block that is deep enough to decide on, given the head.
    ///
    /// # Errors
    /// `Transient`; also while the chain is shorter than N.
    pub async fn confirmed(&self, head: Head) -> Result<Head, ChainError> {
        match head.block.number.checked_sub(self.config.confirmations - 1) {
            Some(number) if number == head.block.number => Ok(head),
            Some(number) => self.block(BlockNumberOrTag::Number(number)).await,
            None => Err(null("eth_getBlockByNumber")),
        }
    }

    /// Whether `block` is deep enough under `head`, and on the chain that leads to it.
    ///
    /// # Errors
    /// `Transient`.
    pub async fn is_confirmed(&self, block: BlockRef, head: Head) -> Result<bool, ChainError> {
        let deep = block.number.checked_add(self.config.confirmations - 1).is_some_and(|top| top <= head.block.number);
        if !deep {
            return Ok(false);
        }
        let canonical = self.block(BlockNumberOrTag::Number(block.number)).await?;
        Ok(canonical.block.hash == block.hash)
    }

    pub(crate) async fn block(&self, which: BlockNumberOrTag) -> Result<Head, ChainError> {
        let operation = "eth_getBlockByNumber";
        let block = self.provider.get_block_by_number(which).await.map_err(|e| from_rpc(operation, e))?;
        let block = block.ok_or_else(|| null(operation))?;
        Ok(Head {
            block: BlockRef { number: block.header.number, hash: block.header.hash },
            time: block.header.timestamp,
            base_fee_wei: block.header.base_fee_per_gas.map_or(0, u128::from),
        })
    }
}

pub(crate) fn null(operation: &'static str) -> ChainError {
    ChainError::Transient { operation, cause: "null".to_owned() }
}
