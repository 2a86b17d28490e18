//! The envelope: CloudEvents 1.0, structured JSON over NATS.
//!
//! Own, because the SDK's `nats` feature is tied to an older client. Header `Content-Type: application/cloudevents+json`
//! and no `ce-specversion` header: right for the NATS binding 1.0.2 and 1.0.3-wip, and for sdk-go. The SDK accepts too
//! much, so [`decode`] checks again: type, id and aggregate against the subject, data against the type.

use crate::subjects::{KIND, aggregate, event_type, subject as subject_of};
use alloy_primitives::Address;
use async_nats::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use cloudevents::event::SpecVersion;
use cloudevents::{AttributesReader, EventBuilder, EventBuilderV10};
use domain::event::{
    Claimed, Deferral, Lost, Minted, Parked, ParkedMessage, PaymentFailure, PaymentProof, Resumed, Reversal, Settled,
    Stopped, Submission,
};
use domain::event::{OpenTx, Purpose};
use domain::{
    Event, IdempotencyKey, KeyBound, KeyEvent, LaneId, OpsEvent, OrderEvent, PaymentId, PaymentRequest, SignerEvent,
    TokenEvent, TokenTerms,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The one content type of the ledger.
pub(crate) const CONTENT_TYPE: &str = "application/cloudevents+json";

/// One message of the ledger, as stored.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Sequence in the ledger: SSE id, projection position, audit trail.
    pub seq: u64,
    /// Subject.
    pub subject: String,
    /// Header block in canonical form: names sorted, `Name: value` lines, CRLF; none where there were no headers.
    pub headers: Option<Vec<u8>>,
    /// The bytes.
    pub payload: Bytes,
    /// When the ledger stored it.
    pub recorded_at: DateTime<Utc>,
    /// What it says, or why it cannot be read.
    pub event: Result<Event, Undecodable>,
    /// W3C trace context, to be handed on.
    pub trace: Option<String>,
}

impl Recorded {
    /// Whether more of the same atomic append stands behind it. Where nats-server kept only the beginning of one, the
    /// last of it says so too.
    pub fn more_belongs(&self) -> bool {
        more_belongs(self.headers.as_deref())
    }
}

/// The same of a header block.
pub(crate) fn more_belongs(headers: Option<&[u8]>) -> bool {
    headers.and_then(headers_of).is_some_and(|headers| is_within_batch(&headers))
}

/// Whether a message with these headers belongs to an atomic batch, and is not its last.
pub(crate) fn is_within_batch(headers: &HeaderMap) -> bool {
    headers.get("Nats-Batch-Id").is_some() && headers.get("Nats-Batch-Commit").is_none()
}

/// A message that is not an event of ours. It is set aside, never guessed at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// Not structured CloudEvents JSON 1.0.
    #[error("not a CloudEvent: {0}")]
    NotACloudEvent(String),
    /// Type, id, aggregate or data contradict the subject.
    #[error("{0}")]
    Contradiction(String),
    /// A type or version that this build does not know: held, not skipped.
    #[error("unknown event type {0}")]
    UnknownType(String),
}

/// The structured JSON of an event. `source` names the writing service: `/paymint/api`.
pub fn encode(
    event: &Event,
    source: &str,
    trace: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut builder = EventBuilderV10::new()
        .id(subject_of(event))
        .ty(event_type(event))
        .source(source)
        .subject(aggregate(event))
        .time(now)
        .data("application/json", data(event)?);
    if let Some(trace) = trace {
        builder = builder.extension("traceparent", trace);
    }
    let event = builder.build().map_err(serde::ser::Error::custom)?;
    serde_json::to_vec(&event)
}

