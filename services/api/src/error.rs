//! Every refusal: one table from the reason to status, stable code, title and sentence.
//!
//! Answers are RFC 9457 problem documents of less than 1 KB. They never repeat the request, and reveal nothing about
//! the inside. A payment that does not fit is answered with the offer again, in both generations of x402.

use crate::examples;
use crate::intake::IntakeError;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::PaymentId;
use edge::{NoPermit, TooFast};
use live::{CatalogueError, Closed, NotAdmitted, RecordsError};
use serde::Serialize;
use serde_json::{Value, json};
use x402::{Offer, PaymentRejection, payment_required};

/// Pause before another try after a 503, seconds. A leader election takes 6, a restart less.
const RETRY_AFTER_S: u64 = 3;

/// Lower case of [`x402::PAYMENT_REQUIRED`].
const PAYMENT_REQUIRED: HeaderName = HeaderName::from_static("payment-required");

/// The reason of a refusal. In every case but `LedgerAway` nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// No such path.
    RouteUnknown,
    /// No well-formed HTTP/1.1 request.
    RequestMalformed,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// Not an address, or not the address of a token that is sold here.
    TokenUnknown,
    /// Not an id, or not the id of a payment in the ledger.
    PaymentUnknown,
    /// The request for an event stream has more than one filter, or an invalid one.
    FilterInvalid,
    /// The request for an event stream has no filter. Only operators may do that.
    OperatorsOnly,
    /// Not an address.
    AddressInvalid,
    /// The query string cannot be read, or has a parameter twice.
    QueryInvalid,
    /// `limit` is no number from 1 to 100.
    LimitInvalid,
    /// `cursor` is not one that this API has returned.
    CursorInvalid,
    /// The body is not one JSON object.
    BodyMalformed,
    /// The body is longer than [`crate::mint::BODY_MAX`].
    BodyTooLarge,
    /// The body did not arrive in time.
    BodyTooSlow,
    /// The body is compressed.
    BodyEncoded,
    /// `quantity` is missing or not a whole number from 1 on.
    QuantityInvalid,
    /// More units than the token can ever have, or than one payment can buy.
    QuantityTooLarge,
    /// The payment header cannot be read.
    PaymentUnreadable(PaymentRejection),
    /// The payment does not fit the offer, or there is none.
    PaymentRequired(PaymentRejection, Box<Offer>),
    /// The authorization already pays for another order, which is this one.
    KeyReused(PaymentId),
    /// The `Idempotency-Key` cannot be read.
    KeyInvalid,
    /// The key already names another order, which is this one.
    KeyNamesAnother(PaymentId),
    /// No order is accepted now, or none of this payer.
    NotAdmitted(NotAdmitted),
    /// The ledger does not answer. The order may be stored nevertheless; sending the same request again finds out.
    LedgerAway,
    /// The read models do not answer, and the requested data is nowhere else.
    ReadModelsAway,
    /// The tokens have not been read yet.
    StartingUp,
    /// Too many concurrent requests of this kind.
    Busy,
    /// This client sends too many requests. It may come back after this number of seconds.
    RateLimited { retry_after_s: u64 },
    /// All clients together send too many requests.
    Overloaded { retry_after_s: u64 },
    /// This client has reached the limit of open event streams.
    TooManyStreams,
    /// All clients together have reached the limit of open event streams.
    StreamsExhausted,
    /// The ledger holds events of this order that no decider wrote. An operator must look.
    OrderUnreadable(PaymentId),
    /// A mistake in this service.
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
    /// The answer to a refused payment: the offer again, or the defect of the header.
    pub(crate) fn of_payment(rejection: PaymentRejection, offer: &Offer) -> Self {
        match rejection.http_status() {
            402 => Self::PaymentRequired(rejection, Box::new(offer.clone())),
            _ => Self::PaymentUnreadable(rejection),
        }
    }

    /// One of each kind, and every way to refuse a payment, for the description, tables and tests. A new kind does not
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
        let wait = |why| (why != Closed::SoldOut).then_some(RETRY_AFTER_S);
        let refused = |why| Self::NotAdmitted(NotAdmitted { why, retry_after_s: wait(why) });
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
        all.extend(PaymentRejection::all().into_iter().map(|rejection| Self::of_payment(rejection, &offer)));
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
            Self::FilterInvalid => (StatusCode::BAD_REQUEST, "events_filter_invalid", "Invalid event filter"),
            Self::OperatorsOnly => (StatusCode::UNAUTHORIZED, "operators_only", "Operators only"),
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
            Self::NotAdmitted(refusal) => {
                let unavailable = StatusCode::SERVICE_UNAVAILABLE;
                let (status, title) = match refusal.why {
                    Closed::PayerBusy => (StatusCode::TOO_MANY_REQUESTS, "Too many unpaid orders"),
                    Closed::SoldOut => (StatusCode::UNPROCESSABLE_ENTITY, "Sold out"),
                    Closed::LedgerAway => (unavailable, "Temporarily unavailable"),
                    Closed::LedgerBroken | Closed::LedgerFull => (unavailable, "Orders are stopped"),
                    Closed::SettlementPaused => (unavailable, "Settlement is paused"),
                    Closed::QueueFull | Closed::SettlementSlow => (unavailable, "Overloaded"),
                };
                (status, refusal.why.code(), title)
            }
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
            Self::OrderUnreadable(_) => (StatusCode::INTERNAL_SERVER_ERROR, "order_unreadable", "Order cannot be read"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
        }
    }

    /// A sentence that a client can act on.
    pub(crate) fn detail(&self) -> String {
        let text = match self {
            Self::RouteUnknown => "there is nothing at this path",
            Self::RequestMalformed => "send a path, one well-formed Host header, and no Transfer-Encoding but chunked",
            Self::MethodNotAllowed => "this path does not support this method",
            Self::TokenUnknown => "no token with this address is sold here; GET /api/tokens lists those that are",
            Self::PaymentUnknown => "no payment has this id",
            Self::FilterInvalid => "send one of ?payment={paymentQueueId}, ?payer={address} and ?token={address}",
            Self::OperatorsOnly => "send ?payment=, ?payer= or ?token=; the stream of all events needs a bearer token",
            Self::AddressInvalid => "an address is 0x and 40 hex digits",
            Self::QueryInvalid => "send each parameter at most once, percent-encoded where needed",
            Self::LimitInvalid => "limit must be a whole number from 1 to 100",
            Self::CursorInvalid => "cursor must be next_cursor of an earlier answer, unchanged",
            Self::BodyMalformed => "the body must be one JSON object such as {\"quantity\": 10}",
            Self::BodyTooLarge => "the body is longer than 64 KiB",
            Self::BodyTooSlow => "the body did not arrive in time",
            Self::BodyEncoded => "send the body without Content-Encoding",
            Self::QuantityInvalid => "quantity must be a whole number from 1 to 4294967295, such as {\"quantity\": 10}",
            Self::QuantityTooLarge => "the token cannot have that many units",
            Self::PaymentUnreadable(rejection) | Self::PaymentRequired(rejection, _) => return rejection.to_string(),
            Self::KeyReused(_) => "this authorization already pays for another order, which paymentQueueId names",
            Self::KeyInvalid => "Idempotency-Key must be sent once, as 1 to 128 visible ASCII characters",
            Self::KeyNamesAnother(_) => "this key already names another order, which paymentQueueId names",
            Self::NotAdmitted(refusal) => match refusal.why {
                Closed::PayerBusy => "this payer has reached the limit of unpaid orders; try again when one is settled",
                Closed::SoldOut => "the token has fewer units left than this; nothing was written",
                Closed::LedgerAway => "orders cannot be written now; nothing was written, try again later",
                Closed::LedgerBroken => {
                    "orders are stopped until an operator has repaired the ledger; nothing was written"
                }
                Closed::LedgerFull => "orders are stopped until an operator has made room; nothing was written",
                Closed::SettlementPaused => "payments cannot be settled now; nothing was written, try again later",
                Closed::QueueFull => "the limit of waiting orders is reached; nothing was written, try again later",
                Closed::SettlementSlow => {
                    "the payment would expire before it could be settled; nothing was written, try again later"
                }
            },
            Self::LedgerAway => "the order could not be confirmed; send the same request with the same payment again",
            Self::ReadModelsAway => "lists and statistics are unavailable; single payments and orders can be read",
            Self::StartingUp => "the service has just started; nothing was written, try again",
            Self::Busy => "too many such requests at the same time; nothing was written, try again",
            Self::RateLimited { .. } => "too many requests from this address; nothing was written, slow down",
            Self::Overloaded { .. } => "too many requests from all clients; nothing was written, try again",
            Self::TooManyStreams => {
                "too many event streams are open from this address; close one, or ask for the status"
            }
            Self::StreamsExhausted => "too many event streams are open; ask for the status instead",
            Self::OrderUnreadable(_) => "the history of this order cannot be read; an operator must look at it",
            Self::Internal => "an error of this service; nothing was written, try again",
        };
        text.to_owned()
    }

    /// Seconds to wait, if another try can help.
    fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::NotAdmitted(refusal) => refusal.retry_after_s,
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

