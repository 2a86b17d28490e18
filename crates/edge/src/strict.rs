//! Requests that hyper accepts and RFC 9112 forbids. A proxy in front of this server may read them differently.
//!
//! With both `Transfer-Encoding` and `Content-Length` hyper follows the former, removes the latter and closes the
//! connection after its answer, as section 6.1 demands. It answers 400 by itself to a `Content-Length` that is no
//! number, and to two that differ.

use axum::http::header::{HOST, TRANSFER_ENCODING};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, Version};

/// Returns false if servers may disagree about where the request ends or whom it is for. Close the connection then,
/// because the beginning of its next request is unknown.
pub fn is_unambiguous(uri: &Uri, version: Version, headers: &HeaderMap) -> bool {
    is_target_good(uri) && is_host_good(version, headers) && is_coding_good(headers)
}

/// Returns true for a path or a whole URL. A host alone is for CONNECT and for proxies. Source: RFC 9112, section 3.2.
fn is_target_good(uri: &Uri) -> bool {
    uri.authority().is_none() || uri.scheme().is_some()
}

/// Returns true for one well-formed `Host`, or none before HTTP/1.1. Its value does not matter, because no answer
/// contains it. Source: RFC 9112, section 3.2.
fn is_host_good(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => version < Version::HTTP_11,
        (Some(host), None) => {
            let bytes = host.as_bytes();
            bytes.is_empty() || (!bytes.contains(&b'@') && Authority::try_from(bytes).is_ok())
        }
        (Some(_), Some(_)) => false,
    }
}

/// Returns true for `chunked`, once, or no coding. This server understands no other coding, and chunks within chunks can
/// hide a request. Source: RFC 9112, section 7.
fn is_coding_good(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}
