//! The head, and how deep a block is. Decisions are pinned to hashes; a height alone survives no reorg.

use crate::connect::Chain;
use crate::error::{ChainError, from_rpc};
use alloy::eips::BlockNumberOrTag;
use alloy::primitives::B256;
use alloy::providers::Provider;
use domain::BlockRef;

/// A block header's part that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Height and hash.
    pub block: BlockRef,
    /// Hash of the block before it.
    pub parent: B256,
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

    /// The latest block that the node calls final: what it, and all before it, hold is not taken back any more.
    ///
    /// # Errors
    /// `Transient`; also where the node knows no such block.
    pub async fn finalized(&self) -> Result<Head, ChainError> {
        self.block(BlockNumberOrTag::Finalized).await
    }

    /// The block at this height; none where the node's chain is not as high.
    ///
    /// # Errors
    /// `Transient`.
    pub async fn block_at(&self, number: u64) -> Result<Option<Head>, ChainError> {
        self.block_if(BlockNumberOrTag::Number(number)).await
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
        self.block_if(which).await?.ok_or_else(|| null("eth_getBlockByNumber"))
    }

    async fn block_if(&self, which: BlockNumberOrTag) -> Result<Option<Head>, ChainError> {
        let block = self.provider.get_block_by_number(which).await.map_err(|e| from_rpc("eth_getBlockByNumber", e))?;
        Ok(block.map(|block| Head {
            block: BlockRef { number: block.header.number, hash: block.header.hash },
            parent: block.header.parent_hash,
            time: block.header.timestamp,
            base_fee_wei: block.header.base_fee_per_gas.map_or(0, u128::from),
        }))
    }
}

pub(crate) fn null(operation: &'static str) -> ChainError {
    ChainError::Transient { operation, cause: "null".to_owned() }
}
