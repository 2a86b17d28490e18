//! Every way to say no: one table from the reason to status, stable code and title.
//!
//! Answers are RFC 9457 problem documents of less than 1 KB. They never echo what was sent, and tell nothing of the
//! inside. A payment that does not fit is answered with the offer again, in both generations of x402.

use crate::admission::{Closed, Refusal};
use crate::openapi::examples;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::PaymentId;
use serde::Serialize;
use serde_json::{Value, json};
use x402::{Offer, Rejection, payment_required};

/// When to come back after a 503, seconds: a leader election takes 6, a restart less.
const RETRY_AFTER_S: u64 = 3;

/// Lower case of [`x402::PAYMENT_REQUIRED`].
const PAYMENT_REQUIRED: HeaderName = HeaderName::from_static("payment-required");

/// Why a request is not answered with what it asked for. In every case but `LedgerAway` nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// No such path.
    RouteUnknown,
    /// No well-formed HTTP/1.1 request.
    RequestMalformed,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// Not an address, or not of a token that is sold here.
    TokenUnknown,
    /// Not an id, or of no payment in the ledger.
    PaymentUnknown,
    /// A stream of events was asked for by more than one filter, or by one that is none.
    FilterInvalid,
    /// Without a filter a stream is for operators.
    OperatorsOnly,
    /// Not an address.
    AddressInvalid,
    /// The query string cannot be read, or says one thing twice.
    QueryInvalid,
    /// `limit` is no number from 1 to 100.
    LimitInvalid,
    /// `cursor` is none of ours.
    CursorInvalid,
    /// The body is not one JSON object.
    BodyMalformed,
    /// The body is longer than [`crate::mint::BODY_MAX`].
    BodyTooLarge,
    /// The body did not arrive in time.
    BodyTooSlow,
    /// The body is compressed (B15).
    BodyEncoded,
    /// `quantity` is missing or no whole number from 1 on.
    QuantityInvalid,
    /// More units than the token can ever have, or than can be paid for at once.
    QuantityTooLarge,
    /// The payment header cannot be read.
    PaymentUnreadable(Rejection),
    /// The payment does not fit the offer, or there is none.
    PaymentRequired(Rejection, Box<Offer>),
    /// The authorization pays for another order: this one.
    KeyReused(PaymentId),
    /// The `Idempotency-Key` cannot be read.
    KeyInvalid,
    /// The key names another order: this one.
    KeyNamesAnother(PaymentId),
    /// No order is taken now, or none of this payer.
    NotAdmitted(Refusal),
    /// The ledger does not answer. The order may be written all the same; the same request again finds out.
    LedgerAway,
    /// The read models do not answer, and what was asked for is nowhere else.
    ReadModelsAway,
    /// The tokens have not been read yet.
    StartingUp,
    /// Too many questions of this kind at once.
    Busy,
    /// This client asks too often; it may come back after so many seconds.
    RateLimited { retry_after_s: u64 },
    /// All clients together ask too often.
    Overloaded { retry_after_s: u64 },
    /// This client follows enough payments at once.
    TooManyStreams,
    /// All clients together do.
    StreamsExhausted,
    /// The ledger holds what no decider wrote; a person must look.
    OrderUnreadable(PaymentId),
    /// A mistake of ours.
    Internal,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_queue_id: Option<PaymentId>,
}

impl Problem {
    /// What to say to a payment that is not taken: the offer again, or what is wrong with the header.
    pub(crate) fn of_payment(rejection: Rejection, offer: &Offer) -> Self {
        match rejection.http_status() {
            402 => Self::PaymentRequired(rejection, Box::new(offer.clone())),
            _ => Self::PaymentUnreadable(rejection),
        }
    }

