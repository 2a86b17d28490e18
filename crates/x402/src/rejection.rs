//! Every reason for refusing a payment, and its names.
//!
//! Three audiences: `reason` is for x402 clients (names of the specification, wire reference section 6), `code` for our
//! own API and dashboards (stable, snake_case), the sentence for people. None of them echoes what was sent: a header
//! can be long, hostile, and worth money.

use crate::payment::Version;

/// The reason why a payment is refused. In all of these cases nothing has been written and nothing is owed.
///
/// Status: 400 if it cannot be parsed as a payment, 431 if it is too long, 402 if it can be parsed and does not pay
/// this offer. The vectors allow both 402 and 400 in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PaymentRejection {
    /// No header, or an empty one. The answer is the offer.
    #[error("this resource is paid for with x402: sign one of the offers and send it again")]
    PaymentRequired,
    /// Longer than [`crate::MAX_HEADER_BYTES`].
    #[error("the payment header is longer than {} bytes", crate::MAX_HEADER_BYTES)]
    HeaderTooLarge,
    /// Two payment headers.
    #[error("send one payment header, once: PAYMENT-SIGNATURE or X-PAYMENT")]
    AmbiguousHeaders,
    /// Not standard base64.
    #[error("the payment header is not standard base64")]
    NotBase64,
    /// Not UTF-8 inside the base64.
    #[error("the payment header does not decode to UTF-8")]
    NotUtf8,
    /// Nested deeper than [`crate::MAX_JSON_DEPTH`].
    #[error("the payment is nested deeper than {} levels", crate::MAX_JSON_DEPTH)]
    TooDeep,
    /// Not one JSON object, or a key of the outermost level appears twice.
    #[error("the payment is not one JSON object with every key once")]
    NotJson,
    /// A field is missing, appears twice, or is not spelt as the protocol requires.
    #[error("the payment field `{0}` is missing or malformed")]
    MalformedField(&'static str),
    /// A payment identifier that is malformed, or whose key appears twice. If it were ignored, an application that
    /// relies on it could pay twice.
    #[error("the payment identifier is not 16 to 128 of A-Z, a-z, 0-9, _ and -")]
    InvalidIdentifier,
    /// `x402Version` is not the integer that belongs to the header.
    #[error("x402Version must be the number 2 in PAYMENT-SIGNATURE and 1 in X-PAYMENT")]
    InvalidVersion,
    /// A v1 scheme other than `exact`.
    #[error("the payment scheme is not `exact`")]
    InvalidScheme,
    /// A v1 network other than the offered one.
    #[error("the payment is for another network")]
    InvalidNetwork,
    /// The v2 `accepted` differs from our offer in the named term.
    #[error("the accepted terms are not the offered ones: `{0}` differs")]
    NoMatchingRequirements(&'static str),
    /// A Permit2 payload, which was not offered.
    #[error("the payment is not an EIP-3009 authorization, the only kind that is offered")]
    UnsupportedPayload,
    /// `authorization.to` is not the payee.
    #[error("the authorization pays another recipient")]
    RecipientMismatch,
    /// `authorization.value` is above or below the price.
    #[error("the authorization is not for the exact price")]
    ValueMismatch(Version),
    /// The payer is the payee, the asset or the zero address: no money would move.
    #[error("the payer may not be the payee, the asset or the zero address")]
    PayerNotAllowed,
    /// `validAfter` lies in the future.
    #[error("the authorization is not valid yet")]
    NotYetValid,
    /// `validBefore` leaves less time, in seconds, than settlement may need.
    #[error("the authorization is valid for {left_s} s more; at least {needed_s} s are needed")]
    ExpiresTooSoon {
        /// Remaining seconds; 0 if it has expired.
        left_s: u64,
        /// The required margin.
        needed_s: u64,
    },
    /// `validBefore` lies further ahead, in seconds, than an unpaid order is watched.
    #[error("the authorization is valid for {left_s} s; at most {allowed_s} s are accepted")]
    ExpiresTooLate {
        /// Remaining seconds.
        left_s: u64,
        /// The cap.
        allowed_s: u64,
    },
    /// An ERC-6492 wrapper or another contract signature.
    #[error("signatures of smart wallets are not accepted: pay from an ordinary account")]
    SmartWalletSignature,
    /// Not 65 bytes, v is not 0, 1, 27 or 28, or r is no point on the curve.
    #[error("the signature is not 65 bytes of r, s and v on secp256k1")]
    MalformedSignature,
    /// The upper of the two possible s. The ecrecover precompile accepts it, USDC reverts.
    #[error("the signature has a high s, which the token refuses")]
    HighS,
    /// Signed by another key, or over other terms or another domain.
    #[error("the signature is not the payer's for these terms on this network and asset")]
    SignerMismatch,
    /// The nonce was derived from another order. The caller finds this, because only the caller knows what is bought.
    #[error("the nonce of the authorization is bound to another order: sign a new one for this order")]
    NonceBoundElsewhere,
}

impl PaymentRejection {
    /// The x402 reason string, for the `error` of the next 402. Source: wire reference, section 6.
    pub fn reason(&self) -> &'static str {
        use PaymentRejection::*;
        match self {
            PaymentRequired => "Payment required",
            HeaderTooLarge | AmbiguousHeaders | NotBase64 | NotUtf8 | TooDeep | NotJson => "invalid_payload",
            MalformedField(_) | InvalidIdentifier | PayerNotAllowed | NonceBoundElsewhere => "invalid_payload",
            InvalidVersion => "invalid_x402_version",
            InvalidScheme => "invalid_scheme",
            InvalidNetwork => "invalid_network",
            NoMatchingRequirements(_) => "No matching payment requirements",
            UnsupportedPayload => "unsupported_payload_type",
            RecipientMismatch => "invalid_exact_evm_payload_recipient_mismatch",
            ValueMismatch(Version::V1) => "invalid_exact_evm_payload_authorization_value",
            ValueMismatch(Version::V2) => "invalid_exact_evm_payload_authorization_value_mismatch",
            NotYetValid => "invalid_exact_evm_payload_authorization_valid_after",
            ExpiresTooSoon { .. } | ExpiresTooLate { .. } => "invalid_exact_evm_payload_authorization_valid_before",
            SmartWalletSignature | MalformedSignature | HighS | SignerMismatch => "invalid_exact_evm_payload_signature",
        }
    }

    /// Our own code: stable, one per variant. It is the `code` of the problem document.
    pub fn code(&self) -> &'static str {
        use PaymentRejection::*;
        match self {
            PaymentRequired => "payment_required",
            HeaderTooLarge => "payment_header_too_large",
            AmbiguousHeaders => "payment_header_ambiguous",
            NotBase64 => "payment_not_base64",
            NotUtf8 => "payment_not_utf8",
            TooDeep => "payment_too_deep",
            NotJson => "payment_not_json",
            MalformedField(_) => "payment_field_malformed",
            InvalidIdentifier => "payment_identifier_invalid",
            InvalidVersion => "payment_version_invalid",
            InvalidScheme => "payment_scheme_unsupported",
            InvalidNetwork => "payment_network_mismatch",
            NoMatchingRequirements(_) => "payment_terms_mismatch",
            UnsupportedPayload => "payment_payload_unsupported",
            RecipientMismatch => "payment_recipient_mismatch",
            ValueMismatch(_) => "payment_value_mismatch",
            PayerNotAllowed => "payment_payer_not_allowed",
            NotYetValid => "payment_not_yet_valid",
            ExpiresTooSoon { .. } => "payment_expires_too_soon",
            ExpiresTooLate { .. } => "payment_expires_too_late",
            SmartWalletSignature => "payment_smart_wallet_unsupported",
            MalformedSignature => "payment_signature_malformed",
            HighS => "payment_signature_high_s",
            SignerMismatch => "payment_signer_mismatch",
            NonceBoundElsewhere => "payment_nonce_bound_elsewhere",
        }
    }

    /// The HTTP status of the answer.
    pub fn http_status(&self) -> u16 {
        use PaymentRejection::*;
        match self {
            HeaderTooLarge => 431,
            AmbiguousHeaders | NotBase64 | NotUtf8 | TooDeep | NotJson => 400,
            MalformedField(_) | InvalidIdentifier | InvalidVersion => 400,
            _ => 402,
        }
    }

    /// One value of each variant, for tables and tests. A new variant does not compile before it is listed here.
    pub fn all() -> Vec<Self> {
        macro_rules! each {
            ($($kind:ident $(($($inner:expr),+))? $({$($field:ident: $value:expr),+})?),+ $(,)?) => {{
                let all = vec![$(Self::$kind $(($($inner),+))? $({$($field: $value),+})?),+];
                for one in &all {
                    match one { $(Self::$kind { .. } => {})+ }
                }
                all
            }};
        }
        each![
            PaymentRequired,
            HeaderTooLarge,
            AmbiguousHeaders,
            NotBase64,
            NotUtf8,
            TooDeep,
            NotJson,
            MalformedField("payload.authorization.value"),
            InvalidVersion,
            InvalidScheme,
            InvalidNetwork,
            NoMatchingRequirements("amount"),
            UnsupportedPayload,
            RecipientMismatch,
            ValueMismatch(Version::V2),
            PayerNotAllowed,
            NotYetValid,
            ExpiresTooSoon { left_s: 60, needed_s: 120 },
            ExpiresTooLate { left_s: 90_000, allowed_s: 86_400 },
            SmartWalletSignature,
            MalformedSignature,
            HighS,
            SignerMismatch,
            InvalidIdentifier,
            NonceBoundElsewhere,
        ]
    }
}