/// The `data` of an event.
pub(crate) fn data(event: &Event) -> Result<Value, serde_json::Error> {
    fn value<T: Serialize>(data: &T) -> Result<Value, serde_json::Error> {
        serde_json::to_value(data)
    }
    match event {
        Event::Order(_, event) => match event {
            OrderEvent::PaymentRequested(request) => value(request),
            OrderEvent::PaymentSubmitted(_, tx) | OrderEvent::MintSubmitted(_, tx) => value(tx),
            OrderEvent::PaymentDeferred(_, why) | OrderEvent::MintDeferred(_, why) => value(why),
            OrderEvent::PaymentConfirmed(proof) | OrderEvent::PaymentRestored(_, proof) => value(proof),
            OrderEvent::PaymentFailed(failure) => value(failure),
            OrderEvent::MintParked(_, why) => value(why),
            OrderEvent::MintConfirmed(minted) | OrderEvent::MintRestored(_, minted) => value(minted),
            OrderEvent::PaymentReverted(_, reversal) | OrderEvent::MintReverted(_, reversal) => value(reversal),
        },
        Event::Signer(_, SignerEvent::Claimed(claim)) => value(claim),
        Event::Signer(_, SignerEvent::Signed(tx) | SignerEvent::Replaced(_, tx)) => value(tx),
        Event::Signer(_, SignerEvent::Lost(lost)) => value(lost),
        Event::Signer(_, SignerEvent::Settled(settled) | SignerEvent::Resettled(_, settled)) => value(settled),
        Event::Signer(_, SignerEvent::Reverted(_, reversal)) => value(reversal),
        Event::Token(_, TokenEvent::Registered(terms)) => value(terms),
        Event::Key(_, KeyEvent::Bound(bound)) => value(bound),
        Event::Ops(OpsEvent::Parked(parked)) => value(parked),
        Event::Ops(OpsEvent::Stopped(_, why)) => value(why),
        Event::Ops(OpsEvent::Resumed(_, why)) => value(why),
    }
}

/// Reads a stored message. `content_type` is its `Content-Type` header.
///
/// # Errors
/// [`Undecodable`]. Nothing of the message is trusted before the whole of it agrees with its subject.
pub fn decode(
    subject: &str,
    content_type: Option<&str>,
    payload: &[u8],
) -> Result<(Event, Option<String>), Undecodable> {
    if content_type != Some(CONTENT_TYPE) {
        return Err(Undecodable::NotACloudEvent(format!("Content-Type is {content_type:?}, not {CONTENT_TYPE}")));
    }
    let envelope: cloudevents::Event =
        serde_json::from_slice(payload).map_err(|e| Undecodable::NotACloudEvent(e.to_string()))?;
    if envelope.specversion() != SpecVersion::V10 {
        return Err(Undecodable::NotACloudEvent(format!("specversion {}", envelope.specversion())));
    }
    if envelope.id() != subject {
        return Err(Undecodable::Contradiction(format!("id {:?} is not the subject", envelope.id())));
    }
    if envelope.source().is_empty() {
        return Err(Undecodable::Contradiction("source is empty".to_owned()));
    }
    let Some(cloudevents::Data::Json(data)) = envelope.data() else {
        return Err(Undecodable::NotACloudEvent("data is not JSON".to_owned()));
    };
    let event = typed(subject, envelope.ty(), data.clone())?;
    if event_type(&event) != envelope.ty() {
        return Err(Undecodable::Contradiction(format!("type {} is not of this subject", envelope.ty())));
    }
    if envelope.subject() != Some(aggregate(&event).as_str()) {
        return Err(Undecodable::Contradiction("the envelope names another aggregate than the subject".to_owned()));
    }
    if subject_of(&event) != subject {
        return Err(Undecodable::Contradiction("the data belong to another subject".to_owned()));
    }
    let trace = envelope.extension("traceparent").map(ToString::to_string);
    Ok((event, trace))
}

