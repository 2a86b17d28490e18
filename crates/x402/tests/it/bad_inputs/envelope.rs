//! B11 to B19: one JSON object, its keys, its types, version, scheme and network.

use super::{
    Answer, TAKEN, answer, differs, good_v1, malformed, pay_header, pay_replaced, pay_v1, pay_v1_with, refused,
};
use crate::common::{base64, good, offer, pay, pay_text, pay_with};
use serde_json::{Value, json};
use x402::HeaderName::XPayment;
use x402::{Network, Offer, payment_required};

const NOT_JSON: Answer = refused(400, "payment_not_json");

#[test]
fn b11_a_known_key_twice_is_refused_at_every_level() {
    for (key, answered) in [
        ("\"x402Version\":2", NOT_JSON),
        ("\"scheme\":\"exact\"", malformed("accepted")),
        ("\"network\":\"eip155:84532\"", malformed("accepted")),
        ("\"amount\":\"10000\"", malformed("accepted")),
        ("\"name\":\"USDC\"", malformed("accepted.extra")),
        ("\"version\":\"2\"", malformed("accepted.extra")),
        ("\"value\":\"10000\"", malformed("payload.authorization")),
        ("\"validAfter\":\"0\"", malformed("payload.authorization")),
        ("\"validBefore\":\"1800000300\"", malformed("payload.authorization")),
    ] {
        assert_eq!(answer(pay_replaced(key, &format!("{key},{key}"))), answered, "{key}");
    }
    for (object, key, answered) in [
        ("", "payload", NOT_JSON),
        ("", "accepted", NOT_JSON),
        ("", "extensions", NOT_JSON),
        ("/accepted", "extra", malformed("accepted")),
        ("/accepted", "asset", malformed("accepted")),
        ("/accepted", "payTo", malformed("accepted")),
        ("/payload", "signature", malformed("payload")),
        ("/payload", "authorization", malformed("payload")),
        ("/payload/authorization", "from", malformed("payload.authorization")),
        ("/payload/authorization", "to", malformed("payload.authorization")),
        ("/payload/authorization", "nonce", malformed("payload.authorization")),
    ] {
        assert_eq!(answer(pay_text(&with_twice(good(), object, key))), answered, "{object}/{key}");
    }
    for key in ["scheme", "network", "payload", "x402Version"] {
        assert_eq!(answer(pay_v1(&with_twice(good_v1(), "", key))), NOT_JSON, "{key}");
    }
}

/// The text of a payment with one key of one of its objects twice.
fn with_twice(mut payment: Value, object: &str, key: &str) -> String {
    let place = payment.pointer_mut(object).unwrap();
    place["_"] = place.get(key).cloned().unwrap_or(json!({}));
    place[key] = place["_"].clone();
    payment.to_string().replacen("\"_\":", &format!("\"{key}\":"), 1)
}

#[test]
fn b11_a_key_twice_is_refused_though_one_is_escaped_and_whatever_it_says() {
    for twice in ["\"value\":\"10000\",\"v\\u0061lue\":\"1\"", "\"value\":\"1\",\"\\u0076alue\":\"10000\""] {
        assert_eq!(answer(pay_replaced("\"value\":\"10000\"", twice)), malformed("payload.authorization"));
    }
    let null_first = "\"value\":null,\"value\":\"10000\"";
    assert_eq!(answer(pay_replaced("\"value\":\"10000\"", null_first)), malformed("payload.authorization"));
    assert_eq!(answer(pay_replaced("{", "{\"memo\":1,\"memo\":2,")), TAKEN, "unknown keys are not looked at");
}

#[test]
fn b12_what_stands_behind_the_json_is_refused() {
    let good = good().to_string();
    for behind in [" x", "}", ",", "\0", "//", "{}", &good, "\u{feff}"] {
        assert_eq!(answer(pay_text(&format!("{good}{behind}"))), NOT_JSON, "{behind}");
    }
    assert_eq!(answer(pay_text(&format!(" \t\r\n{good} \t\r\n"))), TAKEN);
}

