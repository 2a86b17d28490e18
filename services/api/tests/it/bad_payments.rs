//! Bad payments at the door, B01 to B36: each by its id, with status and code; nothing is written, and no answer is long.
//! Every single spelling is tried in crates/x402/tests/it/bad_inputs; here one of each kind goes the whole way.

use crate::common::{Site, base64, now_s, pay};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use domain::examples;
use serde_json::{Value, json};

/// The value of `PAYMENT-SIGNATURE`.
enum Sent {
    /// These bytes as they are.
    Raw(String),
    /// This text, in base64.
    Text(String),
    /// The good payment with another value at a JSON pointer. Nothing is signed anew.
    With(&'static str, Value),
    /// A payment that was signed so.
    Signed(Box<dyn Fn(&mut domain::Authorization)>),
}
use Sent::{Raw, Signed, Text, With};

fn signed(change: impl Fn(&mut domain::Authorization) + 'static) -> Sent {
    Signed(Box::new(change))
}

const FROM: &str = "/payload/authorization/from";
const VALUE: &str = "/payload/authorization/value";
const BEFORE: &str = "/payload/authorization/validBefore";
const NONCE: &str = "/payload/authorization/nonce";
const SIGNATURE: &str = "/payload/signature";

/// Id, what is sent, status, code.
fn table(good: &Value) -> Vec<(&'static str, Sent, u16, &'static str)> {
    let text = good.to_string();
    let (now, day) = (now_s(), 86_400);
    let twice = text.replacen("\"value\":", "\"value\":\"100000\",\"value\":", 1);
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let address = |n: u8| json!(format!("0x{}", format!("{n:02x}").repeat(20)));
    let bytes = |byte: &str, count: usize| json!(format!("0x{}", byte.repeat(count)));
    let (asset, token) = (json!(examples::ASSET), json!(examples::TOKEN));
    let field = "payment_field_malformed";
    vec![
        ("B02", Raw(String::new()), 402, "payment_required"),
        ("B03", Raw("!!!".into()), 400, "payment_not_base64"),
        ("B04", Raw(BASE64_STANDARD.encode(&text).replacen('e', "-", 1)), 400, "payment_not_base64"),
        ("B07", Raw("A".repeat(16 * 1024 + 1)), 431, "payment_header_too_large"),
        ("B09", Raw(BASE64_STANDARD.encode([b'{', 0xff, b'}'])), 400, "payment_not_utf8"),
        ("B10", Text(deep), 400, "payment_too_deep"),
        ("B11", Text(twice), 400, field),
        ("B12", Text(format!("{text} x")), 400, "payment_not_json"),
        ("B13", Text(text.replacen("\"100000\"", "NaN", 1)), 400, "payment_not_json"),
        ("B13", With(VALUE, json!(100_000)), 400, field),
        ("B14", Text(format!("\u{feff}{text}")), 400, "payment_not_json"),
        ("B14", Text(text.replacen("USDC", "\\ud800", 1)), 400, field),
        ("B17", With("/x402Version", json!(3)), 400, "payment_version_invalid"),
        ("B17", With("/x402Version", json!("2")), 400, "payment_version_invalid"),
        ("B18", With("/accepted/scheme", json!("upto")), 402, "payment_terms_mismatch"),
        ("B19", With("/accepted/network", json!("eip155:1")), 402, "payment_terms_mismatch"),
        ("B19", With("/accepted/network", json!("base")), 402, "payment_terms_mismatch"),
        ("B20", With("/accepted/asset", address(7)), 402, "payment_terms_mismatch"),
        ("B20", With("/accepted/asset", json!("vitalik.eth")), 400, field),
        ("B21", With("/accepted/payTo", address(7)), 402, "payment_terms_mismatch"),
        ("B22", With("/accepted/amount", json!("99999")), 402, "payment_terms_mismatch"),
        ("B23", signed(|auth| auth.to = examples::SIGNER), 402, "payment_recipient_mismatch"),
        ("B24", With(FROM, token), 402, "payment_payer_not_allowed"),
        ("B24", With(FROM, asset), 402, "payment_payer_not_allowed"),
        ("B24", With(FROM, address(0)), 402, "payment_payer_not_allowed"),
        ("B25", With(VALUE, json!("99999")), 402, "payment_value_mismatch"),
        ("B25", With(VALUE, json!("100001")), 402, "payment_value_mismatch"),
        ("B25", With(VALUE, json!("0")), 402, "payment_value_mismatch"),
        ("B25", With(VALUE, json!("-1")), 400, field),
        ("B25", With(VALUE, json!("0x186a0")), 400, field),
        ("B25", With(VALUE, json!("١٠٠٠٠٠")), 400, field),
        ("B26", signed(move |auth| auth.valid_after = now + 60), 402, "payment_not_yet_valid"),
        ("B27", signed(move |auth| auth.valid_before = now), 402, "payment_expires_too_soon"),
        ("B27", With(BEFORE, json!("18446744073709551616")), 400, field),
        ("B27", signed(move |auth| auth.valid_before = now + day + 60), 402, "payment_expires_too_late"),
        (
            "B28",
            signed(move |auth| (auth.valid_after, auth.valid_before) = (now - 1, now - 2)),
            402,
            "payment_expires_too_soon",
        ),
        ("B29", With(NONCE, bytes("0a", 31)), 400, field),
        ("B30", With(SIGNATURE, bytes("01", 64)), 402, "payment_signature_malformed"),
        ("B30", With(SIGNATURE, json!("0x")), 402, "payment_signature_malformed"),
        ("B30", With(SIGNATURE, bytes("ff", 65)), 402, "payment_signature_malformed"),
        ("B31", With(SIGNATURE, bytes("64926492", 40)), 402, "payment_smart_wallet_unsupported"),
        ("B34", With("/accepted/extra/name", json!("USD Coin")), 402, "payment_terms_mismatch"),
        ("B36", With(FROM, address(9)), 402, "payment_signer_mismatch"),
    ]
}

fn header(good: &Value, offer: &Value, sent: &Sent) -> String {
    match sent {
        Raw(value) => value.clone(),
        Text(text) => BASE64_STANDARD.encode(text),
        With(pointer, value) => {
            let mut payment = good.clone();
            *payment.pointer_mut(pointer).unwrap() = value.clone();
            base64(&payment)
        }
        Signed(change) => pay(offer, 1, |auth| change(auth)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b01_to_b36_a_bad_payment_has_its_status_and_code_and_nothing_is_written() {
    let site = Site::start().await;
    let api = site.instance(&[]).await;
    let offer = api.mint(10, &[]).await.offer();
    let good: Value = serde_json::from_slice(&BASE64_STANDARD.decode(pay(&offer, 1, |_| {})).unwrap()).unwrap();
    let before = site.last_sequence().await;
    for (id, sent, status, code) in table(&good) {
        let header = header(&good, &offer, &sent);
        let answer = api.mint(10, &[("payment-signature", &header)]).await;
        if code == "payment_required" {
            assert_eq!(answer.status, status, "{id}: an offer is no problem");
        } else {
            assert_eq!(answer.problem(), (status, code.to_owned()), "{id} {header:.80}");
        }
        // The offer again, with the reason in both generations.
        if status == 402 {
            assert_eq!(answer.json()["accepts"][0]["maxAmountRequired"], "100000", "{id}");
            assert_eq!(answer.offer()["error"], answer.json()["error"], "{id}");
        }
        assert!(!header.is_empty() && !answer.text.contains(&header) || header.is_empty(), "{id}: nothing is echoed");
    }
    let good = base64(&good);
    for (id, headers) in [
        ("B05", [("payment-signature", &good), ("payment-signature", &good)]),
        ("B06", [("payment-signature", &good), ("x-payment", &good)]),
    ] {
        let answer = api.mint(10, &headers.map(|(name, value)| (name, value.as_str()))).await;
        assert_eq!(answer.problem(), (400, "payment_header_ambiguous".to_owned()), "{id}");
    }
    assert_eq!(site.last_sequence().await, before);
    let taken = api.mint(10, &[("payment-signature", &good)]).await;
    assert_eq!(taken.status, 202, "the unspoilt one");
}
