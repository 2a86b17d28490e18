//! The description of this API in OpenAPI 3.1, made of the annotations of the handlers.
//!
//! Served at `/openapi.json` and committed as `schemas/openapi.json`; a test compares the two. Problems come from
//! [`Problem::all`], so a description cannot lack one or keep one that is gone.

mod problems;
pub(crate) mod schemas;

pub(crate) use problems::{
    EventsProblems, HealthProblems, MintProblems, OrderProblems, PayerProblems, StatsProblems, TokenProblems,
    TokensProblems,
};

use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{self, RefOr};
use utoipa::{Modify, OpenApi};

/// Answers in which all fields are present, with `null` for a field without a value.
const WHOLE: [&str; 9] = [
    "MintBatch",
    "PayerOrders",
    "PaymentAnswer",
    "PaymentResult",
    "QueueAnswer",
    "QueueCounts",
    "QueueItem",
    "QueueStatus",
    "Refund",
];

/// The introduction before the first path.
const INTRODUCTION: &str = "\
People pay USDC over x402 (HTTP 402) and get units of a token minted. `POST /api/mint/{token}` answers 402 with an offer; \
the same POST, signed, answers 202 as soon as the order is on disk; payment and mint follow, and the other paths tell how \
they fare.

What is refused is answered with a problem document (RFC 9457) of at most 1 KB, whose `code` is stable. Any path may also \
answer 404 `route_unknown`, 405 `method_not_allowed`, and, from the HTTP server itself and without a body, 400 for what \
is no HTTP/1.1 and 431 for headers of more than 64 KiB. Amounts are decimal strings of atomic units; nothing is cached \
(`Cache-Control: no-store`). A guide with the flow, retries and all codes: docs/API.md of the repository.";

/// Parts that belong to no handler: the introduction, the sections, and shapes that only other shapes use.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Paymint",
        description = INTRODUCTION,
        version = "1",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    servers((url = "/", description = "Where this document comes from.")),
    tags(
        (name = "orders", description = "Buy, and follow the order."),
        (name = "queue", description = "The queue as the earlier system's frontends know it, and statistics."),
        (name = "tokens", description = "What is sold."),
        (name = "health", description = "For operators and load balancers."),
    ),
    components(schemas(schemas::ProblemSchema, schemas::PaymentRequiredSchema)),
    security(()),
    modifiers(&Operator),
)]
pub(crate) struct Description;

struct Operator;

impl Modify for Operator {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("`OPERATOR_TOKEN`: for streams of everything. Nothing else asks for it."))
            .build();
        if let Some(components) = &mut document.components {
            components.add_security_scheme("operator", SecurityScheme::Http(bearer));
        }
    }
}

/// Marks every field of the answers in [`WHOLE`] as required, also those that may be `null`.
pub(crate) struct WholePage;

impl Modify for WholePage {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let Some(components) = &mut document.components else { return };
        for name in WHOLE {
            if let Some(RefOr::T(Schema::Object(answer))) = components.schemas.get_mut(name) {
                answer.required = answer.properties.keys().cloned().collect();
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
