//! Every golden vector of the wire reference. Its field `expect` decides.

use crate::common::{DAY, MARGIN, NOW, header_name, local_offer, offer, offer_of, pay, text, vectors};
use alloy_primitives::{Address, B256, hex, keccak256};
use domain::{Authorization, Usdc};
use serde_json::Value;
use x402::{
    HeaderName, PAYMENT_RESPONSE, PaymentRejection, Settlement, Version, X_PAYMENT_RESPONSE, decode, domain_separator,
    payment_required, recover, settlement_header, transfer_digest, verify, verify_signature,
};

/// The only valid vector that we refuse, as its note allows: "refusing with invalid_payload is tolerable".
const TOLERATED: &str = "v2-validBefore-u256-max";

#[test]
fn every_valid_vector_is_taken_with_its_payer_value_and_nonce() {
    let cases = vectors(include_str!("../../vectors/valid.json"));
    assert_eq!(cases.as_array().unwrap().len(), 17);
    for case in cases.as_array().unwrap() {
        let name = text(case, "/name");
        assert_eq!(case["now"], NOW, "{name}");
        let header = header_name(text(case, "/headerName"));
        let value = text(case, "/headerValue").as_bytes();
        let offer = offer_of(&case["requirements"]);
        if name == TOLERATED {
            let refused = pay(header, value, &offer).unwrap_err();
            assert_eq!(refused, PaymentRejection::MalformedField("authorization.validBefore"));
            assert_eq!((refused.reason(), refused.http_status()), ("invalid_payload", 400));
            continue;
        }
        let verified = pay(header, value, &offer).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(verified.payer.to_string(), text(case, "/expect/payer"), "{name}");
        assert_eq!(verified.authorization.value.0.to_string(), text(case, "/expect/value"), "{name}");
        assert_eq!(verified.authorization.nonce.to_string(), text(case, "/expect/nonce"), "{name}");
        assert!(matches!(verified.signature[64], 27 | 28), "{name}");
    }
}

#[test]
fn every_invalid_vector_is_refused_with_its_reason_and_status() {
    let cases = vectors(include_str!("../../vectors/invalid.json"));
    assert_eq!(cases.as_array().unwrap().len(), 52);
    for case in cases.as_array().unwrap() {
        let name = text(case, "/name");
        assert_eq!(case["now"], NOW, "{name}");
        let header = header_name(text(case, "/headerName"));
        let value = text(case, "/headerValue").as_bytes();
        let refused = pay(header, value, &offer_of(&case["requirements"])).unwrap_err();
        let (reason, status) = (refused.reason(), refused.http_status());
        let expect = &case["expect"];
        let also = expect["alsoAccept"].as_array().cloned().unwrap_or_default();
        assert!(expect["reason"] == reason || also.contains(&reason.into()), "{name}: {reason}");
        assert!(expect["http"].as_array().unwrap().contains(&status.into()), "{name}: {status}");
    }
}

/// The reason must be the vector's first choice, not only one that it accepts.
#[test]
fn every_invalid_vector_is_refused_with_the_first_choice_of_its_reasons() {
    let cases = vectors(include_str!("../../vectors/invalid.json"));
    for case in cases.as_array().unwrap() {
        let header = header_name(text(case, "/headerName"));
        let value = text(case, "/headerValue").as_bytes();
        let refused = pay(header, value, &offer_of(&case["requirements"])).unwrap_err();
        assert_eq!(refused.reason(), text(case, "/expect/reason"), "{}", text(case, "/name"));
    }
}

#[test]
fn type_hashes_separators_digests_and_signers_are_the_golden_ones() {
    let file = vectors(include_str!("../../vectors/eip712.json"));
    let domain_type = "8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f";
    assert_eq!(hex::encode(keccak256(text(&file, "/domainTypeString"))), domain_type);
    assert_eq!(keccak256(text(&file, "/typeString")).to_string(), text(&file, "/typeHash"));
    for case in file["cases"].as_array().unwrap() {
        let separator = domain_separator(
            text(case, "/domain/name"),
            text(case, "/domain/version"),
            case["domain"]["chainId"].as_u64().unwrap(),
            text(case, "/domain/verifyingContract").parse().unwrap(),
        );
        assert_eq!(separator.to_string(), text(case, "/domainSeparator"));
        let terms = authorization_of(&case["message"]);
        let digest = transfer_digest(&separator, &terms);
        assert_eq!(digest.to_string(), text(case, "/digest"));
        let signature: [u8; 65] = hex::decode(text(case, "/signature")).unwrap().try_into().unwrap();
        assert_eq!(recover(&digest, &signature).unwrap().to_string(), text(case, "/address"));
        assert_eq!(verify_signature(&separator, &terms, &signature), Ok(signature));
        assert_eq!(crate::common::sign_digest(digest, crate::common::KEY), signature, "RFC 6979");
    }
}

