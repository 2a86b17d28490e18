//! A connection to a chain that has been compared with the configuration.

use crate::asset::Asset;
use crate::error::{ChainError, null};
use crate::rpc::{Node, ProviderRequirements, Providers, RpcUrl};
use crate::search::LogSearches;
use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, Bytes};
use alloy::rpc::types::TransactionRequest;
use domain::lane::FeePolicy;
use runtime::{ConfigError, Env, Variable};
use std::sync::{Arc, Mutex};
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// Default limit of calls per second to one provider. A confirmer with 64 transactions makes three calls for each,
/// twice a second: about 400. Paid plans start at about as much.
const RPC_RATE: u64 = 500;

/// Nodes of development chains, as their `web3_clientVersion` names them, in lower case: `anvil/v1.7.1`,
/// `HardhatNetwork/2.26.0/…`.
pub(crate) const DEVELOPMENT_NODES: [&str; 2] = ["anvil", "hardhat"];

/// The configured chain, its providers and its confirmation depth.
#[derive(Clone, Debug)]
pub struct ChainConfig {
    /// HTTP JSON-RPC URLs of one or more providers. With several, two must agree on everything that settles money.
    pub rpc_urls: Vec<RpcUrl>,
    /// URLs that take signed transactions instead of the providers; none if the providers take them.
    pub send_urls: Vec<RpcUrl>,
    /// Limit of calls per second to each provider, which is also the largest burst. 0 disables it.
    pub rpc_rate: u32,
    /// EIP-155 id. Every node must report it.
    pub chain_id: u64,
    /// The asset of all payments.
    pub asset: Asset,
    /// Confirmation depth N, at least 1: a block counts when the head is N - 1 above it. 1 is for development chains only.
    pub confirmations: u64,
    /// First block that can hold a payment. Searches for logs begin there.
    pub start_block: u64,
    /// Limits of the fees of our transactions.
    pub fees: FeePolicy,
}

impl ChainConfig {
    /// Reads `RPC_URL`, `SEND_URL`, `RPC_RATE`, `CHAIN_ID`, `ASSET_ADDRESS`, `ASSET_NAME`, `ASSET_VERSION`, `CONFIRMATIONS`,
    /// `START_BLOCK`, `TIP_MIN_WEI`, `TIP_MAX_WEI`, `FEE_MAX_WEI`.
    ///
    /// # Errors
    /// Names the variable and its shape.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let required = Variable::required;
        let chain_id = env.get(&required("CHAIN_ID", "84532", "EIP-155 id of the chain. The node must agree."))?;
        Ok(Self {
            rpc_urls: env.list(
                &Variable::required(
                    "RPC_URL",
                    "http://127.0.0.1:8545",
                    "HTTP JSON-RPC of one provider or several. With several, two must agree on what settles money.",
                )
                .list(),
            )?,
            send_urls: env.find_list(
                &Variable::optional(
                    "SEND_URL",
                    "https://rpc.example.com",
                    "HTTP JSON-RPC to which transactions are sent instead, for chains with a public mempool: who sees a transaction \
                     there can submit its authorizations around the token. Unset, the providers get them.",
                )
                .list(),
            )?,
            rpc_rate: env.number(&Variable::number(
                "RPC_RATE",
                RPC_RATE,
                0..=1_000_000,
                "Calls per second to each provider, and as many in a burst; 0 is no limit.",
            ))?,
            chain_id,
            asset: Asset {
                address: env.get(&required(
                    "ASSET_ADDRESS",
                    "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
                    "USDC contract on that chain.",
                ))?,
                name: env.get(&required(
                    "ASSET_NAME",
                    "USDC",
                    "EIP-712 name of the asset. With a wrong one no signature is valid.",
                ))?,
                version: env.get(&required("ASSET_VERSION", "2", "EIP-712 version of the asset."))?,
            },
            confirmations: env.number(&Variable::number(
                "CONFIRMATIONS",
                1,
                1..=1_000_000,
                "N: a block counts when the head is N - 1 blocks above it. 1 is refused unless the node is an anvil or hardhat.",
            ))?,
            start_block: env.number(&Variable::number(
                "START_BLOCK",
                0,
                0..=u64::MAX,
                "First block that can hold a payment. Searches for logs begin there.",
            ))?,
            fees: fee_policy(env, chain_id)?,
        })
    }
}

/// The limits of fees of the chain, and what the environment says instead.
fn fee_policy(env: &Env, chain_id: u64) -> Result<FeePolicy, ConfigError> {
    let usual = FeePolicy::of_chain(chain_id);
    let limit = |variable: Variable, usual: u128| Ok(env.find::<u64>(&variable)?.map_or(usual, u128::from));
    let tip_min =
        Variable::optional("TIP_MIN_WEI", "1000000", "Lowest tip, wei a gas. Unset, it is that of the chain.");
    let tip_max =
        Variable::optional("TIP_MAX_WEI", "5000000000", "Highest tip, wei a gas. Unset, it is that of the chain.");
    let fee_max = Variable::optional(
        "FEE_MAX_WEI",
        "200000000000",
        "Highest fee cap, wei a gas. Transactions that would cost more wait. Unset, it is that of the chain.",
    );
    let shape = tip_max.shape();
    let policy = FeePolicy {
        tip_min_wei: limit(tip_min, usual.tip_min_wei)?,
        tip_max_wei: limit(tip_max, usual.tip_max_wei)?,
        fee_max_wei: limit(fee_max, usual.fee_max_wei)?,
    };
    if policy.tip_min_wei <= policy.tip_max_wei && policy.tip_max_wei <= policy.fee_max_wei {
        return Ok(policy);
    }
    Err(ConfigError::invalid("TIP_MAX_WEI", &shape, "it must be between TIP_MIN_WEI and FEE_MAX_WEI"))
}

