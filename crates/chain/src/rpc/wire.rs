//! JSON-RPC over HTTP: one question, one answer, and a name for each kind of failure. Nothing is sent twice.

use crate::error::{clip, revert_data};
use crate::refusals::{RefusalKind, refusal_kind};
use crate::rpc::http::Http;
use crate::rpc::url::RpcUrl;
use crate::words::{Meaning, meaning};
use http_body_util::BodyExt;
use hyper::header::RETRY_AFTER;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::time::Duration;

/// Maximum size of an answer, in bytes. A receipt of a hundred payments has 130 kB, and searches for logs are narrow. A
/// larger answer is an attack or a mistake, and 32 concurrent calls may each hold this much.
const BODY_MAX: usize = 8 * 1024 * 1024;

/// JSON-RPC codes for temporary refusals: limits of a plan, and internal errors of a load balancer. They count only if the
/// message has no known meaning.
const BUSY_CODES: [i64; 3] = [-32005, -32016, -32603];

/// A JSON-RPC error: the node understood the question and refused.
pub(crate) type Refusal = alloy::rpc::json_rpc::ErrorPayload;

/// The reason why there is no usable answer. The requested action may have happened all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("unreachable: {0}")]
    Unreachable(String),
    #[error("no answer within {} ms", .0.as_millis())]
    Late(Duration),
    /// Status or code 429, or words of a quota, with the requested pause.
    #[error("too many requests")]
    Limited(Option<Duration>),
    #[error("HTTP {0}")]
    Status(u16),
    #[error("more than {BODY_MAX} bytes")]
    TooLarge,
    #[error("the answer is truncated")]
    Truncated,
    #[error("not JSON-RPC: {0}")]
    NotJson(String),
    #[error("the answer has another id than the question")]
    WrongId,
    #[error("not a valid result of the method: {0}")]
    Shape(String),
    #[error("busy: {0}")]
    Busy(String),
}

#[derive(Serialize)]
struct RpcRequest<'a, P> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: P,
}

#[derive(Deserialize)]
struct RpcResponse<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<Refusal>,
}

/// Distinguishes a `null` result from a missing one.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(value).map(Some)
}

