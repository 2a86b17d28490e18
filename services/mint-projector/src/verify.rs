//! The minter's own check that a mint was paid for, by the token's terms and the logs of the chain. That key, payee and
//! price agree with each other holds for every [`PaymentRequest`].

use chain::{B256, Chain, ChainError, Included, Inclusion};
use domain::event::{ParkReason, Parked, PaymentProof};
use domain::{PaymentRequest, Purchase, TokenTerms};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// The result of checking a confirmed payment on the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentVerdict {
    /// The log pair is where the event says.
    Paid,
    /// The node does not show the payment now, because it lags or the block is gone. This decides nothing.
    NotSeen,
    /// The payment contradicts the token's terms or the chain. It is never minted, and an operator must look.
    Wrong(Parked),
}

/// Receipts of transactions that are N blocks deep. Each is read once for a batch, because a hundred payments share one
/// settlement.
#[derive(Default)]
pub struct Receipts(HashMap<B256, Option<Box<Included>>>);

impl Receipts {
    /// Reads the log pair of the payment from the chain, and checks the order against the token's terms.
    ///
    /// # Errors
    /// `Transient`: the node did not answer, and nothing is known.
    pub async fn verify(
        &mut self,
        chain: &Chain,
        request: &PaymentRequest,
        proof: &PaymentProof,
        terms: &TokenTerms,
    ) -> Result<PaymentVerdict, ChainError> {
        let wrong = |reason, detail: &str| Ok(PaymentVerdict::Wrong(Parked { reason, detail: detail.to_owned() }));
        let Purchase::Mint { token, unit_price, .. } = &request.purchase;
        if *token != terms.token || *unit_price != terms.unit_price || request.asset != terms.asset {
            return wrong(ParkReason::Inconsistent, "the order contradicts the token's terms");
        }
        let Some(included) = self.read(chain, proof.tx_hash).await? else { return Ok(PaymentVerdict::NotSeen) };
        if included.block != proof.block {
            return Ok(PaymentVerdict::NotSeen);
        }
        match included.payment_log(request.asset, &request.authorization) {
            Some(index) if index == proof.log_index => Ok(PaymentVerdict::Paid),
            _ => wrong(ParkReason::PaymentNotFound, "the transaction does not hold the payment's log pair"),
        }
    }

    async fn read(&mut self, chain: &Chain, hash: B256) -> Result<Option<&Included>, ChainError> {
        if let Entry::Vacant(unread) = self.0.entry(hash) {
            unread.insert(match chain.inclusion(hash).await? {
                Inclusion::Included(included) => {
                    let deep = chain.is_confirmed(included.block, chain.head().await?).await?;
                    deep.then_some(included)
                }
                Inclusion::Missing => None,
            });
        }
        Ok(self.0.get(&hash).and_then(Option::as_deref))
    }
}
