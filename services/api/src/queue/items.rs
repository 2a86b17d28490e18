//! `GET /queue/item/{id}` and `GET /queue/payer/{address}`.
#![allow(unused_qualifications)] // utoipa::path writes one per `IntoParams`

use crate::address::address;
use crate::error::{Problem, json_response};
use crate::openapi::{OrderProblems, PayerProblems, schemas};
use crate::state::Api;
use crate::status::find;
use alloy_primitives::{Address, B256};
use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use domain::{PaymentId, Quantity, Stage};
use edge::ClientIp;
use live::MintStatus;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use store::PaymentView;
use utoipa::{IntoParams, ToSchema};

/// Default and maximum number of orders on a page.
const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 100;

/// An order. The fields before `payment_queue_id` use the words of the earlier system, the others those of Paymint.
#[derive(Serialize, ToSchema)]
struct QueueItem {
    #[schema(value_type = schemas::PaymentId)]
    id: PaymentId,
    #[schema(value_type = schemas::Address)]
    payer_address: Address,
    #[schema(value_type = schemas::MintStatus)]
    status: MintStatus,
    /// 1 = next; `null` if it is not known, and at the end.
    queue_position: Option<u32>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    /// The time at which it was minted, parked, failed or refunded.
    processed_at: Option<DateTime<Utc>>,
    #[schema(value_type = Option<schemas::Hash>)]
    mint_tx_hash: Option<B256>,
    /// The reason why it waits, is parked or has failed, or why its money goes back.
    error_message: Option<String>,
    /// Number of times it was put off.
    retry_count: u64,
    #[schema(pattern = "^x402$")]
    payment_type: &'static str,
    #[schema(value_type = schemas::PaymentId)]
    payment_queue_id: PaymentId,
    #[schema(value_type = schemas::State)]
    state: Stage,
    #[schema(value_type = schemas::Address)]
    token_address: Address,
    #[schema(value_type = schemas::Quantity)]
    quantity: Quantity,
    estimated_wait_seconds: Option<u32>,
    /// The time before which it is not tried again.
    retry_at: Option<DateTime<Utc>>,
    /// Sequence of the last event that this reflects.
    sequence: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PayerOrders)]
struct PayerAnswer {
    #[schema(value_type = schemas::Address)]
    payer: Address,
    /// Newest first.
    requests: Vec<QueueItem>,
    /// `cursor` of the next page; `null` at the end.
    #[schema(pattern = "^[0-7][0-9a-f]{15}$")]
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// Orders on the page; 50 unless said otherwise.
    #[param(value_type = Option<u32>, nullable = false, minimum = 1, maximum = 100)]
    limit: Option<String>,
    /// `next_cursor` of the previous page. Absent for the first page.
    #[param(nullable = false, pattern = "^(?!0{16})[0-7][0-9a-f]{15}$")]
    cursor: Option<String>,
}

impl QueueItem {
    fn of(api: &Api, view: PaymentView) -> Self {
        let place = api.follower.position(view.id, view.stage);
        let view = view.shown();
        let error_message = message(&view);
        let status = MintStatus::of_order(view.stage);
        let ended = matches!(status, MintStatus::Completed | MintStatus::Failed);
        Self {
            id: view.id,
            payer_address: view.payer,
            status,
            queue_position: place.map(|place| place.position),
            created_at: view.requested_at,
            updated_at: view.updated_at,
            processed_at: ended.then_some(view.updated_at),
            mint_tx_hash: view.mint_tx_hash,
            error_message,
            retry_count: [view.payment_deferrals, view.mint_deferrals, view.refund_deferrals]
                .map(u64::from)
                .iter()
                .sum(),
            payment_type: "x402",
            payment_queue_id: view.id,
            state: view.stage,
            token_address: view.token,
            quantity: view.quantity,
            estimated_wait_seconds: place.map(|place| place.wait_s),
            retry_at: view.retry_at,
            sequence: view.last_seq,
        }
    }
}

