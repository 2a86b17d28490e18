//! The local chain, controlled by a story: its clock, its blocks, its pool, and transactions of other people.

use alloy::rpc::types::{Filter, Log, TransactionReceipt};
use alloy::sol_types::SolCall;
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use chain::abi::{MintToken, UsdcDouble};
use dev_chain::Rpc;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::cell::Cell;
use std::time::Duration;
use testkit::eventually;

/// Interval of the blocks that [`LocalChain::mining`] makes.
const BLOCK_TIME: Duration = Duration::from_millis(40);

/// anvil, asked directly.
#[derive(Clone, Debug)]
pub struct LocalChain {
    pub node: Rpc,
}

impl LocalChain {
    pub fn at(rpc_url: &str) -> Self {
        Self { node: Rpc::new(rpc_url).unwrap() }
    }

    /// Calls any method. Panics with its error.
    pub async fn rpc(&self, method: &'static str, params: Value) -> Value {
        self.ask(method, params).await
    }

    async fn ask<T: DeserializeOwned>(&self, method: &'static str, params: impl Serialize) -> T {
        self.node.ask(method, params).await.unwrap_or_else(|e| panic!("{method}: {e}"))
    }

    /// Stops the regular blocks.
    pub async fn halt(&self) {
        self.rpc("evm_setIntervalMining", json!([0])).await;
    }

    /// Starts the regular blocks again, one each second.
    pub async fn resume(&self) {
        self.rpc("evm_setIntervalMining", json!([1])).await;
        self.mine(1).await;
    }

    pub async fn mine(&self, blocks: u64) {
        for _ in 0..blocks {
            self.rpc("evm_mine", json!([])).await;
        }
    }

    /// Makes blocks of a chain that stands still while `doing` runs. Before and after it no block is on its way.
    pub async fn mining<T>(&self, doing: impl Future<Output = T>) -> T {
        let done = Cell::new(false);
        let miner = async {
            while !done.get() {
                self.mine(1).await;
                tokio::time::sleep(BLOCK_TIME).await;
            }
        };
        let doing = async {
            let result = doing.await;
            done.set(true);
            result
        };
        tokio::join!(doing, miner).0
    }

    /// Makes blocks until the transaction is in one. A node may know a transaction for a moment before its pool offers
    /// it.
    pub async fn mine_until_in_a_block(&self, hash: B256) -> TransactionReceipt {
        let mined = async || {
            self.mine(1).await;
            self.receipt(hash).await
        };
        eventually("the transaction is in a block", mined).await
    }

    /// Moves the clock, and makes a block with the new time.
    pub async fn pass_time(&self, seconds: u64) {
        self.rpc("evm_increaseTime", json!([seconds])).await;
        self.mine(1).await;
    }

    /// Replaces the last `depth` blocks by empty ones. Their transactions are dropped, and not put back into the pool.
    pub async fn reorg(&self, depth: u64) {
        self.rpc("anvil_reorg", json!([depth, []])).await;
    }

    /// Like [`Self::reorg`], but puts each of `raw` into the new block of that number, counted from 0.
    pub async fn reorg_with(&self, depth: u64, raw: &[(&str, u64)]) {
        self.rpc("anvil_reorg", json!([depth, raw])).await;
    }

    /// Removes a transaction from the node's pool.
    pub async fn drop_from_pool(&self, hash: B256) {
        self.rpc("anvil_dropTransaction", json!([hash])).await;
    }

    /// Gives `account` the code of an EIP-7702 delegation to `delegate`.
    pub async fn delegate(&self, account: Address, delegate: Address) {
        let code = Bytes::from([&[0xef, 0x01, 0x00], delegate.as_slice()].concat());
        self.rpc("anvil_setCode", json!([account, code])).await;
    }

    /// True if the transaction is in the pool or in a block.
    pub async fn knows(&self, hash: B256) -> bool {
        !self.rpc("eth_getTransactionByHash", json!([hash])).await.is_null()
    }

    pub async fn receipt(&self, hash: B256) -> Option<TransactionReceipt> {
        self.ask("eth_getTransactionReceipt", (hash,)).await
    }

    /// Adds a transaction of one of anvil's own accounts to the pool. Its gas is not estimated, because the cost of the
    /// call may be another one when it is executed.
    pub async fn send(&self, from: Address, to: Address, input: Bytes) -> B256 {
        let hash = self
            .rpc("eth_sendTransaction", json!([{ "from": from, "to": to, "input": input, "gas": "0xf4240" }]))
            .await;
        hash.as_str().unwrap().parse().unwrap()
    }

    /// Like [`Self::send`], and waits until the transaction has succeeded in a block. If the chain is halted, the
    /// caller mines.
    pub async fn transact(&self, from: Address, to: Address, input: Bytes) -> TransactionReceipt {
        let hash = self.send(from, to, input).await;
        let receipt = eventually("a receipt", async || self.receipt(hash).await).await;
        assert!(receipt.status(), "the transaction {hash} reverted");
        receipt
    }

    /// Gives `account` one ether for its gas.
    pub async fn give_ether(&self, account: Address) {
        self.rpc("anvil_setBalance", json!([account, "0xde0b6b3a7640000"])).await;
    }

    /// A transaction of any account, which gets money for its gas. It has succeeded in a block.
    pub async fn transact_as(&self, from: Address, to: Address, input: Bytes) -> TransactionReceipt {
        self.give_ether(from).await;
        self.rpc("anvil_impersonateAccount", json!([from])).await;
        self.transact(from, to, input).await
    }

    /// Number of the latest block.
    pub async fn height(&self) -> u64 {
        self.ask::<U64>("eth_blockNumber", ()).await.to()
    }

    pub async fn nonce(&self, account: Address) -> u64 {
        self.ask::<U64>("eth_getTransactionCount", (account, "latest")).await.to()
    }

    pub async fn usdc_of(&self, asset: Address, account: Address) -> U256 {
        self.word(asset, UsdcDouble::balanceOfCall { account }.abi_encode()).await
    }

    pub async fn tokens_of(&self, token: Address, owner: Address) -> U256 {
        self.word(token, MintToken::balanceOfCall { owner }.abi_encode()).await
    }

    /// Units that the token has recorded as paid for, and that are neither minted nor returned.
    pub async fn open_units_of(&self, token: Address) -> U256 {
        self.word(token, MintToken::openCall {}.abi_encode()).await
    }

    /// Units that the token has minted.
    pub async fn minted_units_of(&self, token: Address) -> U256 {
        self.word(token, MintToken::unitsMintedCall {}.abi_encode()).await
    }

    pub async fn supply_of(&self, token: Address) -> U256 {
        self.word(token, MintToken::totalSupplyCall {}.abi_encode()).await
    }

    /// Every log of `contract` so far, in order.
    pub async fn logs_of(&self, contract: Address) -> Vec<Log> {
        self.ask("eth_getLogs", (Filter::new().address(contract).from_block(0),)).await
    }

    async fn word(&self, to: Address, input: Vec<u8>) -> U256 {
        let input = Bytes::from(input);
        let answer = self.rpc("eth_call", json!([{ "to": to, "input": input }, "latest"])).await;
        U256::from_be_slice(&answer.as_str().unwrap().parse::<Bytes>().unwrap())
    }
}
