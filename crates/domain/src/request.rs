//! A payer's order and signature: the first event of every order.

use crate::ids::{PaymentId, PaymentKey};
use crate::money::{Quantity, Usdc, decimal_string};
use crate::nonce::{Binding, binding};
use alloy_primitives::{Address, B256, FixedBytes};
use serde::{Deserialize, Serialize};
use std::ops::Deref;

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

/// The fields of a request: the payment and what it buys. They may contradict each other; those of a
/// [`PaymentRequest`] do not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestFields {
    /// Key of the payment, derivable from the fields below.
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

/// One order as accepted. Its fields agree with each other, because [`PaymentRequest::new`] is the only way to make one
/// and decoding uses it too. It never changes afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RequestFields")]
pub struct PaymentRequest(RequestFields);

/// Why the fields of a request contradict each other. In the ledger only a forged or damaged event can, and it is
/// undecodable.
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

impl RequestFields {
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
}

impl PaymentRequest {
    /// Makes a request of `fields` if key, payee, price and a bound nonce agree with each other.
    ///
    /// # Errors
    /// The first disagreement. The signature is checked where an EIP-712 implementation is at hand.
    pub fn new(fields: RequestFields) -> Result<Self, Inconsistent> {
        let auth = &fields.authorization;
        let Purchase::Mint { token, quantity, unit_price } = &fields.purchase;
        if fields.payment_key != PaymentKey::new(fields.chain_id, fields.asset, auth.from, auth.nonce) {
            return Err(Inconsistent::Key);
        }
        if auth.to != *token {
            return Err(Inconsistent::Payee);
        }
        if unit_price.times(*quantity) != Some(auth.value) {
            return Err(Inconsistent::Price);
        }
        if binding(auth.nonce, fields.chain_id, *token, *quantity) == Binding::Elsewhere {
            return Err(Inconsistent::Nonce);
        }
        Ok(Self(fields))
    }

    /// The fields, to make another request of.
    pub fn into_fields(self) -> RequestFields {
        self.0
    }
}

impl TryFrom<RequestFields> for PaymentRequest {
    type Error = Inconsistent;

    fn try_from(fields: RequestFields) -> Result<Self, Inconsistent> {
        Self::new(fields)
    }
}

impl Deref for PaymentRequest {
    type Target = RequestFields;

    fn deref(&self) -> &RequestFields {
        &self.0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::examples;
    use serde_json::{from_str, to_string};

    /// A request that contradicts itself can be neither made nor read, whoever wrote it.
    #[test]
    fn b34_fields_that_contradict_each_other_make_no_request() {
        let example = examples::request();
        let stored = to_string(&example).unwrap();
        assert_eq!(stored, to_string(&example.clone().into_fields()).unwrap(), "the same bytes");
        assert_eq!(from_str::<PaymentRequest>(&stored).unwrap(), example);
        type Change = fn(&mut RequestFields);
        let cases: [(Inconsistent, Change); 5] = [
            (Inconsistent::Key, |fields| fields.payment_key.0[31] ^= 1),
            (Inconsistent::Key, |fields| fields.authorization.from = examples::SIGNER),
            (Inconsistent::Payee, |fields| fields.authorization.to = examples::SIGNER),
            (Inconsistent::Price, |fields| fields.authorization.value = Usdc(1)),
            (Inconsistent::Price, |fields| {
                let Purchase::Mint { unit_price, .. } = &mut fields.purchase;
                *unit_price = Usdc(u64::MAX);
            }),
        ];
        for (why, change) in cases {
            let mut fields = example.clone().into_fields();
            change(&mut fields);
            let stored = to_string(&fields).unwrap();
            assert_eq!(PaymentRequest::new(fields), Err(why));
            assert_eq!(from_str::<PaymentRequest>(&stored).unwrap_err().to_string(), why.to_string());
        }
    }
}
