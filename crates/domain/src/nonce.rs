//! Nonces that name their order. A client may derive the EIP-3009 nonce from what it buys, instead of drawing all of
//! it: then the payment alone, as it stands on chain, proves the order, and its header can buy nothing else.
//!
//! `PMT1`, 16 bytes of hash, 12 bytes of salt. The hash is over chain, token, quantity and salt; payer and price are
//! signed beside the nonce anyway. `docs/x402-wire.md`, section 11, has the formula for clients.

use crate::money::Quantity;
use alloy_primitives::{Address, B256, FixedBytesSliceExt as _, U256, b256, keccak256};

/// First bytes of a bound nonce: "PMT1". One random nonce in 2^32 begins so by chance. It is refused, its client signs
/// another, and nothing is lost.
pub const TAG: [u8; 4] = *b"PMT1";

/// Bytes of salt, so that one payer can give the same order twice: USDC takes a nonce once.
pub const SALT_BYTES: usize = 12;

/// Where the salt begins; between it and the tag stands the hash.
const SALT_AT: usize = 32 - SALT_BYTES;

/// keccak256 of `PaymintOrder(uint256 chainId,address token,uint256 quantity,bytes12 salt)`; a test derives it.
const TYPE_HASH: B256 = b256!("9efa58699e8444dae3a643d8d03062df2dc4e9679d32d5fffc469a913aea6ea8");

/// The relation of a nonce to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Nothing: it has no tag. Stock clients draw such nonces.
    Unbound,
    /// Derived from this order.
    ThisOrder,
    /// Has the tag, and was not derived from this order.
    Elsewhere,
}

/// The nonce that binds a payment to this order: `TAG ++ keccak256(abi.encode(typehash, chainId, token, quantity,
/// salt))[..16] ++ salt`, the salt of the hash being a bytes12, which ABI pads on the right.
///
/// The salt need not be secret, but new for every order of the same payer.
pub fn bound_nonce(chain_id: u64, token: Address, quantity: Quantity, salt: [u8; SALT_BYTES]) -> B256 {
    let mut words = [B256::ZERO; 5];
    words[0] = TYPE_HASH;
    words[1] = B256::from(U256::from(chain_id));
    words[2] = token.into_word();
    words[3] = B256::from(U256::from(quantity.get()));
    words[4][..SALT_BYTES].copy_from_slice(&salt);
    let hash = keccak256(words.as_flattened());
    let mut nonce = B256::ZERO;
    nonce[..TAG.len()].copy_from_slice(&TAG);
    nonce[TAG.len()..SALT_AT].copy_from_slice(&hash[..SALT_AT - TAG.len()]);
    nonce[SALT_AT..].copy_from_slice(&salt);
    nonce
}

/// The relation of `nonce` to the order of `quantity` units of `token`.
pub fn binding(nonce: B256, chain_id: u64, token: Address, quantity: Quantity) -> Binding {
    if !nonce.starts_with(&TAG) {
        return Binding::Unbound;
    }
    let mut salt = [0; SALT_BYTES];
    salt.copy_from_slice(&nonce[SALT_AT..]);
    if nonce == bound_nonce(chain_id, token, quantity, salt) { Binding::ThisOrder } else { Binding::Elsewhere }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::examples;
    use crate::ids::PaymentKey;
    use crate::request::{Inconsistent, PaymentRequest, Purchase, RequestFields};
    use serde_json::Value;

    const SALT: [u8; SALT_BYTES] = [7; SALT_BYTES];

    /// The example order, its nonce replaced.
    fn paid_with(nonce: B256) -> RequestFields {
        let mut request = examples::request().into_fields();
        request.authorization.nonce = nonce;
        request.payment_key = PaymentKey::new(request.chain_id, request.asset, request.payer(), nonce);
        request
    }

    fn nonce_of_example() -> B256 {
        let Purchase::Mint { token, quantity, .. } = examples::request().purchase;
        bound_nonce(examples::CHAIN_ID, token, quantity, SALT)
    }

    /// Made with viem: `tools/vectors/bound-nonce.mjs`.
    #[test]
    fn bound_nonces_are_the_golden_ones() {
        let file: Value = serde_json::from_str(include_str!("../vectors/bound-nonce.json")).unwrap();
        assert_eq!(TYPE_HASH, keccak256(file["type"].as_str().unwrap()));
        assert_eq!(file["typeHash"], TYPE_HASH.to_string());
        let cases = file["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 5);
        for case in cases {
            let text = |field: &str| case[field].as_str().unwrap();
            let (chain_id, token) = (text("chainId").parse().unwrap(), text("token").parse().unwrap());
            let quantity = Quantity::new(case["quantity"].as_u64().unwrap().try_into().unwrap()).unwrap();
            let salt = text("salt").parse::<alloy_primitives::FixedBytes<SALT_BYTES>>().unwrap();
            let nonce = bound_nonce(chain_id, token, quantity, salt.0);
            assert_eq!(nonce.to_string(), text("nonce"));
            assert_eq!(binding(nonce, chain_id, token, quantity), Binding::ThisOrder);
        }
    }

    #[test]
    fn a_bound_nonce_fits_its_order_and_no_other() {
        let (chain_id, token, ten) = (84532, examples::TOKEN, Quantity::new(10).unwrap());
        let nonce = bound_nonce(chain_id, token, ten, SALT);
        let eleven = Quantity::new(11).unwrap();
        for (name, chain_id, token, quantity, expected) in [
            ("the order", chain_id, token, ten, Binding::ThisOrder),
            ("another chain", 8453, token, ten, Binding::Elsewhere),
            ("another token", chain_id, examples::SIGNER, ten, Binding::Elsewhere),
            ("another quantity", chain_id, token, eleven, Binding::Elsewhere),
        ] {
            assert_eq!(binding(nonce, chain_id, token, quantity), expected, "{name}");
        }
        for byte in 0..32 {
            let mut other = nonce;
            other[byte] ^= 1;
            let expected = if byte < TAG.len() { Binding::Unbound } else { Binding::Elsewhere };
            assert_eq!(binding(other, chain_id, token, ten), expected, "byte {byte}");
        }
    }

    #[test]
    fn there_is_no_request_whose_nonce_was_bound_to_another_order() {
        let check = |fields: RequestFields| PaymentRequest::new(fields).map(drop);
        assert_eq!(check(examples::request().into_fields()), Ok(()), "without tag");
        assert_eq!(check(paid_with(nonce_of_example())), Ok(()));
        let other = bound_nonce(examples::CHAIN_ID, examples::TOKEN, Quantity::new(9).unwrap(), SALT);
        assert_eq!(check(paid_with(other)), Err(Inconsistent::Nonce));
        let mut tag_alone = B256::ZERO;
        tag_alone[..TAG.len()].copy_from_slice(&TAG);
        assert_eq!(check(paid_with(tag_alone)), Err(Inconsistent::Nonce), "the tag by chance");
    }

    /// Ten units at 1 cost what five units at 2 cost: value and payee agree, only the nonce tells them apart.
    #[test]
    fn s03_a_bound_payment_does_not_buy_another_quantity_for_the_same_money() {
        let mut request = paid_with(nonce_of_example());
        let Purchase::Mint { quantity, unit_price, .. } = &mut request.purchase;
        (*quantity, unit_price.0) = (Quantity::new(5).unwrap(), unit_price.0 * 2);
        assert_eq!(PaymentRequest::new(request), Err(Inconsistent::Nonce));
    }
}
