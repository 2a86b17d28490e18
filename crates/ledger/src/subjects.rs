//! Subjects: made here and nowhere else. Tokens are `[0-9a-z-]`, aggregate first, so that one wildcard covers all of an
//! order or a lane. A subject is written once, for ever; what repeats carries its number.

use alloy_primitives::Address;
use core::fmt::LowerHex;
use domain::event::EventType;
use domain::{Event, IdempotencyKey, KeyEvent, OpsEvent, PaymentId, TokenEvent};

/// The one stream.
pub const STREAM: &str = "LEDGER";

/// The kind of every order today: units of a token that exists. It stands between an order's id and its events, so that
/// one filter covers an id whatever its kind. `deployment` is reserved for orders of new tokens, and the leg `refund` for
/// money that goes back.
pub(crate) const KIND: &str = "mint";

/// Every registration of a token.
pub(crate) const REGISTRATIONS: &str = "tokens.*.registered";

/// The subject of an event: also its CloudEvents `id`, because it is written once.
pub fn subject(event: &Event) -> String {
    match event {
        Event::Order(id, event) => named(&format!("{}.{KIND}", order_prefix(*id)), event),
        Event::Signer(address, event) => {
            let name = event.name().trim_start_matches("signer.");
            below(&signer_prefix(*address), name, &event.numbers())
        }
        Event::Token(address, TokenEvent::Registered(_)) => format!("tokens.{}.registered", hex(*address)),
        Event::Key(key, KeyEvent::Bound(_)) => key_subject(*key),
        Event::Ops(OpsEvent::Parked(parked)) => format!("ops.parked.{}-{}", parked.consumer, parked.sequence),
        Event::Ops(event) => below("ops", event.name().trim_start_matches("ops."), &event.numbers()),
    }
}

/// The subject of an event below `base`: its name, and the numbers that it carries.
pub(crate) fn named(base: &str, event: &impl EventType) -> String {
    below(base, event.name(), &event.numbers())
}

fn below(base: &str, name: &str, numbers: &[u64]) -> String {
    let numbers: String = numbers.iter().map(|n| format!(".{n}")).collect();
    format!("{base}.{name}{numbers}")
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
        Event::Order(id, _) => id.to_string(),
        Event::Signer(address, _) | Event::Token(address, _) => hex(*address),
        Event::Key(key, _) => format!("{}.{}", hex(key.payer), hex(key.digest)),
        Event::Ops(OpsEvent::Parked(parked)) => format!("{}-{}", parked.consumer, parked.sequence),
        Event::Ops(OpsEvent::Stopped(n, _) | OpsEvent::Resumed(n, _)) => n.to_string(),
    }
}

/// Every stop of the payouts, and every end of one.
pub(crate) const STOPS: [&str; 2] = ["ops.stopped.*", "ops.resumed.*"];

/// Everything of one order: the filter that every writer of orders sends, byte for byte.
pub(crate) fn order_filter(id: PaymentId) -> String {
    format!("{}.>", order_prefix(id))
}

/// Everything of one lane: the filter that every writer of signatures sends, byte for byte.
pub(crate) fn signer_filter(address: Address) -> String {
    format!("{}.>", signer_prefix(address))
}

/// All claims of one lane; the last one holds the snapshot.
pub(crate) fn claims_filter(address: Address) -> String {
    format!("{}.claimed.*", signer_prefix(address))
}

/// Every claim of every lane.
pub(crate) const CLAIMS: &str = "signers.*.claimed.*";

/// Every signature of one lane.
pub(crate) fn signatures_filter(address: Address) -> String {
    format!("{}.signed.*", signer_prefix(address))
}

/// The one signature for a nonce.
pub(crate) fn signed_subject(address: Address, nonce: u64) -> String {
    format!("{}.signed.{nonce}", signer_prefix(address))
}

/// All replacements of the signature for a nonce.
pub(crate) fn replaced_filter(address: Address, nonce: u64) -> String {
    format!("{}.replaced.{nonce}.*", signer_prefix(address))
}

/// The end of a nonce, by a transaction of ours.
pub(crate) fn settled_subject(address: Address, nonce: u64) -> String {
    format!("{}.settled.{nonce}", signer_prefix(address))
}

/// What became of a nonce after it was settled, time and again.
pub(crate) fn after_settled_filters(address: Address, nonce: u64) -> [String; 2] {
    ["reverted", "resettled"].map(|name| format!("{}.{name}.{nonce}.*", signer_prefix(address)))
}

/// The end of a nonce, by somebody else's.
pub(crate) fn lost_subject(address: Address, nonce: u64) -> String {
    format!("{}.lost.{nonce}", signer_prefix(address))
}

/// The one event of a token.
pub(crate) fn token_subject(address: Address) -> String {
    format!("tokens.{}.registered", hex(address))
}

/// The one event of an idempotency key.
pub(crate) fn key_subject(key: IdempotencyKey) -> String {
    format!("keys.{}.{}.bound", hex(key.payer), hex(key.digest))
}

fn order_prefix(id: PaymentId) -> String {
    format!("orders.{}.{id}", id.shard())
}

fn signer_prefix(address: Address) -> String {
    format!("signers.{}", hex(address))
}

/// Lower-case hex digits: `0x` adds nothing in a subject.
fn hex(bytes: impl LowerHex) -> String {
    format!("{bytes:x}").trim_start_matches("0x").to_owned()
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
        let distinct: std::collections::HashSet<_> = subjects.iter().collect();
        assert_eq!(distinct.len(), subjects.len());
        assert_eq!(hex(examples::SIGNER), "90f79bf6eb2c4f870365e785982e1f101e93b906");
    }
}
