//! A payment header, from its bytes to the order that it pays for.
//!
//! The first byte of an input, `0` to `?`, holds four mode bits. The fuzzer cannot sign, so every decoded payment is
//! also tried with a good signature of the payer of the vectors.

use crate::Outcome;
use crate::edits::edited;
use crate::spelling::{Spelling, spellings};
use alloy_primitives::{Address, B256, address, hex};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use domain::nonce::TAG;
use domain::request::Inconsistent;
use domain::{
    Event, OrderEvent, PaymentId, PaymentKey, PaymentRequest, Purchase, Quantity, RequestFields, SignatureBytes, Usdc,
};
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, SecretKey};
use x402::{
    HeaderName, MAX_HEADER_BYTES, Network, Offer, Payment, PaymentRejection, Verified, decode, domain_separator,
    payment_key, transfer_digest, verify, verify_signature,
};

/// Set: `X-PAYMENT`. Clear: `PAYMENT-SIGNATURE`.
const V1: u8 = 1;
/// Set: the rest is the JSON. Clear: it is the header's value.
const JSON: u8 = 2;
/// Set: the offer is made on the local chain. Clear: on Base Sepolia.
const LOCAL: u8 = 4;
/// Set: the rest are edits of a good payment, see [`edited`]. Clear: the rest is the whole input.
const EDITS: u8 = 8;

/// The clock of the vectors, their margin, and the longest window, in seconds.
const NOW: u64 = 1_800_000_000;
const MARGIN_S: u64 = 6;
const DAY_S: u64 = 86_400;

/// The payer of the vectors: the well-known third account of anvil.
const PAYER: Address = address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC");
const KEY: [u8; 32] = hex!("5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a");

/// Half the order of secp256k1: the highest s that USDC accepts.
const HALF_ORDER: [u8; 32] = hex!("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0");

/// Longest text of a refusal, in bytes.
const ANSWER_MAX: usize = 1024;

/// Target: see [the module](self).
pub fn payment(input: &[u8]) -> Outcome {
    let Some((&mode, rest)) = input.split_first() else { return Outcome::Refused };
    let (header, other) = match mode & V1 {
        0 => (HeaderName::PaymentSignature, HeaderName::XPayment),
        _ => (HeaderName::XPayment, HeaderName::PaymentSignature),
    };
    let value = match mode & (EDITS | JSON) {
        0 => rest.to_vec(),
        JSON => BASE64_STANDARD.encode(rest).into_bytes(),
        _ => BASE64_STANDARD.encode(edited(mode & V1 != 0, mode & LOCAL != 0, rest)).into_bytes(),
    };
    let payment = match decode(header, &value) {
        Ok(payment) => payment,
        Err(rejection) => return refused(rejection),
    };
    assert!(value.len() <= MAX_HEADER_BYTES);
    assert_eq!(decode(other, &value), Err(PaymentRejection::InvalidVersion), "one header value is of one generation");
    respelt_it_is_the_same(header, &payment);

    let offer = offer(mode & LOCAL != 0);
    let signed = check(&well_signed(&payment, &offer), &offer);
    let as_sent = check(&payment, &offer);
    match if mode & EDITS == 0 { as_sent } else { signed } {
        Ok(_) => Outcome::Taken,
        Err(rejection) => refused(rejection),
    }
}

/// Every refusal is short and has a status, a code and a reason.
fn refused(rejection: PaymentRejection) -> Outcome {
    assert!(matches!(rejection.http_status(), 400 | 402 | 431));
    let text = rejection.to_string();
    assert!(!rejection.code().is_empty() && !rejection.reason().is_empty() && !text.is_empty());
    assert!(text.len() + rejection.code().len() + rejection.reason().len() <= ANSWER_MAX);
    Outcome::Refused
}

/// One authorization is one payment, whatever its spelling.
fn respelt_it_is_the_same(header: HeaderName, payment: &Payment) {
    for Spelling { style, text } in spellings(payment) {
        let value = BASE64_STANDARD.encode(&text);
        for value in [value.as_str(), value.trim_end_matches('=')] {
            if value.len() <= MAX_HEADER_BYTES {
                assert_eq!(decode(header, value.as_bytes()).as_ref(), Ok(payment), "{style}: {text}");
            }
        }
    }
}

