//! Subjects: made here and nowhere else. Tokens are `[0-9a-z-]`, aggregate first, so that one wildcard covers all of an
//! order or a lane. A subject is written once, for ever; what repeats carries its number.

use alloy_primitives::Address;
use core::fmt::LowerHex;
use domain::{Event, IdempotencyKey, KeyEvent, OpsEvent, OrderEvent, PaymentId, SignerEvent, TokenEvent};

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
        Event::Order(id, event) => {
            let base = format!("{}.{KIND}.{}", order_prefix(*id), event.name());
            match event {
                OrderEvent::PaymentSubmitted(n, _)
                | OrderEvent::PaymentDeferred(n, _)
                | OrderEvent::MintSubmitted(n, _)
                | OrderEvent::MintDeferred(n, _)
                | OrderEvent::MintParked(n, _)
                | OrderEvent::PaymentReverted(n, _)
                | OrderEvent::PaymentRestored(n, _)
                | OrderEvent::MintReverted(n, _)
                | OrderEvent::MintRestored(n, _) => format!("{base}.{n}"),
                OrderEvent::PaymentRequested(_)
                | OrderEvent::PaymentConfirmed(_)
                | OrderEvent::PaymentFailed(_)
                | OrderEvent::MintConfirmed(_) => base,
            }
        }
        Event::Signer(address, event) => {
            let prefix = signer_prefix(*address);
            match event {
                SignerEvent::Claimed(claim) => format!("{prefix}.claimed.{}", claim.epoch),
                SignerEvent::Signed(tx) => format!("{prefix}.signed.{}", tx.nonce),
                SignerEvent::Replaced(n, tx) => format!("{prefix}.replaced.{}.{n}", tx.nonce),
                SignerEvent::Lost(lost) => format!("{prefix}.lost.{}", lost.nonce),
                SignerEvent::Settled(settled) => format!("{prefix}.settled.{}", settled.nonce),
                SignerEvent::Reverted(n, reversal) => format!("{prefix}.reverted.{}.{n}", reversal.nonce),
                SignerEvent::Resettled(n, settled) => format!("{prefix}.resettled.{}.{n}", settled.nonce),
            }
        }
        Event::Token(address, TokenEvent::Registered(_)) => format!("tokens.{}.registered", hex(*address)),
        Event::Key(key, KeyEvent::Bound(_)) => key_subject(*key),
        Event::Ops(OpsEvent::Parked(parked)) => format!("ops.parked.{}-{}", parked.consumer, parked.sequence),
        Event::Ops(OpsEvent::Stopped(n, _)) => format!("ops.stopped.{n}"),
        Event::Ops(OpsEvent::Resumed(n, _)) => format!("ops.resumed.{n}"),
    }
}

/// The CloudEvents type of an event.
pub fn event_type(event: &Event) -> String {
    let name = match event {
        Event::Order(_, event) => event.name(),
        Event::Signer(_, SignerEvent::Claimed(_)) => "signer.claimed",
        Event::Signer(_, SignerEvent::Signed(_)) => "signer.signed",
        Event::Signer(_, SignerEvent::Replaced(..)) => "signer.replaced",
        Event::Signer(_, SignerEvent::Lost(_)) => "signer.lost",
        Event::Signer(_, SignerEvent::Settled(_)) => "signer.settled",
        Event::Signer(_, SignerEvent::Reverted(..)) => "signer.reverted",
        Event::Signer(_, SignerEvent::Resettled(..)) => "signer.resettled",
        Event::Token(_, TokenEvent::Registered(_)) => "token.registered",
        Event::Key(_, KeyEvent::Bound(_)) => "key.bound",
        Event::Ops(OpsEvent::Parked(_)) => "ops.parked",
        Event::Ops(OpsEvent::Stopped(..)) => "ops.stopped",
        Event::Ops(OpsEvent::Resumed(..)) => "ops.resumed",
    };
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
