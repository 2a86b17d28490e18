//! A payer with a key of its own: signs EIP-3009 authorizations and packs them as x402 v2 or v1 headers, by hand.

use alloy::sol_types::SolCall;
use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chain::abi::UsdcDouble;
use domain::{PaymentId, PaymentKey, TokenTerms};
use secp256k1::{Message, Secp256k1, SecretKey};
use serde_json::{Value, json};
use std::time::SystemTime;
use x402::{Authorization, domain_separator, transfer_digest};

/// What a signature of ours is good for, unless a story says otherwise, seconds.
const WINDOW_S: u64 = 900;

/// An account with a key.
#[derive(Clone, Debug)]
pub struct Buyer {
    secret: SecretKey,
    pub address: Address,
}

/// What is to be signed. Every field may be changed before.
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

/// A signed authorization: what anybody may submit to USDC.
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
}

impl Buyer {
    /// Somebody new.
    pub fn new() -> Self {
        let secret = loop {
            if let Ok(secret) = SecretKey::from_byte_array(rand::random()) {
                break secret;
            }
        };
        Self::of(secret)
    }

    /// The owner of `key`, 0x and 64 hex digits.
    pub fn with_key(key: &str) -> Self {
        Self::of(key.parse::<B256>().ok().and_then(|key| SecretKey::from_byte_array(key.0).ok()).unwrap())
    }

    fn of(secret: SecretKey) -> Self {
        let public = secret.public_key(&Secp256k1::new()).serialize_uncompressed();
        Self { secret, address: Address::from_slice(&keccak256(&public[1..])[12..]) }
    }

    /// The key, as a command line takes it.
    pub fn key(&self) -> String {
        hex::encode_prefixed(self.secret.secret_bytes())
    }

    /// Signs for `quantity` units.
    pub fn pay(&self, terms: &TokenTerms, quantity: u32) -> Payment {
        self.sign(Bill::of(terms, quantity))
    }

    pub fn sign(&self, bill: Bill) -> Payment {
        let authorization = Authorization {
            from: self.address,
            to: bill.pay_to,
            value: U256::from(bill.value),
            valid_after: bill.valid_after,
            valid_before: bill.valid_before,
            nonce: bill.nonce,
        };
        let domain = domain_separator("USDC", "2", bill.terms.chain_id, bill.terms.asset);
        let signature = self.sign_digest(transfer_digest(&domain, &authorization));
        let transfer = SignedTransfer { authorization, signature };
        Payment { terms: bill.terms, quantity: bill.quantity, transfer }
    }

    /// The call with which anybody may cancel the authorization `nonce` of this payer.
    pub fn cancellation(&self, terms: &TokenTerms, nonce: B256) -> Bytes {
        let type_hash = keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");
        let message = keccak256([type_hash, self.address.into_word(), nonce].concat());
        let domain = domain_separator("USDC", "2", terms.chain_id, terms.asset);
        let digest = keccak256([&[0x19, 0x01], domain.as_slice(), message.as_slice()].concat());
        let signature = Bytes::copy_from_slice(&self.sign_digest(digest));
        UsdcDouble::cancelAuthorization_1Call { authorizer: self.address, nonce, signature }.abi_encode().into()
    }

    fn sign_digest(&self, digest: B256) -> [u8; 65] {
        let signed = Secp256k1::new().sign_ecdsa_recoverable(Message::from_digest(digest.0), &self.secret);
        let (id, rs) = signed.serialize_compact();
        let mut signature = [0; 65];
        signature[..64].copy_from_slice(&rs);
        signature[64] = 27 + u8::try_from(i32::from(id)).unwrap();
        signature
    }
}

impl Default for Buyer {
    fn default() -> Self {
        Self::new()
    }
}

impl SignedTransfer {
    /// The call with which anybody may submit it.
    pub fn call(&self) -> Bytes {
        let Authorization { from, to, value, valid_after, valid_before, nonce } = self.authorization;
        UsdcDouble::transferWithAuthorization_0Call {
            from,
            to,
            value,
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
                "value": auth.value.to_string(),
                "validAfter": auth.valid_after.to_string(),
                "validBefore": auth.valid_before.to_string(),
                "nonce": auth.nonce,
            },
        })
    }
}

impl Payment {
    /// The payment's key, from what was signed alone.
    pub fn key(&self) -> PaymentKey {
        let auth = &self.transfer.authorization;
        PaymentKey::new(self.terms.chain_id, self.terms.asset, auth.from, auth.nonce)
    }

    pub fn id(&self) -> PaymentId {
        PaymentId::of(self.key())
    }

    /// Name and value of the v2 header.
    pub fn v2(&self) -> (&'static str, String) {
        let accepted = json!({
            "scheme": "exact",
            "network": format!("eip155:{}", self.terms.chain_id),
            "amount": self.transfer.authorization.value.to_string(),
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
