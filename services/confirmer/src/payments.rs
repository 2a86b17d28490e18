//! Outcomes of the payments in a settlement transaction, by the records of their tokens.

use crate::desk::{Desk, ItemVerdict, Mined};
use crate::records::Finding;
use chain::Head;
use chain::token::{Paid, Record, payees};
use chrono::Utc;
use domain::Order;
use domain::event::{Actor, Deferral, PaymentProof, WaitReason};
use domain::order::Command;
use ledger::Loaded;
use runtime::Undone;

/// One verdict for each item that this transaction decides.
///
/// The record of a payment says that it was charged, whoever did that. Of a payment without a record the result byte says
/// why it waits. Everything else needs a look at the logs, and is found by the look at waiting payments
/// ([`crate::deferred`]), so that no other payment of the transaction waits for it.
pub(crate) async fn verdicts(desk: &Desk, mined: &Mined<'_>, confirmed: Head) -> Result<Vec<ItemVerdict>, Undone> {
    let orders = desk.orders(mined.tx).await?;
    let records = desk.records(&orders, confirmed.block).await?;
    let results = payees(mined.tx).map(|tokens| mined.included.paid(&tokens)).unwrap_or_default();
    let mut verdicts = Vec::with_capacity(orders.len());
    for (index, (id, loaded)) in orders.into_iter().enumerate() {
        let result = results.get(index).copied().flatten();
        let command = match (&loaded, records.get(&id)) {
            (Ok(Loaded { state: Some(order), .. }), Some(finding)) => {
                command(desk, mined, order, *finding, result, confirmed).await?
            }
            _ => Some(unreadable(desk, mined)),
        };
        verdicts.extend(command.map(|command| ItemVerdict { id, order: loaded, commands: vec![command] }));
    }
    Ok(verdicts)
}

async fn command(
    desk: &Desk,
    mined: &Mined<'_>,
    order: &Order,
    finding: Finding,
    result: Option<Paid>,
    confirmed: Head,
) -> Result<Option<Command>, Undone> {
    let recorded_at = match finding {
        Finding::Own(Record::Paid(paid) | Record::Minted(paid) | Record::Refunded(paid)) => paid.paid_at,
        // The nonce is spent. The logs of a final block say what for.
        Finding::Own(Record::GivenBack(_)) | Finding::Another => {
            return Ok(retry(desk, mined, order, WaitReason::AuthorizationUsedOrCancelled));
        }
        Finding::Own(Record::Absent) => {
            return match result {
                // A record that was there in this transaction does not go away, so the node contradicts itself.
                Some(Paid::Recorded | Paid::Known) => Err(Undone::NotYet),
                Some(Paid::SoldOut) => Ok(retry(desk, mined, order, WaitReason::SoldOut)),
                Some(Paid::Stopped) => Ok(retry(desk, mined, order, WaitReason::SettlementStopped)),
                Some(Paid::NotAttempted) | None => Ok(retry(desk, mined, order, WaitReason::NotAttempted)),
                Some(Paid::Failed | Paid::Impossible | Paid::Unknown(_)) => {
                    Ok(retry(desk, mined, order, WaitReason::Unexplained))
                }
            };
        }
    };
    let here = (mined.tx.tx_hash, mined.included.block);
    let ((tx_hash, block), paid_by) = match result {
        Some(Paid::Recorded) => (here, Actor::Paymint),
        // An earlier transaction of ours may have recorded it: after a reorganisation both are in blocks.
        _ if order.payment.counts().submitted > 1 => match desk.charged_by_us(order, confirmed).await? {
            Some(there) => (there, Actor::Paymint),
            None => (here, Actor::ThirdParty),
        },
        _ => (here, Actor::ThirdParty),
    };
    Ok(Some(Command::Confirm(PaymentProof { tx_hash, block, recorded_at, paid_by })))
}

/// The command for an order that cannot be read. The decider refuses every command for it, and the refusal shows the
/// operator what is wrong.
fn unreadable(desk: &Desk, mined: &Mined<'_>) -> Command {
    let detail = format!("in {}", mined.tx.tx_hash);
    Command::Defer(Deferral { reason: WaitReason::Unexplained, detail, retry_at: Utc::now() + desk.retry() })
}

/// Hands the payment back to the sender, unless the order no longer waits for this transaction.
fn retry(desk: &Desk, mined: &Mined<'_>, order: &Order, reason: WaitReason) -> Option<Command> {
    let is_here = order.payment.submission().is_some_and(|to| to.is_for(mined.lane.signer, mined.tx.nonce));
    is_here.then(|| {
        let detail = format!("not charged by {} in block {}", mined.tx.tx_hash, mined.included.block.number);
        Command::Defer(Deferral { reason, detail, retry_at: Utc::now() + desk.retry() })
    })
}
