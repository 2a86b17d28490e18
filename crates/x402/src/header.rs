//! The payment header as bytes: choice of the header, its size, and decoding from base64 to text that is safe to parse.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::limits::{MAX_HEADER_BYTES, MAX_JSON_DEPTH};
use crate::payment::Version;
use crate::rejection::PaymentRejection;

/// Response header that carries the v2 offer.
pub const PAYMENT_REQUIRED: &str = "PAYMENT-REQUIRED";
/// Response header that reports a v2 settlement.
pub const PAYMENT_RESPONSE: &str = "PAYMENT-RESPONSE";
/// Response header that reports a v1 settlement.
pub const X_PAYMENT_RESPONSE: &str = "X-PAYMENT-RESPONSE";

/// Standard alphabet only. Written with padding, read with or without: `atob` and the reference servers accept unpadded
/// text (vector `v2-base64-unpadded`). White space and base64url are refused.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The request headers that can carry a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeaderName {
    /// v2.
    PaymentSignature,
    /// v1.
    XPayment,
}

impl HeaderName {
    /// The name as it is written on the wire. Compare it without case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PaymentSignature => "PAYMENT-SIGNATURE",
            Self::XPayment => "X-PAYMENT",
        }
    }

    /// The protocol generation of this header.
    pub fn version(self) -> Version {
        match self {
            Self::PaymentSignature => Version::V2,
            Self::XPayment => Version::V1,
        }
    }
}

/// Chooses the payment among all values of the two headers of one request.
/// # Errors
/// `PaymentRequired` if there is none. `AmbiguousHeaders` if there are two, of one name or of both: no stock client
/// sends two, and choosing one would be a guess about money.
pub fn one_header<'a>(
    payment_signature: impl IntoIterator<Item = &'a [u8]>,
    x_payment: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(HeaderName, &'a [u8]), PaymentRejection> {
    let v2 = payment_signature.into_iter().map(|value| (HeaderName::PaymentSignature, value));
    let v1 = x_payment.into_iter().map(|value| (HeaderName::XPayment, value));
    let mut all = v2.chain(v1);
    match (all.next(), all.next()) {
        (None, _) => Err(PaymentRejection::PaymentRequired),
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => Err(PaymentRejection::AmbiguousHeaders),
    }
}

/// The JSON text inside a header value, with bounded size and depth.
/// # Errors
/// In this order: `HeaderTooLarge`, `PaymentRequired` (empty), `NotBase64`, `NotUtf8`, `TooDeep`.
pub(crate) fn text(value: &[u8]) -> Result<String, PaymentRejection> {
    if value.len() > MAX_HEADER_BYTES {
        return Err(PaymentRejection::HeaderTooLarge);
    }
    if value.is_empty() {
        return Err(PaymentRejection::PaymentRequired);
    }
    let bytes = BASE64.decode(value).map_err(|_| PaymentRejection::NotBase64)?;
    let text = String::from_utf8(bytes).map_err(|_| PaymentRejection::NotUtf8)?;
    if too_deep(&text) { Err(PaymentRejection::TooDeep) } else { Ok(text) }
}

/// Counts brackets outside strings. The result is meaningless for text that is not JSON, which the parser refuses next.
fn too_deep(text: &str) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_JSON_DEPTH {
            return true;
        }
    }
    false
}
