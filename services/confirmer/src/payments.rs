//! What became of each payment in a settlement transaction.

use crate::Undecided;
use crate::desk::{Desk, Mined, Verdict};
use chain::{Evidence, Head, SettleResult};
use chrono::Utc;
use domain::event::{Deferral, FailureReason, PaidBy, PaymentFailure, PaymentProof, WaitReason};
use domain::order::{Ahead, Command};
use domain::{Order, Stage};
use ledger::Loaded;

/// One verdict per item that this transaction says something of.
pub(crate) async fn verdicts(desk: &Desk, mined: &Mined<'_>, confirmed: Head) -> Result<Vec<Verdict>, Undecided> {
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
            (Ok(Loaded { state: None, .. }) | Err(_), _) => Some(unreadable(desk, mined)),
        };
        verdicts.extend(command.map(|command| Verdict { id, order: loaded, command }));
    }
    Ok(verdicts)
}

/// Nothing fits an order that cannot be read: this command is refused, and the refusal is what a person sees.
fn unreadable(desk: &Desk, mined: &Mined<'_>) -> Command {
    let detail = format!("in {}", mined.tx.tx_hash);
    Command::Defer(Deferral { reason: WaitReason::Unexplained, detail, retry_at: Utc::now() + desk.retry })
}

/// Code 0, cross-checked with the asset's own logs in the same receipt (D9).
async fn paid(desk: &Desk, mined: &Mined<'_>, order: &Order, confirmed: Head) -> Result<Command, Undecided> {
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
            judge(desk, order, confirmed).await?.ok_or(Undecided::NotDeepYet)
        }
    }
}

/// The call failed: being front-run means paid, a dead authorization means failed, anything else is tried again.
async fn refused(desk: &Desk, mined: &Mined<'_>, order: &Order, confirmed: Head) -> Result<Option<Command>, Undecided> {
    if !order.stage.is_unpaid() {
        return Ok(None);
    }
    match judge(desk, order, confirmed).await? {
        Some(command) => Ok(Some(command)),
        None => Ok(retry(desk, mined, order, WaitReason::Unexplained)),
    }
}

/// Back to the sender, unless another transaction has it by now.
fn retry(desk: &Desk, mined: &Mined<'_>, order: &Order, reason: WaitReason) -> Option<Command> {
    let here =
        matches!(&order.stage, Stage::Settling(to) | Stage::Reverted(to) if to.is_for(mined.signer, mined.tx.nonce));
    here.then(|| {
        let detail = format!("not charged by {} in block {}", mined.tx.tx_hash, mined.included.block.number);
        Command::Defer(Deferral { reason, detail, retry_at: Utc::now() + desk.retry })
    })
}

/// What N-deep blocks say of an unpaid order: paid, provably dead, or nothing (none).
///
/// Fails only on proof (R2): cancelled, used for another transfer, or past its window and unused at a confirmed block.
pub(crate) async fn judge(desk: &Desk, order: &Order, confirmed: Head) -> Result<Option<Command>, Undecided> {
    let auth = &order.request.authorization;
    let fail = |reason, detail: &str, tx_hash| {
        // Whether it is failed or lost, the transaction of its mint says first.
        let is_known = !matches!(order.ahead, Some(Ahead::Minting(_)));
        is_known.then(|| {
            Command::Fail(PaymentFailure {
                reason,
                detail: detail.to_owned(),
                block: confirmed.block,
                block_time: confirmed.time,
                tx_hash,
            })
        })
    };
    Ok(match desk.chain.evidence(auth, confirmed).await? {
        Evidence::Paid { tx_hash, block, log_index } => {
            let paid_by = if desk.is_ours(tx_hash).await? { PaidBy::Paymint } else { PaidBy::ThirdParty };
            // Nobody sends the bytes of others again, and nobody watches them: they count once they are final.
            if paid_by == PaidBy::ThirdParty && block.number > desk.chain.finalized().await?.number {
                return Ok(Some(Command::Defer(Deferral {
                    reason: WaitReason::AuthorizationUsedOrCancelled,
                    detail: format!("paid by {tx_hash}, which is not ours and not final yet"),
                    retry_at: Utc::now() + desk.retry,
                })));
            }
            Some(Command::Confirm(PaymentProof { tx_hash, block, log_index, paid_by }))
        }
        Evidence::Cancelled { tx_hash } => {
            fail(FailureReason::Cancelled, "the payer cancelled the authorization", Some(tx_hash))
        }
        Evidence::UsedElsewhere { tx_hash } => {
            fail(FailureReason::UsedElsewhere, "the nonce paid for another transfer", Some(tx_hash))
        }
        Evidence::NotDeepYet => return Err(Undecided::NotDeepYet),
        Evidence::Unused if confirmed.time >= auth.valid_before => match &order.stage {
            Stage::Deferred(why) if why.reason == WaitReason::Unfunded => {
                fail(FailureReason::UnfundedUntilExpired, "the payer had no funds until the window closed", None)
            }
            _ => fail(FailureReason::Expired, "the window closed before the payment could be settled", None),
        },
        Evidence::Unused => None,
    })
}
