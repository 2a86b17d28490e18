//! B25 to B29: value, window and nonce of the authorization.

use super::{Answer, TAKEN, answer, malformed, pay_v1_with, refused};
use crate::common::{
    DAY, KEY, MARGIN, NOW, authorization, base64, offer, pay_signed, pay_with, payload, sign, v2_json,
};
use alloy_primitives::{B256, U256};
use domain::Usdc;
use serde_json::json;
use x402::HeaderName::PaymentSignature;
use x402::{PaymentRejection, decode, verify};

/// 2^64 and 2^256, the first numbers that do not fit.
const TWO_TO_64: &str = "18446744073709551616";
const TWO_TO_256: &str = "115792089237316195423570985008687907853269984665640564039457584007913129639936";

/// Numbers in spellings that the protocol does not allow.
const NO_DECIMALS: [&str; 24] = [
    "",
    " ",
    "-",
    "-1",
    "-0",
    "+10000",
    "00",
    "010000",
    "0x2710",
    "0X2710",
    "1e4",
    "1E4",
    "10000.0",
    "10000.",
    ".1",
    " 10000",
    "10000 ",
    "10000\n",
    "1_0000",
    "10,000",
    "١٠٠٠٠",
    "１００００",
    "NaN",
    TWO_TO_256,
];

#[test]
fn b25_a_value_other_than_the_price_is_refused_above_and_below() {
    const MISMATCH: Answer = refused(402, "payment_value_mismatch");
    let price = U256::from(10_000);
    let others = [U256::ZERO, U256::ONE, price - U256::ONE, price + U256::ONE, U256::MAX];
    // The price in the lower 64 or 128 bits, so that a truncation would take it.
    for value in others.into_iter().chain([price + (U256::ONE << 64), price + (U256::ONE << 128)]) {
        match u64::try_from(value) {
            Ok(value) => assert_eq!(answer(pay_signed(|a| a.value = Usdc(value))), MISMATCH, "{value}"),
            Err(_) => {
                let pointer = "/payload/authorization/value";
                assert_eq!(answer(pay_with(pointer, json!(value.to_string()))), MISMATCH, "{value}");
            }
        }
        let v1 = pay_v1_with("/payload/authorization/value", json!(value.to_string()));
        assert_eq!(answer(v1), MISMATCH, "v1 {value}");
    }
}

#[test]
fn b25_a_value_that_is_not_a_canonical_decimal_is_malformed() {
    let long = "1".repeat(79);
    for value in NO_DECIMALS.into_iter().chain([long.as_str()]) {
        let pointer = "/payload/authorization/value";
        assert_eq!(answer(pay_with(pointer, json!(value))), malformed("authorization.value"), "{value:?}");
        assert_eq!(answer(pay_v1_with(pointer, json!(value))), malformed("authorization.value"), "v1 {value:?}");
    }
}

#[test]
fn b26_valid_after_may_be_now_but_not_later() {
    for (valid_after, answered) in [
        (0, TAKEN),
        (NOW - 1, TAKEN),
        (NOW, TAKEN),
        (NOW + 1, refused(402, "payment_not_yet_valid")),
        (u64::MAX, refused(402, "payment_not_yet_valid")),
    ] {
        assert_eq!(answer(pay_signed(|a| a.valid_after = valid_after)), answered, "{valid_after}");
    }
}

#[test]
fn b26_b27_a_time_that_is_not_a_canonical_decimal_of_64_bits_is_malformed() {
    let most = U256::MAX.to_string();
    for time in NO_DECIMALS.into_iter().chain([TWO_TO_64, &most]) {
        for (pointer, field) in [
            ("/payload/authorization/validAfter", "authorization.validAfter"),
            ("/payload/authorization/validBefore", "authorization.validBefore"),
        ] {
            assert_eq!(answer(pay_with(pointer, json!(time))), malformed(field), "{field} {time:?}");
        }
    }
}

/// A well signed payment that is valid until `valid_before`, against a margin.
fn pay_until(valid_before: u64, margin_s: u64) -> Result<(), PaymentRejection> {
    let (offer, mut terms) = (offer(), authorization(&offer()));
    terms.valid_before = valid_before;
    let value = base64(v2_json(&offer, payload(&terms, &sign(&offer, &terms, KEY))).to_string());
    let payment = decode(PaymentSignature, value.as_bytes()).unwrap();
    verify(&payment, &offer, NOW, margin_s, DAY).map(|_| ())
}

#[test]
fn b27_d14_the_window_must_be_longer_than_our_margin_and_shorter_than_the_cap() {
    let soon = |left_s, needed_s| Err(PaymentRejection::ExpiresTooSoon { left_s, needed_s });
    let late = |left_s| Err(PaymentRejection::ExpiresTooLate { left_s, allowed_s: DAY });
    for (valid_before, margin, expected) in [
        (0, MARGIN, soon(0, MARGIN)),
        (NOW - 1, MARGIN, soon(0, MARGIN)),
        (NOW, MARGIN, soon(0, MARGIN)),
        (NOW, 0, soon(0, 0)),
        (NOW + 1, 0, Ok(())),
        (NOW + 5, MARGIN, soon(5, MARGIN)),
        (NOW + MARGIN, MARGIN, Ok(())),
        (NOW + 5, 120, soon(5, 120)),
        (NOW + 119, 120, soon(119, 120)),
        (NOW + 120, 120, Ok(())),
        (NOW + DAY, MARGIN, Ok(())),
        (NOW + DAY + 1, MARGIN, late(DAY + 1)),
        (u64::MAX, MARGIN, late(u64::MAX - NOW)),
    ] {
        let outcome = pay_until(valid_before, margin);
        assert_eq!(outcome, expected, "{valid_before} {margin}");
        assert!(matches!(
            answer(outcome),
            TAKEN | Err((402, "payment_expires_too_soon" | "payment_expires_too_late", _))
        ));
    }
}

#[test]
fn b28_a_window_that_ends_before_it_begins_is_refused() {
    for (valid_after, valid_before, code) in [
        (NOW + 200, NOW + 100, "payment_not_yet_valid"),
        (NOW + 100, NOW + 100, "payment_not_yet_valid"),
        (NOW - 100, NOW - 200, "payment_expires_too_soon"),
        (u64::MAX, 0, "payment_expires_too_soon"),
    ] {
        let outcome = pay_signed(|a| (a.valid_after, a.valid_before) = (valid_after, valid_before));
        assert_eq!(answer(outcome), refused(402, code), "{valid_after} {valid_before}");
    }
}

#[test]
fn b29_a_nonce_is_0x_and_64_digits_and_may_be_any() {
    for nonce in [B256::ZERO, B256::repeat_byte(0xff), B256::with_last_byte(1)] {
        assert_eq!(answer(pay_signed(|a| a.nonce = nonce)), TAKEN, "{nonce}");
    }
    let digits = "0a".repeat(32);
    for bad in [
        format!("0x{}", &digits[2..]),
        format!("0x{digits}0a"),
        format!("0X{digits}"),
        format!("0x{}", &digits[1..]),
        format!("0x{digits}0"),
        format!("0x{}zz", &digits[2..]),
        format!("0x{}", "٠".repeat(64)),
        format!(" 0x{digits}"),
        digits.clone(),
        "0x".into(),
        String::new(),
        "7".into(),
    ] {
        let pointer = "/payload/authorization/nonce";
        assert_eq!(answer(pay_with(pointer, json!(bad))), malformed("authorization.nonce"), "{bad:?}");
    }
}
