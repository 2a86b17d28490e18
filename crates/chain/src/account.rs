//! An account's nonces and balance, and the state of its transactions.

use crate::connect::Chain;
use crate::error::{ChainError, null};
use crate::rpc::{Node, Presence};
use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::primitives::{Address, B256};
use domain::BlockRef;

impl Chain {
    /// The account's nonce after the latest block. With several providers it is the highest that two have reached: a
    /// single one cannot invent a use of the key and, if there are three, cannot hide one.
    pub async fn nonce(&self, account: Address) -> Result<u64, ChainError> {
        let operation = "eth_getTransactionCount";
        let ask = move |node: Node| async move { node.nonce(account, BlockNumberOrTag::Latest.into()).await };
        self.nodes.reached(operation, ask, |nonce| *nonce).await
    }

    /// The account's nonce after `block`, on which two providers agree. A node keeps the states of some 128 blocks.
    ///
    /// # Errors
    /// `Transient` or `Refused`: nothing is known.
    pub async fn nonce_after(&self, account: Address, block: BlockRef) -> Result<u64, ChainError> {
        let operation = "eth_getTransactionCount";
        let at = BlockId::hash_canonical(block.hash);
        let ask = move |node: Node| async move { node.nonce(account, at).await.map(Some) };
        self.nodes.agreed(operation, ask).await?.ok_or_else(|| null(operation))
    }

    /// The account's balance after the latest block, wei. Saturates at 128 bits.
    pub async fn gas_money(&self, account: Address) -> Result<u128, ChainError> {
        self.nodes.one("eth_getBalance", |node| async move { node.balance(account).await }).await
    }

    /// Asks where a transaction is. `Mined` needs two providers; `Unknown` needs that at least two answer and none has
    /// it. Several providers are needed because a claim that somebody else used the nonce may depend on `Unknown`.
    pub async fn presence(&self, hash: B256) -> Result<Presence, ChainError> {
        let operation = "eth_getTransactionByHash";
        let ask = move |node: Node| async move { node.presence(hash).await };
        if self.nodes.alone() {
            return self.nodes.one(operation, ask).await;
        }
        Ok(together(&self.nodes.two_or_more(operation, ask).await?))
    }

    /// The latest final block: it and all blocks before it are never reverted.
    /// # Errors
    pub async fn finalized(&self) -> Result<BlockRef, ChainError> {
        let operation = "eth_getBlockByNumber";
        let ask = move |node: Node| async move {
            let found = node.block(BlockNumberOrTag::Finalized).await?;
            found.map(|head| head.block).ok_or_else(|| null(operation))
        };
        self.nodes.reached(operation, ask, |block: &BlockRef| block.number).await
    }
}

/// Combines the answers of two or more nodes.
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
