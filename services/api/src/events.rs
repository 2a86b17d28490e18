//! `GET /api/events?payment={id}`: one order's events as server-sent events, `id:` = ledger sequence.
//!
//! A stream sends what the ledger holds beyond the last sequence that the client has seen, waits for news, and does it
//! again: no gap and no duplicate, across restarts of this process and across instances. After `payment.failed` or
//! `mint.confirmed` nothing can follow: the stream ends with a comment, and a client that comes back with that sequence
//! is answered 204, which makes an `EventSource` stop.
#![allow(unused_qualifications)] // utoipa::path writes one per `IntoParams`

use crate::Api;
use crate::error::Problem;
use crate::notifier::Subscription;
use crate::openapi::{EventsProblems, schemas};
use crate::records;
use alloy_primitives::B256;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::sse::{Event as Frame, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use domain::{Event, OrderEvent, PaymentId};
use futures_util::{Stream, stream};
use ledger::Recorded;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use store::{MintStatus, PaymentStatus, PaymentView, StageName};
use utoipa::{IntoParams, ToSchema};

/// A comment, so that proxies and clients know that the stream lives.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a client shall wait before it comes back.
const RECONNECT: Duration = Duration::from_secs(2);
/// A look at the ledger without being woken: if news were ever lost on the way, they come late, not never.
const SWEEP: Duration = Duration::from_secs(30);
/// News were announced that a replica does not have yet.
const LAGGING: Duration = Duration::from_millis(50);

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// Whose events: `paymentQueueId` of the 202.
    #[param(value_type = schemas::PaymentId)]
    payment: Option<String>,
    /// For clients that cannot set `Last-Event-ID`.
    #[param(nullable = false)]
    last_event_id: Option<String>,
}

/// What an event says to a payer: no signature, no raw transaction.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct News<'a> {
    sequence: u64,
    #[serde(rename = "type")]
    #[schema(value_type = schemas::EventType)]
    kind: &'static str,
    #[schema(value_type = schemas::PaymentId)]
    payment_queue_id: PaymentId,
    time: DateTime<Utc>,
    #[schema(value_type = schemas::PaymentStatus)]
    status: PaymentStatus,
    #[schema(value_type = schemas::State)]
    state: StageName,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schemas::MintStatus>, nullable = false)]
    mint_status: Option<MintStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schemas::Hash>, nullable = false)]
    tx_hash: Option<B256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schemas::Reason>, nullable = false)]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<&'a str>,
}