impl From<CatalogueError> for Problem {
    fn from(error: CatalogueError) -> Self {
        match error {
            CatalogueError::Unknown => Self::TokenUnknown,
            CatalogueError::StartingUp => Self::StartingUp,
            CatalogueError::LedgerAway => Self::LedgerAway,
        }
    }
}

impl From<RecordsError> for Problem {
    fn from(error: RecordsError) -> Self {
        match error {
            RecordsError::LedgerAway => Self::LedgerAway,
            RecordsError::ReadModelsAway => Self::ReadModelsAway,
            RecordsError::OrderUnreadable(id) => Self::OrderUnreadable(id),
        }
    }
}

impl From<IntakeError> for Problem {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::KeyReused(id) => Self::KeyReused(id),
            IntakeError::KeyNamesAnother(id) => Self::KeyNamesAnother(id),
            IntakeError::NotAdmitted(refusal) => Self::NotAdmitted(refusal),
            IntakeError::LedgerAway => Self::LedgerAway,
            IntakeError::Busy => Self::Busy,
            IntakeError::OrderUnreadable(id) => Self::OrderUnreadable(id),
        }
    }
}

impl From<TooFast> for Problem {
    fn from(refused: TooFast) -> Self {
        match refused {
            TooFast::Client { retry_after_s } => Self::RateLimited { retry_after_s },
            TooFast::Total { retry_after_s } => Self::Overloaded { retry_after_s },
        }
    }
}

