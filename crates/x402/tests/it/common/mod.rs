//! Shared by the tests: the offers of the vectors, a payer's key, and headers made to order.

use alloy_primitives::{Address, B256, address, hex};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use domain::{Authorization, Usdc};
use secp256k1::SecretKey;
use serde_json::{Value, json};
use x402::{HeaderName, Network, Offer, PaymentRejection, Verified, decode, domain_separator, transfer_digest, verify};

/// The clock of every vector, seconds.
pub const NOW: u64 = 1_800_000_000;
/// The margin of the reference servers, seconds. The vectors assume it.
pub const MARGIN: u64 = 6;
/// The longest validity that is accepted, seconds.
pub const DAY: u64 = 86_400;
/// anvil key #2, the payer of the vectors.
pub const KEY: [u8; 32] = hex!("5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a");
pub const PAYER: Address = address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC");
pub const OTHER: Address = address!("90F79bf6EB2c4f870365E785982E1f101E93b906");

pub fn vectors(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

pub fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).unwrap_or_else(|| panic!("no {path}")).as_str().unwrap()
}

/// Base Sepolia, as in `wire.json`.
pub fn offer() -> Offer {
    Offer {
        network: Network { chain_id: 84532, v1_name: Some("base-sepolia") },
        asset: address!("036CbD53842c5426634e7929541eC2318f3dCF7e"),
        asset_name: "USDC".into(),
        asset_version: "2".into(),
        pay_to: address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
        amount: 10_000,
        max_timeout_s: 300,
        resource_url: "http://127.0.0.1:3000/api/mint/0x1234567890123456789012345678901234567890".into(),
        description: "Mint".into(),
        mime_type: "application/json".into(),
        payment_identifier: false,
    }
}

/// The local chain, as in most vectors; its v1 name is configuration.
pub fn local_offer(v1_name: Option<&'static str>) -> Offer {
    Offer {
        network: Network { chain_id: 31337, v1_name },
        asset: address!("5FbDB2315678afecb367f032d93F642f64180aa3"),
        asset_name: "USD Coin".into(),
        ..offer()
    }
}

/// The offer that a vector's `requirements` describe.
pub fn offer_of(requirements: &Value) -> Offer {
    let offer = match text(requirements, "/network") {
        "eip155:31337" => local_offer(None),
        "local" => local_offer(Some("local")),
        "base-sepolia" => offer(),
        other => panic!("unknown network {other}"),
    };
    let amount = requirements.get("amount").or(requirements.get("maxAmountRequired"));
    assert_eq!(amount.unwrap().as_str().unwrap(), offer.amount.to_string());
    assert_eq!(text(requirements, "/asset").parse::<Address>().unwrap(), offer.asset);
    assert_eq!(text(requirements, "/payTo").parse::<Address>().unwrap(), offer.pay_to);
    assert_eq!(text(requirements, "/extra/name"), offer.asset_name);
    offer
}

pub fn header_name(name: &str) -> HeaderName {
    match name {
        "PAYMENT-SIGNATURE" => HeaderName::PaymentSignature,
        "X-PAYMENT" => HeaderName::XPayment,
        other => panic!("unknown header {other}"),
    }
}

pub fn authorization(offer: &Offer) -> Authorization {
    Authorization {
        from: PAYER,
        to: offer.pay_to,
        value: Usdc(offer.amount),
        valid_after: 0,
        valid_before: NOW + 300,
        nonce: B256::repeat_byte(7),
    }
}

pub fn address_of(key: [u8; 32]) -> Address {
    testkit::address_of(&SecretKey::from_secret_bytes(key).unwrap())
}

pub fn sign_digest(digest: B256, key: [u8; 32]) -> [u8; 65] {
    testkit::sign_digest(digest, &SecretKey::from_secret_bytes(key).unwrap())
}

pub fn sign(offer: &Offer, authorization: &Authorization, key: [u8; 32]) -> [u8; 65] {
    let Offer { network, asset, asset_name, asset_version, .. } = offer;
    let domain = domain_separator(asset_name, asset_version, network.chain_id, *asset);
    sign_digest(transfer_digest(&domain, authorization), key)
}

/// The `payload` of both generations.
pub fn payload(authorization: &Authorization, signature: &[u8]) -> Value {
    json!({
        "signature": hex::encode_prefixed(signature),
        "authorization": {
            "from": authorization.from.to_string(),
            "to": authorization.to.to_string(),
            "value": authorization.value.0.to_string(),
            "validAfter": authorization.valid_after.to_string(),
            "validBefore": authorization.valid_before.to_string(),
            "nonce": authorization.nonce.to_string(),
        },
    })
}

pub fn v2_json(offer: &Offer, payload: Value) -> Value {
    json!({
        "x402Version": 2,
        "payload": payload,
        "accepted": {
            "scheme": "exact",
            "network": offer.network.caip2(),
            "amount": offer.amount.to_string(),
            "asset": offer.asset.to_string(),
            "payTo": offer.pay_to.to_string(),
            "maxTimeoutSeconds": offer.max_timeout_s,
            "extra": { "name": offer.asset_name, "version": offer.asset_version },
        },
    })
}

pub fn v1_json(offer: &Offer, payload: Value) -> Value {
    json!({
        "x402Version": 1,
        "scheme": "exact",
        "network": offer.network.v1_name.unwrap(),
        "payload": payload,
    })
}

/// A good v2 payment of [`offer`], to be spoilt.
pub fn good() -> Value {
    let (offer, terms) = (offer(), authorization(&offer()));
    v2_json(&offer, payload(&terms, &sign(&offer, &terms, KEY)))
}

pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// Decodes and verifies, with the margin of the vectors.
pub fn pay(header: HeaderName, value: &[u8], offer: &Offer) -> Result<Verified, PaymentRejection> {
    decode(header, value).and_then(|payment| verify(&payment, offer, NOW, MARGIN, DAY))
}

/// A v2 header made of this text, against [`offer`].
pub fn pay_text(json: &str) -> Result<Verified, PaymentRejection> {
    pay(HeaderName::PaymentSignature, base64(json).as_bytes(), &offer())
}

/// [`good`] with another value at a JSON pointer.
pub fn pay_with(pointer: &str, value: Value) -> Result<Verified, PaymentRejection> {
    let mut payment = good();
    *payment.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
    pay_text(&payment.to_string())
}

/// A well signed v2 payment of [`offer`] whose authorization was changed before signing.
pub fn pay_signed(change: impl FnOnce(&mut Authorization)) -> Result<Verified, PaymentRejection> {
    let (offer, mut terms) = (offer(), authorization(&offer()));
    change(&mut terms);
    let signature = sign(&offer, &terms, KEY);
    pay_text(&v2_json(&offer, payload(&terms, &signature)).to_string())
}

/// [`good`] with a signature changed after signing.
pub fn pay_resigned(change: impl FnOnce(&mut Vec<u8>)) -> Result<Verified, PaymentRejection> {
    let (offer, terms) = (offer(), authorization(&offer()));
    let mut signature = sign(&offer, &terms, KEY).to_vec();
    change(&mut signature);
    pay_text(&v2_json(&offer, payload(&terms, &signature)).to_string())
}
