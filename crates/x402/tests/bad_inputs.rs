//! Bad inputs B01 to B44 of docs/CATALOGUE.md, as far as they end in this crate: each by its outcome.
//!
//! Not here, because they need the past, the chain or the connection: B15, B33, B37 to B39, B41 to B44.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use alloy_primitives::{Address, B256, U256, hex, keccak256};
use common::{
    DAY, KEY, MARGIN, NOW, OTHER, authorization, base64, good, offer, pay, pay_resigned, pay_signed, pay_text,
    pay_with, payload, sign, sign_digest, v1_json, v2_json,
};
use serde_json::json;
use x402::{
    HeaderName::{PaymentSignature, XPayment},
    MAX_HEADER_BYTES, MAX_JSON_DEPTH, Network, Rejection, Version, decode, one_header, payment_required, verify,
};

/// A v2 header value against the offer of the tests.
fn pay_header(value: &[u8]) -> Result<x402::Verified, Rejection> {
    pay(PaymentSignature, value, &offer())
}

/// secp256k1's order minus one, and the order: the edges of s and r.
const ORDER: [u8; 32] = hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");

#[test]
fn the_unspoilt_payment_is_taken() {
    assert!(pay_text(&good().to_string()).is_ok());
}

#[test]
fn b01_b02_no_header_or_an_empty_one_is_answered_with_the_offer() {
    assert_eq!(one_header([], []), Err(Rejection::PaymentRequired));
    assert_eq!(pay_header(b""), Err(Rejection::PaymentRequired));
    assert_eq!(Rejection::PaymentRequired.http_status(), 402);
    assert_eq!(Rejection::PaymentRequired.reason(), "Payment required");
}

#[test]
fn b03_b04_what_is_not_standard_base64_is_malformed() {
    for value in ["%%%", "e", "e30=e30=", "e3 0=", "e30=\n", "e30\t", "eyJhIjoi_-8ifQ", "e31="] {
        assert_eq!(pay_header(value.as_bytes()), Err(Rejection::NotBase64), "{value}");
    }
}

#[test]
fn b04_missing_padding_is_taken_because_the_vectors_take_it() {
    let mut text = good().to_string();
    while text.len() % 3 != 1 {
        text.push(' ');
    }
    let padded = base64(text);
    assert!(padded.ends_with("=="));
    assert!(pay_header(padded.trim_end_matches('=').as_bytes()).is_ok());
}

#[test]
fn b05_b06_two_payment_headers_are_ambiguous() {
    let (a, b) = (&b"a"[..], &b"b"[..]);
    for (v2, v1) in [(vec![a, b], vec![]), (vec![], vec![a, b]), (vec![a], vec![b])] {
        assert_eq!(one_header(v2, v1), Err(Rejection::AmbiguousHeaders));
    }
    assert_eq!(one_header([a], []), Ok((PaymentSignature, a)));
    assert_eq!(one_header([], [b]), Ok((XPayment, b)));
    assert_eq!(Rejection::AmbiguousHeaders.http_status(), 400);
}

#[test]
fn b07_b08_a_header_over_the_cap_is_431_before_it_is_decoded() {
    for length in [MAX_HEADER_BYTES + 1, 1 << 20] {
        let refused = pay_header(&vec![b'%'; length]).unwrap_err();
        assert_eq!((refused, refused.http_status()), (Rejection::HeaderTooLarge, 431));
    }
    assert_eq!(pay_header(&vec![b'%'; MAX_HEADER_BYTES]), Err(Rejection::NotBase64));
}

#[test]
fn b09_b12_b14_what_is_not_one_json_object_in_utf8_is_malformed() {
    assert_eq!(pay_header(base64([0x7b, 0xff, 0x7d]).as_bytes()), Err(Rejection::NotUtf8));
    let good = good().to_string();
    for text in [
        format!("{good} x"),
        format!("{good}{good}"),
        format!("\u{feff}{good}"),
        format!("{good}\0"),
        format!("[{good}]"),
        "{".into(),
        "[2, \"exact\", null, null, null, null]".into(),
        "\"x\"".into(),
        "{\"x402Version\":NaN}".into(),
    ] {
        assert_eq!(pay_text(&text), Err(Rejection::NotJson), "{text}");
    }
    let lone = good.replace("eip155:84532", "\\ud800");
    assert_eq!(pay_text(&lone), Err(Rejection::MalformedField("accepted.network")));
}

