//! Idempotency keys: an application's name for a purchase, so that a repeated purchase is not paid twice.
//!
//! An authorization is permanently its own key. An application that repeats a whole purchase signs a new authorization,
//! and only a name that the application chose can tell that both are the same purchase.

use crate::event::EventData;
use crate::event_types;
use crate::ids::PaymentId;
use alloy_primitives::{Address, B256, Keccak256};
use serde::{Deserialize, Serialize};

/// The place where a key was found. Keys of the two places never match: the same text in both is two keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdempotencyKeySource {
    /// The `Idempotency-Key` header.
    Header,
    /// The x402 extension `payment-identifier`.
    PaymentIdentifier,
}

/// A key of one payer. For another payer the same text is another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdempotencyKey {
    /// The payer who signed the authorization that the key came with.
    pub payer: Address,
    /// `keccak256(source || 0x00 || text)`. The text itself is not stored.
    pub digest: B256,
}

impl IdempotencyKey {
    /// The key that `payer` calls `text`.
    pub fn new(payer: Address, source: IdempotencyKeySource, text: &str) -> Self {
        let source: &[u8] = match source {
            IdempotencyKeySource::Header => b"idempotency-key",
            IdempotencyKeySource::PaymentIdentifier => b"payment-identifier",
        };
        let mut hash = Keccak256::new();
        hash.update(source);
        hash.update([0]);
        hash.update(text);
        Self { payer, digest: hash.finalize() }
    }
}

/// Longest key, characters. UUIDs have 36.
const TEXT_MAX: usize = 128;

/// Reads the key from the value of an `Idempotency-Key` header. It may be in quotes, as
/// draft-ietf-httpapi-idempotency-key-header-07 writes it, or without them, as most clients do; both are the same key.
/// Returns `None` for a value that is empty, longer than 128 characters, or has characters other than visible ASCII.
/// Guessing the key would lose the protection that the client asked for.
pub fn key_text(value: &str) -> Option<&str> {
    let text = value.trim();
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let visible = bare.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
    ((1..=TEXT_MAX).contains(&bare.len()) && visible).then_some(bare)
}

event_types! {
    /// An event of a key. Each key has one.
    pub enum KeyEvent {
        /// The key names this order, and no other.
        Bound (KeyBound) = "key.bound",
    }
}

impl EventData for KeyBound {}

/// The order that a key names. Stored together with the order's first event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyBound {
    /// The order.
    pub payment_id: PaymentId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_payer_source_or_text_is_another_key() {
        let (one, two) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let key = IdempotencyKey::new(one, IdempotencyKeySource::Header, "order-7");
        assert_eq!(key, IdempotencyKey::new(one, IdempotencyKeySource::Header, "order-7"));
        for other in [
            IdempotencyKey::new(two, IdempotencyKeySource::Header, "order-7"),
            IdempotencyKey::new(one, IdempotencyKeySource::PaymentIdentifier, "order-7"),
            IdempotencyKey::new(one, IdempotencyKeySource::Header, "order-8"),
        ] {
            assert_ne!(key, other);
        }
    }
}