/// Asks once. The inner error is the node's own refusal.
pub(crate) async fn ask<P: Serialize>(
    http: &Http,
    url: &RpcUrl,
    id: u64,
    method: &str,
    params: P,
) -> Result<Result<Box<RawValue>, Refusal>, Fault> {
    let question = RpcRequest { jsonrpc: "2.0", id, method, params };
    let body = serde_json::to_vec(&question).map_err(|e| Fault::Shape(e.to_string()))?;
    let response = http.post(url, body).await.map_err(|cause| Fault::Unreachable(clip(&cause)))?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (mut frames, mut body) = (response.into_body(), Vec::new());
    while let Some(frame) = frames.frame().await {
        let Ok(chunk) = frame.map_err(|_| Fault::Truncated)?.into_data() else { continue };
        if body.len().saturating_add(chunk.len()) > BODY_MAX {
            return Err(Fault::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    read(status, retry_after.as_deref(), &body, id)
}

/// Classifies an answer.
fn read(status: u16, retry_after: Option<&str>, body: &[u8], id: u64) -> Result<Result<Box<RawValue>, Refusal>, Fault> {
    if status == 429 {
        // Seconds. The other form of the header, a date, is rare and counts as a pause of unknown length.
        return Err(Fault::Limited(retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs)));
    }
    let answer = match serde_json::from_slice::<RpcResponse<'_>>(body) {
        _ if (300..400).contains(&status) || status >= 500 => return Err(Fault::Status(status)),
        Ok(answer) => answer,
        Err(_) if status >= 400 => return Err(Fault::Status(status)),
        Err(error) if error.is_eof() => return Err(Fault::Truncated),
        Err(_) => return Err(Fault::NotJson(clip(&String::from_utf8_lossy(body)))),
    };
    if let Some(error) = &answer.error {
        match refusal_kind(error.code, &error.message, revert_data(error).as_ref()) {
            RefusalKind::Quota => return Err(Fault::Limited(None)),
            RefusalKind::Other if error.code == 429 => return Err(Fault::Limited(None)),
            // Some clients refuse a transaction with these codes.
            RefusalKind::Other if BUSY_CODES.contains(&error.code) && !is_of_a_pool(&error.message) => {
                return Err(Fault::Busy(clip(&format!("{} ({})", error.message, error.code))));
            }
            RefusalKind::FailedCall | RefusalKind::Range | RefusalKind::Size | RefusalKind::Other => {}
        }
    }
    if answer.id.map(RawValue::get) != Some(id.to_string().as_str()) {
        return Err(Fault::WrongId);
    }
    match (answer.error, answer.result) {
        (Some(error), _) => Ok(Err(error)),
        (None, Some(result)) => Ok(Ok(result.to_owned())),
        (None, None) => Err(Fault::NotJson("neither result nor error".to_owned())),
    }
}

/// Returns whether these are a pool's words about a transaction.
fn is_of_a_pool(message: &str) -> bool {
    meaning(message).is_some_and(|meaning| meaning != Meaning::Later)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f29_f31_every_kind_of_answer_has_its_name() {
        let html = "<html>502 Bad Gateway</html>";
        type Expected = Result<Result<&'static str, i64>, Fault>;
        let cases: [(u16, Option<&str>, &str, Expected); 22] = [
            (200, None, r#"{"jsonrpc":"2.0","id":7,"result":"0x1"}"#, Ok(Ok("\"0x1\""))),
            (200, None, r#"{"jsonrpc":"2.0","id":7,"result":null}"#, Ok(Ok("null"))),
            (200, None, r#"{"jsonrpc":"2.0","id":7,"error":{"code":3,"message":"execution reverted"}}"#, Ok(Err(3))),
            (400, None, r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"invalid"}}"#, Ok(Err(-32602))),
            (200, None, r#"{"id":7,"error":{"code":-32603,"message":"Transaction fee too low"}}"#, Ok(Err(-32603))),
            (200, None, r#"{"id":7,"error":{"code":-32603,"message":"execution reverted"}}"#, Ok(Err(-32603))),
            (200, None, r#"{"jsonrpc":"2.0","id":8,"result":"0x1"}"#, Err(Fault::WrongId)),
            (200, None, r#"{"jsonrpc":"2.0","id":"7","result":"0x1"}"#, Err(Fault::WrongId)),
            (200, None, r#"{"jsonrpc":"2.0","result":"0x1"}"#, Err(Fault::WrongId)),
            (200, None, r#"{"jsonrpc":"2.0","id":7}"#, Err(Fault::NotJson("neither result nor error".to_owned()))),
            (200, None, r#"{"jsonrpc":"2.0","id":7,"result":"0x"#, Err(Fault::Truncated)),
            (200, None, "", Err(Fault::Truncated)),
            (200, None, html, Err(Fault::NotJson(html.to_owned()))),
            (502, None, html, Err(Fault::Status(502))),
            (503, Some("3"), r#"{"jsonrpc":"2.0","id":7,"result":null}"#, Err(Fault::Status(503))),
            (307, None, "", Err(Fault::Status(307))),
            (429, Some("3"), "", Err(Fault::Limited(Some(Duration::from_secs(3))))),
            (429, None, html, Err(Fault::Limited(None))),
            (200, None, r#"{"id":null,"error":{"code":429,"message":"slow down"}}"#, Err(Fault::Limited(None))),
            (
                200,
                None,
                r#"{"id":7,"error":{"code":-32005,"message":"query returned more than 10000 results"}}"#,
                Ok(Err(-32005)),
            ),
            (
                200,
                None,
                r#"{"id":7,"error":{"code":-32005,"message":"daily request count exceeded"}}"#,
                Err(Fault::Limited(None)),
            ),
            (
                200,
                None,
                r#"{"id":7,"error":{"code":-32005,"message":"limit"}}"#,
                Err(Fault::Busy("limit (-32005)".to_owned())),
            ),
        ];
        for (status, retry_after, body, expected) in cases {
            let found = read(status, retry_after, body.as_bytes(), 7);
            let found = found.map(|answer| answer.map(|raw| raw.get().to_owned()).map_err(|refusal| refusal.code));
            assert_eq!(found, expected.map(|answer| answer.map(str::to_owned)), "{status} {body}");
        }
    }
}