/// Opens the stream; 404 for what the ledger does not know.
#[utoipa::path(
    get,
    path = "/api/events",
    tag = "orders",
    operation_id = "events",
    summary = "An order's events, as they happen",
    description = "Server-sent events. A client that comes back with the last id goes on where it stopped, at any \
        instance. A comment comes every 15 s. After `payment.failed` or `mint.confirmed` the stream ends.",
    params(
        Filter,
        ("Last-Event-ID" = Option<String>, Header, nullable = false,
            description = "The last `id:` that was seen. What is no sequence counts as none: all events are sent."),
    ),
    responses(
        (status = 200, description = "The events after the last one seen, then each as it happens. Every frame has \
            these fields; one without them sets the time to wait before coming back, `retry: 2000`.",
            body = schemas::Frame, content_type = "text/event-stream"),
        (status = 204, description = "The last event was seen, nothing can follow: stop asking."),
        EventsProblems,
    ),
)]
pub(crate) async fn events(
    State(api): State<Arc<Api>>,
    filter: Result<Query<Filter>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(filter) = filter.map_err(|_| Problem::FilterMissing)?;
    let id = filter.payment.ok_or(Problem::FilterMissing)?.parse().map_err(|_| Problem::PaymentUnknown)?;
    let resumed = headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    // What is no sequence is no position: the client gets the whole history, a few dozen events at most.
    let seen = resumed.or(filter.last_event_id).and_then(|text| text.trim().parse().ok()).unwrap_or(0);

    let mut feed = Feed::new(api, id, seen);
    let history = feed.api.records.history(id).await?;
    if history.is_empty() {
        return Err(Problem::PaymentUnknown);
    }
    feed.take(&history);
    if feed.ended && feed.ready.len() == 1 {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    feed.ready.push_front(Frame::default().retry(RECONNECT));
    let mut response =
        Sse::new(feed.frames()).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("heartbeat")).into_response();
    let unbuffered = (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response.headers_mut().extend([unbuffered]);
    Ok(response)
}

/// One client's stream.
struct Feed {
    api: Arc<Api>,
    id: PaymentId,
    subscription: Subscription,
    /// Last sequence that the client has.
    seen: u64,
    /// The order so far, and the last sequence that was looked at.
    view: Option<PaymentView>,
    folded: u64,
    ready: VecDeque<Frame>,
    ended: bool,
}

impl Feed {
    fn new(api: Arc<Api>, id: PaymentId, seen: u64) -> Self {
        let subscription = api.notifier.subscribe(id);
        Self { api, id, subscription, seen, view: None, folded: 0, ready: VecDeque::new(), ended: false }
    }

    fn frames(self) -> impl Stream<Item = Result<Frame, Infallible>> + Send {
        stream::unfold(self, |mut feed| async move {
            let frame = feed.next().await?;
            Some((Ok(frame), feed))
        })
    }

    /// The next frame; `None` after the last event of the order, and when the process stops.
    async fn next(&mut self) -> Option<Frame> {
        let stop = self.api.stop.clone();
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(frame);
            }
            if self.ended {
                return None;
            }
            let pause = if self.subscription.announced() > self.folded { LAGGING } else { SWEEP };
            tokio::select! {
                () = self.subscription.woken() => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return None,
            }
            // A ledger that does not answer now is asked again when woken or swept; the heartbeat goes on.
            if let Ok(history) = self.api.records.history(self.id).await {
                self.take(&history);
            }
        }
    }

    /// Makes frames of what the client has not seen.
    fn take(&mut self, history: &[Recorded]) {
        for recorded in history {
            if recorded.seq <= self.folded {
                continue;
            }
            self.folded = recorded.seq;
            self.view = records::next(self.view.take(), self.id, recorded);
            let (Some(view), Ok(Event::Order(_, event))) = (&self.view, &recorded.event) else { continue };
            if recorded.seq > self.seen {
                self.seen = recorded.seq;
                self.ready.extend(frame(view, event, recorded));
            }
            if matches!(event, OrderEvent::PaymentFailed(_) | OrderEvent::MintConfirmed(_)) {
                self.ended = true;
            }
        }
        if self.ended {
            self.ready.push_back(Frame::default().comment("the last event of this payment; close"));
        }
    }
}

fn frame(view: &PaymentView, event: &OrderEvent, recorded: &Recorded) -> Option<Frame> {
    let fits = view.last_seq == recorded.seq;
    let news = News {
        sequence: recorded.seq,
        kind: event.name(),
        payment_queue_id: view.id,
        time: recorded.recorded_at,
        status: view.status,
        state: view.stage,
        mint_status: view.stage.mint_status(),
        tx_hash: tx_hash(event),
        reason: view.reason.as_deref().filter(|_| fits),
        detail: view.detail.as_deref().filter(|_| fits),
    };
    let data = serde_json::to_string(&news).ok()?;
    Some(Frame::default().id(recorded.seq.to_string()).event(event.name()).data(data))
}

/// The transaction that the event names.
fn tx_hash(event: &OrderEvent) -> Option<B256> {
    match event {
        OrderEvent::PaymentSubmitted(_, tx) | OrderEvent::MintSubmitted(_, tx) => Some(tx.tx_hash),
        OrderEvent::PaymentConfirmed(proof) => Some(proof.tx_hash),
        OrderEvent::PaymentFailed(failure) => failure.tx_hash,
        OrderEvent::MintConfirmed(minted) => Some(minted.tx_hash),
        OrderEvent::PaymentRequested(_)
        | OrderEvent::PaymentDeferred(..)
        | OrderEvent::MintDeferred(..)
        | OrderEvent::MintParked(..) => None,
    }
}
