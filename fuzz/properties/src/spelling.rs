//! One payment in many spellings, as clients in three languages and attackers may send it.

use alloy_primitives::hex;
use serde_json::{Map, Value, json};
use x402::{Accepted, Payment, Version};

/// A spelling, as the JSON inside the base64.
pub(crate) struct Spelling {
    /// The unusual property of this spelling.
    pub style: &'static str,
    /// The JSON.
    pub text: String,
}

/// The payment in other spellings: as JavaScript writes it, with white space, keys in reverse order, hex in capitals,
/// every character escaped, with unknown fields.
pub(crate) fn spellings(payment: &Payment) -> [Spelling; 6] {
    let plain = json(payment, false);
    let mut more = plain.clone();
    more["resource"] = json!({ "url": "x" });
    more["payload"]["authorization"]["memo"] = json!(["{", 1e300, null]);
    [
        Spelling { style: "plain", text: plain.to_string() },
        Spelling { style: "spaced", text: format!("\n{plain:#}\t ") },
        Spelling { style: "reversed", text: reversed(&plain) },
        Spelling { style: "capital hex", text: json(payment, true).to_string() },
        Spelling { style: "escaped", text: escaped(&plain) },
        Spelling { style: "unknown fields", text: more.to_string() },
    ]
}

fn json(payment: &Payment, capitals: bool) -> Value {
    let hex = |bytes: &[u8]| match capitals {
        true => format!("0x{}", hex::encode_upper(bytes)),
        false => hex::encode_prefixed(bytes),
    };
    let terms = &payment.authorization;
    let mut json = json!({
        "payload": {
            "signature": hex(&payment.signature),
            "authorization": {
                "from": hex(terms.from.as_slice()),
                "to": hex(terms.to.as_slice()),
                "value": terms.value.0.to_string(),
                "validAfter": terms.valid_after.to_string(),
                "validBefore": terms.valid_before.to_string(),
                "nonce": hex(terms.nonce.as_slice()),
            },
        },
    });
    match (payment.version, &payment.accepted) {
        (Version::V1, None) => {
            json["x402Version"] = json!(1);
            json["scheme"] = json!("exact");
            json["network"] = json!(payment.network);
        }
        (Version::V2, Some(accepted)) => {
            assert_eq!(accepted.network, payment.network);
            json["x402Version"] = json!(2);
            json["accepted"] = accepted_json(accepted, hex);
        }
        (version, accepted) => panic!("{version:?} with {accepted:?}"),
    }
    if let Some(id) = &payment.payment_identifier {
        json["extensions"] = json!({ "payment-identifier": { "info": { "required": false, "id": id } } });
    }
    json
}

fn accepted_json(accepted: &Accepted, hex: impl Fn(&[u8]) -> String) -> Value {
    let extra: Map<String, Value> = [
        ("name", &accepted.asset_name),
        ("version", &accepted.asset_version),
        ("assetTransferMethod", &accepted.transfer_method),
    ]
    .into_iter()
    .filter_map(|(key, text)| Some((key.to_owned(), json!(text.as_ref()?))))
    .collect();
    json!({
        "scheme": "exact",
        "network": accepted.network,
        "asset": hex(accepted.asset.as_slice()),
        "payTo": hex(accepted.pay_to.as_slice()),
        "amount": accepted.amount.to_string(),
        "extra": extra,
    })
}

/// The keys of every object in the opposite order.
fn reversed(value: &Value) -> String {
    let Value::Object(fields) = value else { return value.to_string() };
    let fields: Vec<String> =
        fields.iter().rev().map(|(key, value)| format!("{}:{}", json!(key), reversed(value))).collect();
    format!("{{{}}}", fields.join(","))
}

/// Every character of every string as `\uXXXX`, keys as well.
fn escaped(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(key, value)| format!("{}:{}", units(key), escaped(value))).collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::String(text) => units(text),
        other => other.to_string(),
    }
}

fn units(text: &str) -> String {
    let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    format!("\"{units}\"")
}