    /// One of each kind, and every way to refuse a payment: for the document, tables and tests. A new kind does not
    /// compile before it is listed here.
    pub(crate) fn all() -> Vec<Self> {
        macro_rules! each {
            ($($kind:ident $(($inner:expr))? $({$field:ident})?),+ $(,)?) => {{
                let all = vec![$(Self::$kind $(($inner))? $({$field})?),+];
                for one in &all {
                    match one {
                        $(Self::$kind { .. } => {})+
                        Self::PaymentUnreadable(_) | Self::PaymentRequired(..) | Self::NotAdmitted(_) => {} // below
                    }
                }
                all
            }};
        }
        let (offer, order) = (examples::offer(), domain::examples::request().id());
        let retry_after_s = RETRY_AFTER_S;
        let refused = |why| Self::NotAdmitted(Refusal { why, retry_after_s });
        let mut all = each![
            RouteUnknown,
            RequestMalformed,
            MethodNotAllowed,
            TokenUnknown,
            PaymentUnknown,
            FilterInvalid,
            OperatorsOnly,
            AddressInvalid,
            QueryInvalid,
            LimitInvalid,
            CursorInvalid,
            BodyMalformed,
            BodyTooLarge,
            BodyTooSlow,
            BodyEncoded,
            QuantityInvalid,
            QuantityTooLarge,
            KeyReused(order),
            KeyInvalid,
            KeyNamesAnother(order),
            LedgerAway,
            ReadModelsAway,
            StartingUp,
            Busy,
            RateLimited { retry_after_s },
            Overloaded { retry_after_s },
            TooManyStreams,
            StreamsExhausted,
            OrderUnreadable(order),
            Internal,
        ];
        all.extend(Rejection::all().into_iter().map(|rejection| Self::of_payment(rejection, &offer)));
        all.extend(Closed::all().into_iter().map(refused));
        all
    }