#[test]
fn b10_deep_nesting_is_refused_and_depth_inside_strings_does_not_count() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let depth = MAX_HEADER_BYTES / 2 / (open.len() + close.len());
        let text = format!("{{\"a\":{}1{}}}", open.repeat(depth), close.repeat(depth));
        assert_eq!(pay_text(&text), Err(Rejection::TooDeep));
    }
    let mut payment = good();
    payment["extensions"] = json!({ "a": format!("\"\\{}", "[".repeat(MAX_JSON_DEPTH * 2)) });
    assert!(pay_text(&payment.to_string()).is_ok());
}

#[test]
fn b11_a_key_twice_is_refused_even_if_escaped() {
    let good = good().to_string();
    for twice in ["\"value\":\"10000\",\"value\":\"10000\"", "\"value\":\"10000\",\"v\\u0061lue\":\"1\""] {
        let text = good.replace("\"value\":\"10000\"", twice);
        assert_ne!(text, good);
        assert_eq!(pay_text(&text), Err(Rejection::MalformedField("payload.authorization")));
    }
    let text = good.replacen('{', "{\"x402Version\":2,", 1);
    assert_eq!(pay_text(&text), Err(Rejection::NotJson));
}

#[test]
fn b13_numbers_and_other_types_in_place_of_strings_are_malformed() {
    for value in [json!(10000), json!(1e300), json!(null), json!(true), json!(["10000"]), json!({})] {
        for (pointer, field) in [
            ("/payload/authorization/value", "authorization.value"),
            ("/payload/authorization/validAfter", "authorization.validAfter"),
            ("/payload/authorization/from", "authorization.from"),
            ("/payload/signature", "payload.signature"),
            ("/accepted/amount", "accepted.amount"),
        ] {
            assert_eq!(pay_with(pointer, value.clone()), Err(Rejection::MalformedField(field)));
        }
    }
    let text = good().to_string().replace("\"value\":\"10000\"", "\"value\":1e400");
    assert_eq!(pay_text(&text).unwrap_err().http_status(), 400);
}

#[test]
fn b16_unknown_fields_are_ignored_because_the_vectors_ignore_them() {
    let mut payment = good();
    payment["hello"] = json!([1]);
    payment["payload"]["authorization"]["memo"] = json!("x");
    payment["accepted"]["extra"]["foo"] = json!(null);
    assert!(pay_text(&payment.to_string()).is_ok());
}

#[test]
fn b17_a_version_that_is_not_the_headers_integer_is_refused() {
    for version in [json!(0), json!(1), json!(3), json!("2"), json!(2.0), json!(null), json!([2])] {
        let refused = pay_with("/x402Version", version).unwrap_err();
        assert_eq!(refused, Rejection::InvalidVersion);
        assert_eq!((refused.reason(), refused.http_status()), ("invalid_x402_version", 400));
    }
}

#[test]
fn b18_another_scheme_is_refused() {
    for scheme in ["upto", "Exact", ""] {
        let differs = Rejection::NoMatchingRequirements("scheme");
        assert_eq!(pay_with("/accepted/scheme", json!(scheme)), Err(differs));
        let mut payment = v1_json(&offer(), json!({}));
        payment["scheme"] = json!(scheme);
        let value = base64(payment.to_string());
        assert_eq!(decode(XPayment, value.as_bytes()), Err(Rejection::InvalidScheme));
    }
}

#[test]
fn b19_another_network_is_refused_however_similar() {
    for network in ["base", "base-sepolia", "eip155:1", "eip155:084532", "EIP155:84532", " eip155:84532"] {
        let differs = Rejection::NoMatchingRequirements("network");
        assert_eq!(pay_with("/accepted/network", json!(network)), Err(differs));
    }
}

