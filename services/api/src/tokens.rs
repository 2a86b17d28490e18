//! `GET /api/tokens` and `GET /api/tokens/{address}`: the tokens that are sold, from memory.

use crate::address::address;
use crate::error::{Problem, json_response};
use crate::openapi::{TokenProblems, TokensProblems, schemas};
use crate::state::Api;
use alloy_primitives::Address;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use domain::Usdc;
use live::{Sold, is_dear_enough};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TokenAnswer<'a> {
    #[schema(value_type = schemas::Address)]
    address: Address,
    name: &'a str,
    symbol: &'a str,
    /// Atomic USDC a unit.
    #[schema(value_type = schemas::Usdc)]
    unit_price: Usdc,
    /// Token base units (18 decimals) that one unit mints.
    #[schema(value_type = schemas::Decimal)]
    unit: String,
    /// Units that can ever be minted.
    #[schema(value_type = schemas::Decimal)]
    max_units: String,
    /// Units that no order has taken yet; `null` while that is not known. A payment that fails or waits gives its units back.
    #[schema(value_type = Option<schemas::Decimal>)]
    units_left: Option<String>,
    chain_id: u64,
    #[schema(value_type = schemas::Address)]
    asset: Address,
    #[schema(value_type = schemas::Address)]
    creator: Address,
    /// URL at which it is bought.
    #[schema(format = "uri")]
    mint_url: String,
    registered_at: DateTime<Utc>,
}

#[derive(Serialize, ToSchema)]
struct TokenList<'a> {
    tokens: Vec<TokenAnswer<'a>>,
}

impl<'a> TokenAnswer<'a> {
    fn of(api: &Api, sold: &'a Sold) -> Self {
        let terms = &sold.terms;
        Self {
            address: terms.token,
            name: &terms.name,
            symbol: &terms.symbol,
            unit_price: terms.unit_price,
            unit: terms.unit.to_string(),
            max_units: terms.max_units.to_string(),
            units_left: api.follower.units_left(terms.token, terms.max_units).map(|left| left.to_string()),
            chain_id: terms.chain_id,
            asset: terms.asset,
            creator: terms.creator,
            mint_url: format!("{}/api/mint/{}", api.public_url, terms.token),
            registered_at: sold.since,
        }
    }
}

/// All tokens, oldest first. 503 until they have been read: a list that lacks some would look complete.
#[utoipa::path(
    get,
    path = "/api/tokens",
    tag = "tokens",
    operation_id = "tokens",
    summary = "All tokens that are sold",
    responses((status = 200, description = "Oldest first.", body = TokenList), TokensProblems),
)]
pub(crate) async fn list(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    if !api.catalogue.is_caught_up() {
        return Err(Problem::StartingUp);
    }
    let (all, settings) = (api.catalogue.all(), api.settings());
    let sold = all.iter().filter(|sold| is_dear_enough(&sold.terms, &settings));
    let tokens = sold.map(|sold| TokenAnswer::of(&api, sold)).collect();
    Ok(json_response(StatusCode::OK, &TokenList { tokens }, "application/json"))
}

/// One token.
#[utoipa::path(
    get,
    path = "/api/tokens/{address}",
    tag = "tokens",
    operation_id = "token",
    summary = "One token",
    params(("address" = schemas::AnyAddress, Path, description = "The token's contract.")),
    responses((status = 200, description = "The token.", body = TokenAnswer), TokenProblems),
)]
pub(crate) async fn one(
    State(api): State<Arc<Api>>,
    token: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let token = token.ok().and_then(|Path(text)| address(&text)).ok_or(Problem::TokenUnknown)?;
    let sold = api.catalogue.get(token).await?;
    Ok(json_response(StatusCode::OK, &TokenAnswer::of(&api, &sold), "application/json"))
}
