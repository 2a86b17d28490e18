//! The refusals of each operation, with the documents that are really sent.

use crate::error::Problem;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use futures_util::FutureExt;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use utoipa::IntoResponses;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, Schema};

/// Examples that a 402 shows: the offer, and one refusal. Other refusals differ in code and detail only.
const OFFERS_SHOWN: [&str; 2] = ["payment_required", "payment_expires_too_soon"];

/// The operations, by what they may answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Mint,
    Order,
    Events,
    Tokens,
    Token,
    Payer,
    Stats,
    Health,
}

/// The operations that can answer with a problem. A new problem does not compile before it has its operations.
fn operations(problem: &Problem) -> &'static [Operation] {
    use Operation::{Events, Health, Mint, Order, Payer, Stats, Token, Tokens};
    match problem {
        // They belong to no operation. The introduction of the description names them.
        Problem::RouteUnknown | Problem::MethodNotAllowed => &[],
        Problem::RequestMalformed => &[Mint, Order, Events, Tokens, Token, Payer, Stats, Health],
        Problem::RateLimited { .. } => &[Mint, Order, Events, Tokens, Token, Payer, Stats],
        Problem::Overloaded { .. } => &[Mint, Events],
        Problem::TooManyStreams | Problem::StreamsExhausted => &[Events],
        Problem::TokenUnknown => &[Mint, Token],
        Problem::PaymentUnknown => &[Order, Events],
        Problem::FilterInvalid | Problem::OperatorsOnly => &[Events],
        Problem::AddressInvalid | Problem::QueryInvalid | Problem::LimitInvalid | Problem::CursorInvalid => &[Payer],
        Problem::ReadModelsAway => &[Payer, Stats],
        Problem::BodyMalformed
        | Problem::BodyTooLarge
        | Problem::BodyTooSlow
        | Problem::BodyEncoded
        | Problem::QuantityInvalid
        | Problem::QuantityTooLarge
        | Problem::PaymentUnreadable(_)
        | Problem::PaymentRequired(..)
        | Problem::KeyReused(_)
        | Problem::KeyInvalid
        | Problem::KeyNamesAnother(_)
        | Problem::TooManyKeys(_)
        | Problem::WroteTooMuch { .. }
        | Problem::NotAdmitted(_) => &[Mint],
        Problem::Busy => &[Mint, Order, Events],
        Problem::TooManyOldReads => &[Order, Events],
        Problem::Internal => &[Mint, Stats],
        Problem::OrderUnreadable(_) => &[Mint, Order, Events],
        Problem::LedgerAway => &[Mint, Order, Events, Token],
        Problem::StartingUp => &[Mint, Tokens, Token, Events],
    }
}

macro_rules! responses {
    ($($(#[doc = $doc:literal])+ $name:ident = $operation:ident),+ $(,)?) => {$(
        $(#[doc = $doc])+
        pub(crate) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                responses_of(Operation::$operation)
            }
        }
    )+};
}

responses! {
    /// Refusals of `POST /api/mint/{token}`.
    MintProblems = Mint,
    /// Refusals for a payment and its mint.
    OrderProblems = Order,
    /// Refusals of an event stream.
    EventsProblems = Events,
    /// Refusals of the list of tokens.
    TokensProblems = Tokens,
    /// Refusals for one token.
    TokenProblems = Token,
    /// Refusals for a payer's orders.
    PayerProblems = Payer,
    /// Refusals of counts and rates.
    StatsProblems = Stats,
    /// Answers of health.
    HealthProblems = Health,
}

fn responses_of(operation: Operation) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<StatusCode, Vec<Problem>> = BTreeMap::new();
    for problem in Problem::all() {
        if operations(&problem).contains(&operation) {
            by_status.entry(problem.row().0).or_default().push(problem);
        }
    }
    let response = |(status, problems): (StatusCode, Vec<Problem>)| {
        (status.as_str().to_owned(), RefOr::T(response(status, problems)))
    };
    by_status.into_iter().map(response).collect()
}

fn response(status: StatusCode, problems: Vec<Problem>) -> Response {
    let lines: Vec<_> =
        problems.iter().map(|problem| format!("- `{}`: {}", problem.row().1, problem.detail())).collect();
    let codes: BTreeSet<_> = problems.iter().map(|problem| problem.row().1).collect();
    let response = ResponseBuilder::new().description(lines.join("\n"));
    if status == StatusCode::PAYMENT_REQUIRED {
        return payment_required(response, problems);
    }
    let of_these =
        ObjectBuilder::new().property("code", ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes)));
    let schema = AllOfBuilder::new().item(Ref::from_schema_name("Problem")).item(of_these);
    let examples = problems.into_iter().map(example);
    let content = ContentBuilder::new().schema(Some(Schema::from(schema))).examples_from_iter(examples).build();
    let response = response.content("application/problem+json", content);
    let response = if [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&status) {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
        response.header(
            "Retry-After",
            HeaderBuilder::new().schema(Some(seconds)).description(Some("Seconds; the same request is safe.")).build(),
        )
    } else {
        response
    };
    response.build()
}

fn payment_required(response: ResponseBuilder, problems: Vec<Problem>) -> Response {
    let shown = problems.into_iter().filter(|problem| OFFERS_SHOWN.contains(&problem.row().1));
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("PaymentRequired")))
        .examples_from_iter(shown.map(example))
        .build();
    let header = HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[A-Za-z0-9+/]+={0,2}$"))))
        .description(Some("The offer of x402 v2: JSON in standard base64."))
        .build();
    response.content("application/json", content).header("PAYMENT-REQUIRED", header).build()
}

/// The example of a problem, taken from the answer itself.
fn example(problem: Problem) -> (String, utoipa::openapi::example::Example) {
    let (_, code, _) = problem.row();
    let body = axum::body::to_bytes(problem.into_response().into_body(), usize::MAX).now_or_never();
    let value = body.and_then(Result::ok).and_then(|bytes| serde_json::from_slice(&bytes).ok());
    (code.to_owned(), ExampleBuilder::new().value(Some(value.unwrap_or(Value::Null))).build())
}
