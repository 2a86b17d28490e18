//! The chain: every block, transaction and log up to the head, and what accounts have there.

use super::rpc::Rpc;
use super::tokens::{self, TokenState, balances, word};
use crate::CannotAudit;
use crate::books::Known;
use crate::decode::abi::{self, Said, said};
use crate::decode::x402::payment_key;
use crate::run::Run;
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use futures_util::{StreamExt, TryStreamExt};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// Requests under way.
const IN_FLIGHT: usize = 16;

/// A block.
#[derive(Clone, Debug)]
pub struct Block {
    pub hash: B256,
    /// Unix seconds.
    pub time: u64,
}

/// A transaction with its receipt.
#[derive(Clone, Debug)]
pub struct Tx {
    pub hash: B256,
    pub block: u64,
    pub from: Address,
    pub to: Option<Address>,
    pub nonce: u64,
    pub value: U256,
    pub input: Bytes,
    pub succeeded: bool,
    /// Gas used times its price, and what a rollup takes for its data, wei.
    pub cost_wei: U256,
}

/// A log.
#[derive(Clone, Debug)]
pub struct Log {
    pub address: Address,
    pub topics: Vec<B256>,
    pub data: Bytes,
    pub block: u64,
    pub tx: B256,
    /// In its block.
    pub index: u64,
}

/// The chain as it was read.
#[derive(Clone, Debug)]
pub struct ChainEvidence {
    pub id: u64,
    /// Height of the last block.
    pub head: u64,
    /// Height of the last block that the node calls final, at the end of the run; 0 while none is.
    pub finalized: u64,
    /// By height, from 0, linked by hash.
    pub blocks: Vec<Block>,
    /// In order.
    pub txs: Vec<Tx>,
    /// In order.
    pub logs: Vec<Log>,
    /// Decimals of the asset, at the head: 6 for USDC.
    pub asset_decimals: U256,
    /// Atomic units of the asset, at the head.
    pub asset: BTreeMap<Address, U256>,
    /// Balances of the relayers, at the head.
    pub wei: BTreeMap<Address, U256>,
    /// Transactions that the relayers have sent.
    pub nonces: BTreeMap<Address, u64>,
    pub tokens: BTreeMap<Address, TokenState>,
}

impl ChainEvidence {
    /// The block of this height.
    pub fn block(&self, number: u64) -> Option<&Block> {
        self.blocks.get(usize::try_from(number).ok()?)
    }
}