/// [`verify`], and the properties of a payment that passes.
fn check(payment: &Payment, offer: &Offer) -> Result<Verified, PaymentRejection> {
    let verified = verify(payment, offer, NOW, MARGIN_S, DAY_S)?;
    let transfer = &verified.authorization;
    assert_eq!(verified.payer, payment.authorization.from);
    assert_eq!((transfer.to, transfer.value.0), (offer.pay_to, offer.amount), "exactly what was offered");
    assert_eq!(*transfer, payment.authorization, "and what was signed");
    assert!(transfer.valid_after <= NOW);
    assert!((MARGIN_S..=DAY_S).contains(&(transfer.valid_before - NOW)));

    let (s, v) = (&verified.signature[32..64], verified.signature[64]);
    assert!(*s <= HALF_ORDER[..] && matches!(v, 27 | 28), "the only form that USDC takes (B30)");
    let again = verify_signature(&domain(offer), &payment.authorization, &verified.signature);
    assert_eq!(again, Ok(verified.signature), "whoever checks later finds the same");
    for other in other_offers(offer) {
        let elsewhere = verify(payment, &other, NOW, MARGIN_S, DAY_S);
        assert!(elsewhere.is_err(), "one payment pays one offer (S11): {other:?}");
    }
    becomes_an_order(&verified, offer);
    Ok(verified)
}

/// The order that the api writes for a verified payment: two crates agree on its key, and the ledger returns it
/// unchanged.
fn becomes_an_order(verified: &Verified, offer: &Offer) {
    let (transfer, chain_id) = (&verified.authorization, offer.network.chain_id);
    let key = PaymentKey::new(chain_id, offer.asset, transfer.from, transfer.nonce);
    assert_eq!(key.0, payment_key(chain_id, offer.asset, transfer.from, transfer.nonce));
    let fields = RequestFields {
        payment_key: key,
        chain_id,
        asset: offer.asset,
        authorization: transfer.clone(),
        signature: SignatureBytes::new(verified.signature),
        purchase: Purchase::Mint {
            token: offer.pay_to,
            quantity: Quantity::new(10).unwrap(),
            unit_price: Usdc(offer.amount / 10),
        },
    };
    match PaymentRequest::new(fields) {
        Ok(request) => {
            let event = Event::Order(PaymentId::of(key), OrderEvent::PaymentRequested(Box::new(request)));
            crate::log::survives_the_ledger(&event, None);
        }
        Err(Inconsistent::Nonce) => assert!(transfer.nonce.starts_with(&TAG)),
        Err(other) => panic!("a verified payment makes no order: {other}"),
    }
}

/// The payment with its payer replaced by one whose key is known.
fn well_signed(payment: &Payment, offer: &Offer) -> Payment {
    let mut signed = payment.clone();
    signed.authorization.from = PAYER;
    let digest = transfer_digest(&domain(offer), &signed.authorization);
    let key = SecretKey::from_secret_bytes(KEY).unwrap();
    let signature = RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(digest.0), &key);
    let (id, rs) = signature.serialize_compact();
    signed.signature = [&rs[..], &[u8::from(id)]].concat();
    signed
}

fn domain(offer: &Offer) -> B256 {
    domain_separator(&offer.asset_name, &offer.asset_version, offer.network.chain_id, offer.asset)
}

/// The offers of the vectors.
fn offer(local: bool) -> Offer {
    let (network, asset, name) = if local {
        let network = Network { chain_id: 31337, v1_name: Some("local") };
        (network, address!("5FbDB2315678afecb367f032d93F642f64180aa3"), "USD Coin")
    } else {
        (Network::from_chain_id(84532), address!("036CbD53842c5426634e7929541eC2318f3dCF7e"), "USDC")
    };
    Offer {
        network,
        asset,
        asset_name: name.into(),
        asset_version: "2".into(),
        pay_to: address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
        amount: 10_000,
        max_timeout_s: 300,
        resource_url: "http://127.0.0.1:3000/api/mint/0x1234567890123456789012345678901234567890".into(),
        description: "Mint".into(),
        mime_type: "application/json".into(),
        payment_identifier: true,
    }
}

/// The offer with one term changed: more, less, another payee, asset, token version, chain.
fn other_offers(offer: &Offer) -> [Offer; 6] {
    let mut others = [(); 6].map(|()| offer.clone());
    others[0].amount += 1;
    others[1].amount -= 1;
    others[2].pay_to.0[19] ^= 1;
    others[3].asset.0[0] ^= 1;
    others[4].asset_version.push('0');
    others[5].network.chain_id += 1;
    others
}