#[test]
fn b19_v1_does_not_pay_on_a_network_without_v1_name() {
    let terms = authorization(&offer());
    let value = base64(v1_json(&offer(), payload(&terms, &sign(&offer(), &terms, KEY))).to_string());
    assert!(pay(XPayment, value.as_bytes(), &offer()).is_ok());
    let network = Network { chain_id: 84532, v1_name: None };
    let nameless = x402::Offer { network, ..offer() };
    assert_eq!(pay(XPayment, value.as_bytes(), &nameless), Err(Rejection::InvalidNetwork));
    assert_eq!(payment_required(&nameless, "no").body["accepts"], json!([]));
}

#[test]
fn b20_the_asset_is_compared_by_value_and_malformed_ones_are_refused() {
    let asset = offer().asset.to_string();
    let wrong_checksum = format!("0x{}", asset[2..].to_uppercase());
    assert!(pay_with("/accepted/asset", json!(wrong_checksum)).is_ok());
    for other in [OTHER.to_string(), Address::ZERO.to_string()] {
        let differs = Rejection::NoMatchingRequirements("asset");
        assert_eq!(pay_with("/accepted/asset", json!(other)), Err(differs));
    }
    let upper_prefix = asset.replace("0x", "0X");
    for bad in ["0x036CbD", "usdc.eth", "", "0x", &asset[2..], &upper_prefix, &format!("0x0x{}", &asset[4..])] {
        let malformed = Rejection::MalformedField("accepted.asset");
        assert_eq!(pay_with("/accepted/asset", json!(bad)), Err(malformed), "{bad}");
    }
}

#[test]
fn b21_b22_changed_terms_in_accepted_are_no_offer_of_ours() {
    for (pointer, value, term) in [
        ("/accepted/payTo", json!(OTHER.to_string()), "payTo"),
        ("/accepted/amount", json!("1"), "amount"),
        ("/accepted/amount", json!("10001"), "amount"),
        ("/accepted/extra/name", json!("USD Coin"), "extra.name"),
        ("/accepted/extra/version", json!("1"), "extra.version"),
    ] {
        assert_eq!(pay_with(pointer, value), Err(Rejection::NoMatchingRequirements(term)));
    }
    let extra = json!({ "assetTransferMethod": "permit2" });
    let differs = Rejection::NoMatchingRequirements("extra.assetTransferMethod");
    assert_eq!(pay_with("/accepted/extra", extra), Err(differs));
    for absent in [json!({}), json!(null)] {
        assert!(pay_with("/accepted/extra", absent).is_ok());
    }
}

#[test]
fn b23_an_authorization_to_another_recipient_is_refused() {
    assert_eq!(pay_signed(|a| a.to = OTHER), Err(Rejection::RecipientMismatch));
}

#[test]
fn b24_a_payer_who_is_payee_asset_or_nobody_is_refused() {
    let mut own = offer();
    own.pay_to = common::address_of(KEY);
    let terms = authorization(&own);
    let value = base64(v2_json(&own, payload(&terms, &sign(&own, &terms, KEY))).to_string());
    assert_eq!(pay(PaymentSignature, value.as_bytes(), &own), Err(Rejection::PayerNotAllowed));
    for from in [offer().asset, Address::ZERO] {
        assert_eq!(pay_signed(|a| a.from = from), Err(Rejection::PayerNotAllowed));
    }
}

#[test]
fn b25_a_value_other_than_the_price_is_refused_above_and_below() {
    for value in
        [U256::ZERO, U256::from(9_999), U256::from(10_001), U256::MAX, U256::from(10_000) + (U256::from(1) << 64)]
    {
        let mismatch = Rejection::ValueMismatch(Version::V2);
        assert_eq!(pay_signed(|a| a.value = value), Err(mismatch));
    }
}

