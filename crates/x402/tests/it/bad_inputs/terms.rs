//! B20 to B24: asset, payee and price of the echoed terms, and payers that are not allowed.

use super::{Answer, TAKEN, answer, differs, malformed, pay_v1_with, refused};
use crate::common::{
    KEY, OTHER, PAYER, address_of, authorization, base64, offer, pay, pay_signed, pay_with, payload, sign, v2_json,
};
use alloy_primitives::{Address, U256};
use serde_json::json;
use x402::HeaderName::PaymentSignature;

/// Spellings that are no address: short, long, an ENS name, no prefix, an upper one, two, no hex, white space.
fn no_addresses() -> Vec<String> {
    let digits = "036CbD53842c5426634e7929541eC2318f3dCF7e";
    let odd = &digits[1..];
    let mut bad: Vec<String> = ["", "0x", "usdc.eth", "0", "0x036CbD"].map(String::from).into();
    bad.extend([format!("0x{odd}"), format!("0x{digits}00"), digits.into(), format!("0X{digits}")]);
    bad.extend([format!("0x0x{}", &digits[2..]), format!("0x{odd}g"), format!(" 0x{digits}"), format!("0x{digits} ")]);
    bad.push(format!("0x{}", "٠".repeat(40)));
    bad
}

#[test]
fn b20_another_asset_is_refused_and_a_wrong_checksum_is_no_matter() {
    let asset = offer().asset.to_string();
    let digits = &asset[2..];
    for same in [digits.to_uppercase(), digits.to_lowercase(), digits.replacen('C', "c", 1)] {
        assert_eq!(answer(pay_with("/accepted/asset", json!(format!("0x{same}")))), TAKEN, "{same}");
    }
    for other in [OTHER, Address::ZERO, offer().pay_to] {
        assert_eq!(answer(pay_with("/accepted/asset", json!(other.to_string()))), differs("asset"));
    }
}

#[test]
fn b20_what_is_no_address_is_malformed_wherever_one_belongs() {
    for bad in no_addresses() {
        for (pointer, field) in [
            ("/accepted/asset", "accepted.asset"),
            ("/accepted/payTo", "accepted.payTo"),
            ("/payload/authorization/from", "authorization.from"),
            ("/payload/authorization/to", "authorization.to"),
        ] {
            assert_eq!(answer(pay_with(pointer, json!(bad))), malformed(field), "{field} {bad:?}");
        }
    }
}

#[test]
fn b21_b22_changed_terms_in_accepted_are_no_offer_of_ours() {
    let mut rows: Vec<(&str, String, &str)> = Vec::new();
    rows.extend([OTHER, Address::ZERO, PAYER, offer().asset].map(|a| ("/accepted/payTo", a.to_string(), "payTo")));
    rows.extend(["9999", "1", "0", "10001", "100000"].map(|n| ("/accepted/amount", n.into(), "amount")));
    rows.push(("/accepted/amount", U256::MAX.to_string(), "amount"));
    rows.extend(["USD Coin", "usdc", "USDC ", ""].map(|n| ("/accepted/extra/name", n.into(), "extra.name")));
    rows.extend(["1", "02", "2.0", ""].map(|n| ("/accepted/extra/version", n.into(), "extra.version")));
    for (pointer, value, term) in rows {
        assert_eq!(answer(pay_with(pointer, json!(value))), differs(term), "{pointer} {value}");
    }
    for method in ["permit2", "EIP3009", ""] {
        let extra = json!({ "assetTransferMethod": method });
        assert_eq!(answer(pay_with("/accepted/extra", extra)), differs("extra.assetTransferMethod"));
    }
    for same in [json!({}), json!(null), json!({ "assetTransferMethod": "eip3009" })] {
        assert_eq!(answer(pay_with("/accepted/extra", same)), TAKEN);
    }
}

#[test]
fn b22_an_amount_that_is_not_a_canonical_decimal_is_malformed() {
    let two_to_256 = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
    for amount in ["010000", "-1", "1e4", "0x2710", " 10000", "10000.0", "", two_to_256] {
        assert_eq!(answer(pay_with("/accepted/amount", json!(amount))), malformed("accepted.amount"), "{amount}");
    }
}

#[test]
fn b23_an_authorization_to_another_recipient_is_refused() {
    const MISMATCH: Answer = refused(402, "payment_recipient_mismatch");
    for to in [OTHER, Address::ZERO, PAYER, offer().asset] {
        assert_eq!(answer(pay_signed(|a| a.to = to)), MISMATCH, "{to}");
        assert_eq!(answer(pay_v1_with("/payload/authorization/to", json!(to.to_string()))), MISMATCH, "v1 {to}");
    }
}

#[test]
fn b24_a_payer_who_is_payee_asset_or_nobody_is_refused() {
    let not_allowed = refused(402, "payment_payer_not_allowed");
    let mut own = offer();
    own.pay_to = address_of(KEY);
    let terms = authorization(&own);
    let value = base64(v2_json(&own, payload(&terms, &sign(&own, &terms, KEY))).to_string());
    assert_eq!(answer(pay(PaymentSignature, value.as_bytes(), &own)), not_allowed, "well signed");
    for from in [offer().pay_to, offer().asset, Address::ZERO] {
        assert_eq!(answer(pay_signed(|a| a.from = from)), not_allowed, "{from}");
    }
}

/// A payer that is one of our own lanes is a payer like any other: its money moves to the payee. This crate knows no
/// lanes.
#[test]
fn b24_a_relayer_who_signs_pays_like_anybody() {
    let relayer = [9; 32];
    let (offer, mut terms) = (offer(), authorization(&offer()));
    terms.from = address_of(relayer);
    let json = v2_json(&offer, payload(&terms, &sign(&offer, &terms, relayer)));
    let verified = crate::common::pay_text(&json.to_string()).unwrap();
    assert_eq!(verified.payer, address_of(relayer));
}
