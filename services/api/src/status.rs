//! `GET /api/payment/{id}` and `GET /api/queue/{id}`: the state of a purchase.

use crate::error::{Problem, json_response};
use crate::openapi::{OrderProblems, schemas};
use crate::state::Api;
use alloy_primitives::{Address, B256};
use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use chrono::{DateTime, Utc};
use domain::event::{Actor, RefundReason};
use domain::order::LegState;
use domain::{PaymentId, PaymentKey, Quantity, Stage, Usdc};
use edge::ClientIp;
use live::{MintStatus, PaymentStatus, QueuePosition};
use serde::Serialize;
use std::sync::Arc;
use store::PaymentView;
use utoipa::ToSchema;
use x402::{Settlement, Version, settlement_header};

/// The purchase as its payer sees it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PaymentAnswer {
    #[schema(value_type = schemas::PaymentId)]
    payment_queue_id: PaymentId,
    #[schema(value_type = schemas::PaymentStatus)]
    status: PaymentStatus,
    /// The fine state of the order, up to `minted`, `failed` or `refunded`.
    #[schema(value_type = schemas::State)]
    state: Stage,
    #[schema(value_type = Option<schemas::Reason>)]
    reason: Option<String>,
    detail: Option<String>,
    retry_at: Option<DateTime<Utc>>,
    /// 1 = next; `null` if it is not known, and at the end.
    queue_position: Option<u32>,
    /// Seconds until it is minted.
    estimated_wait_seconds: Option<u32>,
    #[schema(value_type = schemas::Address)]
    payer: Address,
    #[schema(value_type = schemas::Address)]
    token: Address,
    #[schema(value_type = schemas::Quantity)]
    quantity: Quantity,
    #[schema(value_type = schemas::Usdc)]
    unit_price: Usdc,
    #[schema(value_type = schemas::Usdc)]
    value: Usdc,
    chain_id: u64,
    #[schema(value_type = schemas::Address)]
    asset: Address,
    #[schema(value_type = schemas::Hash)]
    payment_key: PaymentKey,
    /// Once paid: our transaction that recorded the payment or found it recorded, or else the stranger's that charged the
    /// payer. Before: our latest settlement transaction. If the payment failed or was made around the token: the
    /// transaction that used its nonce.
    #[schema(value_type = Option<schemas::Hash>)]
    tx_hash: Option<B256>,
    /// Block of `txHash`; or the block that proved the failure.
    block_number: Option<u64>,
    #[schema(value_type = Option<schemas::Actor>)]
    paid_by: Option<Actor>,
    result: Option<PaymentResult>,
    #[schema(value_type = Option<schemas::MintStatus>)]
    mint_status: Option<MintStatus>,
    #[schema(value_type = Option<schemas::Hash>)]
    mint_tx_hash: Option<B256>,
    #[schema(value_type = Option<schemas::Actor>)]
    minted_by: Option<Actor>,
    /// The way back of the money; `null` unless it was asked for or the payer has the money back.
    refund: Option<Refund>,
    created_at: DateTime<Utc>,
    paid_at: Option<DateTime<Utc>>,
    minted_at: Option<DateTime<Utc>>,
    updated_at: DateTime<Utc>,
    /// Sequence of the last event that this reflects: the `id:` of the event stream.
    sequence: u64,
}

/// The result of a completed payment.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PaymentResult {
    #[schema(value_type = Vec<schemas::PaymentId>, min_items = 1, max_items = 1)]
    queue_ids: [PaymentId; 1],
    #[schema(value_type = schemas::Address)]
    token_address: Address,
    #[schema(value_type = Option<schemas::Hash>)]
    mint_tx_hash: Option<B256>,
}