#[test]
fn b12_what_is_not_one_object_is_refused() {
    let list = format!("[{}]", good());
    for text in ["{", "}", "[]", "null", "true", "2", "\"x\"", "[2,\"exact\",null,null,null,null]", " ", "'{}'", &list]
    {
        assert_eq!(answer(pay_text(text)), NOT_JSON, "{text}");
    }
}

#[test]
fn b13_what_is_no_json_number_is_refused() {
    for number in ["NaN", "Infinity", "-Infinity", "+1", "01", ".5", "1.", "0x2710", "1e"] {
        assert_eq!(answer(pay_replaced("\"value\":\"10000\"", &format!("\"value\":{number}"))), NOT_JSON, "{number}");
    }
}

#[test]
fn b13_a_number_or_another_type_in_place_of_a_string_is_malformed() {
    let values = ["10000", "1e400", "1e4", "-1", "1e300", "true", "[\"10000\"]", "{}", "null"];
    for (pointer, field) in [
        ("/payload/authorization/from", "authorization.from"),
        ("/payload/authorization/to", "authorization.to"),
        ("/payload/authorization/value", "authorization.value"),
        ("/payload/authorization/validAfter", "authorization.validAfter"),
        ("/payload/authorization/validBefore", "authorization.validBefore"),
        ("/payload/authorization/nonce", "authorization.nonce"),
        ("/payload/signature", "payload.signature"),
        ("/accepted/scheme", "accepted.scheme"),
        ("/accepted/network", "accepted.network"),
        ("/accepted/asset", "accepted.asset"),
        ("/accepted/payTo", "accepted.payTo"),
        ("/accepted/amount", "accepted.amount"),
    ] {
        for value in values {
            let mut payment = good();
            *payment.pointer_mut(pointer).unwrap() = json!("HERE");
            let text = payment.to_string().replace("\"HERE\"", value);
            assert_eq!(answer(pay_text(&text)), malformed(field), "{field} {value}");
        }
    }
    for (pointer, field) in [
        ("/payload", "payload"),
        ("/payload/authorization", "payload.authorization"),
        ("/accepted", "accepted"),
        ("/accepted/extra", "accepted.extra"),
        ("/accepted/extra/name", "accepted.extra.name"),
        ("/accepted/extra/version", "accepted.extra.version"),
    ] {
        for value in [json!(1), json!([]), json!(true), json!([["USDC"]])] {
            assert_eq!(answer(pay_with(pointer, value)), malformed(field), "{pointer}");
        }
    }
}

#[test]
fn b14_a_byte_order_mark_or_nul_is_refused() {
    let good = good().to_string();
    for text in [format!("\u{feff}{good}"), format!("\0{good}"), format!("{good}\0"), good.replacen(':', "\0:", 1)] {
        assert_eq!(answer(pay_text(&text)), NOT_JSON);
    }
    let utf16: Vec<u8> = [0xfe, 0xff].into_iter().chain(good.encode_utf16().flat_map(u16::to_be_bytes)).collect();
    assert_eq!(answer(pay_header(base64(utf16))), refused(400, "payment_not_utf8"));
    assert_eq!(answer(pay_replaced("eip155:84532", "eip155:84532\0")), NOT_JSON, "raw in a string");
    assert_eq!(answer(pay_replaced("eip155:84532", "eip155:84532\\u0000")), differs("network"), "escaped in one");
    assert_eq!(answer(pay_replaced("\"10000\"", "\"10000\\u0000\"")).unwrap_err().0, 400);
}

#[test]
fn b14_a_lone_surrogate_is_refused_where_it_is_read() {
    for lone in ["\\ud800", "\\udfff", "\\ud800x", "\\udc00\\ud800"] {
        assert_eq!(answer(pay_replaced("eip155:84532", lone)), malformed("accepted.network"), "{lone}");
        assert_eq!(answer(pay_replaced("\"USDC\"", &format!("\"{lone}\""))), malformed("accepted.extra.name"));
        assert_eq!(answer(pay_replaced("{", &format!("{{\"{lone}\":1,"))), NOT_JSON, "in a key");
        assert_eq!(answer(pay_replaced("{", &format!("{{\"memo\":\"{lone}\","))), TAKEN, "where nobody looks");
    }
    assert_eq!(answer(pay_replaced("{", "{\"memo\":\"\\ud83d\\ude00\",")), TAKEN, "a pair");
}

