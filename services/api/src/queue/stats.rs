//! `GET /queue/status`, `GET /api/queue/stats` and `GET /api/payment/stats`: three views of one reading.

use crate::error::{Problem, json_response};
use crate::openapi::{StatsProblems, schemas};
use crate::queue::place::{refusal, wait_of_next};
use crate::state::Api;
use alloy_primitives::{Address, B256};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use domain::Stage;
use live::{MintStatus, PaymentStatus, whole_seconds};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{BatchStatus, MintBatch, Overview, Rates, StageTotal, WaitingTotals};
use utoipa::ToSchema;

/// Maximum number of mints in a transaction, as in `chain::MINT_BATCH_MAX`. Shown for the earlier system's page.
const BATCH_SIZE_MAX: u32 = 100;

#[derive(Serialize, ToSchema)]
#[schema(as = QueueStatus)]
struct StatusAnswer {
    stats: Stats,
    #[serde(rename = "recentBatches")]
    recent_batches: Vec<Batch>,
    #[serde(rename = "batchInterval")]
    batch_interval_s: u32,
    #[serde(rename = "maxBatchSize")]
    batch_size_max: u32,
    estimated_wait_seconds: u32,
    accepting: bool,
    /// Code of the answer that a payment would get now.
    reason: Option<&'static str>,
    as_of: DateTime<Utc>,
    sequence: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = QueueCounts)]
struct Stats {
    pending_count: u64,
    processing_count: u64,
    completed_count: u64,
    failed_count: u64,
    oldest_pending: Option<DateTime<Utc>>,
    unique_payers_pending: u64,
}

/// A mint transaction.
#[derive(Serialize, ToSchema)]
#[schema(as = MintBatch)]
struct Batch {
    /// Sequence of its `signed`.
    id: u64,
    #[schema(value_type = schemas::Hash)]
    batch_tx_hash: B256,
    mint_count: u64,
    #[schema(value_type = schemas::BatchStatus)]
    status: BatchStatus,
    created_at: DateTime<Utc>,
    confirmed_at: Option<DateTime<Utc>>,
    block_number: Option<u64>,
    #[schema(value_type = schemas::Address)]
    token_address: Address,
}

/// Counts by status word, the fields of one of the two statistics, and their common fields.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct StatsAnswer<S: Serialize + ToSchema, T: Serialize + ToSchema, R: Serialize + ToSchema> {
    statuses: S,
    /// Counts by the fine state.
    #[schema(value_type = BTreeMap<schemas::State, u64>)]
    states: BTreeMap<Stage, u64>,
    /// Number of all payers. `uniquePayersPending` counts those with waiting orders.
    unique_payers: u64,
    unique_payers_pending: u64,
    oldest_pending: Option<DateTime<Utc>>,
    totals: T,
    rates: Windows<R>,
    /// Seconds until an order that arrives now would be minted.
    estimated_wait_seconds: u32,
    accepting: bool,
    /// Code of the answer that a payment would get now.
    reason: Option<&'static str>,
    as_of: DateTime<Utc>,
    /// Last event that this reflects.
    sequence: u64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Windows<R> {
    last_minute: R,
    last_five_minutes: R,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Mints {
    pending: u64,
    processing: u64,
    completed: u64,
    failed: u64,
}

/// Decimal string, as all amounts.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MintTotals {
    #[schema(value_type = schemas::Decimal)]
    units_minted: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MintRates {
    #[schema(minimum = 0)]
    mints_per_second: f64,
    #[schema(minimum = 0)]
    units_per_second: f64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Payments {
    pending: u64,
    sent: u64,
    completed: u64,
    failed: u64,
}

/// Decimal strings: atomic USDC of completed payments, and the units that these bought.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PaymentTotals {
    #[schema(value_type = schemas::Decimal)]
    value_completed: String,
    #[schema(value_type = schemas::Decimal)]
    units_paid: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PaymentRates {
    #[schema(minimum = 0)]
    accepted_per_second: f64,
    #[schema(minimum = 0)]
    settled_per_second: f64,
}

impl From<&MintBatch> for Batch {
    fn from(batch: &MintBatch) -> Self {
        Self {
            id: batch.signed_seq,
            batch_tx_hash: batch.tx_hash,
            mint_count: batch.mint_count,
            status: batch.status,
            created_at: batch.signed_at,
            confirmed_at: batch.settled_at,
            block_number: batch.block_number,
            token_address: batch.token,
        }
    }
}

impl<S: Serialize + ToSchema, T: Serialize + ToSchema, R: Serialize + ToSchema> StatsAnswer<S, T, R> {
    fn of(
        api: &Api,
        overview: &Overview,
        who: WaitingTotals,
        statuses: S,
        totals: T,
        rates: impl Fn(&Rates) -> R,
    ) -> Self {
        let reason = refusal(api).map(|problem| problem.row().1);
        Self {
            statuses,
            states: overview.stages.iter().map(|(stage, total)| (*stage, total.orders)).collect(),
            unique_payers: overview.payers,
            unique_payers_pending: who.payers,
            oldest_pending: who.oldest,
            totals,
            rates: Windows { last_minute: rates(&overview.minute), last_five_minutes: rates(&overview.five_minutes) },
            estimated_wait_seconds: wait_of_next(api),
            accepting: reason.is_none(),
            reason,
            as_of: overview.read_at,
            sequence: overview.seq,
        }
    }
}

/// The sum over the stages that are `wanted`. It cannot overflow: there can be at most 2^63 orders of at most 2^64
/// each.
fn sum(overview: &Overview, wanted: impl Fn(Stage) -> bool) -> StageTotal {
    let mut sum = StageTotal::default();
    for (_, total) in overview.stages.iter().filter(|(stage, _)| wanted(**stage)) {
        sum.orders += total.orders;
        sum.units += total.units;
        sum.value += total.value;
    }
    sum
}

fn queue(overview: &Overview, status: MintStatus) -> u64 {
    sum(overview, |stage| MintStatus::of_order(stage) == status).orders
}

fn payments(overview: &Overview, status: PaymentStatus) -> StageTotal {
    sum(overview, |stage| PaymentStatus::at(stage) == status)
}

/// Counts of the queue, and the last mint transactions.
#[utoipa::path(
    get,
    path = "/queue/status",
    tag = "queue",
    operation_id = "queueStatus",
    summary = "Counts of the queue, and the last mint transactions",
    responses((status = 200, description = "One look at the read models, half a second old at most.",
        body = StatusAnswer), StatsProblems),
)]
pub(crate) async fn status(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let overview = api.snapshot.overview(&api.records).await?;
    let reason = refusal(&api).map(|problem| problem.row().1);
    let answer = StatusAnswer {
        stats: Stats {
            pending_count: queue(&overview, MintStatus::Pending),
            processing_count: queue(&overview, MintStatus::Processing),
            completed_count: queue(&overview, MintStatus::Completed),
            failed_count: queue(&overview, MintStatus::Failed),
            oldest_pending: overview.unminted.oldest,
            unique_payers_pending: overview.unminted.payers,
        },
        recent_batches: overview.batches.iter().map(Batch::from).collect(),
        batch_interval_s: whole_seconds(api.settings().mint_wait_max),
        batch_size_max: BATCH_SIZE_MAX,
        estimated_wait_seconds: wait_of_next(&api),
        accepting: reason.is_none(),
        reason,
        as_of: overview.read_at,
        sequence: overview.seq,
    };
    Ok(json_response(StatusCode::OK, &answer, "application/json"))
}

