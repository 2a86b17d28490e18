//! Subjects. Only this module and `lane_subjects` make them. Their tokens are `[0-9a-z-]`, and the aggregate comes
//! first, so that one wildcard covers an order or a lane. A subject is written once, permanently; events that repeat
//! carry their number.

use crate::lane_subjects;
use crate::parts::{below, hex, queued};
use alloy_primitives::Address;
use domain::event::{EventType, ParkedMessage};
use domain::{Event, IdempotencyKey, KeyEvent, OpsEvent, OrderEvent, PaymentId, TokenEvent};

/// Name of the ledger's stream.
pub const STREAM: &str = "LEDGER";

/// The kind of all orders today: units of a token that exists. It stands between the id of an order and its events, so
/// that one filter covers an id whatever its kind. The kind `deployment` is reserved for orders of new tokens.
pub(crate) const KIND: &str = "mint";

/// The subject of an event. It is also the CloudEvents `id`, because it is written once.
pub fn subject(event: &Event) -> String {
    match event {
        Event::Order(id, event) => named(&format!("{}.{KIND}", order_prefix(*id)), event),
        Event::Signer(lane, event) => lane_subjects::subject(*lane, event),
        Event::Token(address, TokenEvent::Registered(_)) => token_subject(*address),
        Event::Record(id, event) => record_subject(*id, event.name()),
        Event::Key(key, KeyEvent::Bound(_)) => key_subject(*key),
        Event::Ops(OpsEvent::Parked(parked)) => parked_subject(parked),
        Event::Ops(OpsEvent::Redriven(n, of)) => {
            below(&redriven_prefix(&of.consumer, of.sequence), &n.to_string(), &[])
        }
        Event::Ops(event) => below("ops", event.name().trim_start_matches("ops."), &event.numbers()),
    }
}

/// The subject of the event that a consumer has given up a message.
pub(crate) fn parked_subject(parked: &ParkedMessage) -> String {
    format!("ops.parked.{}", parked_name(parked))
}

/// The message that was given up, by its consumer, its sequence and the number of redrives before.
fn parked_name(parked: &ParkedMessage) -> String {
    match parked.redrives {
        0 => format!("{}-{}", parked.consumer, parked.sequence),
        n => format!("{}-{}-{n}", parked.consumer, parked.sequence),
    }
}

/// Filters of all parked messages, and of all their redrives.
pub(crate) const PARKED: [&str; 2] = ["ops.parked.*", "ops.redriven.>"];

/// Filter of the redrives of one message.
pub(crate) fn redriven_filter(consumer: &str, seq: u64) -> String {
    format!("{}.*", redriven_prefix(consumer, seq))
}

fn redriven_prefix(consumer: &str, seq: u64) -> String {
    format!("ops.redriven.{consumer}.{seq}")
}

/// The subject of an event below `base`: its name, and the numbers that it carries.
pub(crate) fn named(base: &str, event: &impl EventType) -> String {
    below(&queued(base, event.row()), event.name(), &event.numbers())
}

/// The CloudEvents type of an event.
pub fn event_type(event: &Event) -> String {
    type_named(event.name())
}

/// The CloudEvents type of the events of this name.
pub(crate) fn type_named(name: &str) -> String {
    format!("io.paymint.{name}.v1")
}

/// The CloudEvents `subject`: the aggregate's id.
pub(crate) fn aggregate(event: &Event) -> String {
    match event {
        Event::Order(id, _) | Event::Record(id, _) => id.to_string(),
        Event::Signer(lane, _) => hex(lane.signer),
        Event::Token(address, _) => hex(*address),
        Event::Key(key, _) => format!("{}.{}", hex(key.payer), hex(key.digest)),
        Event::Ops(OpsEvent::Parked(parked)) => parked_name(parked),
        Event::Ops(OpsEvent::Redriven(_, of)) => format!("{}-{}", of.consumer, of.sequence),
        Event::Ops(OpsEvent::Stopped(n, _) | OpsEvent::Resumed(n, _)) => n.to_string(),
    }
}

