//! The asset of all payments.

use alloy::primitives::{Address, U256};
use alloy::sol_types::Eip712Domain;
use std::borrow::Cow;

/// The asset of all payments, with its EIP-712 domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// The USDC contract.
    pub address: Address,
    /// EIP-712 name: `USDC` on Base Sepolia, `USD Coin` on Base.
    pub name: String,
    /// EIP-712 version: `2`.
    pub version: String,
}

impl Asset {
    /// The asset's EIP-712 domain.
    pub(crate) fn domain(&self, chain_id: u64) -> Eip712Domain {
        Eip712Domain {
            name: Some(Cow::Owned(self.name.clone())),
            version: Some(Cow::Owned(self.version.clone())),
            chain_id: Some(U256::from(chain_id)),
            verifying_contract: Some(self.address),
            salt: None,
        }
    }
}
