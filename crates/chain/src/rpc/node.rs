//! What one node says. Every answer is checked for its form, and none is believed for being the only one.

use crate::account::Presence;
use crate::error::{ChainError, null, refused};
use crate::head::Head;
use crate::receipt::{Included, included};
use crate::rpc::provider::Provider;
use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::primitives::{Address, B256, Bytes, U64, U256};
use alloy::rpc::types::{Filter, Header, Log, TransactionReceipt, TransactionRequest};
use domain::BlockRef;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Of a transaction, where it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    block_hash: Option<B256>,
}

/// Of a block, whose transactions are in it.
#[derive(Deserialize)]
struct Content {
    transactions: Vec<Sent>,
}

#[derive(Deserialize)]
struct Sent {
    hash: B256,
    from: Address,
    nonce: U64,
}

/// A provider, and how long each call to it may take.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    provider: Arc<Provider>,
    patience: Duration,
}

impl Node {
    pub(crate) fn new(provider: Arc<Provider>, patience: Duration) -> Self {
        Self { provider, patience }
    }

    /// The latest block, never one before what this node has called the latest already (F34).
    pub(crate) async fn head(&self) -> Result<Head, ChainError> {
        let asked = Instant::now();
        let head = self.block(BlockNumberOrTag::Latest).await?.ok_or_else(|| null("eth_getBlockByNumber"))?;
        if self.provider.is_onward(head.block.number, asked) { Ok(head) } else { Err(self.behind(head)) }
    }

    /// `head`, its own latest block, unless that is far behind what the others have said.
    pub(crate) fn up_to_date(&self, head: Head) -> Result<Head, ChainError> {
        if self.provider.keeps_up(head.block.number) { Ok(head) } else { Err(self.behind(head)) }
    }

    fn behind(&self, head: Head) -> ChainError {
        let cause = format!("{}: its latest block, {}, is behind", self.provider.name(), head.block.number);
        ChainError::transient("eth_getBlockByNumber", cause)
    }

    /// A block's header; none where this node does not have it.
    pub(crate) async fn block(&self, which: BlockNumberOrTag) -> Result<Option<Head>, ChainError> {
        let header: Option<Header> = self.ask("eth_getBlockByNumber", (which, false)).await?;
        Ok(header.map(|header| Head {
            block: BlockRef { number: header.number, hash: header.hash },
            parent: header.parent_hash,
            time: header.timestamp,
            base_fee_wei: header.base_fee_per_gas.map_or(0, u128::from),
        }))
    }

    /// Whether `block` stands on the chain that this node follows. False also while it does not have it.
    pub(crate) async fn has(&self, block: BlockRef) -> Result<bool, ChainError> {
        let found = self.block(BlockNumberOrTag::Number(block.number)).await?;
        Ok(found.is_some_and(|found| found.block == block))
    }

    /// The receipt, where the transaction is in a block.
    pub(crate) async fn receipt(&self, hash: B256) -> Result<Option<Included>, ChainError> {
        let operation = "eth_getTransactionReceipt";
        let receipt: Option<TransactionReceipt> = self.ask(operation, (hash,)).await?;
        match receipt {
            Some(receipt) if receipt.transaction_hash != hash => {
                let cause = format!("{}: the receipt of another transaction", self.provider.name());
                Err(ChainError::transient(operation, cause))
            }
            receipt => Ok(receipt.and_then(included)),
        }
    }

    /// Logs, in order.
    pub(crate) async fn logs(&self, filter: &Filter) -> Result<Vec<Log>, ChainError> {
        self.ask("eth_getLogs", (filter,)).await
    }

    /// `eth_call` on the latest block.
    pub(crate) async fn call(&self, request: &TransactionRequest) -> Result<Bytes, ChainError> {
        self.ask("eth_call", (request, BlockNumberOrTag::Latest)).await
    }

    /// The account's nonce after a block.
    pub(crate) async fn nonce(&self, account: Address, after: BlockId) -> Result<u64, ChainError> {
        let nonce: U64 = self.ask("eth_getTransactionCount", (account, after)).await?;
        Ok(nonce.to())
    }

    /// The account's money after the latest block, wei.
    pub(crate) async fn balance(&self, account: Address) -> Result<u128, ChainError> {
        let balance: U256 = self.ask("eth_getBalance", (account, BlockNumberOrTag::Latest)).await?;
        Ok(balance.saturating_to())
    }

    /// Hands signed bytes over.
    pub(crate) async fn send(&self, raw: &Bytes) -> Result<B256, ChainError> {
        self.ask("eth_sendRawTransaction", (raw,)).await
    }

    /// What it has of a transaction.
    pub(crate) async fn presence(&self, hash: B256) -> Result<Presence, ChainError> {
        let found: Option<Place> = self.ask("eth_getTransactionByHash", (hash,)).await?;
        Ok(match found {
            None => Presence::Unknown,
            Some(Place { block_hash: Some(_) }) => Presence::Mined,
            Some(Place { block_hash: None }) => Presence::Pooled,
        })
    }

    /// The transaction with which `account` used `nonce`, searched from block `from` down to `to`; none where it is in none
    /// of them.
    pub(crate) async fn user(
        &self,
        account: Address,
        nonce: u64,
        from: u64,
        to: u64,
    ) -> Result<Option<B256>, ChainError> {
        let operation = "eth_getBlockByNumber";
        for number in (to..=from).rev() {
            let block: Option<Content> = self.ask(operation, (BlockNumberOrTag::Number(number), true)).await?;
            let block = block.ok_or_else(|| null(operation))?;
            let own = block.transactions.iter().filter(|tx| tx.from == account);
            match own.min_by_key(|tx| tx.nonce.abs_diff(U64::from(nonce))) {
                Some(tx) if tx.nonce.to::<u64>() == nonce => return Ok(Some(tx.hash)),
                // Nonces are used in order: it is in no block below.
                Some(tx) if tx.nonce.to::<u64>() < nonce => return Ok(None),
                Some(_) | None => {}
            }
        }
        Ok(None)
    }

    /// The tip that it suggests, wei a gas.
    pub(crate) async fn tip(&self) -> Result<u128, ChainError> {
        // Read whole: more than 128 bits is a broken oracle's, not no answer, for which the lane would wait (F51).
        let tip: U256 = self.ask("eth_maxPriorityFeePerGas", ()).await?;
        Ok(tip.saturating_to())
    }

    /// What it calls itself.
    pub(crate) async fn version(&self) -> Result<String, ChainError> {
        self.ask("web3_clientVersion", ()).await
    }

    async fn ask<T: DeserializeOwned>(&self, operation: &'static str, params: impl Serialize) -> Result<T, ChainError> {
        match self.provider.ask(operation, params, self.patience).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(refusal)) => Err(refused(operation, &refusal)),
            Err(cause) => Err(ChainError::transient(operation, cause)),
        }
    }
}
