//! A payer with a key of its own, who signs EIP-3009 authorizations by hand.

use crate::payment::{Bill, Payment};
use alloy::sol_types::SolCall;
use alloy_primitives::{Address, B256, Bytes, hex, keccak256};
use chain::abi::UsdcDouble;
use dev_chain::SignedTransfer;
use domain::{Authorization, TokenTerms, Usdc};
use secp256k1::SecretKey;
use x402::{domain_separator, transfer_digest};

/// An account with a key.
#[derive(Clone, Debug)]
pub struct Buyer {
    secret: SecretKey,
    pub address: Address,
}

impl Buyer {
    /// A new account.
    pub fn new() -> Self {
        let secret = loop {
            if let Ok(secret) = SecretKey::from_secret_bytes(rand::random()) {
                break secret;
            }
        };
        Self::of(secret)
    }

    /// The account of `key`, which is 0x and 64 hex digits.
    pub fn with_key(key: &str) -> Self {
        Self::of(key.parse::<B256>().ok().and_then(|key| SecretKey::from_secret_bytes(key.0).ok()).unwrap())
    }

    fn of(secret: SecretKey) -> Self {
        let public = secret.public_key().serialize_uncompressed();
        Self { secret, address: Address::from_slice(&keccak256(&public[1..])[12..]) }
    }

    /// The key, as a command line takes it.
    pub fn key(&self) -> String {
        hex::encode_prefixed(self.secret.to_secret_bytes())
    }

    /// Signs for `quantity` units.
    pub fn pay(&self, terms: &TokenTerms, quantity: u32) -> Payment {
        self.sign(Bill::of(terms, quantity))
    }

    pub fn sign(&self, bill: Bill) -> Payment {
        let authorization = Authorization {
            from: self.address,
            to: bill.pay_to,
            value: Usdc(bill.value),
            valid_after: bill.valid_after,
            valid_before: bill.valid_before,
            nonce: bill.nonce,
        };
        let domain = domain_separator("USDC", "2", bill.terms.chain_id, bill.terms.asset);
        let signature = testkit::sign_digest(transfer_digest(&domain, &authorization), &self.secret);
        let transfer = SignedTransfer { authorization, signature };
        Payment { terms: bill.terms, quantity: bill.quantity, transfer }
    }

    /// The call with which anybody may cancel the authorization `nonce` of this payer.
    pub fn cancellation(&self, terms: &TokenTerms, nonce: B256) -> Bytes {
        let type_hash = keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");
        let message = keccak256([type_hash, self.address.into_word(), nonce].concat());
        let domain = domain_separator("USDC", "2", terms.chain_id, terms.asset);
        let digest = keccak256([&[0x19, 0x01], domain.as_slice(), message.as_slice()].concat());
        let signature = Bytes::copy_from_slice(&testkit::sign_digest(digest, &self.secret));
        UsdcDouble::cancelAuthorization_1Call { authorizer: self.address, nonce, signature }.abi_encode().into()
    }
}

impl Default for Buyer {
    fn default() -> Self {
        Self::new()
    }
}
