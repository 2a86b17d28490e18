//! Parsers of single fields: strings, decimal numbers in strings, hex with 0x.
//!
//! They are stricter than the reference servers where these are lax by accident (`BigInt("")` is 0 in JavaScript). They
//! never guess: a JSON array is not an object, a number is not a string.

use alloy_primitives::{Address, B256, U256, hex};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::rejection::PaymentRejection;

/// A field as it stands in the text, unparsed. `null` counts as absent.
pub(crate) type Raw<'a> = Option<&'a RawValue>;

/// Digits of 2^256 - 1.
const U256_DIGITS: usize = 78;

/// An object with the fields of `T`. Unknown keys are skipped; a known key that appears twice is an error. The first
/// character is checked because serde would also fill a struct from an array.
pub(crate) fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    let is_object = text.trim_start().starts_with('{');
    if is_object { serde_json::from_str(text).ok() } else { None }
}

/// The object in a required field.
pub(crate) fn nested<'a, T: Deserialize<'a>>(raw: Raw<'a>, name: &'static str) -> Result<T, PaymentRejection> {
    raw.and_then(|raw| object(raw.get())).ok_or(PaymentRejection::MalformedField(name))
}

/// A required string. The JSON parser refuses lone surrogates and raw control characters.
pub(crate) fn string(raw: Raw<'_>, name: &'static str) -> Result<String, PaymentRejection> {
    optional_string(raw, name)?.ok_or(PaymentRejection::MalformedField(name))
}

/// A string, or `None` if the field is absent.
pub(crate) fn optional_string(raw: Raw<'_>, name: &'static str) -> Result<Option<String>, PaymentRejection> {
    let parsed = raw.map(|raw| serde_json::from_str::<String>(raw.get())).transpose();
    parsed.map_err(|_| PaymentRejection::MalformedField(name))
}

/// A decimal uint256 in a string: ASCII digits, no sign, no leading zero, no exponent.
pub(crate) fn uint256(raw: Raw<'_>, name: &'static str) -> Result<U256, PaymentRejection> {
    let text = string(raw, name)?;
    let canonical = text.bytes().all(|b| b.is_ascii_digit())
        && (1..=U256_DIGITS).contains(&text.len())
        && (text.len() == 1 || !text.starts_with('0'));
    let parsed = if canonical { U256::from_str_radix(&text, 10).ok() } else { None };
    parsed.ok_or(PaymentRejection::MalformedField(name))
}

/// Like [`uint256`], for seconds since 1970 that fit 64 bits.
pub(crate) fn seconds(raw: Raw<'_>, name: &'static str) -> Result<u64, PaymentRejection> {
    u64::try_from(uint256(raw, name)?).map_err(|_| PaymentRejection::MalformedField(name))
}

/// 0x and 40 hex digits of any case. The checksum is ignored: addresses are compared by value.
pub(crate) fn address(raw: Raw<'_>, name: &'static str) -> Result<Address, PaymentRejection> {
    let bytes = hex_bytes(raw, name)?;
    Address::try_from(bytes.as_slice()).map_err(|_| PaymentRejection::MalformedField(name))
}

/// 0x and 64 hex digits of any case.
pub(crate) fn bytes32(raw: Raw<'_>, name: &'static str) -> Result<B256, PaymentRejection> {
    let bytes = hex_bytes(raw, name)?;
    B256::try_from(bytes.as_slice()).map_err(|_| PaymentRejection::MalformedField(name))
}

/// A lower-case 0x and an even number of hex digits of any case, possibly none.
pub(crate) fn hex_bytes(raw: Raw<'_>, name: &'static str) -> Result<Vec<u8>, PaymentRejection> {
    let text = string(raw, name)?;
    let digits = text.strip_prefix("0x").filter(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    digits.and_then(|digits| hex::decode(digits).ok()).ok_or(PaymentRejection::MalformedField(name))
}
