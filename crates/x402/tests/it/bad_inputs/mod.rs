//! Bad inputs B01 to B36, as far as this crate decides them: what is sent, and what is answered.
//!
//! B37 to B40 are in `same_payment.rs`, B31 and B32 also among the vectors. Not in this crate, because they need the
//! past, the chain or the connection: B15, B33, B37, B38, B41 to B44. Where the original list and the behaviour differ,
//! ADR 8 gives the reason.

mod authorization;
mod envelope;
mod headers;
mod signature;
mod terms;

use crate::common::{base64, good, offer, pay, pay_text, payload, sign, v1_json};
use serde_json::Value;
use x402::{HeaderName, PaymentRejection, Verified};

/// The outcome: accepted, or the status, the code, and the named field or term (empty if none).
type Answer = Result<(), (u16, &'static str, &'static str)>;

const TAKEN: Answer = Ok(());

const fn refused(status: u16, code: &'static str) -> Answer {
    Err((status, code, ""))
}

/// A field that cannot be read.
const fn malformed(field: &'static str) -> Answer {
    Err((400, "payment_field_malformed", field))
}

/// A term of `accepted` that is not the offered one.
const fn differs(term: &'static str) -> Answer {
    Err((402, "payment_terms_mismatch", term))
}

/// The outcome as a client sees it. Every refusal is short and has its three names.
fn answer<T>(result: Result<T, PaymentRejection>) -> Answer {
    let Err(rejection) = result else { return TAKEN };
    assert!(rejection.to_string().len() <= 200 && !rejection.reason().is_empty());
    let named = match rejection {
        PaymentRejection::MalformedField(name) | PaymentRejection::NoMatchingRequirements(name) => name,
        _ => "",
    };
    Err((rejection.http_status(), rejection.code(), named))
}

/// A v2 header value against the offer of the tests.
fn pay_header(value: impl AsRef<[u8]>) -> Result<Verified, PaymentRejection> {
    pay(HeaderName::PaymentSignature, value.as_ref(), &offer())
}

/// A v1 header made of this text against the offer of the tests.
fn pay_v1(json: &str) -> Result<Verified, PaymentRejection> {
    pay(HeaderName::XPayment, base64(json).as_bytes(), &offer())
}

/// The good payment, as v1.
fn good_v1() -> Value {
    let terms = crate::common::authorization(&offer());
    v1_json(&offer(), payload(&terms, &sign(&offer(), &terms, crate::common::KEY)))
}

/// [`good_v1`] with another value at a JSON pointer.
fn pay_v1_with(pointer: &str, value: Value) -> Result<Verified, PaymentRejection> {
    let mut payment = good_v1();
    *payment.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
    pay_v1(&payment.to_string())
}

/// The good v2 payment with one piece of its text replaced, which must be there.
fn pay_replaced(from: &str, to: &str) -> Result<Verified, PaymentRejection> {
    let good = good().to_string();
    let text = good.replacen(from, to, 1);
    assert_ne!(text, good, "{from} is not in the payment");
    pay_text(&text)
}

#[test]
fn the_unspoilt_payment_is_taken_in_both_generations() {
    assert_eq!(answer(pay_text(&good().to_string())), TAKEN);
    assert_eq!(answer(pay_v1(&good_v1().to_string())), TAKEN);
}

/// The table that clients rely on: status, code and x402 reason of every rejection.
#[test]
fn every_rejection_has_its_status_code_and_reason() {
    use PaymentRejection::*;
    use x402::Version::{V1, V2};
    let signature = "invalid_exact_evm_payload_signature";
    let before = "invalid_exact_evm_payload_authorization_valid_before";
    let table = [
        (PaymentRequired, 402, "payment_required", "Payment required"),
        (HeaderTooLarge, 431, "payment_header_too_large", "invalid_payload"),
        (AmbiguousHeaders, 400, "payment_header_ambiguous", "invalid_payload"),
        (NotBase64, 400, "payment_not_base64", "invalid_payload"),
        (NotUtf8, 400, "payment_not_utf8", "invalid_payload"),
        (TooDeep, 400, "payment_too_deep", "invalid_payload"),
        (NotJson, 400, "payment_not_json", "invalid_payload"),
        (MalformedField("payload"), 400, "payment_field_malformed", "invalid_payload"),
        (InvalidIdentifier, 400, "payment_identifier_invalid", "invalid_payload"),
        (InvalidVersion, 400, "payment_version_invalid", "invalid_x402_version"),
        (InvalidScheme, 402, "payment_scheme_unsupported", "invalid_scheme"),
        (InvalidNetwork, 402, "payment_network_mismatch", "invalid_network"),
        (NoMatchingRequirements("asset"), 402, "payment_terms_mismatch", "No matching payment requirements"),
        (UnsupportedPayload, 402, "payment_payload_unsupported", "unsupported_payload_type"),
        (RecipientMismatch, 402, "payment_recipient_mismatch", "invalid_exact_evm_payload_recipient_mismatch"),
        (ValueMismatch(V1), 402, "payment_value_mismatch", "invalid_exact_evm_payload_authorization_value"),
        (ValueMismatch(V2), 402, "payment_value_mismatch", "invalid_exact_evm_payload_authorization_value_mismatch"),
        (PayerNotAllowed, 402, "payment_payer_not_allowed", "invalid_payload"),
        (NotYetValid, 402, "payment_not_yet_valid", "invalid_exact_evm_payload_authorization_valid_after"),
        (ExpiresTooSoon { left_s: 0, needed_s: 0 }, 402, "payment_expires_too_soon", before),
        (ExpiresTooLate { left_s: 0, allowed_s: 0 }, 402, "payment_expires_too_late", before),
        (SmartWalletSignature, 402, "payment_smart_wallet_unsupported", signature),
        (MalformedSignature, 402, "payment_signature_malformed", signature),
        (HighS, 402, "payment_signature_high_s", signature),
        (SignerMismatch, 402, "payment_signer_mismatch", signature),
        (NonceBoundElsewhere, 402, "payment_nonce_bound_elsewhere", "invalid_payload"),
    ];
    for (rejection, status, code, reason) in table {
        let named = (rejection.http_status(), rejection.code(), rejection.reason());
        assert_eq!(named, (status, code, reason), "{rejection:?}");
    }
}
