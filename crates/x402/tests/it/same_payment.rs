//! One authorization is one payment, whatever its spelling (B37 to B40), and its key is permanent.

use std::collections::HashSet;

use crate::common::{
    DAY, KEY, MARGIN, NOW, OTHER, PAYER, authorization, base64, good, offer, pay, payload, sign, v1_json,
};
use alloy_primitives::{B256, address, b256, hex, keccak256};
use serde_json::Value;
use x402::{
    HeaderName, Network, Verified, decode, domain_separator, payment_key, payment_required, transfer_digest, verify,
    verify_signature,
};

fn key_of(verified: &Verified) -> B256 {
    let offer = offer();
    payment_key(offer.network.chain_id, offer.asset, verified.payer, verified.authorization.nonce)
}

/// The preimage written out by hand, word by word, and its hash by another implementation of keccak
/// (forty lines of Python, checked against keccak256("")).
#[test]
fn the_payment_key_is_the_keccak_of_four_abi_words() {
    let asset = address!("036CbD53842c5426634e7929541eC2318f3dCF7e");
    let nonce = b256!("07d8e28ef1966a19fd7e94d00d897d6a0409179206396d45745a88a4e0293d42");
    let preimage = hex!(
        "0000000000000000000000000000000000000000000000000000000000014a34" // 84532
        "000000000000000000000000036cbd53842c5426634e7929541ec2318f3dcf7e"
        "0000000000000000000000003c44cdddb6a900fa2b585dd299e03d12fa4293bc"
        "07d8e28ef1966a19fd7e94d00d897d6a0409179206396d45745a88a4e0293d42"
    );
    let key = payment_key(84532, asset, PAYER, nonce);
    assert_eq!(key, keccak256(preimage));
    assert_eq!(key, b256!("1cb7a56029795b03d3498088ce0636910080a4426bc60c465bbbf26c1b200cf7"));
}

#[test]
fn b39_another_payer_nonce_asset_or_chain_is_another_payment() {
    let (asset, nonce) = (offer().asset, B256::repeat_byte(7));
    let keys = [
        payment_key(84532, asset, PAYER, nonce),
        payment_key(8453, asset, PAYER, nonce),
        payment_key(84532, OTHER, PAYER, nonce),
        payment_key(84532, asset, OTHER, nonce),
        payment_key(84532, asset, PAYER, B256::repeat_byte(8)),
    ];
    let distinct: HashSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len());
}

#[test]
fn b40_the_same_authorization_respelt_is_the_same_payment() {
    let offer = offer();
    let v2 = good().to_string();
    let lower = v2.to_lowercase().replace("x402version", "x402Version");
    let lower = ["payTo", "validAfter", "validBefore", "maxTimeoutSeconds"]
        .iter()
        .fold(lower, |text, key| text.replace(&key.to_lowercase(), key))
        .replace("\"usdc\"", "\"USDC\"");
    let nonce = "07".repeat(32);
    let terms = authorization(&offer);
    let v1 = v1_json(&offer, payload(&terms, &sign(&offer, &terms, KEY)));
    let spellings = [
        (HeaderName::PaymentSignature, v2.clone()),
        (HeaderName::PaymentSignature, lower),
        (HeaderName::PaymentSignature, upper_hex(&good()).to_string()),
        (HeaderName::PaymentSignature, keys_reversed(&good())),
        (HeaderName::XPayment, keys_reversed(&v1)),
        (HeaderName::PaymentSignature, v2.replace(':', ": ").replace("eip155: ", "eip155:")),
        (HeaderName::PaymentSignature, serde_json::to_string_pretty(&good()).unwrap()),
        (HeaderName::PaymentSignature, v2.replace(&nonce, &format!("\\u0030{}", &nonce[1..]))),
        (HeaderName::XPayment, v1.to_string()),
        (HeaderName::XPayment, format!(" {v1:#} ")),
    ];
    let texts: HashSet<&str> = spellings.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts.len(), spellings.len(), "no spelling is there twice");
    let verified: Vec<Verified> =
        spellings.iter().map(|(header, text)| pay(*header, base64(text).as_bytes(), &offer).unwrap()).collect();
    assert!(verified.iter().all(|each| *each == verified[0]));
    assert!(verified.iter().all(|each| key_of(each) == key_of(&verified[0])));
}

/// Every hex string in capitals, but for its prefix.
fn upper_hex(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), upper_hex(value))).collect(),
        Value::String(text) if text.starts_with("0x") => format!("0x{}", text[2..].to_uppercase()).into(),
        other => other.clone(),
    }
}

/// The keys of every object in the opposite order.
fn keys_reversed(value: &Value) -> String {
    let Value::Object(fields) = value else { return value.to_string() };
    let fields: Vec<String> =
        fields.iter().rev().map(|(key, value)| format!("\"{key}\":{}", keys_reversed(value))).collect();
    format!("{{{}}}", fields.join(","))
}

#[test]
fn the_sender_can_check_again_from_what_was_verified() {
    let offer = offer();
    let verified = pay(HeaderName::PaymentSignature, base64(good().to_string()).as_bytes(), &offer);
    let verified = verified.unwrap();
    let domain = domain_separator("USDC", "2", 84532, offer.asset);
    let mut terms = verified.authorization.clone();
    assert_eq!(verify_signature(&domain, &terms, &verified.signature), Ok(verified.signature));
    terms.valid_before += 1;
    assert!(verify_signature(&domain, &terms, &verified.signature).is_err());
    assert_ne!(transfer_digest(&domain, &terms), B256::ZERO);
}

/// A stock client's handling of our 402: take the entry, sign it, echo it.
#[test]
fn a_client_that_signs_our_offer_pays_it() {
    use base64::Engine as _;
    let offer = offer();
    let header = payment_required(&offer, "Payment required").header_value;
    let json = base64::prelude::BASE64_STANDARD.decode(header).unwrap();
    let required: Value = serde_json::from_slice(&json).unwrap();
    let terms = authorization(&offer);
    let payment = serde_json::json!({
        "x402Version": 2,
        "resource": required["resource"],
        "accepted": required["accepts"][0],
        "payload": payload(&terms, &sign(&offer, &terms, KEY)),
        "extensions": { "payment-identifier": { "info": { "id": "order_0123456789abcdef" } } },
    });
    let value = base64(payment.to_string());
    let payment = decode(HeaderName::PaymentSignature, value.as_bytes()).unwrap();
    assert_eq!(payment.payment_identifier.as_deref(), Some("order_0123456789abcdef"));
    assert!(verify(&payment, &offer, NOW, MARGIN, DAY).is_ok());
}

#[test]
fn networks_that_stock_v1_clients_share_have_their_name() {
    assert_eq!(Network::from_chain_id(84532).v1_name, Some("base-sepolia"));
    assert_eq!(Network::from_chain_id(8453).v1_name, Some("base"));
    assert_eq!(Network::from_chain_id(31337), Network { chain_id: 31337, v1_name: None });
    assert_eq!(Network::from_chain_id(1514).v1_name, None, "story has two ids");
}
