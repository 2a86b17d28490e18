//! A local chain for demos and tests: put the contracts on an anvil, and money into accounts. Never used on a real one.
//!
//! Transactions go out from anvil's unlocked accounts, so no key is involved; every step may be repeated.

use crate::abi::{MintToken, Settlement, TokenFactory, UsdcDouble};
use crate::error::{ChainError, from_rpc, null};
use alloy::network::{Ethereum, TransactionBuilder};
use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::providers::{Provider, RootProvider};
use alloy::rpc::types::{Filter, TransactionReceipt, TransactionRequest};
use alloy::sol_types::{SolCall, SolConstructor, SolEvent};
use domain::{BlockRef, PaymentKey, TokenTerms, Usdc};
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
    provider: RootProvider<Ethereum>,
    chain_id: u64,
}

/// What a token is made of.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// ERC-20 name.
    pub name: String,
    /// ERC-20 symbol.
    pub symbol: String,
    /// Token base units a unit.
    pub unit: u128,
    /// Units at most.
    pub max_units: u64,
    /// Atomic USDC a unit.
    pub unit_price: Usdc,
    /// Who earns.
    pub creator: Address,
}

impl DevChain {
    /// Connects to an anvil.
    ///
    /// # Errors
    /// `Misconfigured` for a bad URL, `Transient` without an answer.
    pub async fn connect(rpc_url: &str) -> Result<Self, ChainError> {
        let url = rpc_url.parse().map_err(|e| ChainError::Misconfigured(format!("RPC_URL: {e}")))?;
        let provider = RootProvider::new_http(url);
        let chain_id = provider.get_chain_id().await.map_err(|e| from_rpc("eth_chainId", e))?;
        Ok(Self { provider, chain_id })
    }

    /// Puts the USDC double at `asset`.
    ///
    /// # Errors
    /// `Refused` when the node is no anvil.
    pub async fn etch_usdc(&self, asset: Address) -> Result<(), ChainError> {
        self.raw("anvil_setCode", (asset, UsdcDouble::DEPLOYED_BYTECODE.clone())).await
    }

    /// One of anvil's own methods, whose answer does not matter.
    ///
    /// # Errors
    /// `Refused` when the node is no anvil.
    pub async fn raw<P: serde::Serialize + Clone + std::fmt::Debug + Send + Sync + Unpin + 'static>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<(), ChainError> {
        let answer = self.provider.raw_request::<P, serde_json::Value>(method.into(), params).await;
        answer.map(|_| ()).map_err(|e| from_rpc(method, e))
    }

    /// Deploys the settlement contract from `owner`, unless it stands already; answers with its address.
    ///
    /// # Errors
    /// `Refused` when the deployment reverts.
    pub async fn settlement(&self, owner: Address, nonce: u64, asset: Address) -> Result<Address, ChainError> {
        let arguments = Settlement::constructorCall { asset_: asset }.abi_encode();
        self.deploy(owner, nonce, [Settlement::BYTECODE.as_ref(), &arguments].concat().into()).await
    }

    /// Deploys the token factory from `owner`, unless it stands already; answers with its address.
    ///
    /// # Errors
    /// `Refused` when the deployment reverts.
    pub async fn factory(&self, owner: Address, nonce: u64, asset: Address) -> Result<Address, ChainError> {
        let arguments = TokenFactory::constructorCall { asset_: asset, owner_: owner }.abi_encode();
        self.deploy(owner, nonce, [TokenFactory::BYTECODE.as_ref(), &arguments].concat().into()).await
    }

    /// Lets `minter` mint every token of `factory`.
    ///
    /// # Errors
    /// `Refused` when `owner` is not the owner.
    pub async fn set_minter(&self, owner: Address, factory: Address, minter: Address) -> Result<(), ChainError> {
        let input = TokenFactory::setMinterCall { account: minter, allowed: true }.abi_encode();
        self.transact(owner, Some(factory), input.into()).await.map(|_| ())
    }

    /// Creates a token unless it exists, and answers with its terms as the factory's event tells them.
    ///
    /// # Errors
    /// `Refused` for an impossible configuration.
    pub async fn create_token(
        &self,
        owner: Address,
        factory: Address,
        asset: Address,
        payment_key: PaymentKey,
        token: NewToken,
    ) -> Result<TokenTerms, ChainError> {
        let config = MintTokenConfig {
            name: token.name.clone(),
            symbol: token.symbol.clone(),
            unit: token.unit,
            maxUnits: token.max_units,
            price: token.unit_price.0,
            creator: token.creator,
        };
        let predict = TokenFactory::predictTokenCall { paymentKey: payment_key.0, config: config.clone() }.abi_encode();
        let answer = self.read(factory, predict.into()).await?;
        let address = TokenFactory::predictTokenCall::abi_decode_returns(&answer).map_err(|_| null("predictToken"))?;
        let input = TokenFactory::createTokenCall { paymentKey: payment_key.0, config }.abi_encode();
        self.transact(owner, Some(factory), input.into()).await?;
        let filter = Filter::new()
            .address(factory)
            .event_signature(TokenFactory::TokenCreated::SIGNATURE_HASH)
            .topic1(address.into_word())
            .from_block(0);
        let logs = self.provider.get_logs(&filter).await.map_err(|e| from_rpc("eth_getLogs", e))?;
        let log = logs.first().ok_or_else(|| null("eth_getLogs"))?;
        let created = TokenFactory::TokenCreated::decode_log_data(log.data()).map_err(|_| null("TokenCreated"))?;
        let (Some(number), Some(hash)) = (log.block_number, log.block_hash) else { return Err(null("eth_getLogs")) };
        Ok(TokenTerms {
            token: created.token,
            chain_id: self.chain_id,
            asset,
            name: token.name,
            symbol: token.symbol,
            unit: token.unit,
            max_units: token.max_units,
            unit_price: token.unit_price,
            creator: token.creator,
            payment_key,
            config_hash: created.configHash,
            block: BlockRef { number, hash },
        })
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
        let hash: B256 = self
            .provider
            .raw_request("eth_sendTransaction".into(), (request,))
            .await
            .map_err(|e| from_rpc("eth_sendTransaction", e))?;
        let waited = tokio::time::timeout(RECEIPT_TIMEOUT, async {
            loop {
                if let Ok(Some(receipt)) = self.provider.get_transaction_receipt(hash).await {
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

    /// The contract that `owner` created with `nonce`; created now, unless it stands.
    async fn deploy(&self, owner: Address, nonce: u64, code: Bytes) -> Result<Address, ChainError> {
        let address = owner.create(nonce);
        let present = self.provider.get_code_at(address).await.map_err(|e| from_rpc("eth_getCode", e))?;
        if present.is_empty() {
            let receipt = self.transact(owner, None, code).await?;
            if receipt.contract_address != Some(address) {
                return Err(ChainError::Misconfigured(format!("{owner} has sent other transactions on this chain")));
            }
        }
        Ok(address)
    }

    async fn read_balance(&self, contract: Address, input: Bytes) -> Result<U256, ChainError> {
        let answer = self.read(contract, input).await?;
        U256::try_from_be_slice(&answer).ok_or_else(|| null("balanceOf"))
    }

    async fn read(&self, contract: Address, input: Bytes) -> Result<Bytes, ChainError> {
        let request = TransactionRequest::default().with_to(contract).with_input(input);
        self.provider.call(request).await.map_err(|e| from_rpc("eth_call", e))
    }
}

type MintTokenConfig = TokenFactory::TokenConfig;