    /// The table: status, stable code, title.
    pub(crate) fn row(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::RouteUnknown => (StatusCode::NOT_FOUND, "route_unknown", "No such path"),
            Self::RequestMalformed => (StatusCode::BAD_REQUEST, "request_malformed", "Malformed request"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed"),
            Self::TokenUnknown => (StatusCode::NOT_FOUND, "token_unknown", "No such token"),
            Self::PaymentUnknown => (StatusCode::NOT_FOUND, "payment_unknown", "No such payment"),
            Self::FilterInvalid => (StatusCode::BAD_REQUEST, "events_filter_invalid", "Events of what?"),
            Self::OperatorsOnly => (StatusCode::UNAUTHORIZED, "operators_only", "For operators"),
            Self::AddressInvalid => (StatusCode::BAD_REQUEST, "address_invalid", "Invalid address"),
            Self::QueryInvalid => (StatusCode::BAD_REQUEST, "query_invalid", "Unreadable query"),
            Self::LimitInvalid => (StatusCode::BAD_REQUEST, "limit_invalid", "Invalid limit"),
            Self::CursorInvalid => (StatusCode::BAD_REQUEST, "cursor_invalid", "Invalid cursor"),
            Self::BodyMalformed => (StatusCode::BAD_REQUEST, "body_malformed", "Unreadable body"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "Body too large"),
            Self::BodyTooSlow => (StatusCode::REQUEST_TIMEOUT, "body_too_slow", "Body too slow"),
            Self::BodyEncoded => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "body_encoding_unsupported", "Compressed body"),
            Self::QuantityInvalid => (StatusCode::UNPROCESSABLE_ENTITY, "quantity_invalid", "Invalid quantity"),
            Self::QuantityTooLarge => (StatusCode::UNPROCESSABLE_ENTITY, "quantity_too_large", "Quantity too large"),
            Self::PaymentUnreadable(rejection) => {
                let status = StatusCode::from_u16(rejection.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
                (status, rejection.code(), "Unreadable payment")
            }
            Self::PaymentRequired(rejection, _) => (StatusCode::PAYMENT_REQUIRED, rejection.code(), "Payment required"),
            Self::KeyReused(_) => (StatusCode::CONFLICT, "payment_key_reused", "Authorization already used"),
            Self::KeyInvalid => (StatusCode::BAD_REQUEST, "idempotency_key_invalid", "Unreadable idempotency key"),
            Self::KeyNamesAnother(_) => (StatusCode::CONFLICT, "idempotency_key_reused", "Key already used"),
            Self::NotAdmitted(refusal) => match refusal.why {
                Closed::PayerBusy => (StatusCode::TOO_MANY_REQUESTS, "payer_busy", "Too many unpaid orders"),
                Closed::LedgerAway => {
                    (StatusCode::SERVICE_UNAVAILABLE, "ledger_unavailable", "Temporarily unavailable")
                }
                Closed::LedgerBroken => (StatusCode::SERVICE_UNAVAILABLE, "ledger_broken", "Stopped"),
                Closed::LedgerFull => (StatusCode::SERVICE_UNAVAILABLE, "ledger_full", "Stopped"),
                Closed::SettlementPaused => (StatusCode::SERVICE_UNAVAILABLE, "settlement_paused", "Paused"),
                Closed::QueueFull => (StatusCode::SERVICE_UNAVAILABLE, "queue_full", "Overloaded"),
                Closed::SettlementSlow => (StatusCode::SERVICE_UNAVAILABLE, "settlement_slow", "Overloaded"),
            },
            Self::LedgerAway => (StatusCode::SERVICE_UNAVAILABLE, "ledger_unavailable", "Temporarily unavailable"),
            Self::ReadModelsAway => {
                (StatusCode::SERVICE_UNAVAILABLE, "read_models_unavailable", "Temporarily unavailable")
            }
            Self::StartingUp => (StatusCode::SERVICE_UNAVAILABLE, "starting_up", "Temporarily unavailable"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", "Temporarily unavailable"),
            Self::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limited", "Too many requests"),
            Self::Overloaded { .. } => (StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Temporarily unavailable"),
            Self::TooManyStreams => (StatusCode::TOO_MANY_REQUESTS, "too_many_streams", "Too many streams"),
            Self::StreamsExhausted => (StatusCode::SERVICE_UNAVAILABLE, "streams_exhausted", "Temporarily unavailable"),
            Self::OrderUnreadable(_) => (StatusCode::INTERNAL_SERVER_ERROR, "order_unreadable", "Order needs a person"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
        }
    }

    pub(crate) fn detail(&self) -> String {
        let text = match self {
            Self::RouteUnknown => "there is nothing at this path",
            Self::RequestMalformed => "send a path, one well-formed Host header, and no Transfer-Encoding but chunked",
            Self::MethodNotAllowed => "this path is not for this method",
            Self::TokenUnknown => "no token with this address is sold here; GET /api/tokens lists those that are",
            Self::PaymentUnknown => "no payment has this id",
            Self::FilterInvalid => "one of ?payment={paymentQueueId}, ?payer={address} and ?token={address}",
            Self::OperatorsOnly => "say whose events: ?payment=, ?payer= or ?token=; all of them need a bearer token",
            Self::AddressInvalid => "an address is 0x and 40 hex digits",
            Self::QueryInvalid => "each parameter can be given once, percent-encoded where needed",
            Self::LimitInvalid => "limit must be a whole number from 1 to 100",
            Self::CursorInvalid => "cursor must be next_cursor of an earlier answer, unchanged",
            Self::BodyMalformed => "the body must be one JSON object such as {\"quantity\": 10}",
            Self::BodyTooLarge => "the body is longer than 64 KiB",
            Self::BodyTooSlow => "the body did not arrive in time",
            Self::BodyEncoded => "send the body without Content-Encoding",
            Self::QuantityInvalid => "quantity must be a whole number from 1 to 4294967295, such as {\"quantity\": 10}",
            Self::QuantityTooLarge => "the token cannot have that many units",
            Self::PaymentUnreadable(rejection) | Self::PaymentRequired(rejection, _) => return rejection.to_string(),
            Self::KeyReused(_) => "this authorization already pays for another order, the one of paymentQueueId",
            Self::KeyInvalid => "Idempotency-Key must be sent once, as 1 to 128 visible ASCII characters",
            Self::KeyNamesAnother(_) => "this key already names another order, the one of paymentQueueId",
            Self::NotAdmitted(refusal) => match refusal.why {
                Closed::PayerBusy => "this payer has as many unpaid orders as may be; try again when one is settled",
                Closed::LedgerAway => "no order can be written now; nothing was written",
                Closed::LedgerBroken => "no order is taken until an operator has looked; nothing was written",
                Closed::LedgerFull => "no order is taken until an operator has made room; nothing was written",
                Closed::SettlementPaused => "payments cannot be settled now; nothing was written",
                Closed::QueueFull => "too many orders wait; nothing was written",
                Closed::SettlementSlow => "it could not be settled while the payment is valid; nothing was written",
            },
            Self::LedgerAway => "the order could not be confirmed; the same request with the same payment is safe",
            Self::ReadModelsAway => "lists and statistics are not available; payments and single orders are",
            Self::StartingUp => "the service has just started; nothing was written",
            Self::Busy => "too many such requests at once; nothing was written",
            Self::RateLimited { .. } => "too many requests from this address; nothing was written",
            Self::Overloaded { .. } => "too many requests; nothing was written",
            Self::TooManyStreams => {
                "too many event streams are open from this address; close one, or ask for the status"
            }
            Self::StreamsExhausted => "too many event streams are open; ask for the status instead",
            Self::OrderUnreadable(_) => "the order's history cannot be read; a person must look at it",
            Self::Internal => "something went wrong here; nothing was written",
        };
        text.to_owned()
    }

    /// When to come back, seconds, where coming back can help.
    fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::NotAdmitted(refusal) => Some(refusal.retry_after_s),
            Self::RateLimited { retry_after_s } | Self::Overloaded { retry_after_s } => Some(*retry_after_s),
            _ => {
                let passes = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&self.row().0);
                passes.then_some(RETRY_AFTER_S)
            }
        }
    }

