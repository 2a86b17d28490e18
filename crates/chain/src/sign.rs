//! Signing: a pure function from key, nonce, fees and call to bytes.

use crate::connect::Chain;
use crate::error::ChainError;
use alloy::consensus::{SignableTransaction, Transaction, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::{Decodable2718, Encodable2718};
use alloy::primitives::{Address, Bytes, TxKind, U256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use domain::PaymentId;
use domain::event::{OpenTx, Purpose};
use domain::lane::Fees;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// A lane's key. Never printed.
#[derive(Clone)]
pub struct Key(PrivateKeySigner);

impl Key {
    /// The account.
    pub fn address(&self) -> Address {
        self.0.address()
    }

    /// Opens an Ethereum V3 keystore file. The error contains neither key nor password.
    pub(crate) fn decrypt(file: &Path, password: &str) -> Result<Self, String> {
        PrivateKeySigner::decrypt_keystore(file, password).map(Self).map_err(|e| e.to_string())
    }
}

impl FromStr for Key {
    type Err = String;

    /// Parses 32 bytes of hex. The error never contains them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.trim().parse().map(Self).map_err(|_| "not a private key of 32 bytes in hex".to_owned())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.address())
    }
}

/// A call of one of our contracts. Its value is always zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The purpose: settling or minting.
    pub purpose: Purpose,
    /// The contract.
    pub target: Address,
    /// ABI-encoded.
    pub input: Bytes,
    /// Gas limit.
    pub gas_limit: u64,
    /// The orders in the call data, in its order.
    pub items: Vec<PaymentId>,
}

impl Chain {
    /// Signs `call` for `nonce`. Nothing is sent.
    ///
    /// # Errors
    /// `Misconfigured` if the key cannot sign.
    pub fn sign(&self, key: &Key, nonce: u64, fees: Fees, call: Call) -> Result<OpenTx, ChainError> {
        let tx = TxEip1559 {
            chain_id: self.config.chain_id,
            nonce,
            gas_limit: call.gas_limit,
            max_fee_per_gas: fees.max_fee_wei,
            max_priority_fee_per_gas: fees.priority_fee_wei,
            to: TxKind::Call(call.target),
            value: U256::ZERO,
            access_list: Default::default(),
            input: call.input,
        };
        let signature = key
            .0
            .sign_hash_sync(&tx.signature_hash())
            .map_err(|e| ChainError::Misconfigured(format!("{} cannot sign: {e}", key.address())))?;
        let envelope = TxEnvelope::Eip1559(tx.into_signed(signature));
        Ok(OpenTx {
            nonce,
            purpose: call.purpose,
            target: call.target,
            tx_hash: *envelope.tx_hash(),
            raw_tx: envelope.encoded_2718().into(),
            gas_limit: call.gas_limit,
            max_fee_wei: fees.max_fee_wei,
            priority_fee_wei: fees.priority_fee_wei,
            items: call.items,
        })
    }

    /// Signs the call of `open` again for its nonce, with other fees. Nothing is sent.
    ///
    /// # Errors
    /// `Misconfigured` if the key cannot sign, or if the bytes are not one of our transactions.
    pub fn replace(&self, key: &Key, open: &OpenTx, fees: Fees) -> Result<OpenTx, ChainError> {
        let bad = |why: &str| ChainError::Misconfigured(format!("the bytes for nonce {} are {why}", open.nonce));
        let envelope = TxEnvelope::decode_2718(&mut open.raw_tx.as_ref()).map_err(|e| bad(&e.to_string()))?;
        let input = envelope.input().clone();
        let call = Call {
            purpose: open.purpose,
            target: open.target,
            input,
            gas_limit: open.gas_limit,
            items: open.items.clone(),
        };
        self.sign(key, open.nonce, fees, call)
    }
}
