//! Outcomes of an operator's transaction, by the records of its token: payments that went around the token and are
//! recorded now, and money that is back.

use crate::desk::{Desk, ItemVerdict, Mined};
use chain::Head;
use chain::token::Record;
use chrono::Utc;
use domain::Order;
use domain::event::{Actor, Deferral, ParkReason, Parked, PaymentProof, Refunded, WaitReason};
use domain::order::Command;
use ledger::Loaded;
use runtime::Undone;

/// One verdict for each item that this transaction decides.
pub(crate) async fn verdicts(desk: &Desk, mined: &Mined<'_>, confirmed: Head) -> Result<Vec<ItemVerdict>, Undone> {
    let orders = desk.orders(mined.tx).await?;
    let records = desk.records(&orders, confirmed.block).await?;
    let mut verdicts = Vec::with_capacity(orders.len());
    for (id, loaded) in orders {
        let command = match (&loaded, records.get(&id)) {
            (Ok(Loaded { state: Some(order), .. }), Some(record)) => command(desk, mined, order, *record),
            // The decider refuses this command, and the refusal shows the operator what is wrong.
            _ => Some(Command::ParkRefund(parked(mined))),
        };
        verdicts.extend(command.map(|command| ItemVerdict { id, order: loaded, command }));
    }
    Ok(verdicts)
}

fn command(desk: &Desk, mined: &Mined<'_>, order: &Order, record: Record) -> Option<Command> {
    let is_here = |tx: Option<&domain::event::Submission>| {
        tx.is_some_and(|to| to.is_for(mined.lane.signer, mined.tx.nonce))
    };
    let (charges, returns) = (is_here(order.payment.submission()), is_here(order.refund.submission()));
    match record {
        Record::Refunded(_) | Record::GivenBack(_) => {
            Some(refunded(mined, order, if returns { Actor::Paymint } else { Actor::ThirdParty }))
        }
        Record::Paid(paid) | Record::Minted(paid) if order.is_unpaid() => Some(Command::Confirm(PaymentProof {
            tx_hash: mined.tx.tx_hash,
            block: mined.included.block,
            recorded_at: paid.paid_at,
            paid_by: Actor::ThirdParty,
        })),
        // Somebody had the units minted before.
        Record::Minted(_) if returns => Some(Command::ParkRefund(Parked {
            reason: ParkReason::Inconsistent,
            detail: "the token's record says that the units are minted".to_owned(),
            tx_hash: None,
        })),
        // Not recorded: the next try asks for the reason.
        Record::Absent if charges => Some(Command::Park(parked(mined))),
        Record::Absent | Record::Paid(_) if returns => Some(Command::DeferRefund(Deferral {
            reason: WaitReason::Unexplained,
            detail: format!("not returned by {} in block {}", mined.tx.tx_hash, mined.included.block.number),
            retry_at: Utc::now() + desk.retry(),
        })),
        Record::Absent | Record::Paid(_) | Record::Minted(_) => None,
    }
}

/// The payer has the money back: by this transaction, or by another one that this transaction finds.
pub(crate) fn refunded(mined: &Mined<'_>, order: &Order, refunded_by: Actor) -> Command {
    Command::ConfirmRefund(Refunded {
        tx_hash: mined.tx.tx_hash,
        block: mined.included.block,
        refunded_by,
        to: order.request.payer(),
        amount: order.request.authorization.value,
    })
}

/// The payment is at the token without a record, as before this transaction.
fn parked(mined: &Mined<'_>) -> Parked {
    let detail = format!("not recorded by {} in block {}", mined.tx.tx_hash, mined.included.block.number);
    Parked { reason: ParkReason::PaidAroundToken, detail, tx_hash: None }
}
