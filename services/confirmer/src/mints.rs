//! Outcomes of the mints in a mint transaction, by the records of their token.

use crate::desk::{Desk, ItemVerdict, Mined};
use crate::operated::refunded;
use chain::Head;
use chain::token::{Delivered, PaymentRecord, Record};
use chrono::Utc;
use domain::event::{Actor, Deferral, Minted, ParkReason, Parked, WaitReason};
use domain::order::Command;
use domain::{Order, Quantity};
use ledger::{Impossible, Loaded};
use runtime::Undone;

/// If a mint was not made, and was deferred this often before, it is parked for an operator.
const TRIES_MAX: u32 = 5;

/// One verdict for each item that this transaction decides.
pub(crate) async fn verdicts(desk: &Desk, mined: &Mined<'_>, confirmed: Head) -> Result<Vec<ItemVerdict>, Undone> {
    let orders = desk.orders(mined.tx).await?;
    let records = desk.records(&orders, confirmed.block).await?;
    let results = mined.included.delivered(mined.tx.target);
    let mut verdicts = Vec::with_capacity(orders.len());
    for (id, loaded) in orders {
        let command = match (&loaded, records.get(&id)) {
            (Ok(Loaded { state: Some(order), .. }), Some(finding)) => {
                let result = results.get(&order.request.payment_key).copied();
                command(desk, mined, order, finding.own(), result)?
            }
            // The decider refuses this command, and the refusal shows the operator what is wrong.
            (Ok(_) | Err(Impossible { .. }), _) => {
                Some(park(ParkReason::Inconsistent, format!("in {}", mined.tx.tx_hash)))
            }
        };
        verdicts.extend(command.map(|command| ItemVerdict { id, order: loaded, commands: vec![command] }));
    }
    Ok(verdicts)
}

fn command(
    desk: &Desk,
    mined: &Mined<'_>,
    order: &Order,
    record: Record,
    result: Option<Delivered>,
) -> Result<Option<Command>, Undone> {
    // A record that has ended says how. Otherwise it says why the mint was not made here, and that matters only while the
    // order waits for this very nonce.
    let is_here = order.mint.submission().is_some_and(|to| to.is_for(mined.lane.signer, mined.tx.nonce));
    Ok(Some(match (record, result) {
        (Record::Minted(recorded), result) => minted(mined, recorded, result),
        (Record::Refunded(_) | Record::GivenBack(_), _) => refunded(mined.place(), order, Actor::ThirdParty),
        _ if !is_here => return Ok(None),
        // A record only moves on, so the node contradicts itself.
        (Record::Paid(_), Some(Delivered::Minted | Delivered::MintedBefore | Delivered::MoneyBack)) => {
            return Err(Undone::NotYet);
        }
        (Record::Paid(_), None) => again(desk, mined, order, WaitReason::NotAttempted),
        (Record::Paid(_), Some(Delivered::NoRecord)) | (Record::Absent, _) => {
            again(desk, mined, order, WaitReason::Unpaid)
        }
        (Record::Paid(_), Some(Delivered::Unknown(_))) => again(desk, mined, order, WaitReason::Unexplained),
    }))
}

/// The mint is made: here, or by a stranger before.
fn minted(mined: &Mined<'_>, recorded: PaymentRecord, result: Option<Delivered>) -> Command {
    let minted_by = if result == Some(Delivered::Minted) { Actor::Paymint } else { Actor::ThirdParty };
    let (tx_hash, block, to) = (mined.tx.tx_hash, mined.included.block, recorded.payer);
    match Quantity::new(recorded.units) {
        Some(quantity) => Command::ConfirmMint(Minted { tx_hash, block, minted_by, to, quantity }),
        None => park(ParkReason::Inconsistent, "the token's record says minted, and no units".to_owned()),
    }
}

fn park(reason: ParkReason, detail: String) -> Command {
    Command::ParkMint(Parked { reason, detail, tx_hash: None })
}

fn again(desk: &Desk, mined: &Mined<'_>, order: &Order, reason: WaitReason) -> Command {
    let detail = format!("not minted by {} in block {}", mined.tx.tx_hash, mined.included.block.number);
    if order.mint.counts().deferred >= TRIES_MAX {
        return park(ParkReason::Unexplained, detail);
    }
    Command::DeferMint(Deferral { reason, detail, retry_at: Utc::now() + desk.retry() })
}
