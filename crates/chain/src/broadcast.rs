//! Broadcast: hand the bytes that are in the ledger to a node, and say what its answer means.

use crate::connect::Chain;
use crate::error::{ChainError, from_rpc};
use alloy::providers::Provider;
use domain::event::OpenTx;

/// What a node said to a signed transaction. Only `Accepted` and `Known` say that it is in that node's pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broadcast {
    /// In the pool.
    Accepted,
    /// It was there already: success.
    Known,
    /// The nonce is used: by these bytes, most likely. A receipt decides.
    NonceTooLow,
    /// Another transaction holds the nonce in the pool, or the fee is under the pool's floor: bump.
    Underpriced,
    /// The account cannot pay the gas: rest the lane, raise an alarm.
    Funds,
    /// No usable answer, it may be in the pool: send the same bytes again.
    Transient(String),
    /// An answer that we do not know: send the same bytes again, and let a person see it.
    Unknown(String),
}

impl Chain {
    /// Hands a signed transaction to the node. Whatever the answer, it may be in the pool, and sending the same bytes
    /// again is always safe.
    pub async fn broadcast(&self, tx: &OpenTx) -> Broadcast {
        match self.provider.send_raw_transaction(&tx.raw_tx).await {
            Ok(_) => Broadcast::Accepted,
            Err(e) => match from_rpc("eth_sendRawTransaction", e) {
                ChainError::Refused { message, .. } => classify(&message),
                other => Broadcast::Transient(other.to_string()),
            },
        }
    }
}

/// Translates a node's refusal. Sources: geth core/txpool/errors.go and core/error.go, anvil 1.7.1's own wording.
pub fn classify(message: &str) -> Broadcast {
    let text = message.to_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    if says(&["already known", "already imported", "known transaction"]) {
        Broadcast::Known
    } else if says(&["nonce too low", "nonce is too low", "lower than the current nonce"]) {
        Broadcast::NonceTooLow
    } else if says(&["underpriced", "max fee per gas less than block base fee", "fee cap less than block base fee"]) {
        Broadcast::Underpriced
    } else if says(&["insufficient funds", "insufficient balance"]) {
        Broadcast::Funds
    } else if says(&["timeout", "timed out", "too many requests", "rate limit", "txpool is full", "try again"]) {
        Broadcast::Transient(crate::error::clip(message))
    } else {
        Broadcast::Unknown(crate::error::clip(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f32_f33_a_nodes_words_are_classified_once() {
        let cases = [
            ("already known", Broadcast::Known),
            ("transaction already imported", Broadcast::Known),
            ("nonce too low: next nonce 5, tx nonce 4", Broadcast::NonceTooLow),
            ("nonce too low", Broadcast::NonceTooLow),
            ("replacement transaction underpriced", Broadcast::Underpriced),
            ("transaction underpriced: gas tip cap 0, minimum needed 1", Broadcast::Underpriced),
            (
                "max fee per gas less than block base fee: address 0x00, maxFeePerGas: 1, baseFee: 7",
                Broadcast::Underpriced,
            ),
            ("insufficient funds for gas * price + value: balance 0", Broadcast::Funds),
            ("Insufficient funds for gas * price + value", Broadcast::Funds),
            ("request timed out", Broadcast::Transient("request timed out".to_owned())),
            ("txpool is full", Broadcast::Transient("txpool is full".to_owned())),
            ("intrinsic gas too low", Broadcast::Unknown("intrinsic gas too low".to_owned())),
        ];
        for (message, expected) in cases {
            assert_eq!(classify(message), expected, "{message}");
        }
    }
}
