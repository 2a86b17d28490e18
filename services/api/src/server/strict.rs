//! What hyper lets through and RFC 9112 does not: requests that a proxy before us may read as something else.
//!
//! Of a request with both `Transfer-Encoding` and `Content-Length` hyper takes the former, removes the latter and closes
//! the connection after its answer, as section 6.1 wants; a `Content-Length` that is no number, or two that differ, it
//! answers 400 by itself.

use crate::error::Problem;
use axum::extract::Request;
use axum::http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Uri, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Layer: 400 and the end of the connection for what is ambiguous. Nobody knows where its next request begins.
pub(crate) async fn unambiguous(request: Request, next: Next) -> Response {
    let (uri, version, headers) = (request.uri(), request.version(), request.headers());
    if is_target_good(uri) && is_host_good(version, headers) && is_coding_good(headers) {
        return next.run(request).await;
    }
    let mut response = Problem::RequestMalformed.into_response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A path, or a whole URL. A host alone is for CONNECT, and for proxies. Source: RFC 9112, section 3.2.
fn is_target_good(uri: &Uri) -> bool {
    uri.authority().is_none() || uri.scheme().is_some()
}

/// One `Host`, well formed; none only before HTTP/1.1. Which one is nobody's affair: no answer is made of it. Source:
/// RFC 9112, section 3.2.
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

/// `chunked`, once, or nothing: no other coding is understood here, and chunks in chunks are a way to hide a request.
/// Source: RFC 9112, section 7.
fn is_coding_good(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}
