//! One node's answers. Their form is checked here; whether a single answer is enough is decided by the caller.

use crate::error::{ChainError, null, refused};
use crate::rpc::answers::{Head, Included, Presence, Receipt, included};
use crate::rpc::provider::Provider;
use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::primitives::{Address, B256, Bytes, U64, U256};
use alloy::rpc::types::{Filter, Header, Log, TransactionRequest};
use domain::BlockRef;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The block of a transaction.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    block_hash: Option<B256>,
}

/// A provider, and the time limit of each call to it.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    provider: Arc<Provider>,
    patience: Duration,
}

impl Node {
    pub(crate) fn new(provider: Arc<Provider>, patience: Duration) -> Self {
        Self { provider, patience }
    }

    /// The place of this provider in the configuration.
    pub(crate) fn index(&self) -> usize {
        self.provider.index()
    }

    /// The latest block. Refuses a block below one that this node has already reported as its latest.
    pub(crate) async fn head(&self) -> Result<Head, ChainError> {
        let asked = Instant::now();
        let head = self.block(BlockNumberOrTag::Latest).await?.ok_or_else(|| null("eth_getBlockByNumber"))?;
        if self.provider.is_onward(head.block.number, asked) { Ok(head) } else { Err(self.behind(head)) }
    }

    /// Returns `head`, this node's latest block, unless it is far behind the heads of the others.
    pub(crate) fn up_to_date(&self, head: Head) -> Result<Head, ChainError> {
        if self.provider.keeps_up(head.block.number) { Ok(head) } else { Err(self.behind(head)) }
    }

    fn behind(&self, head: Head) -> ChainError {
        let cause = format!("{}: its latest block, {}, is behind", self.provider.name(), head.block.number);
        ChainError::transient("eth_getBlockByNumber", cause)
    }

    /// A block's header. `None` if this node does not have it.
    pub(crate) async fn block(&self, which: BlockNumberOrTag) -> Result<Option<Head>, ChainError> {
        let header: Option<Header> = self.ask("eth_getBlockByNumber", (which, false)).await?;
        Ok(header.map(|header| Head {
            block: BlockRef { number: header.number, hash: header.hash },
            parent: header.parent_hash,
            time: header.timestamp,
            base_fee_wei: header.base_fee_per_gas.map_or(0, u128::from),
        }))
    }

    /// Returns `true` if `block` is on the chain that this node follows. Also `false` while it does not have the block.
    pub(crate) async fn has(&self, block: BlockRef) -> Result<bool, ChainError> {
        let found = self.block(BlockNumberOrTag::Number(block.number)).await?;
        Ok(found.is_some_and(|found| found.block == block))
    }

    /// Checks before a search for logs that the node has its last block. A node cannot have searched a block that it does not
    /// have: its empty result would prove nothing.
    ///
    /// # Errors
    /// `Transient`: it does not have the block, or did not answer.
    pub(crate) async fn can_search(&self, last: BlockRef) -> Result<(), ChainError> {
        if self.has(last).await? {
            return Ok(());
        }
        Err(ChainError::transient("eth_getLogs", format!("the node does not have block {}", last.number)))
    }

    /// The receipt, if the transaction is in a block.
    pub(crate) async fn receipt(&self, hash: B256) -> Result<Option<Included>, ChainError> {
        let operation = "eth_getTransactionReceipt";
        let receipt: Option<Receipt> = self.ask(operation, (hash,)).await?;
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

    /// `eth_call` on the state after a block.
    pub(crate) async fn call_after(&self, request: &TransactionRequest, block: BlockId) -> Result<Bytes, ChainError> {
        self.ask("eth_call", (request, block)).await
    }

    /// The code of an account, after the latest block.
    pub(crate) async fn code(&self, account: Address) -> Result<Bytes, ChainError> {
        self.ask("eth_getCode", (account, BlockNumberOrTag::Latest)).await
    }

    /// The account's nonce after a block.
    pub(crate) async fn nonce(&self, account: Address, after: BlockId) -> Result<u64, ChainError> {
        let nonce: U64 = self.ask("eth_getTransactionCount", (account, after)).await?;
        Ok(nonce.to())
    }

    /// The account's balance after the latest block, wei.
    pub(crate) async fn balance(&self, account: Address) -> Result<u128, ChainError> {
        let balance: U256 = self.ask("eth_getBalance", (account, BlockNumberOrTag::Latest)).await?;
        Ok(balance.saturating_to())
    }

    /// Sends signed bytes.
    pub(crate) async fn send(&self, raw: &Bytes) -> Result<B256, ChainError> {
        self.ask("eth_sendRawTransaction", (raw,)).await
    }

    /// The place of a transaction at this node.
    pub(crate) async fn presence(&self, hash: B256) -> Result<Presence, ChainError> {
        let found: Option<Place> = self.ask("eth_getTransactionByHash", (hash,)).await?;
        Ok(match found {
            None => Presence::Unknown,
            Some(Place { block_hash: Some(_) }) => Presence::Mined,
            Some(Place { block_hash: None }) => Presence::Pooled,
        })
    }

    /// The tip that the node suggests, wei per gas.
    pub(crate) async fn tip(&self) -> Result<u128, ChainError> {
        // Parsed as 256 bits. A value above 128 bits comes from a broken oracle, and is clamped; as an error it would
        // stop the lane.
        let tip: U256 = self.ask("eth_maxPriorityFeePerGas", ()).await?;
        Ok(tip.saturating_to())
    }

    /// The node's client version.
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