fn authorization_of(message: &Value) -> Authorization {
    Authorization {
        from: text(message, "/from").parse().unwrap(),
        to: text(message, "/to").parse().unwrap(),
        value: text(message, "/value").parse().map(Usdc).unwrap(),
        valid_after: text(message, "/validAfter").parse().unwrap(),
        valid_before: text(message, "/validBefore").parse().unwrap(),
        nonce: text(message, "/nonce").parse().unwrap(),
    }
}

#[test]
fn the_402_is_the_golden_header_and_body() {
    let wire = vectors(include_str!("../../vectors/wire.json"));
    let v2 = payment_required(&local_offer(None), "Payment required");
    assert_eq!(v2.header_value, text(&wire, "/PAYMENT-REQUIRED/headerValue"));
    let v1 = payment_required(&offer(), "X-PAYMENT header is required");
    assert_eq!(v1.body, wire["v1Body402"]);
}

#[test]
fn settlement_headers_are_the_golden_ones() {
    let wire = vectors(include_str!("../../vectors/wire.json"));
    let settled = Settlement::Settled { transaction: B256::repeat_byte(0x12) };
    let failed = |reason| Settlement::Failed { reason };
    let pending = "PAYMENT-RESPONSE pending (non-standard use of settlement_pending)";
    let insufficient = failed("invalid_exact_evm_insufficient_balance");
    for (version, settlement, offer, key) in [
        (Version::V2, settled, local_offer(None), "PAYMENT-RESPONSE settled"),
        (Version::V2, failed("settlement_pending"), local_offer(None), pending),
        (Version::V2, insufficient, local_offer(None), "PAYMENT-RESPONSE failed"),
        (Version::V1, settled, offer(), "X-PAYMENT-RESPONSE settled"),
    ] {
        let header = settlement_header(version, settlement, &offer.network, crate::common::PAYER);
        assert_eq!(header.value, wire[key]["headerValue"].as_str().unwrap(), "{key}");
        let name = if version == Version::V1 { X_PAYMENT_RESPONSE } else { PAYMENT_RESPONSE };
        assert_eq!(header.name, name);
    }
}

#[test]
fn a_permit2_payment_is_refused_as_unsupported_payload() {
    let file = vectors(include_str!("../../vectors/permit2.json"));
    let header = header_name(text(&file, "/headerName"));
    let refused = decode(header, text(&file, "/headerValue").as_bytes()).unwrap_err();
    assert_eq!(refused, PaymentRejection::UnsupportedPayload);
    assert_eq!((refused.reason(), refused.http_status()), ("unsupported_payload_type", 402));
}

/// B31, B32: EOA payers only. An ERC-1271 signature is made by the owner's key, so it recovers another address than
/// `from`. An ERC-6492 wrapper is recognised by its suffix. Both end in the reason that the vector expects.
#[test]
fn b31_b32_smart_wallet_payments_are_refused_as_bad_signatures() {
    let file = vectors(include_str!("../../vectors/smart-wallet.json"));
    for (kind, expected) in
        [("erc1271", PaymentRejection::SignerMismatch), ("erc6492", PaymentRejection::SmartWalletSignature)]
    {
        let value = text(&file[kind], "/headerValue").as_bytes();
        let payment = decode(HeaderName::PaymentSignature, value).unwrap();
        let refused = verify(&payment, &local_offer(None), NOW, MARGIN, DAY).unwrap_err();
        assert_eq!(refused, expected, "{kind}");
        assert_eq!(refused.reason(), text(&file, "/expectOnEoaOnlyServer/reason"), "{kind}");
    }
    let owner: Address = text(&file, "/owner").parse().unwrap();
    let digest: B256 = text(&file, "/digest").parse().unwrap();
    let signature = hex::decode(text(&file["erc1271"], "/signature")).unwrap();
    assert_eq!(recover(&digest, &signature.try_into().unwrap()), Ok(owner));
}
