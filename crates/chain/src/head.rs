//! The head of the chain, and the depth of a block. Decisions are pinned to hashes, because a height alone does not
//! survive a reorg.

use crate::connect::Chain;
use crate::error::{ChainError, null};
use crate::rpc::{Head, Node, reached_by_two};
use alloy::eips::BlockNumberOrTag;
use domain::BlockRef;

const OPERATION: &str = "eth_getBlockByNumber";

impl Chain {
    /// The latest block. With several providers it is the highest that two have reached, so that a single one cannot
    /// make a block look deep.
    ///
    /// # Errors
    /// `Transient`.
    pub async fn head(&self) -> Result<Head, ChainError> {
        if self.nodes.alone() {
            return self.nodes.one(OPERATION, |node| async move { node.head().await }).await;
        }
        let ask = |node: Node| async move { (node.head().await, node) };
        let cause = "fewer than two providers answer".to_owned();
        let mut last = ChainError::transient(OPERATION, cause);
        let mut known = Vec::new();
        // Heads are compared only after every provider has answered.
        for (head, node) in self.nodes.everyone(ask, |_| false).await {
            match head.and_then(|head| node.up_to_date(head)) {
                Ok(head) => known.push(head),
                Err(error) => last = error,
            }
        }
        reached_by_two(known, |head| head.block.number).ok_or(last)
    }

    /// The block at this height. `None` if the node's chain is shorter.
    ///
    /// # Errors
    /// `Transient`.
    pub async fn block_at(&self, number: u64) -> Result<Option<Head>, ChainError> {
        let number = BlockNumberOrTag::Number(number);
        self.nodes.agreed(OPERATION, |node| async move { node.block(number).await }).await
    }

    /// The highest block that is N deep under `head`.
    ///
    /// # Errors
    /// `Transient`, also while the chain is shorter than N.
    pub async fn confirmed(&self, head: Head) -> Result<Head, ChainError> {
        match head.block.number.checked_sub(self.config.confirmations - 1) {
            Some(number) if number == head.block.number && self.nodes.alone() => Ok(head),
            Some(number) => self.block(number).await,
            None => Err(null(OPERATION)),
        }
    }

    /// The latest final block, with its time: a height that two providers report as final, and the block on which two
    /// agree.
    ///
    /// # Errors
    /// `Transient`, also if a node has no final block.
    pub async fn final_head(&self) -> Result<Head, ChainError> {
        self.block(self.finalized().await?.number).await
    }

    /// Returns `true` if `block` is N deep under `head` and on the chain that leads to it.
    ///
    /// # Errors
    /// `Transient`.
    pub async fn is_confirmed(&self, block: BlockRef, head: Head) -> Result<bool, ChainError> {
        let deep = block.number.checked_add(self.config.confirmations - 1).is_some_and(|top| top <= head.block.number);
        if !deep {
            return Ok(false);
        }
        Ok(self.block(block.number).await?.block.hash == block.hash)
    }

    /// The block at a height that the chain has reached.
    async fn block(&self, number: u64) -> Result<Head, ChainError> {
        self.block_at(number).await?.ok_or_else(|| null(OPERATION))
    }
}
