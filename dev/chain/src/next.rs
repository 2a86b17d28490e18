//! The contracts of `contracts/next` on the development chain.

use crate::{DevChain, NewToken, null};
use alloy::primitives::{Address, B256, Bytes};
use alloy::sol_types::{SolCall, SolConstructor};
use chain::ChainError;
use chain::abi::{Hub, Roles, TokenFactory};

impl DevChain {
    /// Deploys the hub from `owner`, unless it stands already; returns its address.
    ///
    /// # Errors
    /// `Refused` when the deployment reverts.
    pub async fn hub(&self, owner: Address, nonce: u64) -> Result<Address, ChainError> {
        self.deploy(owner, nonce, Hub::BYTECODE.clone()).await
    }

    /// Deploys the factory from `owner`, who holds all of its roles, unless it stands already; returns its address.
    ///
    /// # Errors
    /// `Refused` when the deployment reverts.
    pub async fn token_factory(
        &self,
        owner: Address,
        nonce: u64,
        asset: Address,
        hub: Address,
    ) -> Result<Address, ChainError> {
        let seats = Roles::Seats { owner, guardian: owner, treasury: owner, operator: owner };
        let arguments = TokenFactory::constructorCall { asset_: asset, hub_: hub, seats }.abi_encode();
        self.deploy(owner, nonce, [TokenFactory::BYTECODE.as_ref(), &arguments].concat().into()).await
    }

    /// Creates a token without a fee, unless it exists; returns its address.
    ///
    /// # Errors
    /// `Refused` for an impossible configuration.
    pub async fn deploy_token(
        &self,
        owner: Address,
        factory: Address,
        salt: B256,
        token: NewToken,
    ) -> Result<Address, ChainError> {
        let config = TokenFactory::TokenConfig {
            name: token.name,
            symbol: token.symbol,
            unit: token.unit,
            maxUnits: token.max_units,
            price: token.unit_price.0,
            creator: token.creator,
            fee: 0,
            metadataHash: B256::ZERO,
            salt,
        };
        let predict = TokenFactory::predictTokenCall { config: config.clone() }.abi_encode();
        let answer = self.read(factory, predict.into()).await?;
        let address = TokenFactory::predictTokenCall::abi_decode_returns(&answer).map_err(|_| null("predictToken"))?;
        if self.code(address).await?.is_empty() {
            let nobody = TokenFactory::Payment {
                payer: Address::ZERO,
                validAfter: alloy::primitives::Uint::ZERO,
                validBefore: alloy::primitives::Uint::ZERO,
                nonce: B256::ZERO,
                gas: 0,
                signature: Bytes::new(),
            };
            let input = TokenFactory::deployOneCall { config, payment: nobody }.abi_encode();
            self.transact(owner, Some(factory), input.into()).await?;
        }
        Ok(address)
    }
}
