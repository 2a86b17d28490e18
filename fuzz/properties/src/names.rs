//! Small values that arrive as text or bytes: ids, amounts, idempotency keys, nonces.

use crate::Outcome;
use alloy_primitives::{Address, B256};
use domain::idempotency::{IdempotencyKeySource, key_text};
use domain::nonce::{Binding, SALT_BYTES, TAG, binding, bound_nonce};
use domain::{IdempotencyKey, PaymentId, Quantity, Usdc};
use serde_json::Value;

/// Target: every parser gets the same bytes.
pub fn names(input: &[u8]) -> Outcome {
    let taken = [id(input), amount(input), nonce(input)];
    keys_do_not_meet(input);
    if taken.contains(&Outcome::Taken) { Outcome::Taken } else { Outcome::Refused }
}

/// An id has one spelling, apart from the case of its digits.
fn id(input: &[u8]) -> Outcome {
    let Some(text) = std::str::from_utf8(input).ok() else { return Outcome::Refused };
    let Ok(id) = text.parse::<PaymentId>() else { return Outcome::Refused };
    assert!(id.to_string().eq_ignore_ascii_case(text), "{text} is read as {id}");
    assert!(id.to_string().starts_with(id.shard()));
    Outcome::Taken
}

/// An amount has one spelling.
fn amount(input: &[u8]) -> Outcome {
    let Some(text) = std::str::from_utf8(input).ok() else { return Outcome::Refused };
    let Ok(amount) = serde_json::from_value::<Usdc>(Value::from(text)) else { return Outcome::Refused };
    assert_eq!(serde_json::to_value(amount).unwrap(), text);
    for units in [1, 10, u32::MAX] {
        let price = amount.times(Quantity::new(units).unwrap());
        assert_eq!(price.map(|price| u128::from(price.0)), exact(amount, units));
    }
    Outcome::Taken
}

fn exact(amount: Usdc, units: u32) -> Option<u128> {
    let product = u128::from(amount.0) * u128::from(units);
    (product <= u128::from(u64::MAX)).then_some(product)
}

/// A bound nonce fits the order from which it was made, and no longer fits with one bit changed. A nonce without a tag
/// is bound to nothing.
fn nonce(input: &[u8]) -> Outcome {
    let mut rest = input;
    let Some((nonce, chain_id, token, units, salt)) = (|| {
        let nonce = B256::new(*rest.split_off(..32)?.first_chunk()?);
        let chain_id = u64::from_be_bytes(*rest.split_off(..8)?.first_chunk()?);
        let token = Address::new(*rest.split_off(..20)?.first_chunk()?);
        let units = Quantity::new(u32::from_be_bytes(*rest.split_off(..4)?.first_chunk()?))?;
        Some((nonce, chain_id, token, units, *rest.first_chunk::<SALT_BYTES>()?))
    })() else {
        return Outcome::Refused;
    };
    let tagged = nonce.starts_with(&TAG);
    assert_eq!(binding(nonce, chain_id, token, units) == Binding::Unbound, !tagged);

    let bound = bound_nonce(chain_id, token, units, salt);
    assert_eq!(binding(bound, chain_id, token, units), Binding::ThisOrder);
    assert_ne!(binding(bound, chain_id ^ 1, token, units), Binding::ThisOrder);
    let (mut other_token, more) = (token, Quantity::new(units.get() ^ 2));
    other_token.0[19] ^= 1;
    assert_ne!(binding(bound, chain_id, other_token, units), Binding::ThisOrder);
    assert!(more.is_none_or(|more| binding(bound, chain_id, token, more) != Binding::ThisOrder));
    let (mut other, bit) = (bound, usize::from(nonce[31]));
    other[bit / 8] ^= 1 << (bit % 8);
    assert_ne!(binding(other, chain_id, token, units), Binding::ThisOrder, "bit {bit}");
    if tagged { Outcome::Taken } else { Outcome::Refused }
}

/// One text in the two places where a key can stand is two keys; so are equal keys of two payers.
fn keys_do_not_meet(input: &[u8]) {
    let Some(text) = std::str::from_utf8(input).ok().and_then(key_text) else { return };
    assert!((1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()), "{text:?} is shown in logs");
    assert_eq!(key_text(&format!(" \"{text}\" ")), Some(text), "quotes and space are not part of it");
    let key = |payer, source| IdempotencyKey::new(payer, source, text);
    let header = key(Address::ZERO, IdempotencyKeySource::Header);
    assert_eq!(header, key(Address::ZERO, IdempotencyKeySource::Header));
    assert_ne!(header, key(Address::ZERO, IdempotencyKeySource::PaymentIdentifier));
    assert_ne!(header, key(Address::repeat_byte(1), IdempotencyKeySource::Header));
}