/// The mints: counts, units, rates. An order that is not paid yet counts as pending, as in `/queue/status`.
#[utoipa::path(
    get,
    path = "/api/queue/stats",
    tag = "queue",
    operation_id = "queueStats",
    summary = "The mints: counts, units, rates",
    responses((status = 200, description = "One look at the read models, half a second old at most.",
        body = inline(StatsAnswer<Mints, MintTotals, MintRates>)), StatsProblems),
)]
pub(crate) async fn queue_stats(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let overview = api.snapshot.overview(&api.records).await?;
    let statuses = Mints {
        pending: queue(&overview, MintStatus::Pending),
        processing: queue(&overview, MintStatus::Processing),
        completed: queue(&overview, MintStatus::Completed),
        failed: queue(&overview, MintStatus::Failed),
    };
    let minted = sum(&overview, |stage| stage == Stage::Minted);
    let totals = MintTotals { units_minted: minted.units.to_string() };
    let answer = StatsAnswer::of(&api, &overview, overview.unminted, statuses, totals, |rates| MintRates {
        mints_per_second: rates.minted,
        units_per_second: rates.units_minted,
    });
    Ok(json_response(StatusCode::OK, &answer, "application/json"))
}

/// The payments: counts, value, rates.
#[utoipa::path(
    get,
    path = "/api/payment/stats",
    tag = "queue",
    operation_id = "paymentStats",
    summary = "The payments: counts, value, rates",
    responses((status = 200, description = "One look at the read models, half a second old at most.",
        body = inline(StatsAnswer<Payments, PaymentTotals, PaymentRates>)), StatsProblems),
)]
pub(crate) async fn payment_stats(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let overview = api.snapshot.overview(&api.records).await?;
    let completed = payments(&overview, PaymentStatus::Completed);
    let statuses = Payments {
        pending: payments(&overview, PaymentStatus::Pending).orders,
        sent: payments(&overview, PaymentStatus::Sent).orders,
        completed: completed.orders,
        failed: payments(&overview, PaymentStatus::Failed).orders,
    };
    let totals =
        PaymentTotals { value_completed: completed.value.to_string(), units_paid: completed.units.to_string() };
    let answer = StatsAnswer::of(&api, &overview, overview.unpaid, statuses, totals, |rates| PaymentRates {
        accepted_per_second: rates.requested,
        settled_per_second: rates.paid,
    });
    Ok(json_response(StatusCode::OK, &answer, "application/json"))
}
