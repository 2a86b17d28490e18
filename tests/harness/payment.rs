//! Signed payments, as a call to USDC, as a v2 header and as a v1 header.

use alloy::sol_types::SolCall;
use alloy_primitives::{Address, B256, Bytes, U256, hex};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chain::abi::{MintToken, UsdcDouble};
use domain::Authorization;
use domain::{PaymentId, PaymentKey, TokenTerms};
use serde_json::{Value, json};
use std::time::SystemTime;

/// Validity of signatures in seconds, unless a story sets another one.
const WINDOW_S: u64 = 900;

/// Gas that a token may use for one payment.
const GAS_PER_ITEM: u64 = 100_000;

/// An unsigned payment. Every field may be changed before signing.
#[derive(Clone, Debug)]
pub struct Bill {
    pub terms: TokenTerms,
    pub quantity: u32,
    pub pay_to: Address,
    pub value: u64,
    pub valid_after: u64,
    pub valid_before: u64,
    pub nonce: B256,
}

/// A signed authorization, which anybody may submit to USDC, around the token.
#[derive(Clone, Debug)]
pub struct SignedTransfer {
    pub authorization: Authorization,
    pub signature: [u8; 65],
}

/// A signed authorization and the order that it is sent with.
#[derive(Clone, Debug)]
pub struct Payment {
    pub terms: TokenTerms,
    pub quantity: u32,
    pub transfer: SignedTransfer,
}

impl Bill {
    /// `quantity` units at the token's price, with a nonce of its own.
    pub fn of(terms: &TokenTerms, quantity: u32) -> Self {
        Self {
            terms: terms.clone(),
            quantity,
            pay_to: terms.token,
            value: terms.unit_price.0 * u64::from(quantity),
            valid_after: 0,
            valid_before: now_s() + WINDOW_S,
            nonce: B256::new(rand::random()),
        }
    }

    /// Makes the payment valid for `seconds` from now.
    pub fn lasting(self, seconds: u64) -> Self {
        Self { valid_before: now_s() + seconds, ..self }
    }
}

impl SignedTransfer {
    /// The call of USDC with which anybody may submit the authorization. The token has no record of it then.
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

    fn payload(&self) -> Value {
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

impl Payment {
    /// The payment key, which follows from the authorization alone.
    pub fn key(&self) -> PaymentKey {
        let auth = &self.transfer.authorization;
        PaymentKey::new(self.terms.chain_id, self.terms.asset, auth.from, auth.nonce)
    }

    pub fn id(&self) -> PaymentId {
        PaymentId::of(self.key())
    }

    /// The call of the token with which anybody may settle the payment.
    pub fn settle_call(&self) -> Bytes {
        let Authorization { from, value, valid_after, valid_before, nonce, .. } = self.transfer.authorization;
        let (rs, v) = self.transfer.signature.split_at(64);
        // EIP-2098: the parity is the top bit of s.
        let mut compact = rs.to_vec();
        compact[32] |= u8::from(v == [28]) << 7;
        let times = [valid_after, valid_before].map(u64::to_be_bytes);
        let item =
            [from.as_slice(), &value.0.to_be_bytes(), &times[0][3..], &times[1][3..], nonce.as_slice(), &compact];
        MintToken::settleCall {
            batchId: B256::ZERO,
            gasPerItem: U256::from(GAS_PER_ITEM),
            items: item.concat().into(),
            signatures: Bytes::new(),
        }
        .abi_encode()
        .into()
    }

    /// Name and value of the v2 header.
    pub fn v2(&self) -> (&'static str, String) {
        let accepted = json!({
            "scheme": "exact",
            "network": format!("eip155:{}", self.terms.chain_id),
            "amount": self.transfer.authorization.value.0.to_string(),
            "asset": self.terms.asset.to_checksum(None),
            "payTo": self.transfer.authorization.to.to_checksum(None),
            "maxTimeoutSeconds": WINDOW_S,
            "extra": { "name": "USDC", "version": "2" },
        });
        let json = json!({ "x402Version": 2, "accepted": accepted, "payload": self.transfer.payload() });
        ("PAYMENT-SIGNATURE", BASE64_STANDARD.encode(json.to_string()))
    }

    /// Name and value of the v1 header.
    pub fn v1(&self) -> (&'static str, String) {
        let json = json!({
            "x402Version": 1,
            "scheme": "exact",
            "network": "base-sepolia",
            "payload": self.transfer.payload(),
        });
        ("X-PAYMENT", BASE64_STANDARD.encode(json.to_string()))
    }
}

/// Seconds since 1970.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}
