//! Stored messages, possibly hostile, from their bytes to the state of an order and of a lane.
//!
//! An input is a few messages separated by an empty line, each a subject, a line feed and the payload.

use crate::Outcome;
use chrono::DateTime;
use domain::order::{Command, Order};
use domain::{Event, Lane, OrderEvent, PaymentId, PaymentRequest, SignerEvent, examples, lane, order};
use ledger::{decode, encode, event_type, subject};

/// The only content type of the ledger.
const CONTENT_TYPE: &str = "application/cloudevents+json";

/// Maximum number of messages of an input: an order has about five.
const MESSAGES_MAX: usize = 16;

/// Target: see [the module](self).
pub fn log(input: &[u8]) -> Outcome {
    let (mut order, mut lane) = (None, None);
    let mut outcome = Outcome::Refused;
    for message in messages(input).take(MESSAGES_MAX) {
        let Some((subject, payload)) = message else { continue };
        let Ok((event, trace)) = decode(subject, Some(CONTENT_TYPE), payload) else { continue };
        outcome = Outcome::Taken;
        is_what_its_subject_says(subject, payload, &event);
        survives_the_ledger(&event, trace.as_deref());
        match &event {
            Event::Order(id, event) => fold_order(&mut order, *id, event),
            Event::Signer(_, event) => fold_lane(&mut lane, event),
            Event::Token(..) | Event::Record(..) | Event::Key(..) | Event::Ops(_) => {}
        }
    }
    outcome
}

/// Subject and payload of each message. `None` if one is not text on two lines.
fn messages(input: &[u8]) -> impl Iterator<Item = Option<(&str, &[u8])>> {
    let mut rest = Some(input);
    std::iter::from_fn(move || {
        let all = rest?;
        let end = all.windows(2).position(|two| two == b"\n\n");
        rest = end.map(|end| &all[end + 2..]);
        Some(&all[..end.unwrap_or(all.len())])
    })
    .map(|message| {
        let line = message.iter().position(|byte| *byte == b'\n')?;
        Some((std::str::from_utf8(&message[..line]).ok()?, &message[line + 1..]))
    })
}

/// A message is accepted on the subject that agrees with it, and on no other.
fn is_what_its_subject_says(at: &str, payload: &[u8], event: &Event) {
    assert_eq!(subject(event), at);
    assert!(event_type(event).starts_with("io.paymint."));
    for other in [None, Some("application/json"), Some("application/cloudevents+json; charset=utf-8")] {
        assert!(decode(at, other, payload).is_err());
    }
    for other in [format!("{at}.1"), format!("{at} "), at.to_uppercase(), at.replacen('.', "..", 1)] {
        assert!(decode(&other, Some(CONTENT_TYPE), payload).is_err(), "{other}");
    }
    if let Event::Order(id, OrderEvent::PaymentRequested(request)) = event {
        assert!(PaymentRequest::new(request.clone().into_fields()).is_ok(), "no other request can be decoded");
        assert_eq!(request.id(), *id);
    }
}

/// A decoded event can be encoded, and decodes to the same event again.
pub(crate) fn survives_the_ledger(event: &Event, trace: Option<&str>) {
    let bytes = encode(event, "/paymint/fuzz", trace, DateTime::UNIX_EPOCH).unwrap();
    let (again, its_trace) = decode(&subject(event), Some(CONTENT_TYPE), &bytes).unwrap();
    assert_eq!((&again, its_trace.as_deref()), (event, trace));
}

/// An impossible history is refused. An accepted one gives an order with which every service can work.
fn fold_order(state: &mut Option<(PaymentId, Order)>, id: PaymentId, event: &OrderEvent) {
    if state.as_ref().is_some_and(|(known, _)| *known != id) {
        return;
    }
    let before = state.take().map(|(_, order)| order);
    let Ok(Some(order)) = order::evolve(before, event) else { return };
    assert!(!order.stage().name().is_empty());
    let _ = order.is_carried_by(event);
    for command in commands(&order) {
        if let Ok(Some(decided)) = order::decide(Some(&order), command) {
            let after = order::evolve(Some(order.clone()), &decided);
            assert!(after.is_ok(), "what is decided folds: {}", decided.name());
        }
    }
    *state = Some((id, order));
}

fn commands(order: &Order) -> [Command; 15] {
    [
        Command::Request(Box::new(order.request.clone())),
        Command::Submit(examples::submission(7)),
        Command::Defer(examples::deferral()),
        Command::Park(examples::parked_payment()),
        Command::Confirm(examples::proof()),
        Command::Fail(examples::failure()),
        Command::SubmitMint(examples::submission(8)),
        Command::DeferMint(examples::deferral()),
        Command::ParkMint(examples::parked()),
        Command::ConfirmMint(examples::minted()),
        Command::RequestRefund(examples::refund_request()),
        Command::SubmitRefund(examples::submission(9)),
        Command::DeferRefund(examples::deferral()),
        Command::ParkRefund(examples::parked()),
        Command::ConfirmRefund(examples::refunded()),
    ]
}

/// Like [`fold_order`], for a lane. In addition the state can be written as a claim.
fn fold_lane(state: &mut Option<Lane>, event: &SignerEvent) {
    let Ok(Some(next)) = lane::evolve(state.take(), event) else { return };
    let claim = lane::claim(Some(&next), next.purpose, examples::CHAIN_ID, "fuzz", 0);
    assert_eq!(claim.next_nonce, next.next_nonce);
    assert!(lane::evolve(Some(next.clone()), &SignerEvent::Claimed(claim)).is_ok());
    *state = Some(next);
}
