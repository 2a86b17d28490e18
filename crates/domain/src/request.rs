//! A payer's order and signature: the first event of every order.

use crate::ids::{PaymentId, PaymentKey};
use crate::money::{Quantity, Usdc, decimal_string};
use crate::nonce::{Binding, binding};
use alloy_primitives::{Address, B256, FixedBytes};
use serde::{Deserialize, Serialize};

/// 65 bytes `r || s || v`, low s, v 27 or 28: the only form that USDC accepts.
pub type SignatureBytes = FixedBytes<65>;

/// An EIP-3009 `TransferWithAuthorization`, checked to fit the packed form of the settlement contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authorization {
    /// The payer, and the recipient of the minted units: the signature covers no other recipient.
    pub from: Address,
    /// The payee: the token itself, which holds payments in escrow.
    pub to: Address,
    /// Amount in atomic USDC.
    pub value: Usdc,
    /// Unix seconds; USDC wants the block's time strictly after it.
    #[serde(with = "decimal_string")]
    pub valid_after: u64,
    /// Unix seconds; USDC wants the block's time strictly before it.
    #[serde(with = "decimal_string")]
    pub valid_before: u64,
    /// Chosen by the payer, or derived from the order by [`crate::nonce::bound_nonce`]. It is used or cancelled once on
    /// chain, permanently.
    pub nonce: B256,
}

/// The purchase. Quantity 10 is one entry of 10 units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Purchase {
    /// Units of a token that exists.
    Mint {
        /// The token, which is also the payee.
        token: Address,
        /// Units.
        quantity: Quantity,
        /// Atomic USDC a unit, as registered when the order was accepted.
        unit_price: Usdc,
    },
}

/// One order as accepted: the payment and what it buys. Never changes afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PaymentRequest {
    /// Key of the payment, derivable from the fields below; see [`PaymentRequest::check`].
    pub payment_key: PaymentKey,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The USDC contract.
    pub asset: Address,
    /// The signed authorization.
    pub authorization: Authorization,
    /// The signature over it.
    pub signature: SignatureBytes,
    /// The purchase.
    pub purchase: Purchase,
}

/// Why a request contradicts itself. In the ledger only a forged or damaged event can: the API checks before it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistent {
    /// The key is not the key of this payment.
    #[error("the payment key does not follow from chain, asset, payer and nonce")]
    Key,
    /// The payee is not the token that is bought.
    #[error("the payee is not the token that is bought")]
    Payee,
    /// The value is not quantity times unit price.
    #[error("the value is not quantity times unit price")]
    Price,
    /// The nonce bears the tag of bound nonces and was not derived from this order. A client can bring this about.
    #[error("the nonce is bound to another order")]
    Nonce,
}

impl PaymentRequest {
    /// The order's id.
    pub fn id(&self) -> PaymentId {
        PaymentId::of(self.payment_key)
    }

    /// The payer, who also receives what is minted.
    pub fn payer(&self) -> Address {
        self.authorization.from
    }

    /// Returns `true` for equal authorizations for equal purchases. The signature is ignored: one authorization can be
    /// signed in many ways, and any of them charges once.
    pub fn same_order_as(&self, other: &Self) -> bool {
        self.payment_key == other.payment_key
            && self.authorization == other.authorization
            && self.purchase == other.purchase
    }

    /// Every stage checks again (design rule 5): key, payee, price and a bound nonce agree with each other.
    ///
    /// # Errors
    /// The first disagreement. The signature is checked where an EIP-712 implementation is at hand.
    pub fn check(&self) -> Result<(), Inconsistent> {
        let auth = &self.authorization;
        let Purchase::Mint { token, quantity, unit_price } = &self.purchase;
        if self.payment_key != PaymentKey::new(self.chain_id, self.asset, auth.from, auth.nonce) {
            return Err(Inconsistent::Key);
        }
        if auth.to != *token {
            return Err(Inconsistent::Payee);
        }
        if unit_price.times(*quantity) != Some(auth.value) {
            return Err(Inconsistent::Price);
        }
        if binding(auth.nonce, self.chain_id, *token, *quantity) == Binding::Elsewhere {
            return Err(Inconsistent::Nonce);
        }
        Ok(())
    }
}
