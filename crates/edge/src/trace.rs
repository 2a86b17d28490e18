//! W3C trace context. A well-formed one is passed on; otherwise a new one is made.

use axum::http::HeaderMap;

/// Name of the header.
pub const TRACEPARENT: &str = "traceparent";

/// The `traceparent` of a request, or a new one if there is none, or more than one, or it is malformed.
pub fn traceparent(headers: &HeaderMap) -> String {
    let mut sent = headers.get_all(TRACEPARENT).iter();
    match (sent.next().and_then(|value| value.to_str().ok()), sent.next()) {
        (Some(only), None) if is_valid(only) => only.to_owned(),
        _ => fresh(),
    }
}

/// A new, sampled trace. Zeros mean "invalid", so the lowest bits are set.
fn fresh() -> String {
    format!("00-{:032x}-{:016x}-01", rand::random::<u128>() | 1, rand::random::<u64>() | 1)
}

/// Accepts version 00 only, because later versions may add fields. Source: W3C Trace Context, section 3.2.
fn is_valid(text: &str) -> bool {
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let nonzero = |part: &str| part.bytes().any(|b| b != b'0');
    let parts: Vec<&str> = text.splitn(5, '-').collect();
    match parts.as_slice() {
        ["00", trace, span, flags] => {
            hex(trace, 32) && nonzero(trace) && hex(span, 16) && nonzero(span) && hex(flags, 2)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_good_context_is_handed_on_and_another_is_replaced() {
        assert!(is_valid(GOOD) && is_valid(&fresh()));
        let bad = [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        ];
        for text in bad {
            assert!(!is_valid(text), "{text}");
        }
        let mut headers = HeaderMap::new();
        assert!(is_valid(&traceparent(&headers)));
        headers.insert(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert_eq!(traceparent(&headers), GOOD);
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert_ne!(traceparent(&headers), GOOD, "two contexts are none");
    }
}