fn typed(subject: &str, ty: &str, data: Value) -> Result<Event, Undecodable> {
    let tokens: Vec<&str> = subject.split('.').collect();
    match tokens.as_slice() {
        ["orders", _, id, KIND, context, name, rest @ ..] => {
            let id = id.parse::<PaymentId>().map_err(|e| Undecodable::Contradiction(e.to_string()))?;
            let n = || number(rest.first());
            let event = match (*context, *name) {
                ("payment", "requested") => {
                    let request: PaymentRequest = parse(data)?;
                    if request.id() != id {
                        return Err(Undecodable::Contradiction("the payment key belongs to another order".to_owned()));
                    }
                    request.check().map_err(|e| Undecodable::Contradiction(e.to_string()))?;
                    OrderEvent::PaymentRequested(Box::new(request))
                }
                ("payment", "submitted") => OrderEvent::PaymentSubmitted(n()?, parse::<Submission>(data)?),
                ("payment", "deferred") => OrderEvent::PaymentDeferred(n()?, parse::<Deferral>(data)?),
                ("payment", "confirmed") => OrderEvent::PaymentConfirmed(parse::<PaymentProof>(data)?),
                ("payment", "reverted") => OrderEvent::PaymentReverted(n()?, parse::<Reversal>(data)?),
                ("payment", "restored") => OrderEvent::PaymentRestored(n()?, parse::<PaymentProof>(data)?),
                ("payment", "failed") => OrderEvent::PaymentFailed(parse::<PaymentFailure>(data)?),
                ("mint", "submitted") => OrderEvent::MintSubmitted(n()?, parse::<Submission>(data)?),
                ("mint", "deferred") => OrderEvent::MintDeferred(n()?, parse::<Deferral>(data)?),
                ("mint", "parked") => OrderEvent::MintParked(n()?, parse::<Parked>(data)?),
                ("mint", "confirmed") => OrderEvent::MintConfirmed(parse::<Minted>(data)?),
                ("mint", "reverted") => OrderEvent::MintReverted(n()?, parse::<Reversal>(data)?),
                ("mint", "restored") => OrderEvent::MintRestored(n()?, parse::<Minted>(data)?),
                _ => return Err(Undecodable::UnknownType(ty.to_owned())),
            };
            Ok(Event::Order(id, event))
        }
        ["signers", address, _, purpose, name, _, rest @ ..] => {
            let purpose = Purpose::ALL.into_iter().find(|known| known.name() == *purpose);
            let purpose = purpose.ok_or_else(|| Undecodable::UnknownType(ty.to_owned()))?;
            let lane = LaneId::new(parse_address(address)?, purpose);
            let event = match *name {
                "replaced" => SignerEvent::Replaced(number(rest.first())?, parse::<OpenTx>(data)?),
                "lost" => SignerEvent::Lost(parse::<Lost>(data)?),
                "claimed" => SignerEvent::Claimed(parse::<Claimed>(data)?),
                "signed" => SignerEvent::Signed(parse::<OpenTx>(data)?),
                "settled" => SignerEvent::Settled(parse::<Settled>(data)?),
                "reverted" => SignerEvent::Reverted(number(rest.first())?, parse::<Reversal>(data)?),
                "resettled" => SignerEvent::Resettled(number(rest.first())?, parse::<Settled>(data)?),
                _ => return Err(Undecodable::UnknownType(ty.to_owned())),
            };
            let told = match &event {
                SignerEvent::Claimed(claim) => Some(claim.purpose),
                SignerEvent::Signed(tx) | SignerEvent::Replaced(_, tx) => Some(tx.purpose),
                SignerEvent::Lost(_) | SignerEvent::Settled(_) | SignerEvent::Resettled(..) => None,
                SignerEvent::Reverted(_, reversal) if reversal.signer != lane.signer => {
                    return Err(Undecodable::Contradiction("the reversal is of another lane".to_owned()));
                }
                SignerEvent::Reverted(..) => None,
            };
            if told.is_some_and(|told| told != lane.purpose) {
                return Err(Undecodable::Contradiction("the data are of another purpose than the lane".to_owned()));
            }
            Ok(Event::Signer(lane, event))
        }
        ["tokens", _, address, "registered"] => {
            let terms: TokenTerms = parse(data)?;
            let address = parse_address(address)?;
            if terms.token != address {
                return Err(Undecodable::Contradiction("the terms are of another token".to_owned()));
            }
            Ok(Event::Token(address, TokenEvent::Registered(Box::new(terms))))
        }
        ["keys", payer, digest, "bound"] => {
            let digest = digest.parse().map_err(|_| Undecodable::Contradiction(format!("{digest:?} is no digest")))?;
            let key = IdempotencyKey { payer: parse_address(payer)?, digest };
            Ok(Event::Key(key, KeyEvent::Bound(parse::<KeyBound>(data)?)))
        }
        ["ops", "stopped", n] => Ok(Event::Ops(OpsEvent::Stopped(number(Some(n))?, parse::<Stopped>(data)?))),
        ["ops", "resumed", n] => Ok(Event::Ops(OpsEvent::Resumed(number(Some(n))?, parse::<Resumed>(data)?))),
        ["ops", "parked", _] => Ok(Event::Ops(OpsEvent::Parked(parse::<ParkedMessage>(data)?))),
        _ => Err(Undecodable::UnknownType(ty.to_owned())),
    }
}