#[test]
fn b25_a_value_that_is_not_a_canonical_decimal_is_malformed() {
    let two_to_256 = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
    let long = "1".repeat(79);
    for value in [
        "010000",
        "00",
        "0x2710",
        "1e4",
        " 10000",
        "10000 ",
        "+10000",
        "-1",
        "",
        "10000.0",
        "1_0000",
        "١٠٠٠٠",
        two_to_256,
        &long,
    ] {
        let malformed = Rejection::MalformedField("authorization.value");
        assert_eq!(pay_with("/payload/authorization/value", json!(value)), Err(malformed), "{value}");
    }
}

#[test]
fn b26_valid_after_may_be_now_but_not_later() {
    assert!(pay_signed(|a| a.valid_after = NOW).is_ok());
    for later in [NOW + 1, u64::MAX] {
        assert_eq!(pay_signed(|a| a.valid_after = later), Err(Rejection::NotYetValid));
    }
}

#[test]
fn b27_d14_the_window_must_be_longer_than_our_margin_and_shorter_than_the_cap() {
    let window = |valid_before, margin| {
        let (offer, mut terms) = (offer(), authorization(&offer()));
        terms.valid_before = valid_before;
        let value = base64(v2_json(&offer, payload(&terms, &sign(&offer, &terms, KEY))).to_string());
        let payment = decode(PaymentSignature, value.as_bytes()).unwrap();
        verify(&payment, &offer, NOW, margin, DAY).map(|_| ())
    };
    let soon = |left_s, needed_s| Err(Rejection::ExpiresTooSoon { left_s, needed_s });
    let late = |left_s| Err(Rejection::ExpiresTooLate { left_s, allowed_s: DAY });
    for (valid_before, margin, expected) in [
        (0, MARGIN, soon(0, MARGIN)),
        (NOW - 1, MARGIN, soon(0, MARGIN)),
        (NOW, 0, soon(0, 0)),
        (NOW + 1, 0, Ok(())),
        (NOW + 5, MARGIN, soon(5, MARGIN)),
        (NOW + MARGIN, MARGIN, Ok(())),
        (NOW + 119, 120, soon(119, 120)),
        (NOW + 120, 120, Ok(())),
        (NOW + DAY, MARGIN, Ok(())),
        (NOW + DAY + 1, MARGIN, late(DAY + 1)),
        (u64::MAX, MARGIN, late(u64::MAX - NOW)),
    ] {
        assert_eq!(window(valid_before, margin), expected, "{valid_before} {margin}");
    }
    let malformed = Rejection::MalformedField("authorization.validBefore");
    for beyond in ["18446744073709551616", &U256::MAX.to_string()] {
        let pointer = "/payload/authorization/validBefore";
        assert_eq!(pay_with(pointer, json!(beyond)), Err(malformed));
    }
}

#[test]
fn b28_a_window_that_ends_before_it_begins_is_refused() {
    let refused = pay_signed(|a| (a.valid_after, a.valid_before) = (NOW + 200, NOW + 100));
    assert_eq!(refused, Err(Rejection::NotYetValid));
}

#[test]
fn b29_a_nonce_is_0x_and_64_digits_and_may_be_zero() {
    assert!(pay_signed(|a| a.nonce = B256::ZERO).is_ok());
    let digits = "07".repeat(32);
    for bad in [
        format!("0x{}", &digits[2..]),
        format!("0x{digits}07"),
        format!("0X{digits}"),
        format!("0x{}", &digits[1..]),
        format!("0x{}zz", &digits[2..]),
        digits.clone(),
    ] {
        let malformed = Rejection::MalformedField("authorization.nonce");
        assert_eq!(pay_with("/payload/authorization/nonce", json!(bad)), Err(malformed), "{bad}");
    }
}

#[test]
fn b30_v_0_and_1_are_lifted_to_27_and_28() {
    let lifted = pay_resigned(|s| s[64] -= 27).unwrap();
    assert_eq!(lifted, pay_text(&good().to_string()).unwrap());
}

