//! Signed payments, as calls and as headers of both versions.

use alloy::sol_types::SolCall;
use alloy_primitives::{Address, B256, Bytes};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chain::abi::MintToken;
use dev_chain::SignedTransfer;
use domain::{PaymentId, PaymentKey, TokenTerms};
use serde_json::json;
use std::time::SystemTime;

/// Validity of signatures in seconds, unless a story sets another one.
const WINDOW_S: u64 = 900;

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
        self.transfer.settle_call()
    }

    /// The call with which an operator has the payment recorded, if it went around the token.
    pub fn credit_call(&self) -> Bytes {
        let auth = &self.transfer.authorization;
        let credit = MintToken::Credit { payer: auth.from, nonce: auth.nonce, units: self.quantity, change: 0 };
        MintToken::creditCall { credits: vec![credit] }.abi_encode().into()
    }

    /// The call with which an operator returns the payment, if it went around the token.
    pub fn give_back_call(&self) -> Bytes {
        let auth = &self.transfer.authorization;
        let back = MintToken::GiveBack { payer: auth.from, nonce: auth.nonce, amount: auth.value.0.into() };
        MintToken::giveBackCall { returns_: vec![back] }.abi_encode().into()
    }

    /// The call with which the payer, 7 days after the payment, or an operator takes a recorded payment back.
    pub fn refund_call(&self) -> Bytes {
        MintToken::refundCall { keys: vec![self.key().0] }.abi_encode().into()
    }

    /// Name and value of the v2 header.
    pub fn v2(&self) -> (&'static str, String) {
        self.transfer.v2_header(&self.terms)
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
