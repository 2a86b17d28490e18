//! Signed transactions as they pass by.

use alloy::consensus::TxEnvelope;
use alloy::eips::eip2718::Decodable2718;
use alloy::primitives::{Address, B256, Bytes};
use serde_json::{Value, json};

/// A signed transaction with EIP-1559 fees; others are handed on unread.
#[derive(Clone, Debug)]
pub(super) struct Tx {
    pub(super) hash: B256,
    pub(super) from: Address,
    pub(super) nonce: u64,
    pub(super) max_fee_wei: u128,
    pub(super) tip_wei: u128,
    shown: Value,
}

impl Tx {
    /// The transaction in a request `eth_sendRawTransaction`.
    pub(super) fn of(request: &Value) -> Option<Self> {
        let raw: Bytes = request["params"][0].as_str()?.parse().ok()?;
        let envelope = TxEnvelope::decode_2718_exact(&raw).ok()?;
        let TxEnvelope::Eip1559(signed) = &envelope else { return None };
        let from = x402::recover(&signed.signature_hash(), &signed.signature().as_bytes()).ok()?;
        let tx = signed.tx();
        let mut shown = serde_json::to_value(&envelope).ok()?;
        let pending = json!({ "from": from, "blockHash": null, "blockNumber": null, "transactionIndex": null });
        shown.as_object_mut()?.extend(pending.as_object()?.clone());
        let (nonce, max_fee_wei, tip_wei) = (tx.nonce, tx.max_fee_per_gas, tx.max_priority_fee_per_gas);
        Some(Self { hash: *signed.hash(), from, nonce, max_fee_wei, tip_wei, shown })
    }

    /// The transaction as a node shows it while it is in its pool.
    pub(super) fn pending(self) -> Value {
        self.shown
    }
}
