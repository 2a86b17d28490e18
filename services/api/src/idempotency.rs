//! The names that an application gives a purchase: the `Idempotency-Key` header, and `payment-identifier` of x402.

use crate::error::Problem;
use alloy_primitives::Address;
use axum::http::HeaderMap;
use domain::idempotency::key_text;
use domain::{IdempotencyKey, IdempotencyKeySource};

/// Name of the header.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The key in the header, read by [`key_text`].
///
/// # Errors
/// `KeyInvalid`: the header is sent twice or cannot be read.
pub(crate) fn header(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut sent = headers.get_all(IDEMPOTENCY_KEY).iter();
    match (sent.next(), sent.next()) {
        (None, _) => Ok(None),
        (Some(only), None) => {
            let text = only.to_str().ok().and_then(key_text);
            text.map(Some).ok_or(Problem::KeyInvalid)
        }
        (Some(_), Some(_)) => Err(Problem::KeyInvalid),
    }
}

/// The keys of `payer`. Each names the purchase permanently.
pub(crate) fn keys(payer: Address, header: Option<&str>, identifier: Option<&str>) -> Vec<IdempotencyKey> {
    [(IdempotencyKeySource::Header, header), (IdempotencyKeySource::PaymentIdentifier, identifier)]
        .into_iter()
        .filter_map(|(source, text)| Some(IdempotencyKey::new(payer, source, text?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_key_is_one_short_visible_word() {
        let long = "k".repeat(128);
        let cases: [(&[u8], Option<&str>); 12] = [
            (b"8e03978e-40d5-43e8-bc93-6894a57f9324", Some("8e03978e-40d5-43e8-bc93-6894a57f9324")),
            (b"\"8e03978e\"", Some("8e03978e")),
            (b" order/7 ", Some("order/7")),
            (long.as_bytes(), Some(&long)),
            (b"", None),
            (b"\"\"", None),
            (b"\"half", None),
            (b"two words", None),
            (b"a\\b", None),
            ("ключ".as_bytes(), None),
            (&[0xff], None),
            (&[b'k'; 129], None),
        ];
        for (value, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap_or(HeaderValue::from_static("")));
            assert_eq!(header(&headers).ok().flatten(), expected, "{value:?}");
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static("k"));
            assert_eq!(header(&headers), Err(Problem::KeyInvalid), "two");
        }
        assert_eq!(header(&HeaderMap::new()), Ok(None));
    }
}
