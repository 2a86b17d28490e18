//! Judges a waiting payment by the logs of the asset: whether it can never be charged, and whether somebody charged it
//! around the token.

use crate::desk::Desk;
use crate::records::Finding;
use chain::token::Record;
use chain::{B256, Evidence, Head};
use chrono::Utc;
use domain::event::{
    Actor, Deferral, FailureReason, ParkReason, Parked, PaymentFailure, PaymentProof, Refunded, WaitReason,
};
use domain::order::{Command, LegState};
use domain::{BlockRef, Order};
use runtime::Undone;

/// Judges an unpaid order by the logs of the asset: charged, charged around the token, failed, or waiting with a reason.
/// Returns `None` if there is nothing to record.
///
/// A record that is made by one of our transactions counts when it is N blocks deep, because it can be taken back. All
/// other decisions are never taken back, so the charge and the record, or the proof, must be in a final block. Usually the
/// sender is faster: it sends a payment that the token knows, and the record that this transaction finds counts N blocks deep.
pub(crate) async fn judge(desk: &Desk, order: &Order, confirmed: Head) -> Result<Option<Command>, Undone> {
    let auth = &order.request.authorization;
    let evidence = desk.chain.evidence(auth, confirmed.block, confirmed.block).await?;
    match evidence {
        Evidence::Paid { tx_hash, block } => return charged(desk, order, confirmed, tx_hash, block).await,
        Evidence::NotFoundYet => return Err(Undone::NotYet),
        Evidence::Cancelled { .. } | Evidence::UsedElsewhere { .. } | Evidence::Unused => {}
    }
    let Some(seen) = death(order, &evidence, confirmed) else { return Ok(None) };
    let last = desk.chain.final_head().await?;
    if death(order, &evidence, last).is_some()
        && let Some(proven) = death(order, &desk.chain.evidence(auth, last.block, confirmed.block).await?, last)
        // Units that stand without their payment fall out of the chain, too, and that is recorded first.
        && order.mint.state() == LegState::Owed
    {
        return Ok(Some(Command::Fail(proven)));
    }
    let reason = match seen.reason {
        FailureReason::Expired | FailureReason::UnfundedUntilExpired | FailureReason::SoldOut => {
            WaitReason::AuthorizationExpired
        }
        FailureReason::Cancelled | FailureReason::UsedElsewhere => WaitReason::AuthorizationUsedOrCancelled,
    };
    Ok(wait(desk, order, reason, format!("{}: failed once that is final", seen.detail)))
}

/// Judges an order whose nonce is known to be unused after `last`, a final block, or after a later one.
pub(crate) fn judge_unused(order: &Order, last: Head) -> Option<Command> {
    let proven = death(order, &Evidence::Unused, last).map(Command::Fail);
    proven.filter(|_| order.mint.state() == LegState::Owed)
}

/// The payer was charged by `tx_hash`. The token's record says whether it knows.
async fn charged(
    desk: &Desk,
    order: &Order,
    confirmed: Head,
    tx_hash: B256,
    block: BlockRef,
) -> Result<Option<Command>, Undone> {
    let park =
        |reason, detail: &str| Command::Park(Parked { reason, detail: detail.to_owned(), tx_hash: Some(tx_hash) });
    let proof = |recorded_at, paid_by| Command::Confirm(PaymentProof { tx_hash, block, recorded_at, paid_by });
    let is_ours = desk.is_ours(order, tx_hash).await?;
    // Asked before the record: what is older than this block then was made in the chain that led to it.
    let last = desk.chain.final_head().await?;
    let finding = desk.record(order, confirmed.block).await?;
    if is_ours && let Finding::Own(Record::Paid(paid) | Record::Minted(paid) | Record::Refunded(paid)) = finding {
        return Ok(Some(proof(paid.paid_at, Actor::Paymint)));
    }
    // The record is read N deep, because nodes keep the state of the last 128 blocks, and a final one is older. A person may
    // have made it since.
    if block.number > last.block.number || finding.is_newer_than(&last) {
        let detail = format!("charged by {tx_hash}, which is not final yet, or its record is not");
        return Ok(wait(desk, order, WaitReason::AuthorizationUsedOrCancelled, detail));
    }
    Ok(Some(match finding {
        Finding::Own(Record::Paid(paid) | Record::Minted(paid) | Record::Refunded(paid)) => {
            proof(paid.paid_at, if is_ours { Actor::Paymint } else { Actor::ThirdParty })
        }
        Finding::Own(Record::Absent) => park(
            ParkReason::PaidAroundToken,
            "the authorization was submitted to the asset directly: an operator must act",
        ),
        Finding::Own(Record::GivenBack(_)) => Command::ConfirmRefund(Refunded {
            tx_hash,
            block,
            refunded_by: Actor::ThirdParty,
            to: order.request.payer(),
            amount: order.request.authorization.value,
        }),
        Finding::Another(_) => {
            park(ParkReason::Inconsistent, "the token's record of the payment is of another amount or payer")
        }
    }))
}

