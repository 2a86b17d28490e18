//! The chain: every block, transaction and log up to the head, and what accounts have there.

use super::rpc::Rpc;
use crate::CannotAudit;
use crate::books::Accounts;
use crate::decode::abi;
use crate::run::Run;
use alloy_primitives::{Address, B256, Bytes, U64, U256, hex};
use futures_util::{StreamExt, TryStreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

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

/// A token's own state at the head.
#[derive(Clone, Debug, Default)]
pub struct TokenState {
    pub unit: U256,
    pub price: U256,
    pub asset: U256,
    pub supply: U256,
    /// Balances of all recipients and payers.
    pub balances: BTreeMap<Address, U256>,
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

/// Reads it all. Balances are asked for right after the last block was read, because a node may keep few old states.
///
/// # Errors
/// A call fails; the blocks are no chain, or not the same any more at the end: a reorganisation, read again.
pub async fn read(run: &Run, rpc: &Rpc, whom: Accounts) -> Result<ChainEvidence, CannotAudit> {
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
    let mut tokens = whom.tokens;
    tokens.extend(abi::created(&chain.logs, run.factory));
    let mut holders = whom.payers;
    holders.extend(chain.logs.iter().filter(|log| tokens.contains(&log.address)).filter_map(abi::minted_to));
    accounts(run, rpc, &mut chain, &tokens, &holders).await?;
    let last = chain.blocks.last().map(|block| block.hash);
    let (again, _) = page(rpc, chain.head).await?;
    if last != Some(again.hash) {
        return Err(CannotAudit(format!("the chain was reorganised at {} while it was read", chain.head)));
    }
    Ok(chain)
}

/// Reads all balances at the head.
async fn accounts(
    run: &Run,
    rpc: &Rpc,
    chain: &mut ChainEvidence,
    tokens: &BTreeSet<Address>,
    holders: &BTreeSet<Address>,
) -> Result<(), CannotAudit> {
    let at = format!("{:#x}", chain.head);
    chain.asset_decimals = word(rpc, run.asset, abi::DECIMALS.to_vec(), &at).await?;
    chain.asset = balances(rpc, run.asset, holders.union(tokens).copied(), &at).await?;
    for relayer in &run.relayers {
        chain.wei.insert(*relayer, rpc.call("eth_getBalance", json!([relayer, at])).await?);
        let nonce = rpc.call::<U64>("eth_getTransactionCount", json!([relayer, at])).await?;
        chain.nonces.insert(*relayer, nonce.to());
    }
    for token in tokens {
        let state = TokenState {
            unit: word(rpc, *token, abi::UNIT.to_vec(), &at).await?,
            price: word(rpc, *token, abi::PRICE.to_vec(), &at).await?,
            asset: word(rpc, *token, abi::ASSET.to_vec(), &at).await?,
            supply: word(rpc, *token, abi::TOTAL_SUPPLY.to_vec(), &at).await?,
            balances: balances(rpc, *token, holders.iter().copied(), &at).await?,
        };
        chain.tokens.insert(*token, state);
    }
    Ok(())
}

async fn balances(
    rpc: &Rpc,
    of: Address,
    accounts: impl Iterator<Item = Address>,
    at: &str,
) -> Result<BTreeMap<Address, U256>, CannotAudit> {
    let each = futures_util::stream::iter(accounts)
        .map(|account| async move { Ok((account, word(rpc, of, abi::balance_of(account), at).await?)) });
    each.buffered(IN_FLIGHT).try_collect().await
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

/// The first word that a call answers with; zero where nothing answers.
async fn word(rpc: &Rpc, to: Address, input: Vec<u8>, at: &str) -> Result<U256, CannotAudit> {
    let call = json!([{ "to": to, "input": hex::encode_prefixed(input) }, at]);
    let answer: Value = rpc.call("eth_call", call).await?;
    let bytes: Bytes = serde_json::from_value(answer).map_err(|e| CannotAudit(e.to_string()))?;
    Ok(bytes.get(..32).map(U256::from_be_slice).unwrap_or_default())
}
