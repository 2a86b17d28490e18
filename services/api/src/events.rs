//! `GET /api/events`: events of the ledger as server-sent events. The `id:` of each is its ledger sequence.
//!
//! The stream of one payment has every event of it from the first on, whenever it is opened. It ends after
//! `payment.failed`, `mint.confirmed` or `refund.confirmed`, because nothing can follow. A client that comes back with
//! that sequence gets 204, which makes an `EventSource` stop. The stream of a payer, of a token, or of everything has the
//! new events, and the events that a resuming client has missed. A client that has missed too much gets `reset`, and the
//! path from which to load the state again.
//!
//! A client sees no gap and no duplicate, across restarts of this process and across instances, because the sequences
//! are the ledger's.
#![allow(unused_qualifications)] // utoipa::path writes one per `IntoParams`

use crate::address::address;
use crate::error::Problem;
use crate::openapi::{EventsProblems, schemas};
use crate::state::Api;
use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::PaymentId;
use edge::{ClientIp, Permit};
use futures_util::StreamExt;
use live::{Feed, Missed, Starting, Topic, position_frame, reset_frame};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

/// The filter of the stream: one of the first three, or none.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// One order: `paymentQueueId` of the 202.
    #[param(value_type = Option<schemas::PaymentId>, nullable = false)]
    payment: Option<String>,
    /// All orders of this payer.
    #[param(value_type = Option<schemas::AnyAddress>, nullable = false)]
    payer: Option<String>,
    /// All orders of this token.
    #[param(value_type = Option<schemas::AnyAddress>, nullable = false)]
    token: Option<String>,
    /// For clients that cannot set `Last-Event-ID`.
    #[param(nullable = false)]
    last_event_id: Option<String>,
}

/// The position at which a client resumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resume {
    /// The client comes for the first time.
    Nothing,
    /// The client has everything up to this sequence.
    UpTo(u64),
    /// The client sent a text that is no sequence of this ledger.
    Unknown,
}

/// Opens the stream; 404 for a payment that the ledger does not know.
#[utoipa::path(
    get,
    path = "/api/events",
    tag = "orders",
    operation_id = "events",
    summary = "Events of orders, as they happen",
    description = "Server-sent events of one payment, of a payer, or of a token: one of the three filters. Without one \
        it is everything, for operators. A client that comes back with the last id goes on where it stopped, at any \
        instance; one that missed too much, or says an id that is none, is sent `reset`. A stream of one payment holds \
        its events from the first on, and ends after `payment.failed`, `mint.confirmed` or `refund.confirmed`.",
    params(
        Filter,
        ("Last-Event-ID" = Option<String>, Header, nullable = false,
            description = "The last `id:` that was seen. It counts more than `lastEventId`."),
    ),
    responses(
        (status = 200, description = "Every event that is dispatched has these fields. Blocks without `data` dispatch \
            none: `retry: 2000` is the time to wait before coming back, a lone `id:` moves the position, a comment \
            says that the stream lives.", body = schemas::Frame, content_type = "text/event-stream"),
        (status = 204, description = "The last event of this payment was seen, nothing can follow: stop asking."),
        EventsProblems,
    ),
    security((), ("operator" = [])),
)]
pub(crate) async fn events(
    State(api): State<Arc<Api>>,
    Extension(client): Extension<ClientIp>,
    filter: Result<Query<Filter>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(filter) = filter.map_err(|_| Problem::FilterInvalid)?;
    let topic = topic(&filter)?;
    if topic == Topic::Everything && !api.is_operator(&headers) {
        return Err(Problem::OperatorsOnly);
    }
    let permit = api.quotas.stream(client)?;
    let seen = api.seen(&headers, filter.last_event_id.as_deref()).await?;
    match topic {
        Topic::Payment(id) => {
            let read = api.old_read(client, id)?;
            let stream = of_payment(api, id, seen, permit).await;
            // The history is read; what follows is news.
            drop(read);
            stream
        }
        Topic::Payer(_) | Topic::Token(_) | Topic::Everything => of_many(&api, topic, seen, permit),
    }
}

