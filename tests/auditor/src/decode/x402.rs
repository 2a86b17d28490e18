//! A payment header, v1 or v2: docs/x402-wire.md, sections 2, 3 and 10.

use alloy_primitives::{Address, B256, FixedBytesSliceExt as _, U256, hex};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;
use uuid::Uuid;

/// Padding or not, as the references take it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The signed authorization, and its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub from: Address,
    pub to: Address,
    pub value: U256,
    pub valid_after: U256,
    pub valid_before: U256,
    pub nonce: B256,
    /// 65 bytes, v as 27 or 28.
    pub signature: Vec<u8>,
    /// Id of the extension `payment-identifier`.
    pub identifier: Option<String>,
}

/// The payment in a header of this name. `None` if there is none.
pub fn decode(name: &str, value: &str) -> Option<Sent> {
    let version = match name.to_ascii_lowercase().as_str() {
        "x-payment" => 1,
        "payment-signature" => 2,
        _ => return None,
    };
    let json: Value = serde_json::from_slice(&BASE64.decode(value.trim()).ok()?).ok()?;
    if json["x402Version"].as_u64() != Some(version) {
        return None;
    }
    let payload = &json["payload"];
    let auth = &payload["authorization"];
    let text = |name: &str| auth[name].as_str();
    let amount = |name: &str| U256::from_str_radix(text(name)?, 10).ok();
    Some(Sent {
        from: text("from")?.parse().ok()?,
        to: text("to")?.parse().ok()?,
        value: amount("value")?,
        valid_after: amount("validAfter")?,
        valid_before: amount("validBefore")?,
        nonce: text("nonce")?.parse().ok()?,
        signature: signature(payload["signature"].as_str()?)?,
        identifier: json["extensions"]["payment-identifier"]["info"]["id"].as_str().map(str::to_owned),
    })
}

/// `v` of 0 and 1 is what USDC calls 27 and 28.
fn signature(text: &str) -> Option<Vec<u8>> {
    let mut bytes = hex::decode(text).ok()?;
    match bytes.get_mut(64) {
        Some(v @ 0..=1) => *v += 27,
        Some(_) => {}
        None => return None,
    }
    Some(bytes)
}

/// `keccak256(abi.encode(chainId, asset, payer, nonce))`: the payment's name on chain.
pub fn payment_key(chain_id: u64, asset: Address, payer: Address, nonce: B256) -> B256 {
    let words = [B256::from(U256::from(chain_id)), asset.into_word(), payer.into_word(), nonce];
    alloy_primitives::keccak256(words.as_flattened())
}

/// UUIDv5 of the key, in the namespace UUIDv5(DNS, `payment.paymint.io`).
pub fn payment_id(key: B256) -> Uuid {
    Uuid::new_v5(&Uuid::new_v5(&Uuid::NAMESPACE_DNS, b"payment.paymint.io"), key.as_slice())
}

/// Third token of `keys.<payer>.<digest>.bound`: keccak256 of source, a zero byte, and the text.
pub fn key_digest(source: &str, text: &str) -> B256 {
    alloy_primitives::keccak256([source.as_bytes(), &[0], text.as_bytes()].concat())
}

/// The text in an `Idempotency-Key` header, which may stand in quotes.
pub fn key_text(value: &str) -> &str {
    let text = value.trim();
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of schemas/: key and id of one payment.
    #[test]
    fn the_example_has_its_key_and_its_id() {
        let example: Value =
            serde_json::from_str(include_str!("../../../../schemas/io.paymint.payment.requested.v1.example.json"))
                .unwrap();
        let (data, auth) = (&example["data"], &example["data"]["authorization"]);
        let parse = |value: &Value| value.as_str().unwrap().parse::<Address>().unwrap();
        let nonce = auth["nonce"].as_str().unwrap().parse().unwrap();
        let key = payment_key(84532, parse(&data["asset"]), parse(&auth["from"]), nonce);
        assert_eq!(key.to_string(), data["paymentKey"].as_str().unwrap());
        assert_eq!(payment_id(key).to_string(), example["subject"].as_str().unwrap());
    }

    /// `crates/x402/vectors` has what stock clients send.
    #[test]
    fn stock_headers_are_read() {
        let vectors: Vec<Value> =
            serde_json::from_str(include_str!("../../../../crates/x402/vectors/valid.json")).unwrap();
        assert!(vectors.len() > 10);
        for vector in vectors {
            let text = |name: &str| vector[name].as_str().unwrap();
            assert!(decode(text("headerName"), text("headerValue")).is_some(), "{}", vector["name"]);
        }
    }
}
