//! Authorizations of EIP-3009 that are signed: the calls with which anybody may submit them, and the header of a purchase.
//! Anvil signs for its unlocked accounts.

use crate::{DevChain, null};
use alloy::primitives::{Address, B256, Bytes, U256, hex};
use alloy::sol_types::SolCall;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chain::ChainError;
use chain::abi::{MintToken, UsdcDouble};
use domain::{Authorization, TokenTerms};
use serde_json::{Value, json};

/// Gas that a token may use for one payment.
const GAS_PER_ITEM: u64 = 100_000;

/// Window of an offer in seconds, as a v2 header repeats it.
const WINDOW_S: u64 = 900;

/// A signed authorization, which anybody may submit.
#[derive(Clone, Debug)]
pub struct SignedTransfer {
    /// The payment.
    pub authorization: Authorization,
    /// `r`, `s`, and `v` as 27 or 28.
    pub signature: [u8; 65],
}

impl SignedTransfer {
    /// The call of USDC with which anybody may submit the authorization, around the token. The token has no record of it
    /// then.
    pub fn call(&self) -> Bytes {
        let Authorization { from, to, value, valid_after, valid_before, nonce } = self.authorization;
        UsdcDouble::transferWithAuthorization_0Call {
            from,
            to,
            value: U256::from(value.0),
            validAfter: U256::from(valid_after),
            validBefore: U256::from(valid_before),
            nonce,
            signature: Bytes::copy_from_slice(&self.signature),
        }
        .abi_encode()
        .into()
    }

    /// The call of the token with which anybody may settle the payment.
    pub fn settle_call(&self) -> Bytes {
        let Authorization { from, value, valid_after, valid_before, nonce, .. } = self.authorization;
        let (rs, v) = self.signature.split_at(64);
        // EIP-2098: the parity is the top bit of s.
        let mut compact = rs.to_vec();
        if let Some(first_of_s) = compact.get_mut(32) {
            *first_of_s |= u8::from(v == [28]) << 7;
        }
        // The last five bytes of each.
        let times = [valid_after, valid_before].map(|time| time.to_be_bytes().into_iter().skip(3).collect::<Vec<u8>>());
        let [after, before] = &times;
        let item = [from.as_slice(), &value.0.to_be_bytes(), after, before, nonce.as_slice(), &compact];
        MintToken::settleCall {
            batchId: B256::ZERO,
            gasPerItem: U256::from(GAS_PER_ITEM),
            items: item.concat().into(),
            signatures: Bytes::new(),
        }
        .abi_encode()
        .into()
    }

    /// Name and value of the x402 v2 header that pays for units of `terms`.
    pub fn v2_header(&self, terms: &TokenTerms) -> (&'static str, String) {
        let accepted = json!({
            "scheme": "exact",
            "network": format!("eip155:{}", terms.chain_id),
            "amount": self.authorization.value.0.to_string(),
            "asset": terms.asset.to_checksum(None),
            "payTo": self.authorization.to.to_checksum(None),
            "maxTimeoutSeconds": WINDOW_S,
            "extra": { "name": "USDC", "version": "2" },
        });
        let json = json!({ "x402Version": 2, "accepted": accepted, "payload": self.payload() });
        ("PAYMENT-SIGNATURE", BASE64_STANDARD.encode(json.to_string()))
    }

    /// The part of a header that both versions of x402 share.
    pub fn payload(&self) -> Value {
        let auth = &self.authorization;
        json!({
            "signature": hex::encode_prefixed(self.signature),
            "authorization": {
                "from": auth.from.to_checksum(None),
                "to": auth.to.to_checksum(None),
                "value": auth.value.0.to_string(),
                "validAfter": auth.valid_after.to_string(),
                "validBefore": auth.valid_before.to_string(),
                "nonce": auth.nonce,
            },
        })
    }
}

impl DevChain {
    /// Lets anvil sign `authorization` for its payer, one of anvil's unlocked accounts, as a transfer of `asset`.
    ///
    /// # Errors
    /// `Refused` if the payer is no account of anvil's.
    pub async fn sign_transfer(
        &self,
        asset: Address,
        authorization: Authorization,
    ) -> Result<SignedTransfer, ChainError> {
        let field = |name: &str, kind: &str| json!({ "name": name, "type": kind });
        let typed = json!({
            "types": {
                "EIP712Domain": [
                    field("name", "string"), field("version", "string"),
                    field("chainId", "uint256"), field("verifyingContract", "address"),
                ],
                "TransferWithAuthorization": [
                    field("from", "address"), field("to", "address"), field("value", "uint256"),
                    field("validAfter", "uint256"), field("validBefore", "uint256"), field("nonce", "bytes32"),
                ],
            },
            "primaryType": "TransferWithAuthorization",
            "domain": { "name": "USDC", "version": "2", "chainId": self.chain_id(), "verifyingContract": asset },
            "message": {
                "from": authorization.from,
                "to": authorization.to,
                "value": authorization.value.0.to_string(),
                "validAfter": authorization.valid_after.to_string(),
                "validBefore": authorization.valid_before.to_string(),
                "nonce": authorization.nonce,
            },
        });
        let signed: Bytes = self.rpc().ask("eth_signTypedData_v4", (authorization.from, typed)).await?;
        let signature = signed.as_ref().try_into().map_err(|_| null("eth_signTypedData_v4"))?;
        Ok(SignedTransfer { authorization, signature })
    }
}
