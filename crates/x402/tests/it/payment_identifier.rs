//! The extension `payment-identifier`: offered where it is honoured, parsed strictly, refused where it is malformed.

use crate::common::{DAY, MARGIN, NOW, base64, good, offer, text, vectors};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use x402::{HeaderName::PaymentSignature, Offer, Payment, PaymentRejection, decode, payment_required, verify};

const ID: &str = "order_0123456789abcdef";

/// The good payment with this text for its extensions.
fn decoded(extensions: &str) -> Result<Payment, PaymentRejection> {
    let json = good().to_string().replacen('{', &format!("{{\"extensions\":{extensions},"), 1);
    decode(PaymentSignature, base64(json).as_bytes())
}

fn with_info(info: &str) -> Result<Payment, PaymentRejection> {
    decoded(&format!("{{\"payment-identifier\":{{\"info\":{info}}}}}"))
}

#[test]
fn an_extension_without_an_id_is_none_because_stock_clients_only_echo() {
    for extensions in [
        "null",
        "[]",
        "{}",
        r#"{"bazaar":{"info":[1]}}"#,
        r#"{"payment-identifier":null}"#,
        r#"{"payment-identifier":{}}"#,
        r#"{"payment-identifier":{"info":null,"schema":{}}}"#,
        r#"{"payment-identifier":{"info":{"required":false},"schema":{}}}"#,
        r#"{"payment-identifier":{"info":{"id":null}}}"#,
    ] {
        assert_eq!(decoded(extensions).unwrap().payment_identifier, None, "{extensions}");
    }
}

#[test]
fn an_id_of_16_to_128_letters_digits_underscores_and_hyphens_is_taken() {
    for id in ["x".repeat(16), "Z-_9".repeat(32), ID.into()] {
        assert_eq!(with_info(&json!({ "id": id }).to_string()).unwrap().payment_identifier, Some(id));
    }
    let escaped = with_info(r#"{"i\u0064":"order\u005f0123456789abcdef"}"#).unwrap();
    assert_eq!(escaped.payment_identifier.as_deref(), Some(ID));
    let beside = decoded(&format!(r#"{{"other":[{{}}],"payment-identifier":{{"info":{{"id":"{ID}","a":1}}}}}}"#));
    assert_eq!(beside.unwrap().payment_identifier.as_deref(), Some(ID));
}

#[test]
fn an_id_that_cannot_be_read_is_refused_and_not_dropped() {
    let ids = ["", "fifteen_letters", &"x".repeat(129), "has space in the middle", "ümlaut_0123456789abcdef"];
    let mut infos: Vec<String> = ids.iter().map(|id| json!({ "id": id }).to_string()).collect();
    let others = [json!(1234567890123456_u64), json!([ID]), json!({}), json!(true)];
    infos.extend(others.iter().map(|id| json!({ "id": id }).to_string()));
    infos.push(format!(r#"{{"id":"{ID}\n"}}"#));
    infos.push(r#"{"id":"lone_\ud800_0123456789"}"#.into());
    infos.push(format!(r#"{{"id":"{ID}","id":"{ID}"}}"#));
    infos.push(format!(r#"{{"id":"{ID}","\u0069d":"order_fedcba9876543210"}}"#));
    infos.push(format!("\"{ID}\""));
    for info in infos {
        assert_eq!(with_info(&info).unwrap_err(), PaymentRejection::InvalidIdentifier, "{info}");
    }
    let one = format!(r#""payment-identifier":{{"info":{{"id":"{ID}"}}}}"#);
    for extensions in [
        format!("{{{one},{one}}}"),
        format!(r#"{{"payment-identifier":"{ID}"}}"#),
        format!(r#"{{"payment-identifier":{{"info":{{"id":"{ID}"}},"info":{{}}}}}}"#),
    ] {
        assert_eq!(decoded(&extensions).unwrap_err(), PaymentRejection::InvalidIdentifier, "{extensions}");
    }
    let refused = PaymentRejection::InvalidIdentifier;
    assert_eq!((refused.http_status(), refused.code()), (400, "payment_identifier_invalid"));
}

/// A valid id excuses nothing: a malformed payment is refused for its first defect.
#[test]
fn a_malformed_field_is_named_before_the_identifier() {
    let mut payment = good();
    payment["extensions"] = json!({ "payment-identifier": { "info": { "id": "short" } } });
    payment["payload"]["signature"] = json!("0xzz");
    let refused = decode(PaymentSignature, base64(payment.to_string()).as_bytes()).unwrap_err();
    assert_eq!(refused, PaymentRejection::MalformedField("payload.signature"));
}

fn json(header: &str) -> Value {
    serde_json::from_slice(&BASE64_STANDARD.decode(header).unwrap()).unwrap()
}

fn advertising() -> Offer {
    Offer { payment_identifier: true, ..offer() }
}

#[test]
fn the_extension_is_in_the_v2_offer_alone_and_only_where_it_is_honoured() {
    let (with, without) = (payment_required(&advertising(), "no"), payment_required(&offer(), "no"));
    assert_eq!(with.body, without.body, "v1 has no extensions");
    let (mut with, without) = (json(&with.header_value), json(&without.header_value));
    let extension = &with["extensions"]["payment-identifier"];
    assert_eq!(extension["info"], json!({ "required": false }));
    assert_eq!(extension["schema"]["properties"]["id"]["pattern"], "^[a-zA-Z0-9_-]+$");
    with.as_object_mut().unwrap().remove("extensions");
    assert_eq!(with, without, "and changes nothing else");
}

/// Clients send the whole offer back: longest price, a long host, a description of 200 bytes.
#[test]
fn the_offer_with_the_extension_stays_under_2_kib() {
    let offer = Offer {
        amount: u64::MAX,
        asset_name: "USD Coin".into(),
        resource_url: format!("https://{}.example/api/mint/{}", "host".repeat(15), crate::common::OTHER),
        description: "d".repeat(200),
        ..advertising()
    };
    let header = payment_required(&offer, "invalid_exact_evm_payload_authorization_value_mismatch").header_value;
    assert!(header.len() < 2048, "{}", header.len());
}

/// Made by the stock client from our own offer: `tools/vectors/payment-identifier.mjs`.
#[test]
fn stock_clients_pay_an_offer_with_the_extension_and_echo_it() {
    let file = vectors(include_str!("../../vectors/payment-identifier.json"));
    let offer = advertising();
    let ours = payment_required(&offer, "Payment required").header_value;
    assert_eq!(json(text(&file, "/PAYMENT-REQUIRED/headerValue")), json(&ours));
    for (client, id) in [("stock client", None), ("app that adds an id", Some(ID))] {
        let value = text(&file[client], "/headerValue");
        let payment = decode(PaymentSignature, value.as_bytes()).unwrap_or_else(|e| panic!("{client}: {e}"));
        assert_eq!(payment.payment_identifier.as_deref(), id, "{client}");
        assert!(verify(&payment, &offer, NOW, MARGIN, DAY).is_ok(), "{client}");
        assert!(json(value)["extensions"]["payment-identifier"]["schema"].is_object(), "{client} echoes the schema");
    }
}
