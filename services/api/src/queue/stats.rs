//! `GET /queue/status`, `GET /api/queue/stats` and `GET /api/payment/stats`: one snapshot, three ways of looking at it.

use super::place::{refusal, wait_of_next};
use super::snapshot::overview;
use crate::Api;
use crate::error::{Problem, json_response};
use alloy_primitives::{Address, B256};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{BatchStatus, MintBatch, MintStatus, Overview, PaymentStatus, Rates, StageName, StageTotal, Waiting};

/// How mint-projector gathers unless it is told otherwise: what is paid waits this long for company (`MINT_MAX_WAIT_MS`),
/// seconds, and a transaction has this many mints at most (`chain::MINT_BATCH_MAX`). For the earlier system's page; the
/// api asks no other service.
const BATCH_INTERVAL_S: u32 = 2;
const BATCH_SIZE_MAX: u32 = 100;

#[derive(Serialize)]
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

#[derive(Serialize)]
struct Stats {
    pending_count: u64,
    processing_count: u64,
    completed_count: u64,
    failed_count: u64,
    oldest_pending: Option<DateTime<Utc>>,
    unique_payers_pending: u64,
}

/// A mint transaction.
#[derive(Serialize)]
struct Batch {
    /// Sequence of its `signed`.
    id: u64,
    batch_tx_hash: B256,
    mint_count: u64,
    status: BatchStatus,
    created_at: DateTime<Utc>,
    confirmed_at: Option<DateTime<Utc>>,
    block_number: Option<u64>,
    token_address: Address,
}

/// Counts of one status word each, what only one of the two statistics has, and what both have.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatsAnswer<S: Serialize, T: Serialize, R: Serialize> {
    statuses: S,
    /// By the fine state.
    states: BTreeMap<StageName, u64>,
    /// Everybody who ever ordered, and those who wait.
    unique_payers: u64,
    unique_payers_pending: u64,
    oldest_pending: Option<DateTime<Utc>>,
    totals: T,
    rates: Windows<R>,
    /// Until who comes now is minted for.
    estimated_wait_seconds: u32,
    accepting: bool,
    /// Code of the answer that a payment would get now.
    reason: Option<&'static str>,
    as_of: DateTime<Utc>,
    /// Last event that this reflects.
    sequence: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Windows<R> {
    last_minute: R,
    last_five_minutes: R,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Mints {
    pending: u64,
    processing: u64,
    completed: u64,
    failed: u64,
}

/// Decimal string, as all amounts.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MintTotals {
    units_minted: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MintRates {
    mints_per_second: f64,
    units_per_second: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payments {
    pending: u64,
    sent: u64,
    completed: u64,
    failed: u64,
}

/// Decimal strings: atomic USDC of completed payments, and the units that these bought.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PaymentTotals {
    value_completed: String,
    units_paid: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PaymentRates {
    accepted_per_second: f64,
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

impl<S: Serialize, T: Serialize, R: Serialize> StatsAnswer<S, T, R> {
    fn of(api: &Api, overview: &Overview, who: Waiting, statuses: S, totals: T, rates: impl Fn(&Rates) -> R) -> Self {
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

/// The sum over the stages that are `wanted`. All orders there can ever be, 2^63, of the highest value, 2^64 each, fit.
fn sum(overview: &Overview, wanted: impl Fn(StageName) -> bool) -> StageTotal {
    let mut sum = StageTotal::default();
    for (_, total) in overview.stages.iter().filter(|(stage, _)| wanted(**stage)) {
        sum.orders += total.orders;
        sum.units += total.units;
        sum.value += total.value;
    }
    sum
}

fn queue(overview: &Overview, status: MintStatus) -> u64 {
    sum(overview, |stage| stage.queue_status() == status).orders
}

fn payments(overview: &Overview, status: PaymentStatus) -> StageTotal {
    sum(overview, |stage| stage.payment_status() == status)
}

/// Counts of the queue, and the last mint transactions.
pub(crate) async fn status(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let overview = overview(&api).await?;
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
        batch_interval_s: BATCH_INTERVAL_S,
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
pub(crate) async fn queue_stats(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let overview = overview(&api).await?;
    let statuses = Mints {
        pending: queue(&overview, MintStatus::Pending),
        processing: queue(&overview, MintStatus::Processing),
        completed: queue(&overview, MintStatus::Completed),
        failed: queue(&overview, MintStatus::Failed),
    };
    let minted = sum(&overview, |stage| stage == StageName::Minted);
    let totals = MintTotals { units_minted: minted.units.to_string() };
    let answer = StatsAnswer::of(&api, &overview, overview.unminted, statuses, totals, |rates| MintRates {
        mints_per_second: rates.minted,
        units_per_second: rates.units_minted,
    });
    Ok(json_response(StatusCode::OK, &answer, "application/json"))
}

/// The payments: counts, value, rates.
pub(crate) async fn payment_stats(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let overview = overview(&api).await?;
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
