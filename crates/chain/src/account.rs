//! An account: its nonces and its money; and what became of its transactions.

use crate::connect::Chain;
use crate::error::{ChainError, null};
use crate::rpc::Node;
use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::primitives::{Address, B256};
use domain::BlockRef;

/// Blocks that are searched for who used a nonce: an hour and more of a chain with blocks every two seconds.
pub const SEARCH_BLOCKS: u64 = 2_000;

/// What the nodes have of a transaction. `Unknown` decides nothing: another node may have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Neither in a block nor in the pool.
    Unknown,
    /// In the pool.
    Pooled,
    /// In a block, for now.
    Mined,
}

impl Chain {
    /// The account's nonce after the latest block; with several providers the highest that two have reached: one alone
    /// can neither invent a use of the key nor, where there are three, hide one (F32).
    ///
    /// # Errors
    /// `Transient`.
    pub async fn nonce(&self, account: Address) -> Result<u64, ChainError> {
        let operation = "eth_getTransactionCount";
        let ask = move |node: Node| async move { node.nonce(account, BlockNumberOrTag::Latest.into()).await };
        self.nodes.reached(operation, ask, |nonce| *nonce).await
    }

    /// The last final block that two providers have reached, and the account's nonce after it, as two say: what is used
    /// there stays used. Needs the state of that block, some minutes old: a node that has thrown it away does not answer.
    ///
    /// # Errors
    /// `Transient`.
    pub async fn final_nonce(&self, account: Address) -> Result<(BlockRef, u64), ChainError> {
        let block = self.finalized().await?;
        let at = BlockId::hash_canonical(block.hash);
        let operation = "eth_getTransactionCount";
        let ask = move |node: Node| async move { node.nonce(account, at).await.map(Some) };
        let nonce = self.nodes.agreed(operation, ask).await?;
        Ok((block, nonce.ok_or_else(|| null(operation))?))
    }

    /// The transaction with which `account` used `nonce`, in the last [`SEARCH_BLOCKS`] up to `block`; with several
    /// providers as two say. None proves nothing: it may be in an older one.
    ///
    /// # Errors
    /// `Transient`.
    pub async fn user(&self, account: Address, nonce: u64, block: BlockRef) -> Result<Option<B256>, ChainError> {
        let (from, to) = (block.number, block.number.saturating_sub(SEARCH_BLOCKS));
        let ask = move |node: Node| async move { node.user(account, nonce, from, to).await };
        self.nodes.agreed("eth_getBlockByNumber", ask).await
    }

    /// The account's money after the latest block, wei; what exceeds 128 bits is left out.
    ///
    /// # Errors
    /// `Transient`.
    pub async fn gas_money(&self, account: Address) -> Result<u128, ChainError> {
        self.nodes.one("eth_getBalance", |node| async move { node.balance(account).await }).await
    }

    /// What the nodes have of a transaction. In a block it is when two say so, unknown when nobody has it and two were
    /// asked: on the second may stand that somebody else used its nonce.
    ///
    /// # Errors
    /// `Transient`.
    pub async fn presence(&self, hash: B256) -> Result<Presence, ChainError> {
        let operation = "eth_getTransactionByHash";
        let ask = move |node: Node| async move { node.presence(hash).await };
        if self.nodes.alone() {
            return self.nodes.one(operation, ask).await;
        }
        Ok(together(&self.nodes.two_or_more(operation, ask).await?))
    }

    /// The latest block that is called final: what it, and all before it, hold is not taken back any more.
    ///
    /// # Errors
    /// `Transient`; also where a node knows no such block.
    pub async fn finalized(&self) -> Result<BlockRef, ChainError> {
        let operation = "eth_getBlockByNumber";
        let ask = move |node: Node| async move {
            let found = node.block(BlockNumberOrTag::Finalized).await?;
            found.map(|head| head.block).ok_or_else(|| null(operation))
        };
        self.nodes.reached(operation, ask, |block: &BlockRef| block.number).await
    }
}

/// What two or more nodes say together.
fn together(answers: &[Presence]) -> Presence {
    let mined = answers.iter().filter(|answer| **answer == Presence::Mined).count();
    match mined {
        2.. => Presence::Mined,
        _ if answers.iter().all(|answer| *answer == Presence::Unknown) => Presence::Unknown,
        _ => Presence::Pooled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Presence::{Mined, Pooled, Unknown};

    #[test]
    fn f35_a_null_of_one_loses_nothing_and_one_alone_mines_nothing() {
        let cases = [
            (vec![Unknown, Unknown], Unknown),
            (vec![Unknown, Pooled], Pooled),
            (vec![Unknown, Mined], Pooled),
            (vec![Pooled, Mined], Pooled),
            (vec![Mined, Mined], Mined),
            (vec![Mined, Unknown, Mined], Mined),
            (vec![Unknown, Unknown, Pooled], Pooled),
        ];
        for (answers, expected) in cases {
            assert_eq!(together(&answers), expected, "{answers:?}");
        }
    }
}