/// The knowledge about a rollup's fees, shared by all lanes. See the module `data_fee`.
#[derive(Clone, Debug, Default)]
pub(crate) struct DataFee {
    /// True if the chain has the contract that tells them.
    pub(crate) has_oracle: Arc<OnceCell<bool>>,
    /// The last answer, wei, and its time.
    pub(crate) last: Arc<Mutex<Option<(Instant, u128)>>>,
}

/// A chain. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Chain {
    pub(crate) nodes: Providers,
    /// Those that take signed transactions.
    pub(crate) senders: Providers,
    pub(crate) config: ChainConfig,
    pub(crate) data_fee: DataFee,
    pub(crate) searches: LogSearches,
}

impl Chain {
    /// Connects, and checks the chain id and the asset's EIP-712 domain at every provider. A provider that does not
    /// answer is checked before its first use. `CONFIRMATIONS=1` is refused unless the chain is a development chain: the
    /// latest block of a real one is often replaced.
    ///
    /// # Errors
    /// `Misconfigured` names the variable and the provider's host. `Transient` if no provider answers.
    pub async fn connect(config: ChainConfig) -> Result<Self, ChainError> {
        let (chain_id, asset) = (config.chain_id, config.asset.clone());
        let separator = asset.domain(chain_id).separator();
        let variable = "RPC_URL";
        let terms = ProviderRequirements { variable, chain_id, asset: Some((asset, separator)) };
        let nodes = Providers::connect(&config.rpc_urls, config.rpc_rate, &terms).await?;
        let terms = ProviderRequirements { variable: "SEND_URL", chain_id, asset: None };
        let senders = if config.send_urls.is_empty() {
            nodes.clone()
        } else {
            Providers::connect(&config.send_urls, config.rpc_rate, &terms).await?
        };
        for url in config.rpc_urls.iter().chain(&config.send_urls).filter(|url| url.is_open_to_others()) {
            tracing::warn!(provider = %url, "RPC_URL or SEND_URL is http to another host: everybody on the way can read and change answers, and read a key in the URL");
        }
        let chain = Self { nodes, senders, config, data_fee: DataFee::default(), searches: LogSearches::default() };
        if chain.config.confirmations == 1 && !chain.is_development().await? {
            let hosts: Vec<String> = chain.config.rpc_urls.iter().map(RpcUrl::to_string).collect();
            return Err(ChainError::Misconfigured(format!(
                "CONFIRMATIONS is 1, and the node at {} is no development node ({}): set it to the depth that you trust, 2 or more",
                hosts.join(", "),
                DEVELOPMENT_NODES.join(" or ")
            )));
        }
        Ok(chain)
    }

    /// The configuration.
    pub fn config(&self) -> &ChainConfig {
        &self.config
    }

    /// Returns `true` if every provider that answers identifies itself as one of [`DEVELOPMENT_NODES`]. On such a chain plain
    /// keys are allowed, and payments that are one block deep.
    ///
    /// # Errors
    /// `Transient` if none answers.
    pub async fn is_development(&self) -> Result<bool, ChainError> {
        let mut development = None;
        let is_named = |version: &str| DEVELOPMENT_NODES.iter().any(|name| version.to_lowercase().contains(name));
        let mut last = null("web3_clientVersion");
        for version in self.nodes.everyone(|node: Node| async move { node.version().await }, |_| false).await {
            match version {
                Ok(version) => development = Some(development != Some(false) && is_named(&version)),
                Err(ChainError::Refused { .. } | ChainError::Misconfigured(_)) => development = Some(false),
                Err(transient @ ChainError::Transient { .. }) => last = transient,
            }
        }
        development.ok_or(last)
    }

    /// `eth_call` on the latest block of one node.
    pub(crate) async fn call(
        &self,
        from: Option<Address>,
        to: Address,
        input: Bytes,
        gas: Option<u64>,
    ) -> Result<Bytes, ChainError> {
        let request = request(from, to, input, gas);
        let call = |node: Node| {
            let request = request.clone();
            async move { node.call(&request).await }
        };
        self.nodes.one("eth_call", call).await
    }
}

/// The request of an `eth_call`.
pub(crate) fn request(from: Option<Address>, to: Address, input: Bytes, gas: Option<u64>) -> TransactionRequest {
    let mut request = TransactionRequest::default().with_to(to).with_input(input);
    request.from = from;
    request.gas = gas;
    request
}