#[test]
fn b16_unknown_fields_are_ignored_because_the_vectors_ignore_them() {
    for (object, key) in [
        ("", "hello"),
        ("", "resource"),
        ("/payload", "memo"),
        ("/payload/authorization", "memo"),
        ("/accepted", "description"),
        ("/accepted/extra", "foo"),
    ] {
        for value in [json!([1]), json!(null), json!({ "value": "1" })] {
            let mut payment = good();
            payment.pointer_mut(object).unwrap()[key] = value;
            assert_eq!(answer(pay_text(&payment.to_string())), TAKEN, "{object}/{key}");
        }
    }
    let mut payment = good();
    payment["extensions"] = json!({ "bazaar": { "info": [], "schema": null }, "sign-in-with-x": 1 });
    assert_eq!(answer(pay_text(&payment.to_string())), TAKEN);
}

#[test]
fn b17_a_version_that_is_not_the_headers_integer_is_refused() {
    let invalid = refused(400, "payment_version_invalid");
    for version in ["0", "1", "3", "\"2\"", "null", "2.0", "2e0", "20e-1", "-2", "[2]", "true", "18446744073709551618"]
    {
        let sent = format!("\"x402Version\":{version}");
        assert_eq!(answer(pay_replaced("\"x402Version\":2", &sent)), invalid, "{version}");
    }
    for version in [json!(0), json!(2), json!(3), json!("1"), json!(null), json!(1.0)] {
        assert_eq!(answer(pay_v1_with("/x402Version", version.clone())), invalid, "v1 {version}");
    }
    for absent in [pay_replaced("\"x402Version\"", "\"x402version\""), pay_text("{}"), pay_v1("{}")] {
        assert_eq!(answer(absent), invalid);
    }
    assert_eq!(answer(pay_v1(&good().to_string())), invalid, "v2 in the header of v1");
    assert_eq!(answer(pay_text(&good_v1().to_string())), invalid, "v1 in the header of v2");
}

#[test]
fn b18_another_scheme_is_refused() {
    for scheme in ["upto", "Exact", "EXACT", "exact ", "", "ехact"] {
        assert_eq!(answer(pay_with("/accepted/scheme", json!(scheme))), differs("scheme"), "{scheme}");
        let v1 = pay_v1_with("/scheme", json!(scheme));
        assert_eq!(answer(v1), refused(402, "payment_scheme_unsupported"), "v1 {scheme}");
    }
    assert_eq!(answer(pay_v1_with("/scheme", json!(null))), malformed("scheme"));
    assert_eq!(answer(pay_with("/accepted", json!(null))), differs("accepted"), "no terms at all");
}

#[test]
fn b19_another_network_is_refused_however_similar() {
    let others = ["base", "base-sepolia", "eip155:1", "eip155:8453", "eip155:084532", "EIP155:84532"];
    for network in others.into_iter().chain([" eip155:84532", "eip155:84532 ", "eip155:0x14a34", "eip155:٨٤٥٣٢", ""])
    {
        assert_eq!(answer(pay_with("/accepted/network", json!(network))), differs("network"), "{network}");
    }
    for network in ["base", "eip155:84532", "eip155:1", "Base-Sepolia", "base-sepolia ", "base_sepolia", ""] {
        let v1 = pay_v1_with("/network", json!(network));
        assert_eq!(answer(v1), refused(402, "payment_network_mismatch"), "v1 {network}");
    }
    assert_eq!(answer(pay_v1_with("/network", json!(84532))), malformed("network"));
}

#[test]
fn b19_v1_does_not_pay_on_a_network_without_v1_name() {
    let nameless = Offer { network: Network { chain_id: 84532, v1_name: None }, ..offer() };
    let value = base64(good_v1().to_string());
    assert_eq!(answer(pay(XPayment, value.as_bytes(), &nameless)), refused(402, "payment_network_mismatch"));
    assert_eq!(payment_required(&nameless, "no").body["accepts"], json!([]));
}