/// Filters of all stops of payouts and all ends of stops.
pub(crate) const STOPS: [&str; 2] = ["ops.stopped.*", "ops.resumed.*"];

/// Filter of all events of one order. Every writer of orders sends this filter, byte for byte.
pub(crate) fn order_filter(id: PaymentId) -> String {
    format!("{}.>", order_prefix(id))
}

/// Subject of the first event of an order.
pub(crate) fn request_subject(id: PaymentId) -> String {
    format!("{}.{KIND}.payment.requested", order_prefix(id))
}

/// Subjects of those events of an order that happen at most once.
pub(crate) fn order_singles(id: PaymentId) -> Vec<String> {
    order_subjects(id, false, &[])
}

/// Subjects of those events of an order that repeat, with the number `n`.
pub(crate) fn order_repeats(id: PaymentId, n: u32) -> Vec<String> {
    order_subjects(id, true, &[n.into()])
}

fn order_subjects(id: PaymentId, repeats: bool, numbers: &[u64]) -> Vec<String> {
    let base = format!("{}.{KIND}", order_prefix(id));
    let rows = OrderEvent::ROWS.iter().filter(|row| row.repeats == repeats);
    rows.map(|row| below(&queued(&base, *row), row.name, numbers)).collect()
}

/// Filters of the events that park a leg of an order, shard by shard. The server returns at most 1,024 subjects for each.
pub(crate) fn parked_legs() -> Vec<String> {
    let rows = || OrderEvent::ROWS.iter().filter(|row| row.name.ends_with(".parked"));
    let of = |shard: u8| {
        let base = format!("orders.{shard:x}.*.{KIND}");
        rows().map(move |row| format!("{}.*", below(&queued(&base, *row), row.name, &[])))
    };
    (0..16).flat_map(of).collect()
}

/// Subject of the event after which an order is never charged.
pub(crate) fn failed_subject(id: PaymentId) -> String {
    format!("{}.{KIND}.payment.failed", order_prefix(id))
}

/// Matches all events of one record without an order.
pub(crate) fn record_filter(id: PaymentId) -> String {
    record_subject(id, "*")
}

fn record_subject(id: PaymentId, name: &str) -> String {
    format!("records.{}.{id}.{}", id.shard(), name.trim_start_matches("record."))
}

/// Subject of the one event of a token.
pub(crate) fn token_subject(address: Address) -> String {
    format!("tokens.{:02x}.{}.registered", address[0], hex(address))
}

/// Filter of all registrations of tokens in one of the 256 shards. The server returns at most 1,024 subjects.
pub(crate) fn registrations_filter(shard: u8) -> String {
    format!("tokens.{shard:02x}.*.registered")
}

/// Subject of the one event of an idempotency key.
pub(crate) fn key_subject(key: IdempotencyKey) -> String {
    format!("keys.{}.{}.bound", hex(key.payer), hex(key.digest))
}

fn order_prefix(id: PaymentId) -> String {
    format!("orders.{}.{id}", id.shard())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::examples;

    #[test]
    fn a_subject_holds_only_safe_tokens_and_is_unique() {
        let subjects: Vec<_> = examples::all().iter().map(subject).collect();
        for subject in &subjects {
            for token in subject.split('.') {
                assert!(
                    !token.is_empty()
                        && token.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase() || b == b'-')
                );
            }
        }
        for event in examples::all().into_iter().filter(|event| matches!(event, Event::Order(..))) {
            let id = examples::request().id();
            let listed = order_singles(id).into_iter().chain(order_repeats(id, 1));
            assert_eq!(listed.filter(|listed| *listed == subject(&event)).count(), 1, "{}", subject(&event));
        }
        assert!(subjects.contains(&request_subject(examples::request().id())));
        let distinct: std::collections::HashSet<_> = subjects.iter().collect();
        assert_eq!(distinct.len(), subjects.len());
        assert_eq!(hex(examples::SIGNER), "90f79bf6eb2c4f870365e785982e1f101e93b906");
    }
}