/// The way back of the money.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Refund {
    /// The reason of the decision. `null` with `by` and `detail` if nobody here decided.
    #[schema(value_type = Option<schemas::RefundReason>)]
    reason: Option<RefundReason>,
    /// The author of the decision: a person, or the name of a service.
    by: Option<String>,
    detail: Option<String>,
    /// Once `refunded`: our transaction that returned the money, or that found it returned. Before: our latest one.
    #[schema(value_type = Option<schemas::Hash>)]
    tx_hash: Option<B256>,
    /// Block of `txHash`, once `refunded`.
    block_number: Option<u64>,
    /// The cause of the refund. `third_party`: the payer took the money back, or another operator returned it.
    #[schema(value_type = Option<schemas::Actor>)]
    refunded_by: Option<Actor>,
    /// Returned to the payer, once `refunded`.
    #[schema(value_type = Option<schemas::Usdc>)]
    amount: Option<Usdc>,
    refunded_at: Option<DateTime<Utc>>,
}

/// The mint that a payment owes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct QueueAnswer {
    #[schema(value_type = schemas::PaymentId)]
    id: PaymentId,
    #[schema(value_type = schemas::PaymentId)]
    payment_queue_id: PaymentId,
    #[schema(value_type = schemas::MintStatus)]
    status: MintStatus,
    #[schema(value_type = schemas::State)]
    state: Stage,
    #[schema(value_type = Option<schemas::Reason>)]
    reason: Option<String>,
    detail: Option<String>,
    retry_at: Option<DateTime<Utc>>,
    /// Position of the payment.
    queue_position: Option<u32>,
    estimated_wait_seconds: Option<u32>,
    #[schema(value_type = schemas::Address)]
    token: Address,
    #[schema(value_type = schemas::Address)]
    recipient: Address,
    #[schema(value_type = schemas::Quantity)]
    quantity: Quantity,
    attempts: u32,
    /// Once minted: our transaction that minted the units or found them minted. Before: our latest mint transaction.
    #[schema(value_type = Option<schemas::Hash>)]
    tx_hash: Option<B256>,
    block_number: Option<u64>,
    #[schema(value_type = Option<schemas::Actor>)]
    minted_by: Option<Actor>,
    /// The way back of the money. Once it is asked for, nothing is sent to mint the units.
    refund: Option<Refund>,
    queued_at: Option<DateTime<Utc>>,
    minted_at: Option<DateTime<Utc>>,
    updated_at: DateTime<Utc>,
    sequence: u64,
}

impl Refund {
    fn of(view: &PaymentView) -> Option<Self> {
        (view.refund_state != LegState::Unasked).then(|| Self {
            reason: view.refund_reason,
            by: view.refund_by.clone(),
            detail: view.refund_detail.clone(),
            tx_hash: view.refund_tx_hash,
            block_number: view.refund_block_number,
            refunded_by: view.refunded_by,
            amount: view.refund_amount,
            refunded_at: view.refunded_at,
        })
    }
}

impl PaymentAnswer {
    fn of(view: PaymentView, place: Option<QueuePosition>) -> Self {
        let status = PaymentStatus::at(view.stage);
        let (tx_hash, block_number) = match view.stage {
            Stage::Failed => (view.failed_tx_hash, view.failed_block_number),
            Stage::PaymentParked => (view.parked_tx_hash, None),
            _ => (view.settle_tx_hash, view.settle_block_number),
        };
        let result = (status == PaymentStatus::Completed).then_some(PaymentResult {
            queue_ids: [view.id],
            token_address: view.token,
            mint_tx_hash: view.mint_tx_hash,
        });
        let refund = Refund::of(&view);
        let view = view.shown();
        Self {
            payment_queue_id: view.id,
            status,
            state: view.stage,
            reason: view.reason,
            detail: view.detail,
            retry_at: view.retry_at,
            queue_position: place.map(|place| place.position),
            estimated_wait_seconds: place.map(|place| place.wait_s),
            payer: view.payer,
            token: view.token,
            quantity: view.quantity,
            unit_price: view.unit_price,
            value: view.value,
            chain_id: view.chain_id,
            asset: view.asset,
            payment_key: view.payment_key,
            tx_hash,
            block_number,
            paid_by: view.paid_by,
            result,
            mint_status: MintStatus::at(view.stage),
            mint_tx_hash: view.mint_tx_hash,
            minted_by: view.minted_by,
            refund,
            created_at: view.requested_at,
            paid_at: view.paid_at,
            minted_at: view.minted_at,
            updated_at: view.updated_at,
            sequence: view.last_seq,
        }
    }
}

