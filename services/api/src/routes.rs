//! The paths, and the rules for all of them: rates, body limit, CORS, `Cache-Control: no-store`, `Vary`.

use crate::error::Problem;
use crate::openapi::{Description, HealthProblems, WholePage};
use crate::queue::{items, stats};
use crate::state::Api;
use crate::{docs, events, layers, mint, status, tokens};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_TYPE, LOCATION, ORIGIN,
    RETRY_AFTER,
};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::{Json, Router, middleware};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa::{Modify, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Browsers may remember a preflight for this long.
const CORS_MAX_AGE: Duration = Duration::from_secs(3600);

/// Headers that browser clients send. `access-control-expose-headers` is a response header, but TypeScript and Python
/// clients send it as a request header. Source: docs/x402-wire.md, section 3.
const REQUEST_HEADERS: [HeaderName; 8] = [
    HeaderName::from_static("payment-signature"),
    HeaderName::from_static("x-payment"),
    HeaderName::from_static("access-control-expose-headers"),
    HeaderName::from_static("payment-retry"),
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static(edge::TRACEPARENT),
    CONTENT_TYPE,
];
/// Headers that browser clients may read.
const RESPONSE_HEADERS: [HeaderName; 5] = [
    HeaderName::from_static("payment-required"),
    HeaderName::from_static("payment-response"),
    HeaderName::from_static("x-payment-response"),
    LOCATION,
    RETRY_AFTER,
];
/// Headers on which an answer depends, beside method, path and body. A cache that ignores `no-store` must at least not
/// give the answer for one payer to another.
const DECISIVE_HEADERS: [HeaderName; 8] = [
    AUTHORIZATION,
    HeaderName::from_static("payment-signature"),
    HeaderName::from_static("x-payment"),
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
    ORIGIN,
    ACCESS_CONTROL_REQUEST_METHOD,
    ACCESS_CONTROL_REQUEST_HEADERS,
];

/// Shows if this process can do its work, and what it waits for.
#[derive(Serialize, ToSchema)]
struct Readiness {
    ready: bool,
    /// `ok`, `not connected`, or the damage. A damaged ledger accepts no order and can still be read.
    ledger: String,
    catalogue: &'static str,
    /// The events from which streams resume.
    news: &'static str,
    /// For information: `taken`, or the code with which orders are refused. A process that refuses orders is ready, because
    /// it still answers for the orders that it has.
    orders: &'static str,
    /// For information. Without the read models the ledger is read.
    postgres: &'static str,
}

/// Builds the router. Layers are listed from the inside out.
pub(crate) fn router(api: Arc<Api>) -> Router {
    let cors = cors(&api.config.cors_origins);
    let in_total = middleware::from_fn_with_state(Arc::clone(&api), layers::in_total);
    let per_client = middleware::from_fn_with_state(Arc::clone(&api), layers::per_client);
    let limited = Router::from(open())
        .merge(Router::from(costly()).route_layer(in_total))
        .merge(docs::routes(&paths().into_openapi()))
        .fallback(|| async { Problem::RouteUnknown })
        .method_not_allowed_fallback(|| async { Problem::MethodNotAllowed })
        .layer(per_client);
    Router::from(health())
        .method_not_allowed_fallback(|| async { Problem::MethodNotAllowed })
        .merge(limited)
        .layer(DefaultBodyLimit::max(mint::BODY_MAX))
        .layer(middleware::from_fn(layers::unambiguous))
        .layer(cors)
        .layer(middleware::map_response(layers::not_stored))
        .with_state(api)
}

/// Every path with its handler. The annotations of the handlers become the description.
pub(crate) fn paths() -> OpenApiRouter<Arc<Api>> {
    let mut paths = OpenApiRouter::with_openapi(Description::openapi()).merge(costly()).merge(open()).merge(health());
    // The shapes of the answers are there only now.
    WholePage.modify(paths.get_openapi_mut());
    paths
}

/// Paths that cost the ledger time, or hold a connection for long.
fn costly() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(mint::mint)).routes(routes!(events::events))
}

/// Paths that read from memory or by key.
fn open() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(status::payment))
        .routes(routes!(status::mint))
        .routes(routes!(stats::status))
        .routes(routes!(items::payer))
        .routes(routes!(items::item))
        .routes(routes!(stats::queue_stats))
        .routes(routes!(stats::payment_stats))
        .routes(routes!(tokens::list))
        .routes(routes!(tokens::one))
}

/// Paths for operators and load balancers, which are never refused.
fn health() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(healthy)).routes(routes!(ready))
}

/// The process lives.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "health",
    operation_id = "healthz",
    responses(
        (status = 200, description = "The process lives.", body = String, content_type = "text/plain"),
        HealthProblems,
    ),
)]
async fn healthy() -> &'static str {
    "ok"
}

#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    operation_id = "readyz",
    summary = "Whether the process can do its work",
    responses(
        (status = 200, description = "It can.", body = Readiness),
        (status = 503, description = "It cannot yet, or not now; the fields say what it waits for.", body = Readiness),
        HealthProblems,
    ),
)]
async fn ready(State(api): State<Arc<Api>>) -> (StatusCode, Json<Readiness>) {
    let (ledger, catalogue, news) =
        (api.ledger.is_connected(), api.catalogue.is_caught_up(), api.follower.hub.is_live());
    let ready = ledger && catalogue && news;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let readiness = Readiness {
        ready,
        ledger: match api.ledger.stopped() {
            Some(why) => why.to_string(),
            None if ledger => "ok".to_owned(),
            None => "not connected".to_owned(),
        },
        catalogue: if catalogue { "ok" } else { "being read" },
        news: if news { "ok" } else { "being read" },
        orders: match api.admission.open() {
            Ok(()) => "taken",
            Err(refusal) => Problem::NotAdmitted(refusal).row().1,
        },
        postgres: if api.records.store_answers() { "ok" } else { "does not answer" },
    };
    (status, Json(readiness))
}

fn cors(origins: &[HeaderValue]) -> CorsLayer {
    let origins = if origins.is_empty() { AllowOrigin::any() } else { AllowOrigin::list(origins.iter().cloned()) };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(REQUEST_HEADERS)
        .expose_headers(RESPONSE_HEADERS)
        .vary(DECISIVE_HEADERS)
        .max_age(CORS_MAX_AGE)
}