fn parse<T: DeserializeOwned>(data: Value) -> Result<T, Undecodable> {
    serde_json::from_value(data).map_err(|e| Undecodable::Contradiction(format!("data: {e}")))
}

fn number(token: Option<&&str>) -> Result<u32, Undecodable> {
    token
        .and_then(|token| token.parse().ok())
        .ok_or_else(|| Undecodable::Contradiction("the subject lacks its number".to_owned()))
}

fn parse_address(token: &str) -> Result<Address, Undecodable> {
    token.parse().map_err(|_| Undecodable::Contradiction(format!("{token:?} is no address")))
}

/// Header block in canonical form, see [`Recorded::headers`].
pub(crate) fn header_block(headers: &HeaderMap) -> Vec<u8> {
    let mut lines: Vec<String> = headers
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| format!("{name}: {value}\r\n")))
        .collect();
    lines.sort();
    lines.concat().into_bytes()
}

/// The way back; none for what [`header_block`] did not write.
pub(crate) fn headers_of(block: &[u8]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in std::str::from_utf8(block).ok()?.split_terminator("\r\n") {
        let (name, value) = line.split_once(": ")?;
        headers.append(name.parse::<HeaderName>().ok()?, value.parse::<HeaderValue>().ok()?);
    }
    Some(headers)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use domain::examples;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn every_event_survives_its_envelope() {
        for event in examples::all() {
            let bytes = encode(&event, "/paymint/test", Some(TRACE), Utc::now()).unwrap();
            let (read, trace) = decode(&subject_of(&event), Some(CONTENT_TYPE), &bytes).unwrap();
            assert_eq!(read, event);
            assert_eq!(trace.as_deref(), Some(TRACE));
        }
    }

    #[test]
    fn headers_survive_their_block() {
        let mut headers = HeaderMap::new();
        headers.insert("Content-Type", CONTENT_TYPE);
        headers.insert("Nats-Batch-Id", "b: 1");
        headers.append("X-Foreign", "");
        headers.append("X-Foreign", "twice");
        let block = header_block(&headers);
        assert_eq!(header_block(&headers_of(&block).unwrap()), block);
        assert!(headers_of(b"").unwrap().is_empty());
        assert!(headers_of(b"no colon\r\n").is_none() && headers_of(b"\xff: 1\r\n").is_none());
    }

    /// B56, B57, B58, B59, B61, B67.
    #[test]
    fn a_message_that_contradicts_its_subject_is_undecodable() {
        let event = &examples::all()[2];
        let subject = subject_of(event);
        let good = String::from_utf8(encode(event, "/paymint/test", None, Utc::now()).unwrap()).unwrap();
        let cases = [
            ("B56 not JSON", subject.clone(), Some(CONTENT_TYPE), "nonsense".to_owned()),
            ("B56 empty", subject.clone(), Some(CONTENT_TYPE), String::new()),
            ("B57 no source", subject.clone(), Some(CONTENT_TYPE), good.replace("\"source\"", "\"sauce\"")),
            ("B57 old version", subject.clone(), Some(CONTENT_TYPE), good.replace("\"1.0\"", "\"0.3\"")),
            (
                "B58 type",
                subject.clone(),
                Some(CONTENT_TYPE),
                good.replace("payment.requested.v1", "payment.confirmed.v1"),
            ),
            ("B67 version", subject.clone(), Some(CONTENT_TYPE), good.replace("requested.v1", "requested.v99")),
            ("B59 id", subject.replace("payment", "mint"), Some(CONTENT_TYPE), good.clone()),
            ("B59 key", subject.clone(), Some(CONTENT_TYPE), good.replace("0x07d8", "0x07d9")),
            ("B61 binary mode", subject.clone(), Some("application/json"), good.clone()),
            ("B61 no content type", subject.clone(), None, good.clone()),
            ("B66 a number for money", subject.clone(), Some(CONTENT_TYPE), good.replace("\"100000\"", "100000")),
            ("unknown field", subject.clone(), Some(CONTENT_TYPE), good.replace("\"chainId\"", "\"x\":1,\"chainId\"")),
        ];
        for (name, subject, content_type, payload) in cases {
            assert!(payload != good || subject != subject_of(event) || content_type != Some(CONTENT_TYPE), "{name}");
            assert!(decode(&subject, content_type, payload.as_bytes()).is_err(), "{name}");
        }
    }
}
