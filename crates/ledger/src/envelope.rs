//! The envelope: CloudEvents 1.0, structured JSON over NATS.
//!
//! The code is our own, because the SDK's `nats` feature needs an older NATS client. Messages have the header
//! `Content-Type: application/cloudevents+json` and no header `ce-specversion`, as the NATS binding 1.0.2 and 1.0.3-wip
//! and sdk-go expect. The SDK writes the envelope and [`View`] reads it. [`decode`] checks that type, id and aggregate
//! agree with the subject, and the data with the type.

use crate::subjects::{KIND, aggregate, event_type, subject as subject_of};
use crate::view::View;
use alloy_primitives::Address;
use async_nats::{HeaderMap, HeaderName, HeaderValue};
use chrono::{DateTime, Utc};
use cloudevents::{EventBuilder, EventBuilderV10};
use domain::event::{EventType, Purpose, Unreadable};
use domain::{
    Event, IdempotencyKey, LaneId, OrderEvent, PaymentId, RecordEvent, Recorded, SignerEvent, StoredMessage,
    TokenEvent, Undecodable,
};
use serde_json::Value;
use std::borrow::Cow;

/// The version of every event type that this build knows.
const VERSION: u32 = 1;

/// The one content type of the ledger.
pub(crate) const CONTENT_TYPE: &str = "application/cloudevents+json";

/// True if a further message of the same atomic batch follows. Also true for the last message of a batch of which
/// nats-server kept only the beginning.
pub fn more_belongs(message: &StoredMessage) -> bool {
    message.headers.as_deref().and_then(headers_of).is_some_and(|headers| is_within_batch(&headers))
}

/// True if a message with these headers belongs to an atomic batch and is not its last message.
pub(crate) fn is_within_batch(headers: &HeaderMap) -> bool {
    headers.get("Nats-Batch-Id").is_some() && headers.get("Nats-Batch-Commit").is_none()
}

