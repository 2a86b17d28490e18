//! An account: its nonces and its money.

use crate::connect::Chain;
use crate::error::{ChainError, from_rpc};
use crate::head::Head;
use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::primitives::{Address, B256};
use alloy::providers::Provider;
use domain::BlockRef;

/// What a node has of a transaction. `Unknown` decides nothing: another node may have it.
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
    /// The account's nonce after the latest block.
    ///
    /// # Errors
    /// `Transient`.
    pub async fn nonce(&self, account: Address) -> Result<u64, ChainError> {
        self.provider.get_transaction_count(account).await.map_err(|e| from_rpc("eth_getTransactionCount", e))
    }

    /// The last final block, and the account's nonce after it: what is used there stays used. Needs the state of that
    /// block, some minutes old: a node that has thrown it away does not answer.
    ///
    /// # Errors
    /// `Transient`.
    pub async fn final_nonce(&self, account: Address) -> Result<(BlockRef, u64), ChainError> {
        let Head { block, .. } = self.block(BlockNumberOrTag::Finalized).await?;
        let at = BlockId::hash_canonical(block.hash);
        let count = self.provider.get_transaction_count(account).block_id(at).await;
        Ok((block, count.map_err(|e| from_rpc("eth_getTransactionCount", e))?))
    }

    /// The account's money after the latest block, wei; what exceeds 128 bits is left out.
    ///
    /// # Errors
    /// `Transient`.
    pub async fn gas_money(&self, account: Address) -> Result<u128, ChainError> {
        let balance = self.provider.get_balance(account).await.map_err(|e| from_rpc("eth_getBalance", e))?;
        Ok(balance.saturating_to())
    }

    /// What the node has of a transaction.
    ///
    /// # Errors
    /// `Transient`.
    pub async fn presence(&self, hash: B256) -> Result<Presence, ChainError> {
        let found = self.provider.get_transaction_by_hash(hash).await;
        Ok(match found.map_err(|e| from_rpc("eth_getTransactionByHash", e))? {
            None => Presence::Unknown,
            Some(tx) if tx.block_hash.is_some() => Presence::Mined,
            Some(_) => Presence::Pooled,
        })
    }
}
