//! B30 to B36: the form of a signature, its signer and the signed terms.

use super::{Answer, TAKEN, answer, malformed, pay_header, pay_v1_with, refused};
use crate::common::{
    KEY, NOW, OTHER, authorization, base64, good, offer, pay_resigned, pay_text, pay_with, payload, sign, sign_digest,
    v2_json,
};
use alloy_primitives::{B256, U256, hex, keccak256};
use domain::Authorization;
use serde_json::json;

/// secp256k1's order, and half of it: the highest s that the token takes.
const ORDER: [u8; 32] = hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
const HALF: [u8; 32] = hex!("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0");

const MALFORMED: Answer = refused(402, "payment_signature_malformed");
const SMART_WALLET: Answer = refused(402, "payment_smart_wallet_unsupported");
const HIGH_S: Answer = refused(402, "payment_signature_high_s");
const MISMATCH: Answer = refused(402, "payment_signer_mismatch");

#[test]
fn b30_v_0_and_1_are_lifted_to_27_and_28() {
    let lifted = pay_resigned(|s| s[64] -= 27).unwrap();
    assert_eq!(lifted, pay_text(&good().to_string()).unwrap());
    assert_eq!(answer(pay_resigned(|s| s[64] = 55 - s[64])), MISMATCH, "27 and 28 exchanged");
    assert_eq!(answer(pay_resigned(|s| s[64] = 28 - s[64])), MISMATCH, "0 and 1 exchanged");
}

#[test]
fn b30_signatures_of_another_form_are_refused() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(&str, Change, Answer); 24] = [
        ("empty", Vec::clear, MALFORMED),
        ("one byte", |s| s.truncate(1), MALFORMED),
        ("64 bytes", |s| s.truncate(64), MALFORMED),
        ("EIP-2098", compact, MALFORMED),
        ("66 bytes", |s| s.push(0), SMART_WALLET),
        ("twice", |s| s.extend_from_within(..), SMART_WALLET),
        ("v 2", |s| s[64] = 2, MALFORMED),
        ("v 3", |s| s[64] = 3, MALFORMED),
        ("v 26", |s| s[64] = 26, MALFORMED),
        ("v 29", |s| s[64] = 29, MALFORMED),
        ("v 31, compressed key", |s| s[64] += 4, MALFORMED),
        ("v 255", |s| s[64] = 255, MALFORMED),
        ("r 0", |s| s[..32].fill(0), MALFORMED),
        ("s 0", |s| s[32..64].fill(0), MALFORMED),
        ("r and s 0", |s| s[..64].fill(0), MALFORMED),
        ("all 0", |s| s.fill(0), MALFORMED),
        ("r = n", |s| s[..32].copy_from_slice(&ORDER), MALFORMED),
        ("r > n", |s| s[..32].fill(0xff), MALFORMED),
        ("r of no point", |s| s[..32].copy_from_slice(&no_point()), MALFORMED),
        ("s = n", |s| s[32..64].copy_from_slice(&ORDER), HIGH_S),
        ("s > n", |s| s[32..64].fill(0xff), HIGH_S),
        ("s just too high", |s| s[32..64].copy_from_slice(&next(HALF)), HIGH_S),
        ("s the highest", |s| s[32..64].copy_from_slice(&HALF), MISMATCH),
        ("high s", |s| malleate(s), HIGH_S),
    ];
    for (name, change, expected) in changes {
        let outcome = pay_resigned(change);
        assert_eq!(outcome.as_ref().unwrap_err().reason(), "invalid_exact_evm_payload_signature", "{name}");
        assert_eq!(answer(outcome), expected, "{name}");
    }
}

#[test]
fn b30_a_signature_that_is_no_hex_is_malformed() {
    let digits = "1b".repeat(65);
    for bad in ["", "0xzz", "0x1", "00", "0x0x", &digits, &format!("0X{digits}"), &format!("0x{digits} ")] {
        for outcome in [pay_with("/payload/signature", json!(bad)), pay_v1_with("/payload/signature", json!(bad))] {
            assert_eq!(answer(outcome), malformed("payload.signature"), "{bad}");
        }
    }
}

/// The other signature of the same key over the same digest: n - s, other v.
fn malleate(signature: &mut [u8]) {
    let s = U256::from_be_slice(&signature[32..64]);
    let high = U256::from_be_bytes(ORDER) - s;
    signature[32..64].copy_from_slice(&high.to_be_bytes::<32>());
    signature[64] = 55 - signature[64];
}