#[test]
fn b30_signatures_of_another_form_are_refused() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(&str, Change, Rejection); 11] = [
        ("empty", Vec::clear, Rejection::MalformedSignature),
        ("64 bytes", |s| s.truncate(64), Rejection::MalformedSignature),
        ("66 bytes", |s| s.push(0), Rejection::SmartWalletSignature),
        ("v 2", |s| s[64] = 2, Rejection::MalformedSignature),
        ("v 29", |s| s[64] = 29, Rejection::MalformedSignature),
        ("v 255", |s| s[64] = 255, Rejection::MalformedSignature),
        ("r 0", |s| s[..32].fill(0), Rejection::MalformedSignature),
        ("s 0", |s| s[32..64].fill(0), Rejection::MalformedSignature),
        ("r = n", |s| s[..32].copy_from_slice(&ORDER), Rejection::MalformedSignature),
        ("s = n", |s| s[32..64].copy_from_slice(&ORDER), Rejection::HighS),
        ("high s", |s| malleate(s), Rejection::HighS),
    ];
    for (name, change, expected) in changes {
        let refused = pay_resigned(change).unwrap_err();
        assert_eq!(refused, expected, "{name}");
        assert_eq!(refused.reason(), "invalid_exact_evm_payload_signature");
    }
    let pointer = "/payload/signature";
    let not_hex = Rejection::MalformedField("payload.signature");
    for bad in ["0xzz", "0x1", "00", "0x0x"] {
        assert_eq!(pay_with(pointer, json!(bad)), Err(not_hex));
    }
}

/// The other signature of the same key over the same digest: n - s, other v.
fn malleate(signature: &mut [u8]) {
    let s = U256::from_be_slice(&signature[32..64]);
    let high = U256::from_be_bytes(ORDER) - s;
    signature[32..64].copy_from_slice(&high.to_be_bytes::<32>());
    signature[64] = 55 - signature[64];
}

#[test]
fn b31_an_all_zero_wrapper_is_refused_as_a_smart_wallets() {
    let wrapper = |s: &mut Vec<u8>| {
        *s = vec![0; 128];
        s.extend(hex!("6492649264926492649264926492649264926492649264926492649264926492"));
    };
    assert_eq!(pay_resigned(wrapper), Err(Rejection::SmartWalletSignature));
}

#[test]
fn b34_a_signature_for_another_domain_is_refused() {
    let terms = authorization(&offer());
    let mut others = [offer(), offer(), offer(), offer()];
    others[0].network.chain_id = 8453;
    others[1].asset_name = "USD Coin".into();
    others[2].asset_version = "1".into();
    others[3].asset = OTHER;
    for other in others {
        let json = v2_json(&offer(), payload(&terms, &sign(&other, &terms, KEY)));
        assert_eq!(pay_text(&json.to_string()), Err(Rejection::SignerMismatch));
    }
}

#[test]
fn b35_a_signature_over_another_kind_of_authorization_is_refused() {
    let (offer, terms) = (offer(), authorization(&offer()));
    let domain = x402::domain_separator("USDC", "2", 84532, offer.asset);
    let words = [
        terms.from.into_word(),
        terms.to.into_word(),
        terms.value.into(),
        B256::ZERO,
        U256::from(terms.valid_before).into(),
        terms.nonce,
    ];
    let fields = "(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)";
    for (kind, words) in [
        (format!("ReceiveWithAuthorization{fields}"), &words[..]),
        ("CancelAuthorization(address authorizer,bytes32 nonce)".into(), &[words[0], words[5]][..]),
    ] {
        let body: Vec<u8> = words.iter().flat_map(|word| word.0).collect();
        let inner = keccak256([keccak256(kind).as_slice(), &body].concat());
        let digest = keccak256([&[0x19, 1], domain.as_slice(), inner.as_slice()].concat());
        let json = v2_json(&offer, payload(&terms, &sign_digest(digest, KEY)));
        assert_eq!(pay_text(&json.to_string()), Err(Rejection::SignerMismatch));
    }
}

#[test]
fn b36_a_signature_by_another_key_is_refused() {
    let terms = authorization(&offer());
    let json = v2_json(&offer(), payload(&terms, &sign(&offer(), &terms, [9; 32])));
    assert_eq!(pay_text(&json.to_string()), Err(Rejection::SignerMismatch));
}
