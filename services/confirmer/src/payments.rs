//! Outcomes of the payments in a settlement transaction.

use crate::desk::{Desk, ItemVerdict, Mined};
use chain::{Evidence, Head, SettleResult};
use chrono::Utc;
use domain::Order;
use domain::event::{Deferral, FailureReason, PaidBy, PaymentFailure, PaymentProof, WaitReason};
use domain::order::Command;
use ledger::{Impossible, Loaded};
use runtime::Undone;

/// One verdict for each item that this transaction decides.
pub(crate) async fn verdicts(desk: &Desk, mined: &Mined<'_>, confirmed: Head) -> Result<Vec<ItemVerdict>, Undone> {
    let orders = desk.orders(mined.tx).await?;
    let results = mined.included.settle_results(mined.tx.target, orders.len());
    let mut verdicts = Vec::with_capacity(orders.len());
    for (index, (id, loaded)) in orders.into_iter().enumerate() {
        let result = results.as_ref().and_then(|results| results.get(index)).copied();
        let command = match (&loaded, result) {
            (Ok(Loaded { state: Some(order), .. }), Some(SettleResult::Paid)) => {
                Some(paid(desk, mined, order, confirmed).await?)
            }
            (Ok(Loaded { state: Some(order), .. }), Some(SettleResult::CallFailed)) => {
                refused(desk, mined, order, confirmed).await?
            }
            (Ok(Loaded { state: Some(order), .. }), Some(SettleResult::NotAttempted) | None) => {
                retry(desk, mined, order, WaitReason::NotAttempted)
            }
            (Ok(Loaded { state: None, .. }) | Err(Impossible { .. }), _) => Some(unreadable(desk, mined)),
        };
        verdicts.extend(command.map(|command| ItemVerdict { id, order: loaded, command }));
    }
    Ok(verdicts)
}

/// The command for an order that cannot be read. The decider refuses every command for it, and the refusal shows the
/// operator what is wrong.
fn unreadable(desk: &Desk, mined: &Mined<'_>) -> Command {
    let detail = format!("in {}", mined.tx.tx_hash);
    Command::Defer(Deferral { reason: WaitReason::Unexplained, detail, retry_at: Utc::now() + desk.retry() })
}

/// The result says that the payment was charged. This is checked against the logs of the asset in the same receipt.
async fn paid(desk: &Desk, mined: &Mined<'_>, order: &Order, confirmed: Head) -> Result<Command, Undone> {
    let (asset, auth) = (order.request.asset, &order.request.authorization);
    match mined.included.payment_log(asset, auth) {
        Some(log_index) => Ok(Command::Confirm(PaymentProof {
            tx_hash: mined.tx.tx_hash,
            block: mined.included.block,
            log_index,
            paid_by: PaidBy::Paymint,
        })),
        None => {
            tracing::error!(payment = %order.request.id(), "the contract says paid, the asset's logs do not");
            judge(desk, order, confirmed).await?.ok_or(Undone::NotYet)
        }
    }
}

/// The call for the payment failed. If another transaction has used the authorization for the same transfer, it is
/// paid. If the authorization can never be used, it is failed. Otherwise it is tried again.
async fn refused(desk: &Desk, mined: &Mined<'_>, order: &Order, confirmed: Head) -> Result<Option<Command>, Undone> {
    if !order.is_unpaid() {
        return Ok(None);
    }
    match judge(desk, order, confirmed).await? {
        // The order no longer waits for this transaction, so another event says what it waits for.
        Some(Command::Defer(_)) if !is_here(mined, order) => Ok(None),
        Some(command) => Ok(Some(command)),
        None => Ok(retry(desk, mined, order, WaitReason::Unexplained)),
    }
}

/// Hands the payment back to the sender, unless the order no longer waits for this transaction.
fn retry(desk: &Desk, mined: &Mined<'_>, order: &Order, reason: WaitReason) -> Option<Command> {
    is_here(mined, order).then(|| {
        let detail = format!("not charged by {} in block {}", mined.tx.tx_hash, mined.included.block.number);
        Command::Defer(Deferral { reason, detail, retry_at: Utc::now() + desk.retry() })
    })
}

