//! Every way to say no to a payment, and what each is called.
//!
//! Three audiences: `reason` is for x402 clients (spec names, wire reference section 6), `code` for
//! our own API and dashboards (stable, snake_case), the sentence for people. None of them echoes
//! what was sent: a header can be long, hostile, and a bearer of money.

use crate::payment::Version;

/// Why a payment is not taken. Nothing has been written and nothing is owed in any of these cases.
///
/// Status: 400 for what cannot be read as a payment, 431 for what is too long to be looked at, 402 for
/// what can be read and does not pay this offer. The vectors allow 402 and 400 alike for every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No header, or an empty one (B01, B02): the answer is the offer.
    #[error("this resource is paid for with x402: sign one of the offers and send it again")]
    PaymentRequired,
    /// Longer than [`crate::MAX_HEADER_BYTES`] (B07, B08).
    #[error("the payment header is longer than {} bytes", crate::MAX_HEADER_BYTES)]
    HeaderTooLarge,
    /// Two payment headers (B05, B06).
    #[error("send one payment header, once: PAYMENT-SIGNATURE or X-PAYMENT")]
    AmbiguousHeaders,
    /// Not standard base64 (B03, B04).
    #[error("the payment header is not standard base64")]
    NotBase64,
    /// Not UTF-8 inside the base64 (B09).
    #[error("the payment header does not decode to UTF-8")]
    NotUtf8,
    /// Nested beyond [`crate::MAX_JSON_DEPTH`] (B10).
    #[error("the payment is nested deeper than {} levels", crate::MAX_JSON_DEPTH)]
    TooDeep,
    /// Not one JSON object, or with a key of the outermost level twice (B11, B12, B14).
    #[error("the payment is not one JSON object with every key once")]
    NotJson,
    /// A field is missing, there twice, or not spelt as the protocol spells it (B11, B13, B20, B25, B29).
    #[error("the payment field `{0}` is missing or malformed")]
    MalformedField(&'static str),
    /// A payment identifier that is there but is not one: another form, or its key twice. To ignore it would let an app
    /// that relies on it pay twice.
    #[error("the payment identifier is not 16 to 128 of A-Z, a-z, 0-9, _ and -")]
    InvalidIdentifier,
    /// `x402Version` is not the integer that belongs to the header (B17).
    #[error("x402Version must be the number 2 in PAYMENT-SIGNATURE and 1 in X-PAYMENT")]
    InvalidVersion,
    /// v1 scheme other than `exact` (B18).
    #[error("the payment scheme is not `exact`")]
    InvalidScheme,
    /// v1 network other than the offered one (B19).
    #[error("the payment is for another network")]
    InvalidNetwork,
    /// v2 `accepted` is not our offer: the named term differs (B18 to B22).
    #[error("the accepted terms are not the offered ones: `{0}` differs")]
    NoMatchingRequirements(&'static str),
    /// A Permit2 payload, which was not offered.
    #[error("the payment is not an EIP-3009 authorization, the only kind that is offered")]
    UnsupportedPayload,
    /// `authorization.to` is not the payee (B23).
    #[error("the authorization pays another recipient")]
    RecipientMismatch,
    /// `authorization.value` is not the price, above or below (B25).
    #[error("the authorization is not for the exact price")]
    ValueMismatch(Version),
    /// The payer is the payee, the asset or nobody: no money would move (B24).
    #[error("the payer may not be the payee, the asset or the zero address")]
    PayerNotAllowed,
    /// `validAfter` lies in the future (B26).
    #[error("the authorization is not valid yet")]
    NotYetValid,
    /// `validBefore` leaves less than the time that settlement may need (B27, D14), in seconds.
    #[error("the authorization is valid for {left_s} s more; at least {needed_s} s are needed")]
    ExpiresTooSoon {
        /// What is left; 0 if it has expired.
        left_s: u64,
        /// The margin.
        needed_s: u64,
    },
    /// `validBefore` lies further ahead than we look after a payment (B27, D2), in seconds.
    #[error("the authorization is valid for {left_s} s; at most {allowed_s} s are accepted")]
    ExpiresTooLate {
        /// What is left.
        left_s: u64,
        /// The cap.
        allowed_s: u64,
    },
    /// An ERC-6492 wrapper or another signature of a contract (B31, B32).
    #[error("signatures of smart wallets are not accepted: pay from an ordinary account")]
    SmartWalletSignature,
    /// Not 65 bytes, v not 0, 1, 27 or 28, or no point on the curve (B30).
    #[error("the signature is not 65 bytes of r, s and v on secp256k1")]
    MalformedSignature,
    /// The upper of the two possible s (B30): ecrecover takes it, USDC reverts.
    #[error("the signature has a high s, which the token refuses")]
    HighS,
    /// Made by another key, or over other terms or another domain (B34 to B36).
    #[error("the signature is not the payer's for these terms on this network and asset")]
    SignerMismatch,
    /// The nonce was derived from another order. Found by the caller, who alone knows what is bought.
    #[error("the nonce of the authorization is bound to another order: sign a new one for this order")]
    NonceBoundElsewhere,
}

impl Rejection {
    /// The x402 reason string, for the `error` of the next 402. Source: wire reference, section 6.
    pub fn reason(&self) -> &'static str {
        use Rejection::*;
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

    /// Our own code: stable, one per variant, the `code` of the problem document.
    pub fn code(&self) -> &'static str {
        use Rejection::*;
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

    /// The HTTP status. Source: docs/CATALOGUE.md, bad inputs.
    pub fn http_status(&self) -> u16 {
        use Rejection::*;
        match self {
            HeaderTooLarge => 431,
            AmbiguousHeaders | NotBase64 | NotUtf8 | TooDeep | NotJson => 400,
            MalformedField(_) | InvalidIdentifier | InvalidVersion => 400,
            _ => 402,
        }
    }
}
