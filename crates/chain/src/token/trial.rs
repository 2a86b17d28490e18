//! The trial of payments on the latest block, and the reasons of those that would fail.

use super::pay::{GAS_BASE, GAS_PER_ITEM, Paid, Segment, gas_of, settle_input};
use crate::abi::MintToken;
use crate::connect::Chain;
use crate::error::ChainError;
use crate::standing::BillStanding;
use alloy::primitives::{Address, B256};
use alloy::sol_types::SolCall;
use domain::event::WaitReason;
use domain::{Bill, PaymentRequest};
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use runtime::causes;

/// Maximum number of refusals that are asked for at a time.
const REFUSALS_MAX: usize = 16;

/// The result of trying one payment on the latest block, without sending it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trial {
    /// The token would give this result. `Failed`: the asset did not answer the question why.
    Result(Paid),
    /// The asset would refuse it, with its reason and a text.
    Refused(WaitReason, String),
}

impl Chain {
    /// Tries every payment of `segments` on the latest block, as `signer` would send it. Returns the results of each
    /// segment in its order. Each token is tried by itself: one that cannot be tried now delays no other, and a payer who
    /// pays two tokens with money for one is found out on chain only. Payments that fail and use up the gas are left out of a
    /// second try of those behind them.
    ///
    /// One call finds the payers without money and the used nonces among those that fail. The asset is asked for the reasons of
    /// the rest, one by one.
    ///
    /// # Errors
    /// Each segment has its own: `Transient`, or `Refused` if its token reverts as a whole. Nothing is known about it.
    pub async fn try_pay(&self, signer: Address, segments: &[Segment<'_>]) -> Vec<Result<Vec<Trial>, ChainError>> {
        let results = join_all(segments.iter().map(|segment| self.try_segment(signer, segment))).await;
        let failed = segments.iter().zip(&results).flat_map(|(segment, results)| failed(segment, results));
        let mut reasons = self.reasons(signer, failed.collect()).await.into_iter();
        let mut trial = |result| match result {
            Paid::Failed => reasons.next().unwrap_or(Trial::Result(result)),
            other => Trial::Result(other),
        };
        results.into_iter().map(|segment| Ok(segment?.into_iter().map(&mut trial).collect())).collect()
    }

    async fn try_segment(&self, signer: Address, segment: &Segment<'_>) -> Result<Vec<Paid>, ChainError> {
        let mut results = self.try_settle(signer, segment).await?;
        let behind = unreached(&results);
        if !behind.is_empty() {
            let requests = behind.iter().map(|nth| segment.requests[*nth]).collect();
            match self.try_settle(signer, &Segment { token: segment.token, requests }).await {
                Ok(again) => behind.into_iter().zip(again).for_each(|(nth, result)| results[nth] = result),
                Err(error) => {
                    tracing::warn!(token = %segment.token, error = %causes(&error), "payments behind some that use up the gas cannot be tried now");
                }
            }
        }
        Ok(results)
    }

    /// The token's result for each payment of `segment` on the latest block.
    async fn try_settle(&self, signer: Address, segment: &Segment<'_>) -> Result<Vec<Paid>, ChainError> {
        let gas = GAS_BASE.saturating_add(gas_of(segment));
        let answer = self.call(Some(signer), segment.token, settle_input(B256::ZERO, segment), Some(gas)).await?;
        let results =
            MintToken::settleCall::abi_decode_returns(&answer).map_err(|e| ChainError::transient("settle", e))?;
        if results.len() != segment.requests.len() {
            let cause = "the number of results differs from the number of payments";
            return Err(ChainError::transient("settle", cause));
        }
        Ok(results.iter().map(|code| Paid::of(*code)).collect())
    }

    /// The reasons why payments would fail, in their order.
    async fn reasons(&self, signer: Address, failed: Vec<&PaymentRequest>) -> Vec<Trial> {
        if failed.is_empty() {
            return Vec::new();
        }
        let bills: Vec<Bill> = failed.iter().map(|request| Bill::of(request)).collect();
        let standings = self.standings(&bills).await.unwrap_or_else(|error| {
            tracing::debug!(error = %causes(&error), "the payers' standing is not known: they are asked for one by one");
            vec![None; bills.len()]
        });
        let reasons =
            failed.into_iter().zip(standings).map(|(request, standing)| self.reason(signer, request, standing));
        stream::iter(reasons.collect::<Vec<_>>()).buffered(REFUSALS_MAX).collect().await
    }

    /// The reason why a payment would fail. If the asset does not answer, the other payments stay as they are.
    async fn reason(&self, signer: Address, request: &PaymentRequest, standing: Option<BillStanding>) -> Trial {
        let refused = |reason, text: &str| Trial::Refused(reason, text.to_owned());
        match standing {
            Some(BillStanding { is_used: true, .. }) => {
                return refused(WaitReason::AuthorizationUsedOrCancelled, "the authorization is used or cancelled");
            }
            Some(BillStanding { is_funded: false, .. }) => {
                return refused(WaitReason::Unfunded, "the payer has less than the payment");
            }
            Some(BillStanding { is_funded: true, is_used: false }) | None => {}
        }
        match self.refusal(signer, request, GAS_PER_ITEM).await {
            Ok((reason, text)) => Trial::Refused(reason, text),
            Err(error) => {
                tracing::warn!(payment = %request.id(), error = %causes(&error), "the asset does not say why it refuses the payment");
                Trial::Result(Paid::Failed)
            }
        }
    }
}

/// The payments of `segment` that the asset would refuse.
fn failed<'a>(
    segment: &Segment<'a>,
    results: &Result<Vec<Paid>, ChainError>,
) -> impl Iterator<Item = &'a PaymentRequest> {
    let pairs = segment.requests.iter().zip(results.iter().flatten());
    pairs.filter(|(_, result)| **result == Paid::Failed).map(|(request, _)| *request)
}

/// The payments that a trial did not reach because those before them had used up its gas. Returns none if it reached none
/// at all: then the next trial would end in the same way.
fn unreached(results: &[Paid]) -> Vec<usize> {
    let (behind, reached): (Vec<usize>, Vec<usize>) =
        (0..results.len()).partition(|nth| results[*nth] == Paid::NotAttempted);
    if reached.is_empty() { reached } else { behind }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payments_behind_those_that_use_up_the_gas_are_tried_again_and_a_trial_that_reached_none_is_not() {
        use Paid::{Failed, NotAttempted, Recorded};
        let cases: [(&[Paid], &[usize]); 4] = [
            (&[Recorded, Failed], &[]),
            (&[Failed, Failed, NotAttempted, NotAttempted], &[2, 3]),
            (&[NotAttempted, NotAttempted], &[]),
            (&[], &[]),
        ];
        for (results, expected) in cases {
            assert_eq!(unreached(results), expected, "{results:?}");
        }
    }
}
