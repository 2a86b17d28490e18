//! B01 to B10: which header, how long, and what is inside the base64.

use super::{Answer, TAKEN, answer, pay_header, refused};
use crate::common::{base64, good, pay_text};
use ::base64::Engine as _;
use ::base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};
use alloy_primitives::hex;
use serde_json::json;
use x402::HeaderName::{PaymentSignature, XPayment};
use x402::{MAX_HEADER_BYTES, MAX_JSON_DEPTH, one_header};

const NOT_BASE64: Answer = refused(400, "payment_not_base64");
const NOT_UTF8: Answer = refused(400, "payment_not_utf8");
const TOO_LARGE: Answer = refused(431, "payment_header_too_large");
const TOO_DEEP: Answer = refused(400, "payment_too_deep");

#[test]
fn b01_b02_no_header_or_an_empty_one_is_answered_with_the_offer() {
    assert_eq!(answer(one_header([], [])), refused(402, "payment_required"));
    assert_eq!(answer(pay_header("")), refused(402, "payment_required"));
    assert_eq!(pay_header("").unwrap_err().reason(), "Payment required");
}

#[test]
fn b03_what_is_not_base64_is_malformed() {
    let json = good().to_string();
    for value in ["%%%", "e", "=", "====", "e30=e30=", "e31=", "e30==", "e30===", "\0\0\0\0", "ümlaut", &json] {
        assert_eq!(answer(pay_header(value)), NOT_BASE64, "{value}");
    }
}

#[test]
fn b04_base64url_and_white_space_are_malformed() {
    let mut payment = good();
    payment["resource"] = json!({ "url": "???>>>~~~" });
    let json = payment.to_string();
    let standard = BASE64_STANDARD.encode(&json);
    assert_eq!(answer(pay_header(&standard)), TAKEN);
    for url_safe in [BASE64_URL_SAFE.encode(&json), BASE64_URL_SAFE_NO_PAD.encode(&json)] {
        assert!(url_safe.contains(['-', '_']));
        assert_eq!(answer(pay_header(&url_safe)), NOT_BASE64);
    }
    for space in [" ", "\t", "\n", "\r\n", "\u{a0}", "\u{feff}"] {
        for at in [0, 1, 4, standard.len() / 2, standard.len()] {
            let mut value = standard.clone();
            value.insert_str(at, space);
            assert_eq!(answer(pay_header(&value)), NOT_BASE64, "{space:?} at {at}");
        }
    }
}

#[test]
fn b04_missing_padding_is_taken_because_the_vectors_take_it() {
    let mut text = good().to_string();
    for padding in ["==", "="] {
        while !base64(&text).ends_with(padding) {
            text.push(' ');
        }
        assert_eq!(answer(pay_header(base64(&text).trim_end_matches('='))), TAKEN);
    }
}

#[test]
fn b05_b06_two_payment_headers_are_ambiguous_even_if_they_are_equal() {
    let (a, b) = (&b"a"[..], &b"b"[..]);
    let ambiguous = refused(400, "payment_header_ambiguous");
    for (v2, v1) in [(vec![a, b], vec![]), (vec![], vec![a, b]), (vec![a], vec![b]), (vec![a, a], vec![])] {
        assert_eq!(answer(one_header(v2, v1)), ambiguous);
    }
    assert_eq!(answer(one_header([a], [&b""[..]])), ambiguous, "an empty one is one");
    assert_eq!(one_header([a], []), Ok((PaymentSignature, a)));
    assert_eq!(one_header([], [b]), Ok((XPayment, b)));
}

#[test]
fn b07_b08_a_header_over_the_cap_is_431_before_it_is_decoded() {
    for length in [MAX_HEADER_BYTES + 1, 1 << 20] {
        assert_eq!(answer(pay_header(vec![b'%'; length])), TOO_LARGE);
    }
    assert_eq!(answer(pay_header(vec![b'%'; MAX_HEADER_BYTES])), NOT_BASE64);
    let ten_thousand = vec![&b"e30="[..]; 10_000];
    assert_eq!(answer(one_header(ten_thousand, [])), refused(400, "payment_header_ambiguous"));
}

/// Clients that echo a long offer send more than 8 KiB.
#[test]
fn b07_a_payment_of_8_kib_and_one_byte_is_still_looked_at() {
    let padded = |bytes: usize| format!("{}{}", good(), " ".repeat(bytes / 4 * 3 - good().to_string().len()));
    let over_8_kib = base64(padded(8 * 1024 + 4));
    assert!(over_8_kib.len() > 8 * 1024);
    assert_eq!(answer(pay_header(over_8_kib)), TAKEN);
    let longest = base64(padded(MAX_HEADER_BYTES));
    assert_eq!(longest.len(), MAX_HEADER_BYTES);
    assert_eq!(answer(pay_header(longest)), TAKEN);
}

#[test]
fn b09_what_is_not_utf8_inside_is_malformed() {
    let utf16: Vec<u8> = good().to_string().encode_utf16().flat_map(u16::to_le_bytes).chain([0xff]).collect();
    for (name, bytes) in [
        ("a stray byte", &hex!("7bff7d")[..]),
        ("an overlong slash", &hex!("7bc0af7d")),
        ("an encoded surrogate", &hex!("7beda0807d")),
        ("above U+10FFFF", &hex!("7bf49080807d")),
        ("a cut sequence", &hex!("7be282")),
        ("UTF-16", &utf16),
        ("gzip (B15)", &hex!("1f8b08000000000000ffabae0500")),
    ] {
        assert_eq!(answer(pay_header(base64(bytes))), NOT_UTF8, "{name}");
    }
}

#[test]
fn b10_deep_nesting_is_refused() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        assert_eq!(answer(pay_text(&nested(MAX_JSON_DEPTH + 1))), TOO_DEEP);
        assert_eq!(answer(pay_text(&nested(1_000))), TOO_DEEP);
        assert_eq!(answer(pay_text(&nested(10_000))), TOO_LARGE);
        let beside = |depth| good().to_string().replacen('{', &format!("{{\"deep\":{},", nested(depth)), 1);
        assert_eq!(answer(pay_text(&beside(MAX_JSON_DEPTH - 1))), TAKEN);
        assert_eq!(answer(pay_text(&beside(MAX_JSON_DEPTH))), TOO_DEEP);
    }
    assert_eq!(answer(pay_text(&"[".repeat(10_000))), TOO_DEEP, "never closed");
}

#[test]
fn b10_brackets_inside_strings_do_not_count() {
    let mut payment = good();
    payment["extensions"] = json!({ "a": format!("\"\\{}", "[".repeat(MAX_JSON_DEPTH * 2)) });
    assert_eq!(answer(pay_text(&payment.to_string())), TAKEN);
}