/// The command that defers an order. An order that waits already keeps its reason; the sender's tries keep that reason
/// up to date.
fn wait(desk: &Desk, order: &Order, reason: WaitReason, detail: String) -> Option<Command> {
    let waits = order.payment.deferral().is_some();
    (!waits).then(|| Command::Defer(Deferral { reason, detail, retry_at: Utc::now() + desk.retry() }))
}

/// The proof, at the block `at`, that the authorization can never be charged: it was cancelled or used for another
/// transfer up to that block, or its window is over there and it is unused. Returns `None` if `evidence` proves nothing
/// of that.
fn death(order: &Order, evidence: &Evidence, at: Head) -> Option<PaymentFailure> {
    let (reason, detail, tx_hash) = match evidence {
        Evidence::Cancelled { tx_hash, block } if block.number <= at.block.number => {
            (FailureReason::Cancelled, "the payer cancelled the authorization", Some(*tx_hash))
        }
        Evidence::UsedElsewhere { tx_hash, block } if block.number <= at.block.number => {
            (FailureReason::UsedElsewhere, "the nonce paid for another transfer", Some(*tx_hash))
        }
        Evidence::Unused if at.time >= order.request.authorization.valid_before => match order.payment.deferral() {
            Some(why) if why.reason == WaitReason::Unfunded => {
                (FailureReason::UnfundedUntilExpired, "the payer had no funds until the window closed", None)
            }
            Some(why) if why.reason == WaitReason::SoldOut => {
                (FailureReason::SoldOut, "the token had too few units left until the window closed", None)
            }
            _ => (FailureReason::Expired, "the window closed before the payment could be settled", None),
        },
        Evidence::Cancelled { .. }
        | Evidence::UsedElsewhere { .. }
        | Evidence::Unused
        | Evidence::Paid { .. }
        | Evidence::NotFoundYet => return None,
    };
    Some(PaymentFailure { reason, detail: detail.to_owned(), block: at.block, block_time: at.time, tx_hash })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use domain::{OrderEvent, examples, order::evolve};

    const CLOSES: u64 = 1_800_000_300;

    fn order(events: &[OrderEvent]) -> Order {
        let requested = OrderEvent::PaymentRequested(Box::new(examples::request()));
        [&[requested], events].concat().iter().try_fold(None, evolve).unwrap().unwrap()
    }

    fn head(number: u64, time: u64) -> Head {
        let block = BlockRef { number, hash: B256::with_last_byte(1) };
        Head { block, parent: B256::ZERO, time, base_fee_wei: 1 }
    }

    /// R2: a proof holds at the block that it names, and at no earlier one.
    #[test]
    fn r2_a_death_is_proven_by_the_block_that_holds_it_and_by_none_before() {
        let (tx_hash, block) = (B256::with_last_byte(2), BlockRef { number: 50, hash: B256::with_last_byte(3) });
        let cancelled = Evidence::Cancelled { tx_hash, block };
        let elsewhere = Evidence::UsedElsewhere { tx_hash, block };
        let paid = Evidence::Paid { tx_hash, block };
        let waits = |reason| order(&[OrderEvent::PaymentDeferred(1, Deferral { reason, ..examples::deferral() })]);
        let (new, unfunded, sold_out) = (order(&[]), waits(WaitReason::Unfunded), waits(WaitReason::SoldOut));
        let cases = [
            (&new, &cancelled, head(49, CLOSES), None),
            (&new, &cancelled, head(50, 0), Some(FailureReason::Cancelled)),
            (&new, &elsewhere, head(49, CLOSES), None),
            (&new, &elsewhere, head(50, 0), Some(FailureReason::UsedElsewhere)),
            (&new, &Evidence::Unused, head(50, CLOSES - 1), None),
            (&new, &Evidence::Unused, head(50, CLOSES), Some(FailureReason::Expired)),
            (&unfunded, &Evidence::Unused, head(50, CLOSES - 1), None),
            (&unfunded, &Evidence::Unused, head(50, CLOSES), Some(FailureReason::UnfundedUntilExpired)),
            (&sold_out, &Evidence::Unused, head(50, CLOSES), Some(FailureReason::SoldOut)),
            (&new, &Evidence::NotFoundYet, head(50, CLOSES), None),
            (&new, &paid, head(50, CLOSES), None),
        ];
        for (order, evidence, at, reason) in cases {
            let proof = death(order, evidence, at);
            assert_eq!(proof.as_ref().map(|proof| proof.reason), reason, "{evidence:?} at {at:?}");
            if let Some(proof) = proof {
                assert_eq!((proof.block, proof.block_time), (at.block, at.time));
                assert_eq!(proof.tx_hash.is_some(), *evidence != Evidence::Unused);
            }
        }
    }
}
