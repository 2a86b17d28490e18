//! Broadcast: hands bytes that are in the ledger to a node and classifies its answer.

use crate::connect::Chain;
use crate::error::{ChainError, clip};
use crate::rpc::Node;
use crate::words::{Meaning, meaning};
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
    /// The gas at its fee costs more than the node allows, usually one coin: offer less.
    TooDear,
    /// The account cannot pay: pause the lane and raise an alarm.
    Funds,
    /// No usable answer. The transaction may be in the pool: send the same bytes again.
    Transient(String),
    /// An unknown answer: send the same bytes again, and let an operator see it.
    Unknown(String),
}

impl Chain {
    /// Hands a signed transaction to every provider, or to those of `SEND_URL` if that is set. The most informative answer counts, and the first acceptance ends
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
        let answers = self.senders.everyone(hand_over, |answer| *answer == Broadcast::Accepted).await;
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
        Broadcast::TooDear => 3,
        Broadcast::Funds => 4,
        Broadcast::NonceTooLow => 5,
        Broadcast::Unknown(_) => 6,
        Broadcast::Transient(_) => 7,
    })
}

/// Translates a node's refusal.
pub fn classify(message: &str) -> Broadcast {
    match meaning(message) {
        Some(Meaning::Known) => Broadcast::Known,
        Some(Meaning::NonceTooLow) => Broadcast::NonceTooLow,
        Some(Meaning::Underpriced) => Broadcast::Underpriced,
        Some(Meaning::TooDear) => Broadcast::TooDear,
        Some(Meaning::Funds) => Broadcast::Funds,
        Some(Meaning::Later) => Broadcast::Transient(clip(message)),
        Some(Meaning::Impossible) | None => Broadcast::Unknown(clip(message)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole messages, as the sources named in `words` build them.
    #[test]
    fn f32_f33_a_nodes_words_are_classified_once() {
        let later = |message: &str| Broadcast::Transient(message.to_owned());
        let unknown = |message: &str| Broadcast::Unknown(message.to_owned());
        let known = [
            "already known",
            "ALREADY_EXISTS: already known",
            "INTERNAL_ERROR: existing txn with same hash",
            "AlreadyKnown",
            "Known transaction",
            "transaction already imported",
            "transaction already in mempool",
        ];
        let used = [
            "nonce too low: next nonce 5, tx nonce 4",
            "INTERNAL_ERROR: nonce too low",
            "OldNonce, Current nonce: 5, nonce of rejected tx: 4",
            "OwnNonceAlreadyUsed",
            "nonce has already been used",
        ];
        let underpriced = [
            "replacement transaction underpriced",
            "transaction underpriced: gas tip cap 0, minimum needed 1",
            "transaction gas price below minimum: gas tip cap 1, minimum needed 25000000000",
            "transaction priority fee below minimum required priority fee 7",
            "max fee per gas less than block base fee: address 0x00, maxFeePerGas: 1, baseFee: 7",
            "fee cap is lower than the base fee",
            "INTERNAL_ERROR: could not replace existing tx",
            "FEE_TOO_LOW: fee too low",
            "ReplacementNotAllowed",
            "FeeTooLow, MaxFeePerGas too low. MaxFeePerGas: 1, BaseFee: 2, MaxPriorityFeePerGas: 1, Block number: 3",
            "Gas price below configured minimum gas price",
            "Gas price below current base fee",
            "pool rejected transaction: [0xab]: insufficient gas price to replace existing transaction",
            "future transaction tries to replace pending",
        ];
        let too_dear = [
            "tx fee (1.30 ether) exceeds the configured cap (1.00 ether)",
            "tx fee (1300000000000000000 wei) exceeds the configured cap (1000000000000000000 wei)",
            "Transaction fee cap exceeded",
        ];
        let funds = [
            "insufficient funds for gas * price + value: balance 0, tx cost 7, overshot 7",
            "Insufficient funds for gas * price + value",
            "InsufficientFunds, Account balance: 1, cumulative cost: 2",
            "Upfront cost exceeds account balance",
            "transaction overdraws from account, balance: 1, cost: 2",
        ];
        let full = [
            "txpool is full",
            "INTERNAL_ERROR: pending sub-pool is full",
            "account limit exceeded: pooled 16 txs",
            "nonce too high: tx nonce 9, gapped nonce 7",
            "NonceGap, Future nonce. Expected nonce: 7",
            "sequencer temporarily not available",
            "request timed out",
            "Initial sync is still in progress",
            "backend is over capacity",
        ];
        let strange = [
            "intrinsic gas too low",
            "insufficient gas for floor data gas cost: gas 1, minimum needed 2",
            "exceeds block gas limit",
            "transaction gas limit too high (cap: 16777216, tx: 20000000)",
            "oversized data: transaction size 200000, limit 131072",
            "in-flight transaction limit reached for delegated accounts",
            "gapped-nonce tx from delegated accounts",
            "max priority fee per gas higher than max fee per gas",
            "transaction sender is not on the whitelist",
        ];
        let cases = (known.map(|message| (message, Broadcast::Known)).into_iter())
            .chain(used.map(|message| (message, Broadcast::NonceTooLow)))
            .chain(underpriced.map(|message| (message, Broadcast::Underpriced)))
            .chain(too_dear.map(|message| (message, Broadcast::TooDear)))
            .chain(funds.map(|message| (message, Broadcast::Funds)))
            .chain(full.map(|message| (message, later(message))))
            .chain(strange.map(|message| (message, unknown(message))));
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