impl From<NoPermit> for Problem {
    fn from(refused: NoPermit) -> Self {
        match refused {
            NoPermit::Client => Self::TooManyStreams,
            NoPermit::All => Self::StreamsExhausted,
        }
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

/// The 402 answer. v2 is in the header. The body is v1, with the fields of the problem document beside it. Without a
/// payment there is no problem, only an offer.
fn dual_stack(rejection: PaymentRejection, offer: &Offer, document: &Document<'_>) -> Response {
    let required = payment_required(offer, rejection.reason());
    let Ok(header) = HeaderValue::try_from(required.header_value) else { return Problem::Internal.into_response() };
    let mut body = required.body;
    if rejection != PaymentRejection::PaymentRequired
        && let (Value::Object(body), Value::Object(problem)) = (&mut body, json!(document))
    {
        body.extend(problem);
    }
    let mut response = json_response(StatusCode::PAYMENT_REQUIRED, &body, "application/json");
    response.headers_mut().insert(PAYMENT_REQUIRED, header);
    response
}

/// A JSON answer. A body that cannot be serialised is a mistake of this service, not of the client.
pub(crate) fn json_response<T: Serialize>(status: StatusCode, body: &T, content_type: &'static str) -> Response {
    let Ok(bytes) = serde_json::to_vec(body) else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
