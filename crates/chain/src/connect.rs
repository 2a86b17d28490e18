//! A connection to a chain that is what the configuration says it is.

use crate::abi::UsdcDouble;
use crate::error::{ChainError, from_rpc};
use alloy::network::{Ethereum, TransactionBuilder};
use alloy::primitives::{Address, Bytes};
use alloy::providers::{Provider, RootProvider};
use alloy::rpc::client::RpcClient;
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::{Eip712Domain, SolCall};
use runtime::{ConfigError, Env};
use std::borrow::Cow;
use std::num::NonZeroU64;
use std::time::Duration;

/// A node stalls while it executes a block (measured: 1.1 s p99 under load). A time-out is never "not sent".
const RPC_TIMEOUT: Duration = Duration::from_secs(10);

/// The asset that is paid in, with its EIP-712 domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// The USDC contract.
    pub address: Address,
    /// EIP-712 name: `USDC` on Base Sepolia, `USD Coin` on Base.
    pub name: String,
    /// EIP-712 version: `2`.
    pub version: String,
}

/// Which chain, and how deep is deep enough.
#[derive(Clone, Debug)]
pub struct ChainConfig {
    /// HTTP JSON-RPC.
    pub rpc_url: String,
    /// EIP-155 id; the node must agree.
    pub chain_id: u64,
    /// What is paid in.
    pub asset: Asset,
    /// N: a block counts when the head is N - 1 above it; at least 1.
    pub confirmations: u64,
    /// First block that can hold a payment: where searches for logs begin.
    pub start_block: u64,
}

impl ChainConfig {
    /// Reads `RPC_URL`, `CHAIN_ID`, `ASSET_ADDRESS`, `ASSET_NAME`, `ASSET_VERSION`, `CONFIRMATIONS`, `START_BLOCK`.
    ///
    /// # Errors
    /// Names the variable and its shape.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            rpc_url: env.text("RPC_URL", "http://127.0.0.1:8545")?,
            chain_id: env.parse("CHAIN_ID", "84532")?,
            asset: Asset {
                address: env.parse("ASSET_ADDRESS", "0x036CbD53842c5426634e7929541eC2318f3dCF7e")?,
                name: env.text("ASSET_NAME", "USDC")?,
                version: env.text("ASSET_VERSION", "2")?,
            },
            confirmations: env
                .parse_or("CONFIRMATIONS", "a number of blocks such as 5, at least 1", NonZeroU64::MIN)?
                .get(),
            start_block: env.parse_or("START_BLOCK", "a block number such as 0", 0)?,
        })
    }
}

/// A chain. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Chain {
    pub(crate) provider: RootProvider<Ethereum>,
    pub(crate) config: ChainConfig,
}

impl Chain {
    /// Connects and checks the chain id and the asset's EIP-712 domain (F37).
    ///
    /// # Errors
    /// `Misconfigured` names the variable; `Transient` when the node does not answer.
    pub async fn connect(config: ChainConfig) -> Result<Self, ChainError> {
        let bad = |text: String| ChainError::Misconfigured(text);
        let url =
            config.rpc_url.parse().map_err(|e| bad(format!("RPC_URL: {e}; it looks like http://127.0.0.1:8545")))?;
        let http = reqwest::Client::builder()
            .timeout(RPC_TIMEOUT)
            .build()
            .map_err(|e| bad(format!("RPC_URL: no HTTP client: {e}")))?;
        let provider = RootProvider::new(RpcClient::builder().http_with_client(http, url));
        let chain = Self { provider, config };
        chain.check().await?;
        Ok(chain)
    }

    async fn check(&self) -> Result<(), ChainError> {
        let found = self.provider.get_chain_id().await.map_err(|e| from_rpc("eth_chainId", e))?;
        if found != self.config.chain_id {
            let wanted = self.config.chain_id;
            return Err(ChainError::Misconfigured(format!("CHAIN_ID is {wanted}, but RPC_URL leads to chain {found}")));
        }
        let asset = &self.config.asset;
        let answer =
            self.call(None, asset.address, UsdcDouble::DOMAIN_SEPARATORCall {}.abi_encode().into(), None).await?;
        if answer.as_ref() != self.domain().separator().as_slice() {
            return Err(ChainError::Misconfigured(format!(
                "ASSET_ADDRESS, ASSET_NAME, ASSET_VERSION: the contract at {} does not sign as {:?} version {:?}",
                asset.address, asset.name, asset.version
            )));
        }
        Ok(())
    }

    /// The asset's EIP-712 domain.
    fn domain(&self) -> Eip712Domain {
        let asset = &self.config.asset;
        Eip712Domain {
            name: Some(Cow::Owned(asset.name.clone())),
            version: Some(Cow::Owned(asset.version.clone())),
            chain_id: Some(alloy::primitives::U256::from(self.config.chain_id)),
            verifying_contract: Some(asset.address),
            salt: None,
        }
    }

    /// As configured.
    pub fn config(&self) -> &ChainConfig {
        &self.config
    }

    /// `eth_call` on the latest block.
    pub(crate) async fn call(
        &self,
        from: Option<Address>,
        to: Address,
        input: Bytes,
        gas: Option<u64>,
    ) -> Result<Bytes, ChainError> {
        let mut request = TransactionRequest::default().with_to(to).with_input(input);
        request.from = from;
        request.gas = gas;
        self.provider.call(request).await.map_err(|e| from_rpc("eth_call", e))
    }
}