/// Every event of the order behind `seen`, and the events to come.
async fn of_payment(api: Arc<Api>, id: PaymentId, seen: Resume, permit: Permit) -> Result<Response, Problem> {
    // The row tells a client that the stream had ended before it came back.
    if let Resume::UpTo(seq) = seen
        && api.records.has_ended_by(id, seq).await
    {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let (story, ear) = api.follower.story(&api.records, id).await?;
    if story.is_empty() {
        return Err(Problem::PaymentUnknown);
    }
    let after = if let Resume::UpTo(seq) = seen { seq } else { 0 };
    let has_ended = story.iter().any(|news| news.last);
    if has_ended && story.iter().all(|news| news.seq <= after) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let mut feed = Feed::new(ear, api.stop.clone(), after);
    if seen == Resume::Unknown {
        feed.push(reset_frame(0, &format!("/api/payment/{id}")));
    }
    story.iter().for_each(|news| feed.take(news));
    Ok(respond(feed, permit))
}

/// A stream of missed events, if they are still kept, and of new ones.
fn of_many(api: &Api, topic: Topic, seen: Resume, permit: Permit) -> Result<Response, Problem> {
    let now = api.follower.hub.last();
    let after = if let Resume::UpTo(seq) = seen { seq } else { now };
    let (missed, ear) = api.follower.hub.resume(topic, after).map_err(|Starting| Problem::StartingUp)?;
    let missed = if seen == Resume::Unknown { Missed::TooMuch(now) } else { missed };
    let mut feed;
    match missed {
        Missed::News(missed) => {
            feed = Feed::new(ear, api.stop.clone(), after);
            // A client that receives nothing for a long time must know from which sequence on there was nothing.
            feed.push(position_frame(after));
            missed.iter().for_each(|news| feed.take(news));
        }
        Missed::TooMuch(now) => {
            feed = Feed::new(ear, api.stop.clone(), now);
            feed.push(reset_frame(now, &load_anew(topic)));
        }
    }
    Ok(respond(feed, permit))
}

fn topic(filter: &Filter) -> Result<Topic, Problem> {
    match (&filter.payment, &filter.payer, &filter.token) {
        (Some(id), None, None) => id.parse().map(Topic::Payment).map_err(|_| Problem::PaymentUnknown),
        (None, Some(payer), None) => address(payer).map(Topic::Payer).ok_or(Problem::FilterInvalid),
        (None, None, Some(token)) => address(token).map(Topic::Token).ok_or(Problem::FilterInvalid),
        (None, None, None) => Ok(Topic::Everything),
        _ => Err(Problem::FilterInvalid),
    }
}

impl Api {
    fn is_operator(&self, headers: &HeaderMap) -> bool {
        let (token, sent) = (self.config.operator_token.as_ref(), headers.get(AUTHORIZATION));
        token.zip(sent).is_some_and(|(token, sent)| token.is_in(sent))
    }

    /// Reads the position from the header, which an `EventSource` sets when it resumes, or else from the query.
    async fn seen(&self, headers: &HeaderMap, query: Option<&str>) -> Result<Resume, Problem> {
        let header = match headers.get("last-event-id").map(HeaderValue::to_str) {
            Some(Err(_)) => return Ok(Resume::Unknown),
            Some(Ok(text)) => Some(text),
            None => None,
        };
        let text = header.or(query).unwrap_or_default().trim();
        if text.is_empty() {
            return Ok(Resume::Nothing);
        }
        let Ok(seq) = text.parse::<u64>() else { return Ok(Resume::Unknown) };
        if seq <= self.follower.hub.last() {
            return Ok(Resume::UpTo(seq));
        }
        // The sequence may come from another instance that is ahead of this one, but not from behind the end of the
        // ledger.
        let (_, end) = self.ledger.state().await.map_err(|_| Problem::LedgerAway)?;
        Ok(if seq <= end { Resume::UpTo(seq) } else { Resume::Unknown })
    }
}

fn load_anew(topic: Topic) -> String {
    match topic {
        Topic::Payment(id) => format!("/api/payment/{id}"),
        Topic::Payer(payer) => format!("/queue/payer/{payer}"),
        Topic::Token(token) => format!("/api/tokens/{token}"),
        Topic::Everything => "/queue/status".to_owned(),
    }
}

/// Makes the answer. The permit of the stream is free when the stream has ended or its client is gone.
fn respond(feed: Feed, permit: Permit) -> Response {
    let chunks = feed.chunks().inspect(move |_| _ = &permit);
    let mut response = Response::new(Body::from_stream(chunks));
    response.headers_mut().extend([
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        // nginx would buffer events.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ]);
    response
}
