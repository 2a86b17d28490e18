//! `GET /api/events`: what the ledger says, as server-sent events, `id:` = ledger sequence.
//!
//! Of one payment a stream holds every event from the first on, whenever it is opened; after `payment.failed` or
//! `mint.confirmed` nothing can follow: it ends, and a client that comes back with that sequence is answered 204, which
//! makes an `EventSource` stop. Of a payer, a token, or everything, it holds what comes, and what a client missed that
//! says where it stopped. Who missed too much is told `reset`, and where to load the state anew.
//!
//! No gap and no duplicate, across restarts of this process and across instances: the sequence is the ledger's.

use crate::Api;
use crate::error::Problem;
use crate::feed::Feed;
use crate::follower::parties_of;
use crate::hub::{Missed, Starting, Topic};
use crate::limits::{ClientIp, StreamPermit};
use crate::mint::address;
use crate::news::{News, is_last};
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::{Event, PaymentId};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

/// What the stream is of. One of the first three, or none.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Filter {
    payment: Option<String>,
    payer: Option<String>,
    token: Option<String>,
    /// For clients that cannot set `Last-Event-ID`.
    last_event_id: Option<String>,
}

/// Where a client stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// It comes for the first time.
    Nothing,
    /// It has everything up to here.
    UpTo(u64),
    /// It says something that is no sequence of this ledger (B49).
    Unknown,
}

/// Opens the stream; 404 for a payment that the ledger does not know.
pub(crate) async fn events(
    State(api): State<Arc<Api>>,
    Extension(client): Extension<ClientIp>,
    filter: Result<Query<Filter>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(filter) = filter.map_err(|_| Problem::FilterInvalid)?;
    let topic = topic(&filter)?;
    if topic == Topic::Everything && !api.config.is_operator(headers.get(AUTHORIZATION)) {
        return Err(Problem::OperatorsOnly);
    }
    let permit = api.quotas.streams.enter(client)?;
    let seen = api.seen(&headers, filter.last_event_id.as_deref()).await?;
    match topic {
        Topic::Payment(id) => of_payment(api, id, seen, permit).await,
        Topic::Payer(_) | Topic::Token(_) | Topic::Everything => of_many(&api, topic, seen, permit),
    }
}

/// Every event of the order after what was seen, and what comes.
async fn of_payment(api: Arc<Api>, id: PaymentId, seen: Seen, permit: StreamPermit) -> Result<Response, Problem> {
    // Listen first, read then: what is written in between is in both, and sent once.
    let ear = api.follower.hub.listen(Topic::Payment(id));
    let history = api.records.history(id).await?;
    if history.is_empty() {
        return Err(Problem::PaymentUnknown);
    }
    let (payer, token) = parties_of(&history).ok_or(Problem::OrderUnreadable(id))?;
    let after = if let Seen::UpTo(seq) = seen { seq } else { 0 };
    let news: Vec<_> = history
        .iter()
        .filter_map(|recorded| match &recorded.event {
            Ok(Event::Order(_, event)) => Some((recorded.seq, is_last(event), recorded, event)),
            _ => None,
        })
        .collect();
    let ended = news.iter().any(|(_, last, ..)| *last);
    if ended && news.iter().all(|(seq, ..)| *seq <= after) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let mut feed = Feed::new(ear, api.stop.clone(), after);
    if seen == Seen::Unknown {
        feed.push(reset(0, &format!("/api/payment/{id}")));
    }
    for (_, _, recorded, event) in news {
        feed.take(&News::of(recorded, id, event, payer, token));
    }
    Ok(respond(feed, permit))
}

/// What was missed, if it is still known, and what comes.
fn of_many(api: &Api, topic: Topic, seen: Seen, permit: StreamPermit) -> Result<Response, Problem> {
    let now = api.follower.hub.last();
    let after = if let Seen::UpTo(seq) = seen { seq } else { now };
    let (missed, ear) = api.follower.hub.resume(topic, after).map_err(|Starting| Problem::StartingUp)?;
    let missed = if seen == Seen::Unknown { Missed::TooMuch(now) } else { missed };
    let mut feed;
    match missed {
        Missed::News(missed) => {
            feed = Feed::new(ear, api.stop.clone(), after);
            // A client that hears nothing for long shall know from where it did.
            feed.push(position(after));
            missed.iter().for_each(|news| feed.take(news));
        }
        Missed::TooMuch(now) => {
            feed = Feed::new(ear, api.stop.clone(), now);
            feed.push(reset(now, &load_anew(topic)));
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
    /// By the header, which an `EventSource` sets when it comes back, or else by the query.
    async fn seen(&self, headers: &HeaderMap, query: Option<&str>) -> Result<Seen, Problem> {
        let header = match headers.get("last-event-id").map(HeaderValue::to_str) {
            Some(Err(_)) => return Ok(Seen::Unknown),
            Some(Ok(text)) => Some(text),
            None => None,
        };
        let text = header.or(query).unwrap_or_default().trim();
        if text.is_empty() {
            return Ok(Seen::Nothing);
        }
        let Ok(seq) = text.parse::<u64>() else { return Ok(Seen::Unknown) };
        if seq <= self.follower.hub.last() {
            return Ok(Seen::UpTo(seq));
        }
        // Another instance may be ahead of this one, but not of the ledger.
        let (_, end) = self.ledger.state().await.map_err(|_| Problem::LedgerAway)?;
        Ok(if seq <= end { Seen::UpTo(seq) } else { Seen::Unknown })
    }
}

/// Nothing but a position: it moves the `Last-Event-ID` of a client, and dispatches no event.
pub(crate) fn position(seq: u64) -> Bytes {
    Bytes::from(format!("id: {seq}\n\n"))
}

/// Forget what you have: load `path`, and go on from here.
fn reset(seq: u64, path: &str) -> Bytes {
    let data = json!({ "sequence": seq, "reload": path });
    Bytes::from(format!("id: {seq}\nevent: reset\ndata: {data}\n\n"))
}

fn load_anew(topic: Topic) -> String {
    match topic {
        Topic::Payment(id) => format!("/api/payment/{id}"),
        Topic::Payer(payer) => format!("/queue/payer/{payer}"),
        Topic::Token(token) => format!("/api/tokens/{token}"),
        Topic::Everything => "/queue/status".to_owned(),
    }
}

/// Its place is free as soon as the stream has ended or its client is gone.
fn respond(feed: Feed, permit: StreamPermit) -> Response {
    let chunks = feed.chunks().inspect(move |_| _ = &permit);
    let mut response = Response::new(Body::from_stream(chunks));
    response.headers_mut().extend([
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        // nginx would hold events back.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ]);
    response
}
