//! Every refusal: one table from the reason to status, stable code, title and sentence.
//!
//! Answers are RFC 9457 problem documents of less than 1 KB. They never repeat the request, and reveal nothing about
//! the inside. A payment that does not fit is answered with the offer again, in both generations of x402.

mod table;

use crate::intake::IntakeError;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::PaymentId;
use edge::{NoPermit, TooFast};
use live::{CatalogueError, NotAdmitted, RecordsError};
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
    /// A key would be one too many for its order, which is this one.
    TooManyKeys(PaymentId),
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
    /// This address or payer has written as much as it may in a day. It may come back after this number of seconds.
    WroteTooMuch { retry_after_s: u64 },
    /// All clients together send too many requests.
    Overloaded { retry_after_s: u64 },
    /// This client has reached the limit of open event streams.
    TooManyStreams,
    /// All clients together have reached the limit of open event streams.
    StreamsExhausted,
    /// This client has reached the limit of concurrent reads of orders that are not in memory.
    TooManyOldReads,
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

    fn document(&self) -> Document<'static> {
        let (status, code, title) = self.row();
        let payment_queue_id = match self {
            Self::KeyReused(id) | Self::KeyNamesAnother(id) | Self::TooManyKeys(id) | Self::OrderUnreadable(id) => {
                Some(*id)
            }
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
            IntakeError::TooManyKeys(id) => Self::TooManyKeys(id),
            IntakeError::NotAdmitted(refusal) => Self::NotAdmitted(refusal),
            IntakeError::WroteTooMuch(refusal) => Self::WroteTooMuch { retry_after_s: refusal.retry_after_s },
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