/// The signature of the payment in 64 bytes: v is the top bit of s.
fn compact(signature: &mut Vec<u8>) {
    let odd = signature.pop() == Some(28);
    signature[32] |= if odd { 0x80 } else { 0 };
}

fn next(word: [u8; 32]) -> [u8; 32] {
    (U256::from_be_bytes(word) + U256::ONE).to_be_bytes()
}

/// 5 is no x of a point: 5^3 + 7 is no square modulo p.
fn no_point() -> [u8; 32] {
    U256::from(5).to_be_bytes()
}

#[test]
fn b31_a_wrapper_is_refused_as_a_smart_wallets_whatever_is_in_it() {
    const SUFFIX: [u8; 32] = hex!("6492649264926492649264926492649264926492649264926492649264926492");
    for (name, inner) in [("all zero", vec![0; 128]), ("nothing", vec![]), ("33 bytes", vec![1; 33])] {
        let wrapped = [&inner[..], &SUFFIX].concat();
        assert_eq!(answer(pay_resigned(|s| *s = wrapped)), SMART_WALLET, "{name}");
    }
    assert_eq!(answer(pay_resigned(|s| s.extend(SUFFIX))), SMART_WALLET, "around a good signature");
}

#[test]
fn b34_a_signature_for_another_domain_is_refused() {
    let terms = authorization(&offer());
    let mut others = [(); 6].map(|()| offer());
    others[0].network.chain_id = 8453;
    others[1].network.chain_id = 1;
    others[2].asset_name = "USD Coin".into();
    others[3].asset_version = "1".into();
    others[4].asset = OTHER;
    others[5].asset = offer().pay_to;
    for other in others {
        let json = v2_json(&offer(), payload(&terms, &sign(&other, &terms, KEY)));
        assert_eq!(answer(pay_text(&json.to_string())), MISMATCH);
    }
}

#[test]
fn b35_a_signature_over_another_kind_of_authorization_is_refused() {
    let (offer, terms) = (offer(), authorization(&offer()));
    let domain = x402::domain_separator("USDC", "2", 84532, offer.asset);
    let words = [
        terms.from.into_word(),
        terms.to.into_word(),
        U256::from(terms.value.0).into(),
        B256::ZERO,
        U256::from(terms.valid_before).into(),
        terms.nonce,
    ];
    let fields = "(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)";
    for (kind, words, answered) in [
        (format!("TransferWithAuthorization{fields}"), &words[..], TAKEN),
        (format!("ReceiveWithAuthorization{fields}"), &words[..], MISMATCH),
        ("CancelAuthorization(address authorizer,bytes32 nonce)".into(), &[words[0], words[5]][..], MISMATCH),
    ] {
        let body: Vec<u8> = words.iter().flat_map(|word| word.0).collect();
        let inner = keccak256([keccak256(&kind).as_slice(), &body].concat());
        let digest = keccak256([&[0x19, 1], domain.as_slice(), inner.as_slice()].concat());
        let json = v2_json(&offer, payload(&terms, &sign_digest(digest, KEY)));
        assert_eq!(answer(pay_text(&json.to_string())), answered, "{kind}");
    }
}

#[test]
fn b36_a_good_signature_by_another_key_is_refused() {
    let terms = authorization(&offer());
    let json = v2_json(&offer(), payload(&terms, &sign(&offer(), &terms, [9; 32])));
    assert_eq!(answer(pay_header(base64(json.to_string()))), MISMATCH);
}

/// Only the signed values count: a field that is changed afterwards is refused, even within what the offer allows.
#[test]
fn b36_a_field_changed_after_signing_is_refused() {
    type Change = fn(&mut Authorization);
    let changes: [(&str, Change); 4] = [
        ("payer", |a| a.from = OTHER),
        ("validAfter", |a| a.valid_after = NOW - 1),
        ("validBefore", |a| a.valid_before += 1),
        ("nonce", |a| a.nonce[31] ^= 1),
    ];
    for (name, change) in changes {
        let (offer, mut terms) = (offer(), authorization(&offer()));
        let signature = sign(&offer, &terms, KEY);
        change(&mut terms);
        let json = v2_json(&offer, payload(&terms, &signature));
        assert_eq!(answer(pay_text(&json.to_string())), MISMATCH, "{name}");
    }
}
