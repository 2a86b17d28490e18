//! `/docs` and `/openapi.json`: the description of this API, for people and for programs.
//!
//! The page is Swagger UI, compiled in. It loads nothing from another host, and its policy forbids it to.

use crate::error::Problem;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use std::sync::Arc;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::Config;

/// The page may load scripts, styles, pictures and the description from here, and nothing from anywhere else. Swagger
/// UI's own pictures are `data:` URLs in its styles.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The page changes with the program only; an hour is short enough after an update.
pub(crate) const CACHED: &str = "public, max-age=3600";

/// The page, its parts, and the description.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(description: &OpenApi) -> Router<S> {
    let json = Bytes::from(description.to_json().unwrap_or_default());
    // No validator. By default the page would send the description to swagger.io.
    let page =
        Arc::new(Config::from("/openapi.json").use_base_layout().validator_url("none").display_request_duration(true));
    let index = Arc::clone(&page);
    Router::new()
        .route("/openapi.json", get(async move || answer(Body::from(json), "application/json")))
        .route("/docs", get(async || Redirect::permanent("/docs/")))
        .route("/docs/", get(async move || part("index.html", index)))
        .route("/docs/{part}", get(async move |Path(name): Path<String>| part(&name, page)))
}

/// One file of the page.
fn part(name: &str, config: Arc<Config<'static>>) -> Result<Response, Problem> {
    match utoipa_swagger_ui::serve(name, config) {
        Ok(Some(file)) => Ok(answer(Body::from(file.bytes.into_owned()), &file.content_type)),
        Ok(None) => Err(Problem::RouteUnknown),
        Err(e) => {
            tracing::error!(error = %e, "the page {name} could not be made");
            Err(Problem::Internal)
        }
    }
}

fn answer(body: Body, content_type: &str) -> Response {
    let headers: [(HeaderName, HeaderValue); 5] = [
        (CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap_or(HeaderValue::from_static("text/plain"))),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (CACHE_CONTROL, HeaderValue::from_static(CACHED)),
    ];
    (headers, body).into_response()
}