/// True if the order waits for this transaction.
fn is_here(mined: &Mined<'_>, order: &Order) -> bool {
    order.payment.submission().is_some_and(|to| to.is_for(mined.lane.signer, mined.tx.nonce))
}

/// Judges an unpaid order by the chain: paid, failed, or waiting with a reason. Returns `None` if there is nothing to
/// record.
///
/// A charge by one of our transactions counts when it is N blocks deep, because it can be taken back. Two decisions are
/// never taken back, so they need a final block: that a payment failed, and that a stranger's transaction paid it.
/// Paymint does not send the bytes of a stranger again, and does not watch them.
pub(crate) async fn judge(desk: &Desk, order: &Order, confirmed: Head) -> Result<Option<Command>, Undone> {
    let auth = &order.request.authorization;
    let evidence = desk.chain.evidence(auth, confirmed).await?;
    match evidence {
        Evidence::Paid { tx_hash, block, log_index } => {
            let paid_by = if desk.is_ours(tx_hash).await? { PaidBy::Paymint } else { PaidBy::ThirdParty };
            if paid_by == PaidBy::ThirdParty && block.number > desk.chain.finalized().await?.number {
                let detail = format!("paid by {tx_hash}, which is not ours and not final yet");
                return Ok(wait(desk, order, WaitReason::AuthorizationUsedOrCancelled, detail));
            }
            return Ok(Some(Command::Confirm(PaymentProof { tx_hash, block, log_index, paid_by })));
        }
        Evidence::NotDeepYet => return Err(Undone::NotYet),
        Evidence::Cancelled { .. } | Evidence::UsedElsewhere { .. } | Evidence::Unused => {}
    }
    let Some(seen) = death(order, &evidence, confirmed) else { return Ok(None) };
    let last = desk.chain.final_head().await?;
    if death(order, &evidence, last).is_some()
        && let Some(proven) = death(order, &desk.chain.evidence(auth, last).await?, last)
        // While its mint is in a transaction, it is not known yet if the order is failed or lost.
        && order.mint.submission().is_none()
    {
        return Ok(Some(Command::Fail(proven)));
    }
    let reason = match seen.reason {
        FailureReason::Expired | FailureReason::UnfundedUntilExpired => WaitReason::AuthorizationExpired,
        FailureReason::Cancelled | FailureReason::UsedElsewhere => WaitReason::AuthorizationUsedOrCancelled,
    };
    Ok(wait(desk, order, reason, format!("{}: failed once that is final", seen.detail)))
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
            _ => (FailureReason::Expired, "the window closed before the payment could be settled", None),
        },
        Evidence::Cancelled { .. }
        | Evidence::UsedElsewhere { .. }
        | Evidence::Unused
        | Evidence::Paid { .. }
        | Evidence::NotDeepYet => return None,
    };
    Some(PaymentFailure { reason, detail: detail.to_owned(), block: at.block, block_time: at.time, tx_hash })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chain::B256;
    use domain::{BlockRef, OrderEvent, examples, order::evolve};

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
        let paid = Evidence::Paid { tx_hash, block, log_index: 0 };
        let (new, unfunded) = (order(&[]), order(&[OrderEvent::PaymentDeferred(1, examples::deferral())]));
        let cases = [
            (&new, &cancelled, head(49, CLOSES), None),
            (&new, &cancelled, head(50, 0), Some(FailureReason::Cancelled)),
            (&new, &elsewhere, head(49, CLOSES), None),
            (&new, &elsewhere, head(50, 0), Some(FailureReason::UsedElsewhere)),
            (&new, &Evidence::Unused, head(50, CLOSES - 1), None),
            (&new, &Evidence::Unused, head(50, CLOSES), Some(FailureReason::Expired)),
            (&unfunded, &Evidence::Unused, head(50, CLOSES - 1), None),
            (&unfunded, &Evidence::Unused, head(50, CLOSES), Some(FailureReason::UnfundedUntilExpired)),
            (&new, &Evidence::NotDeepYet, head(50, CLOSES), None),
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
