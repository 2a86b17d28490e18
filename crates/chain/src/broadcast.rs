//! Broadcast: hands bytes that are in the ledger to a node and classifies its answer.

use crate::connect::Chain;
use crate::error::ChainError;
use crate::rpc::Node;
use domain::event::OpenTx;

/// A node's answer to a signed transaction. Only `Accepted` and `Known` mean that it is in that node's pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broadcast {
    /// In the pool.
    Accepted,
    /// Already in the pool: success.
    Known,
    /// The nonce is used, most likely by these bytes. A receipt decides.
    NonceTooLow,
    /// Another transaction holds the nonce in the pool, or the fee is below the pool's minimum: raise the fees.
    Underpriced,
    /// The account cannot pay the gas: pause the lane and raise an alarm.
    Funds,
    /// No usable answer. The transaction may be in the pool: send the same bytes again.
    Transient(String),
    /// An unknown answer: send the same bytes again, and let an operator see it.
    Unknown(String),
}

impl Chain {
    /// Hands a signed transaction to every provider. The most informative answer counts, and the first acceptance ends
    /// the wait.
    /// After any answer the transaction may be in the pool. Sending the same bytes again is always safe.
    pub async fn broadcast(&self, tx: &OpenTx) -> Broadcast {
        let hand_over = |node: Node| {
            let raw = tx.raw_tx.clone();
            async move {
                match node.send(&raw).await {
                    Ok(_) => Broadcast::Accepted,
                    Err(ChainError::Refused { message, .. }) => classify(&message),
                    Err(other) => Broadcast::Transient(other.to_string()),
                }
            }
        };
        let answers = self.nodes.everyone(hand_over, |answer| *answer == Broadcast::Accepted).await;
        best(answers).unwrap_or_else(|| Broadcast::Transient("no provider answers".to_owned()))
    }
}

/// The most informative of several answers. A node that lags or lies may falsely answer "nonce too low", and only a
/// receipt decides.
fn best(answers: Vec<Broadcast>) -> Option<Broadcast> {
    answers.into_iter().min_by_key(|answer| match answer {
        Broadcast::Accepted => 0,
        Broadcast::Known => 1,
        Broadcast::Underpriced => 2,
        Broadcast::Funds => 3,
        Broadcast::NonceTooLow => 4,
        Broadcast::Unknown(_) => 5,
        Broadcast::Transient(_) => 6,
    })
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

    #[test]
    fn f32_of_several_answers_the_one_that_says_most_counts() {
        use Broadcast::{Accepted, Funds, Known, NonceTooLow, Transient, Underpriced};
        let down = || Transient("down".to_owned());
        let cases = [
            (vec![], None),
            (vec![down(), Accepted], Some(Accepted)),
            (vec![NonceTooLow, Accepted], Some(Accepted)),
            (vec![NonceTooLow, Known], Some(Known)),
            (vec![NonceTooLow, Underpriced], Some(Underpriced)),
            (vec![Funds, Known], Some(Known)),
            (vec![down(), NonceTooLow], Some(NonceTooLow)),
            (vec![down(), down()], Some(down())),
        ];
        for (answers, expected) in cases {
            assert_eq!(best(answers.clone()), expected, "{answers:?}");
        }
    }
}