/// The reason why the order waits, is parked or has failed; else why its money goes back.
fn message(view: &PaymentView) -> Option<String> {
    let goes_back = matches!(view.stage, Stage::RefundRequested | Stage::Refunding | Stage::Refunded);
    let (reason, detail) = match &view.reason {
        Some(reason) => (reason.as_str(), view.detail.as_deref()),
        None if goes_back => (view.stage.name(), view.refund_detail.as_deref()),
        None => return None,
    };
    Some(match detail {
        None | Some("") => reason.to_owned(),
        Some(detail) => format!("{reason}: {detail}"),
    })
}

/// One order. It is read from the ledger if the read models lag or do not answer.
#[utoipa::path(
    get,
    path = "/queue/item/{id}",
    tag = "queue",
    operation_id = "queueItem",
    summary = "One order, in the earlier system's words",
    params(("id" = schemas::PaymentId, Path, description = "`paymentQueueId` of the 202.")),
    responses((status = 200, description = "The order.", body = QueueItem), OrderProblems),
)]
pub(crate) async fn item(
    State(api): State<Arc<Api>>,
    Extension(client): Extension<ClientIp>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let view = find(&api, client, id).await?;
    Ok(json_response(StatusCode::OK, &QueueItem::of(&api, view), "application/json"))
}

/// A payer's orders, page by page. Orders that come in meanwhile are on the first page and move no other.
#[utoipa::path(
    get,
    path = "/queue/payer/{address}",
    tag = "queue",
    operation_id = "queueOfPayer",
    summary = "A payer's orders, newest first",
    params(("address" = schemas::AnyAddress, Path, description = "Who signed the payments."), Page),
    responses((status = 200, description = "A page; empty for who never bought.", body = PayerAnswer), PayerProblems),
)]
pub(crate) async fn payer(
    State(api): State<Arc<Api>>,
    payer: Result<Path<String>, PathRejection>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Response, Problem> {
    let payer = payer.ok().and_then(|Path(text)| address(&text)).ok_or(Problem::AddressInvalid)?;
    let Query(page) = page.map_err(|_| Problem::QueryInvalid)?;
    let limit = page.limit.as_deref().map_or(Some(LIMIT_DEFAULT), limit).ok_or(Problem::LimitInvalid)?;
    let before = page.cursor.map(|text| sequence(&text).ok_or(Problem::CursorInvalid)).transpose()?;
    // One more than the page shows, to know if there is another page.
    let mut views = api.records.ask(async |store| store.payments_of(payer, before, limit + 1).await).await?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = views.len() > shown;
    views.truncate(shown);
    let next_cursor = views.last().filter(|_| more).map(|last| cursor(last.requested_seq));
    let requests = views.into_iter().map(|view| QueueItem::of(&api, view)).collect();
    Ok(json_response(StatusCode::OK, &PayerAnswer { payer, requests, next_cursor }, "application/json"))
}

fn limit(text: &str) -> Option<u32> {
    text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit))
}

/// The cursor with which a client continues below sequence `seq`. It is hex of a fixed width, so that no client takes
/// it for a countable number.
fn cursor(seq: u64) -> String {
    format!("{seq:016x}")
}

/// Reads a cursor, in the exact form that [`cursor`] writes. A sequence is positive and fits a bigint.
fn sequence(text: &str) -> Option<u64> {
    let seq = u64::from_str_radix(text, 16).ok().filter(|seq| (1..1 << 63).contains(seq))?;
    (cursor(seq) == text).then_some(seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_what_was_given_out_and_nothing_else() {
        for seq in [1, 42, u64::MAX >> 1] {
            assert_eq!(sequence(&cursor(seq)), Some(seq));
        }
        let bad = [
            "",
            "0",
            "2a",
            "0000000000000000",
            "8000000000000000",
            "+00000000000002a",
            "000000000000002A",
            "00000000000000002a",
            "000000000000002g",
            "000000000000002a ",
            "é00000000000002",
        ];
        for text in bad {
            assert_eq!(sequence(text), None, "{text}");
        }
    }
}