impl QueueAnswer {
    fn of(view: PaymentView, place: Option<QueuePosition>) -> Self {
        let refund = Refund::of(&view);
        let view = view.shown();
        Self {
            id: view.id,
            payment_queue_id: view.id,
            status: MintStatus::of_order(view.stage),
            state: view.stage,
            reason: view.reason,
            detail: view.detail,
            retry_at: view.retry_at,
            queue_position: place.map(|place| place.position),
            estimated_wait_seconds: place.map(|place| place.wait_s),
            token: view.token,
            recipient: view.payer,
            quantity: view.quantity,
            attempts: view.mint_attempts,
            tx_hash: view.mint_tx_hash,
            block_number: view.mint_block_number,
            minted_by: view.minted_by,
            refund,
            queued_at: view.paid_at,
            minted_at: view.minted_at,
            updated_at: view.updated_at,
            sequence: view.last_seq,
        }
    }
}

/// The payment. Once it is completed, the settlement headers of both generations tell x402 clients the same. A payment
/// whose payer has the money back has none, and neither has one that was charged around the token: the transaction that the
/// row names has not settled it.
#[utoipa::path(
    get,
    path = "/api/payment/{id}",
    tag = "orders",
    operation_id = "payment",
    summary = "Where a payment stands, up to the mint",
    params(("id" = schemas::PaymentId, Path, description = "`paymentQueueId` of the 202.")),
    responses(
        (status = 200, description = "The payment. Never a 404 after its 202.", body = PaymentAnswer, headers(
            ("PAYMENT-RESPONSE" = String, description = "Once `completed` and recorded by the token: the settlement, x402 v2, JSON in \
                base64."),
            ("X-PAYMENT-RESPONSE" = String, description = "Once `completed` and recorded by the token: the settlement, x402 v1, JSON in \
                base64."),
        )),
        OrderProblems,
    ),
)]
pub(crate) async fn payment(
    State(api): State<Arc<Api>>,
    Extension(client): Extension<ClientIp>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let view = find(&api, client, id).await?;
    let place = api.follower.position(view.id, view.stage);
    let is_settled = PaymentStatus::at(view.stage) == PaymentStatus::Completed && view.payment_state == LegState::Done;
    let settled = view.settle_tx_hash.filter(|_| is_settled);
    let payer = view.payer;
    let mut response = json_response(StatusCode::OK, &PaymentAnswer::of(view, place), "application/json");
    if let Some(transaction) = settled {
        for version in [Version::V2, Version::V1] {
            let settlement = Settlement::Settled { transaction };
            let header = settlement_header(version, settlement, &api.config.network, payer);
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(header.name), HeaderValue::try_from(header.value)) {
                response.headers_mut().insert(name, value);
            }
        }
    }
    Ok(response)
}

/// The mint that the payment owes; it has the payment's id.
#[utoipa::path(
    get,
    path = "/api/queue/{id}",
    tag = "orders",
    operation_id = "queue",
    summary = "The mint that a payment owes",
    params(("id" = schemas::PaymentId, Path, description = "Of the payment; the mint has the same.")),
    responses((status = 200, description = "The mint.", body = QueueAnswer), OrderProblems),
)]
pub(crate) async fn mint(
    State(api): State<Arc<Api>>,
    Extension(client): Extension<ClientIp>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let view = find(&api, client, id).await?;
    let place = api.follower.position(view.id, view.stage);
    Ok(json_response(StatusCode::OK, &QueueAnswer::of(view, place), "application/json"))
}

/// The payment that a path names, for this client. Answers 404 to a text that is no id.
pub(crate) async fn find(
    api: &Api,
    client: ClientIp,
    id: Result<Path<String>, PathRejection>,
) -> Result<PaymentView, Problem> {
    let id = id.ok().and_then(|Path(text)| text.parse().ok()).ok_or(Problem::PaymentUnknown)?;
    let _permit = api.old_read(client, id)?;
    api.records.payment(id).await?.ok_or(Problem::PaymentUnknown)
}
