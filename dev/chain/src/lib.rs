//! The local development chain: puts the contracts on an anvil, creates tokens, funds accounts, and lets them sign. Never
//! used on a real chain, and linked by no service.
//!
//! Anvil's unlocked accounts send the transactions, so no key is involved. Every step may be repeated.

mod contracts;
mod repeater;
mod rpc;
mod transfer;

pub use contracts::NewToken;
pub use repeater::{REPEATER, REPEATER_CODE, repeated_in_vain};
pub use rpc::Rpc;
pub use transfer::SignedTransfer;

use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, B256, Bytes, U64, U256};
use alloy::rpc::types::{TransactionReceipt, TransactionRequest};
use alloy::sol_types::SolCall;
use chain::ChainError;
use chain::abi::{MintToken, UsdcDouble};
use domain::Usdc;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// USDC on Base Sepolia. The double stands at its address, because stock clients refuse assets that they do not know.
pub const BASE_SEPOLIA_USDC: Address = alloy::primitives::address!("036CbD53842c5426634e7929541eC2318f3dCF7e");

/// More than deploying the factory takes, less than the 16,777,216 of a transaction (EIP-7825).
const GAS: u64 = 12_000_000;

/// A block may take two seconds, a busy machine longer.
const RECEIPT_TIMEOUT: Duration = Duration::from_secs(30);

/// A local chain under our control.
#[derive(Clone, Debug)]
pub struct DevChain {
    rpc: Rpc,
    chain_id: u64,
}

impl DevChain {
    /// Connects to an anvil.
    ///
    /// # Errors
    /// `Misconfigured` for a bad URL, `Transient` without an answer.
    pub async fn connect(rpc_url: &str) -> Result<Self, ChainError> {
        let rpc = Rpc::new(rpc_url)?;
        let chain_id: U64 = rpc.ask("eth_chainId", ()).await?;
        Ok(Self { rpc, chain_id: chain_id.to() })
    }

    /// Refuses a node that is no anvil: contracts are deployed and accounts are funded on a development chain only.
    ///
    /// # Errors
    /// `Misconfigured` names `RPC_URL` and what the node calls itself.
    pub async fn must_be_development(&self) -> Result<(), ChainError> {
        let version: String = self.rpc.ask("web3_clientVersion", ()).await?;
        if version.to_lowercase().contains("anvil") {
            return Ok(());
        }
        Err(ChainError::Misconfigured(format!(
            "RPC_URL: the node calls itself {version:?}. Contracts are deployed on a development chain (anvil) only"
        )))
    }

    /// The client of the node.
    pub fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    /// The EIP-155 id that the node told.
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Puts the USDC double at `asset`.
    ///
    /// # Errors
    /// `Refused` when the node is no anvil.
    pub async fn etch_usdc(&self, asset: Address) -> Result<(), ChainError> {
        self.raw("anvil_setCode", (asset, UsdcDouble::DEPLOYED_BYTECODE.clone())).await
    }

    /// Calls one of anvil's own methods and drops its answer.
    ///
    /// # Errors
    /// `Refused` when the node is no anvil.
    pub async fn raw(&self, method: &'static str, params: impl Serialize) -> Result<(), ChainError> {
        self.rpc.ask::<Value>(method, params).await.map(|_| ())
    }

    /// Gives `to` some of the double's USDC.
    ///
    /// # Errors
    /// `Transient` without an answer.
    pub async fn fund_usdc(&self, from: Address, asset: Address, to: Address, amount: Usdc) -> Result<(), ChainError> {
        let input = UsdcDouble::mintCall { to, amount: U256::from(amount.0) }.abi_encode();
        self.transact(from, Some(asset), input.into()).await.map(|_| ())
    }

    /// USDC of `account`, atomic units.
    ///
    /// # Errors
    /// `Transient` without an answer.
    pub async fn usdc_balance(&self, asset: Address, account: Address) -> Result<U256, ChainError> {
        self.read_balance(asset, UsdcDouble::balanceOfCall { account }.abi_encode().into()).await
    }

    /// Units of `account`, token base units.
    ///
    /// # Errors
    /// `Transient` without an answer.
    pub async fn token_balance(&self, token: Address, account: Address) -> Result<U256, ChainError> {
        self.read_balance(token, MintToken::balanceOfCall { owner: account }.abi_encode().into()).await
    }

    /// Sends a call or a deployment from an unlocked account and waits for its receipt.
    ///
    /// # Errors
    /// `Refused` when it reverts; `Transient` when no receipt comes in time.
    pub async fn transact(
        &self,
        from: Address,
        to: Option<Address>,
        input: Bytes,
    ) -> Result<TransactionReceipt, ChainError> {
        // Not estimated: where anvil cannot, it takes the block's limit, which is more than a transaction may use.
        let mut request = TransactionRequest::default().with_from(from).with_input(input).with_gas_limit(GAS);
        request.to = to.map(Into::into);
        if to.is_none() {
            request = request.into_create();
        }
        let hash: B256 = self.rpc.ask("eth_sendTransaction", (request,)).await?;
        let waited = tokio::time::timeout(RECEIPT_TIMEOUT, async {
            loop {
                let found: Result<Option<TransactionReceipt>, _> =
                    self.rpc.ask("eth_getTransactionReceipt", (hash,)).await;
                if let Ok(Some(receipt)) = found {
                    return receipt;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let receipt = waited.await.map_err(|_| null("eth_getTransactionReceipt"))?;
        if !receipt.status() {
            let message = format!("the transaction {hash} reverted");
            return Err(ChainError::Refused { operation: "eth_sendTransaction", code: 3, message, data: None });
        }
        Ok(receipt)
    }

    async fn read_balance(&self, contract: Address, input: Bytes) -> Result<U256, ChainError> {
        let answer = self.read(contract, input).await?;
        U256::try_from_be_slice(&answer).ok_or_else(|| null("balanceOf"))
    }

    async fn read(&self, contract: Address, input: Bytes) -> Result<Bytes, ChainError> {
        let request = TransactionRequest::default().with_to(contract).with_input(input);
        self.rpc.ask("eth_call", (request, "latest")).await
    }

    /// The code of `account` after the latest block.
    async fn code(&self, account: Address) -> Result<Bytes, ChainError> {
        self.rpc.ask("eth_getCode", (account, "latest")).await
    }
}

/// The error for a null where the method owes an answer.
fn null(operation: &'static str) -> ChainError {
    ChainError::transient(operation, "null")
}
