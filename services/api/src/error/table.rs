//! The table of refusals: status, stable code, title, sentence, and the time after which another try can help.

use super::{Problem, RETRY_AFTER_S};
use crate::examples;
use axum::http::StatusCode;
use live::{Closed, NotAdmitted};
use x402::PaymentRejection;

impl Problem {
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
        let wait = |why| (!matches!(why, Closed::SoldOut | Closed::PriceTooLow)).then_some(RETRY_AFTER_S);
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
            TooManyKeys(order),
            LedgerAway,
            ReadModelsAway,
            StartingUp,
            Busy,
            RateLimited { retry_after_s },
            WroteTooMuch { retry_after_s },
            Overloaded { retry_after_s },
            TooManyStreams,
            StreamsExhausted,
            TooManyOldReads,
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
            Self::TooManyKeys(_) => (StatusCode::CONFLICT, "idempotency_keys_exhausted", "No further key"),
            Self::NotAdmitted(refusal) => {
                let unavailable = StatusCode::SERVICE_UNAVAILABLE;
                let (status, title) = match refusal.why {
                    Closed::PayerBusy => (StatusCode::TOO_MANY_REQUESTS, "Too many unpaid orders"),
                    Closed::SoldOut => (StatusCode::UNPROCESSABLE_ENTITY, "Sold out"),
                    Closed::PriceTooLow => (StatusCode::UNPROCESSABLE_ENTITY, "Price too low"),
                    Closed::TokenBudget => (unavailable, "Too many purchases of this token"),
                    Closed::LedgerAway => (unavailable, "Temporarily unavailable"),
                    Closed::LedgerBroken | Closed::LedgerFull => (unavailable, "Orders are stopped"),
                    Closed::AssetPaused => (unavailable, "USDC is paused"),
                    Closed::SettlementStopped => (unavailable, "New payments are stopped"),
                    Closed::SettlementFailing => (unavailable, "Payments fail"),
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
            Self::WroteTooMuch { .. } => (StatusCode::TOO_MANY_REQUESTS, "write_budget", "Too many orders"),
            Self::Overloaded { .. } => (StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Temporarily unavailable"),
            Self::TooManyStreams => (StatusCode::TOO_MANY_REQUESTS, "too_many_streams", "Too many streams"),
            Self::StreamsExhausted => (StatusCode::SERVICE_UNAVAILABLE, "streams_exhausted", "Temporarily unavailable"),
            Self::TooManyOldReads => {
                (StatusCode::TOO_MANY_REQUESTS, "too_many_old_reads", "Too many reads of old orders")
            }
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
            Self::TooManyKeys(_) => {
                "the order that paymentQueueId names takes no further key, and this key names nothing; nothing was written"
            }
            Self::NotAdmitted(refusal) => match refusal.why {
                Closed::PayerBusy => "this payer has reached the limit of unpaid orders; try again when one is settled",
                Closed::SoldOut => "the token has fewer units left than this; nothing was written",
                Closed::PriceTooLow => {
                    "the price of this token is below the lowest one that is sold here; nothing was written"
                }
                Closed::TokenBudget => {
                    "this token has used up its gas of the day; nothing was written, try again later"
                }
                Closed::LedgerAway => "orders cannot be written now; nothing was written, try again later",
                Closed::LedgerBroken => {
                    "orders are stopped until an operator has repaired the ledger; nothing was written"
                }
                Closed::LedgerFull => "orders are stopped until an operator has made room; nothing was written",
                Closed::AssetPaused => "USDC is paused, so nobody can pay; nothing was written, try again later",
                Closed::SettlementStopped => {
                    "the owner of this token's factory has stopped new payments; nothing was written, try again later"
                }
                Closed::SettlementFailing => {
                    "the latest payments to this token have failed one after the other; nothing was written, try again later"
                }
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
            Self::WroteTooMuch { .. } => {
                "this address or payer has ordered as much as it may in a day; nothing was written, try again later"
            }
            Self::Overloaded { .. } => "too many requests from all clients; nothing was written, try again",
            Self::TooManyStreams => {
                "too many event streams are open from this address; close one, or ask for the status"
            }
            Self::StreamsExhausted => "too many event streams are open; ask for the status instead",
            Self::TooManyOldReads => {
                "too many orders that ended long ago are being read from this address; ask one by one"
            }
            Self::OrderUnreadable(_) => "the history of this order cannot be read; an operator must look at it",
            Self::Internal => "an error of this service; nothing was written, try again",
        };
        text.to_owned()
    }

    /// Seconds to wait, if another try can help.
    pub(super) fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::NotAdmitted(refusal) => refusal.retry_after_s,
            Self::RateLimited { retry_after_s }
            | Self::WroteTooMuch { retry_after_s }
            | Self::Overloaded { retry_after_s } => Some(*retry_after_s),
            _ => {
                let passes = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&self.row().0);
                passes.then_some(RETRY_AFTER_S)
            }
        }
    }
}