    fn document(&self) -> Document<'static> {
        let (status, code, title) = self.row();
        let payment_queue_id = match self {
            Self::KeyReused(id) | Self::KeyNamesAnother(id) | Self::OrderUnreadable(id) => Some(*id),
            _ => None,
        };
        let kind = format!("urn:paymint:problem:{code}");
        Document { kind, title, status: status.as_u16(), code, detail: self.detail(), payment_queue_id }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.row().0;
        let document = self.document();
        if let Self::PaymentRequired(rejection, offer) = &self {
            return dual_stack(*rejection, offer, &document);
        }
        let mut response = json_response(status, &document, "application/problem+json");
        if let Some(seconds) = self.retry_after_s() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self == Self::OperatorsOnly {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The 402: v2 in the header, v1 as the body, and beside v1's fields those of the problem document. Without a payment
/// there is no problem, only an offer.
fn dual_stack(rejection: Rejection, offer: &Offer, document: &Document<'_>) -> Response {
    let required = payment_required(offer, rejection.reason());
    let Ok(header) = HeaderValue::try_from(required.header_value) else { return Problem::Internal.into_response() };
    let mut body = required.body;
    if rejection != Rejection::PaymentRequired
        && let (Value::Object(body), Value::Object(problem)) = (&mut body, json!(document))
    {
        body.extend(problem);
    }
    let mut response = json_response(StatusCode::PAYMENT_REQUIRED, &body, "application/json");
    response.headers_mut().insert(PAYMENT_REQUIRED, header);
    response
}

/// A JSON answer; what cannot be serialised is our mistake, not the client's.
pub(crate) fn json_response<T: Serialize>(status: StatusCode, body: &T, content_type: &'static str) -> Response {
    let Ok(bytes) = serde_json::to_vec(body) else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