#[derive(Deserialize)]
struct RpcHeader {
    number: U64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RpcBlock {
    number: U64,
    hash: B256,
    parent_hash: B256,
    timestamp: U64,
    transactions: Vec<RpcTx>,
}

#[derive(Deserialize)]
struct RpcTx {
    hash: B256,
    from: Address,
    to: Option<Address>,
    nonce: U64,
    value: U256,
    input: Bytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RpcReceipt {
    transaction_hash: B256,
    status: U64,
    gas_used: U256,
    effective_gas_price: U256,
    l1_fee: Option<U256>,
    logs: Vec<RpcLog>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RpcLog {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
    log_index: U64,
}

/// Reads it all. What accounts and tokens have is asked for right after the last block was read, because a node may keep
/// few old states.
///
/// # Errors
/// A call fails; the blocks are no chain, or not the same any more at the end: a reorganisation, read again.
pub async fn read(run: &Run, rpc: &Rpc, known: Known) -> Result<ChainEvidence, CannotAudit> {
    let mut chain = ChainEvidence {
        id: rpc.call::<U64>("eth_chainId", json!([])).await?.to(),
        head: 0,
        finalized: 0,
        blocks: Vec::new(),
        txs: Vec::new(),
        logs: Vec::new(),
        asset_decimals: U256::ZERO,
        asset: BTreeMap::new(),
        wei: BTreeMap::new(),
        nonces: BTreeMap::new(),
        tokens: BTreeMap::new(),
    };
    let mut next = 0;
    // The first turn takes all but what comes meanwhile, the second takes that.
    for _ in 0..2 {
        chain.head = rpc.call::<U64>("eth_blockNumber", json!([])).await?.to();
        let pages = futures_util::stream::iter(next..=chain.head).map(|number| page(rpc, number)).buffered(IN_FLIGHT);
        for (block, receipts) in pages.try_collect::<Vec<_>>().await? {
            take(&mut chain, block, receipts)?;
        }
        next = chain.head.saturating_add(1);
    }
    let finalized: Option<RpcHeader> = rpc.call("eth_getBlockByNumber", json!(["finalized", false])).await?;
    chain.finalized = finalized.map_or(0, |block| block.number.to());
    let mut known = known;
    known.tokens.extend(abi::created(&chain.logs, run.factory));
    let of_tokens = chain.logs.iter().filter(|log| known.tokens.contains(&log.address));
    known.payers.extend(of_tokens.filter_map(abi::minted_to));
    known.keys.extend(chain.logs.iter().flat_map(|log| keys(&chain, run, log)));
    accounts(run, rpc, &mut chain, &known).await?;
    let last = chain.blocks.last().map(|block| block.hash);
    let (again, _) = page(rpc, chain.head).await?;
    if last != Some(again.hash) {
        return Err(CannotAudit(format!("the chain was reorganised at {} while it was read", chain.head)));
    }
    Ok(chain)
}

/// Payment keys in a log.
fn keys(chain: &ChainEvidence, run: &Run, log: &Log) -> Vec<B256> {
    match said(log) {
        Some(Said::Used { from, nonce } | Said::Canceled { from, nonce }) if log.address == run.asset => {
            vec![payment_key(chain.id, run.asset, from, nonce)]
        }
        Some(Said::MintBatch(items)) => items.into_iter().map(|(key, _)| key).collect(),
        Some(Said::Refunded { key, .. } | Said::Credited { key, .. } | Said::GivenBack { key, .. }) => vec![key],
        _ => Vec::new(),
    }
}

/// Reads what accounts and tokens have at the head.
async fn accounts(run: &Run, rpc: &Rpc, chain: &mut ChainEvidence, known: &Known) -> Result<(), CannotAudit> {
    let at = format!("{:#x}", chain.head);
    chain.asset_decimals = word(rpc, run.asset, abi::DECIMALS.to_vec(), &at).await?;
    chain.asset = balances(rpc, run.asset, known.payers.union(&known.tokens).copied(), &at).await?;
    for relayer in &run.relayers {
        chain.wei.insert(*relayer, rpc.call("eth_getBalance", json!([relayer, at])).await?);
        let nonce = rpc.call::<U64>("eth_getTransactionCount", json!([relayer, at])).await?;
        chain.nonces.insert(*relayer, nonce.to());
    }
    for token in &known.tokens {
        chain.tokens.insert(*token, tokens::read(rpc, *token, &known.payers, &known.keys, &at).await?);
    }
    Ok(())
}

async fn page(rpc: &Rpc, number: u64) -> Result<(RpcBlock, Vec<RpcReceipt>), CannotAudit> {
    let at = format!("{number:#x}");
    let block: RpcBlock = rpc.call("eth_getBlockByNumber", json!([at, true])).await?;
    if block.transactions.is_empty() {
        return Ok((block, Vec::new()));
    }
    let receipts = rpc.call("eth_getBlockReceipts", json!([at])).await?;
    Ok((block, receipts))
}

fn take(chain: &mut ChainEvidence, block: RpcBlock, receipts: Vec<RpcReceipt>) -> Result<(), CannotAudit> {
    let number = block.number.to::<u64>();
    if chain.blocks.last().is_some_and(|parent| parent.hash != block.parent_hash) {
        return Err(CannotAudit(format!("block {number} does not follow the one before it")));
    }
    chain.blocks.push(Block { hash: block.hash, time: block.timestamp.to() });
    if receipts.len() != block.transactions.len() {
        return Err(CannotAudit(format!("block {number} has another number of receipts than of transactions")));
    }
    for (tx, receipt) in block.transactions.into_iter().zip(receipts) {
        if tx.hash != receipt.transaction_hash {
            return Err(CannotAudit(format!("block {number}: receipts in another order than transactions")));
        }
        chain.txs.push(Tx {
            hash: tx.hash,
            block: number,
            from: tx.from,
            to: tx.to,
            nonce: tx.nonce.to(),
            value: tx.value,
            input: tx.input,
            succeeded: receipt.status == U64::from(1),
            cost_wei: receipt.gas_used * receipt.effective_gas_price + receipt.l1_fee.unwrap_or_default(),
        });
        chain.logs.extend(receipt.logs.into_iter().map(|log| Log {
            address: log.address,
            topics: log.topics,
            data: log.data,
            block: number,
            tx: tx.hash,
            index: log.log_index.to(),
        }));
    }
    Ok(())
}