/// The structured JSON of an event. `source` names the writing service: `/paymint/api`.
pub fn encode(
    event: &Event,
    source: &str,
    trace: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Vec<u8>, serde_json::Error> {
    seal(subject_of(event), event_type(event), aggregate(event), event.data()?, source, trace, now)
}

/// Puts `data` into an envelope.
fn seal(
    subject: String,
    ty: String,
    aggregate: String,
    data: Value,
    source: &str,
    trace: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut builder = EventBuilderV10::new()
        .id(subject)
        .ty(ty)
        .source(source)
        .subject(aggregate)
        .time(now)
        .data("application/json", data);
    if let Some(trace) = trace {
        builder = builder.extension("traceparent", trace);
    }
    let event = builder.build().map_err(serde::ser::Error::custom)?;
    serde_json::to_vec(&event)
}

/// Reads a stored message. `content_type` is its `Content-Type` header.
///
/// # Errors
/// [`Undecodable`]. No part of the message is trusted before all of it agrees with its subject.
pub fn decode(
    subject: &str,
    content_type: Option<&str>,
    payload: &[u8],
) -> Result<(Event, Option<String>), Undecodable> {
    if content_type != Some(CONTENT_TYPE) {
        return Err(Undecodable::NotACloudEvent(format!("Content-Type is {content_type:?}, not {CONTENT_TYPE}")));
    }
    let view = View::read(payload).map_err(|e| Undecodable::NotACloudEvent(e.to_string()))?;
    if view.id != subject {
        return Err(Undecodable::Contradiction(format!("id {:?} is not the subject", view.id)));
    }
    if view.source.is_empty() {
        return Err(Undecodable::Contradiction("source is empty".to_owned()));
    }
    if is_newer(&view.ty) {
        return Err(Undecodable::UnknownType(view.ty.to_string()));
    }
    let event = typed(subject, &view)?;
    if event_type(&event) != view.ty {
        return Err(Undecodable::Contradiction(format!("type {} is not of this subject", view.ty)));
    }
    if view.subject.as_deref() != Some(aggregate(&event).as_str()) {
        return Err(Undecodable::Contradiction("the envelope names another aggregate than the subject".to_owned()));
    }
    if subject_of(&event) != subject {
        return Err(Undecodable::Contradiction("the data belong to another subject".to_owned()));
    }
    Ok((event, view.trace.map(Cow::into_owned)))
}

/// Decodes a message that was read from the second copy. The ledger's answers are decoded where they arrive.
pub fn decode_copied(message: StoredMessage) -> Recorded {
    let headers = message.headers.as_deref().and_then(headers_of).unwrap_or_default();
    decoded(message, headers.get("Content-Type").map(HeaderValue::as_str))
}

/// Decodes a message with this `content_type`.
pub(crate) fn decoded(message: StoredMessage, content_type: Option<&str>) -> Recorded {
    let (event, trace) = match decode(&message.subject, content_type, &message.payload) {
        Ok((event, trace)) => (Ok(event), trace),
        Err(why) => (Err(why), None),
    };
    Recorded { message, event, trace }
}

/// True if the type is in our namespace and its version is later than this build knows. Nothing else of such a message
/// is read, because its data may have any form.
fn is_newer(ty: &str) -> bool {
    let version = ty.strip_prefix("io.paymint.").and_then(|name| name.rsplit_once(".v"));
    version.is_some_and(|(_, version)| version.parse::<u32>().is_ok_and(|version| version > VERSION))
}

fn typed(subject: &str, view: &View<'_>) -> Result<Event, Undecodable> {
    let tokens: Vec<&str> = subject.split('.').collect();
    match tokens.as_slice() {
        ["orders", _, id, KIND, named @ ..] => {
            let id = id.parse::<PaymentId>().map_err(|e| Undecodable::Contradiction(e.to_string()))?;
            let event: OrderEvent = read("", named, view)?;
            if matches!(&event, OrderEvent::PaymentRequested(request) if request.id() != id) {
                return Err(Undecodable::Contradiction("the payment key belongs to another order".to_owned()));
            }
            Ok(Event::Order(id, event))
        }
        ["signers", address, _, purpose, named @ ..] => {
            let purpose = Purpose::ALL.into_iter().find(|known| known.name() == *purpose);
            let purpose = purpose.ok_or_else(|| Undecodable::UnknownType(view.ty.to_string()))?;
            let lane = LaneId::new(parse_address(address)?, purpose);
            let event: SignerEvent = read("signer.", named, view)?;
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
        ["tokens", _, address, named @ ..] => {
            let address = parse_address(address)?;
            let event = read("token.", named, view)?;
            let TokenEvent::Registered(terms) = &event;
            if terms.token != address {
                return Err(Undecodable::Contradiction("the terms are of another token".to_owned()));
            }
            Ok(Event::Token(address, event))
        }
        ["records", _, id, named @ ..] => {
            let id = id.parse::<PaymentId>().map_err(|e| Undecodable::Contradiction(e.to_string()))?;
            let event = read("record.", named, view)?;
            if matches!(&event, RecordEvent::Found(found) if PaymentId::of(found.payment_key) != id) {
                return Err(Undecodable::Contradiction("the payment key belongs to another record".to_owned()));
            }
            Ok(Event::Record(id, event))
        }
        ["keys", payer, digest, named @ ..] => {
            let digest = digest.parse().map_err(|_| Undecodable::Contradiction(format!("{digest:?} is no digest")))?;
            let key = IdempotencyKey { payer: parse_address(payer)?, digest };
            Ok(Event::Key(key, read("key.", named, view)?))
        }
        // The last token consists of the consumer, the sequence, and the number of redrives if there are any.
        ["ops", "parked", _] => Ok(Event::Ops(read("ops.", &["parked"], view)?)),
        // Consumer and sequence stand before the number.
        ["ops", "redriven", _, _, n] => Ok(Event::Ops(read("ops.", &["redriven", n], view)?)),
        ["ops", named @ ..] => Ok(Event::Ops(read("ops.", named, view)?)),
        _ => Err(Undecodable::UnknownType(view.ty.to_string())),
    }
}

/// Reads the event that `tokens` name: its queue, if it has one, its name without `of`, and its numbers.
fn read<E: EventType>(of: &str, tokens: &[&str], view: &View<'_>) -> Result<E, Undecodable> {
    let unknown = || Undecodable::UnknownType(view.ty.to_string());
    let named = E::ROWS.iter().find_map(|row| {
        let mut words = row.queue.into_iter().chain(row.name.strip_prefix(of)?.split('.'));
        let numbers = words.try_fold(tokens, |rest, word| rest.strip_prefix(&[word]))?;
        Some((row.name, numbers))
    });
    let (name, numbers) = named.ok_or_else(unknown)?;
    let numbers: Result<Vec<u64>, _> = numbers.iter().map(|number| number.parse()).collect();
    let numbers = numbers.map_err(|_| Undecodable::Contradiction(Unreadable::Numbers.to_string()))?;
    let event = E::read(name, &numbers, view.data).ok_or_else(unknown)?;
    event.map_err(|why| Undecodable::Contradiction(why.to_string()))
}

fn parse_address(token: &str) -> Result<Address, Undecodable> {
    token.parse().map_err(|_| Undecodable::Contradiction(format!("{token:?} is no address")))
}

/// Writes headers as a block in canonical form, see [`StoredMessage::headers`].
pub(crate) fn header_block(headers: &HeaderMap) -> Vec<u8> {
    let mut lines: Vec<String> = headers
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| format!("{name}: {value}\r\n")))
        .collect();
    lines.sort();
    lines.concat().into_bytes()
}

/// Reads a header block. Returns `None` for a block that [`header_block`] did not write.
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
    use crate::subjects::{named, type_named};
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

    #[test]
    fn a_further_event_type_is_one_row() {
        domain::event_types! {
            enum Gift {
                /// Wrapped, time and again.
                Wrapped #n (domain::event::Submission) = "gift.wrapped" in "post",
            }
        }
        let gift = Gift::Wrapped(3, examples::submission(7));
        let subject = named("orders.0.x.mint", &gift);
        assert_eq!(subject, "orders.0.x.mint.post.gift.wrapped.3");
        let (ty, data) = (type_named(gift.name()), EventType::data(&gift).unwrap());
        let bytes = seal(subject, ty, "x".to_owned(), data, "/paymint/test", None, Utc::now()).unwrap();
        let view = View::read(&bytes).unwrap();
        assert_eq!(view.ty, "io.paymint.gift.wrapped.v1");
        assert_eq!(read("", &["post", "gift", "wrapped", "3"], &view), Ok(gift.clone()));
        assert_eq!((gift.number(), gift.tx_hash()), (Some(3), Some(examples::submission(7).tx_hash)));
        for wrong in ["post.gift.wrapped", "post.gift.opened.3", "gift.wrapped.3", "owed.gift.wrapped.3"] {
            let tokens: Vec<&str> = wrong.split('.').collect();
            assert!(read::<Gift>("", &tokens, &view).is_err(), "{wrong}");
        }
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
            ("B34 price", subject.clone(), Some(CONTENT_TYPE), good.replace("\"10000\"", "\"9999\"")),
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
