//! The contracts on the development chain: hub and factory, tokens, and the stop of new payments.

use crate::{DevChain, null};
use alloy::primitives::{Address, B256, Bytes, Uint};
use alloy::rpc::types::{Filter, Log};
use alloy::sol_types::{SolCall, SolConstructor, SolEvent};
use chain::ChainError;
use chain::abi::{Hub, Roles, TokenFactory};
use domain::{BlockRef, ITEM_VERSION, TokenTerms, Usdc};

/// The terms of a token that is to be created.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// ERC-20 name.
    pub name: String,
    /// ERC-20 symbol.
    pub symbol: String,
    /// Token base units in one unit.
    pub unit: u128,
    /// Maximum number of units.
    pub max_units: u64,
    /// Atomic USDC for one unit.
    pub unit_price: Usdc,
    /// The account that may withdraw the earnings.
    pub creator: Address,
    /// Price of the deployment, atomic USDC. Play money is put at the token's address for it.
    pub fee: Usdc,
    /// Hash of a document about the token; zero if there is none.
    pub metadata_hash: B256,
    /// Tells tokens of equal terms apart.
    pub salt: B256,
}

impl DevChain {
    /// Deploys the hub from `owner`, unless it exists. Returns its address.
    ///
    /// # Errors
    /// `Refused` if the deployment reverts.
    pub async fn hub(&self, owner: Address, nonce: u64) -> Result<Address, ChainError> {
        self.deploy(owner, nonce, Hub::BYTECODE.clone()).await
    }

    /// Deploys the factory from `owner`, who gets all of its seats but that of `operator`, unless it exists. Returns its
    /// address.
    ///
    /// # Errors
    /// `Refused` if the deployment reverts.
    pub async fn factory(
        &self,
        owner: Address,
        nonce: u64,
        asset: Address,
        hub: Address,
        operator: Address,
    ) -> Result<Address, ChainError> {
        let seats = Roles::Seats { owner, guardian: owner, treasury: owner, operator };
        let arguments = TokenFactory::constructorCall { asset_: asset, hub_: hub, seats }.abi_encode();
        self.deploy(owner, nonce, [TokenFactory::BYTECODE.as_ref(), &arguments].concat().into()).await
    }

    /// Creates a token unless it exists. Returns its terms, with the block of the factory's event.
    ///
    /// # Errors
    /// `Refused` for an impossible configuration.
    pub async fn create_token(
        &self,
        owner: Address,
        factory: Address,
        asset: Address,
        token: NewToken,
    ) -> Result<TokenTerms, ChainError> {
        let config = TokenFactory::TokenConfig {
            name: token.name.clone(),
            symbol: token.symbol.clone(),
            unit: token.unit,
            maxUnits: token.max_units,
            price: token.unit_price.0,
            creator: token.creator,
            fee: token.fee.0,
            metadataHash: token.metadata_hash,
            salt: token.salt,
        };
        let predict = TokenFactory::predictTokenCall { config: config.clone() }.abi_encode();
        let answer = self.read(factory, predict.into()).await?;
        let address = TokenFactory::predictTokenCall::abi_decode_returns(&answer).map_err(|_| null("predictToken"))?;
        if self.code(address).await?.is_empty() {
            if token.fee != Usdc(0) {
                self.fund_usdc(owner, asset, address, token.fee).await?;
            }
            let input = TokenFactory::deployOneCall { config, payment: no_payment() }.abi_encode();
            self.transact(owner, Some(factory), input.into()).await?;
        }
        Ok(TokenTerms {
            token: address,
            chain_id: self.chain_id(),
            asset,
            factory,
            item_version: ITEM_VERSION,
            name: token.name,
            symbol: token.symbol,
            unit: token.unit,
            max_units: token.max_units,
            unit_price: token.unit_price,
            creator: token.creator,
            fee: token.fee,
            metadata_hash: token.metadata_hash,
            salt: token.salt,
            block: self.created_in(factory, address).await?,
        })
    }

    /// Makes every token of `factory` refuse new payments. `owner` is its owner or its guardian.
    ///
    /// # Errors
    /// `Refused` for any other account.
    pub async fn stop_settlement(&self, owner: Address, factory: Address) -> Result<(), ChainError> {
        let input = TokenFactory::stopSettleCall {}.abi_encode();
        self.transact(owner, Some(factory), input.into()).await.map(|_| ())
    }

    /// Makes every token of `factory` take new payments again. `owner` is its owner.
    ///
    /// # Errors
    /// `Refused` for any other account.
    pub async fn resume_settlement(&self, owner: Address, factory: Address) -> Result<(), ChainError> {
        let input = TokenFactory::resumeSettleCall {}.abi_encode();
        self.transact(owner, Some(factory), input.into()).await.map(|_| ())
    }

    /// Returns the block of the factory's event about `token`.
    async fn created_in(&self, factory: Address, token: Address) -> Result<BlockRef, ChainError> {
        let filter = Filter::new()
            .address(factory)
            .event_signature(TokenFactory::TokenCreated::SIGNATURE_HASH)
            .topic1(token.into_word())
            .from_block(0);
        let logs: Vec<Log> = self.rpc().ask("eth_getLogs", (filter,)).await?;
        let block = logs.first().and_then(|log| Some(BlockRef { number: log.block_number?, hash: log.block_hash? }));
        block.ok_or_else(|| null("eth_getLogs"))
    }

    /// Returns the contract that `owner` created with `nonce`. Creates it if it does not exist.
    async fn deploy(&self, owner: Address, nonce: u64, code: Bytes) -> Result<Address, ChainError> {
        let address = owner.create(nonce);
        if self.code(address).await?.is_empty() {
            let receipt = self.transact(owner, None, code).await?;
            if receipt.contract_address != Some(address) {
                return Err(ChainError::Misconfigured(format!("{owner} has sent other transactions on this chain")));
            }
        }
        Ok(address)
    }
}

/// The payment of a deployment whose fee lies at the token's address, or is zero.
fn no_payment() -> TokenFactory::Payment {
    TokenFactory::Payment {
        payer: Address::ZERO,
        validAfter: Uint::ZERO,
        validBefore: Uint::ZERO,
        nonce: B256::ZERO,
        gas: 0,
        signature: Bytes::new(),
    }
}
