//! Outcomes of the mints in a mint transaction, by the records of their token.

use crate::desk::{Desk, ItemVerdict, Legs, Mined};
use crate::operated::refunded;
use chain::token::{Delivered, PaymentRecord, Record};
use chain::{B256, Head};
use chrono::Utc;
use domain::event::{Actor, Deferral, Minted, ParkReason, Parked, WaitReason};
use domain::order::Command;
use domain::{BlockRef, Order, Quantity};
use ledger::{Impossible, Loaded};
use runtime::Undone;
use std::time::Duration;

/// If a mint was not made, and was deferred this often before, it is parked for an operator.
const TRIES_MAX: u32 = 5;

/// One verdict for each item that this transaction decides.
///
/// The record says how a mint has ended, and the contract's result that it had ended in this transaction: what came later
/// falls out of the chain without it, and is found by the next transaction.
pub(crate) async fn verdicts(desk: &Desk, mined: &Mined<'_>, confirmed: Head) -> Result<Vec<ItemVerdict>, Undone> {
    let orders = desk.orders(mined.tx).await?;
    let records = desk.records(&orders, confirmed.block).await?;
    let results = mined.included.delivered(mined.tx.target);
    let mut verdicts = Vec::with_capacity(orders.len());
    for (id, loaded) in orders {
        let commands = match (&loaded, records.get(&id)) {
            (Ok(Loaded { state: Some(order), .. }), Some(finding)) => {
                let result = results.get(&order.request.payment_key).copied();
                commands(mined.place(), mined.legs(order), order, finding.own(), result, desk.mint_retry())?
            }
            // The decider refuses this command, and the refusal shows the operator what is wrong.
            (Ok(_) | Err(Impossible { .. }), _) => {
                vec![park(ParkReason::Inconsistent, format!("in {}", mined.tx.tx_hash))]
            }
        };
        if !commands.is_empty() {
            verdicts.push(ItemVerdict { id, order: loaded, commands });
        }
    }
    Ok(verdicts)
}

fn commands(
    place: (B256, BlockRef),
    legs: Legs,
    order: &Order,
    record: Record,
    result: Option<Delivered>,
    retry: Duration,
) -> Result<Vec<Command>, Undone> {
    let reason = match (record, result) {
        (Record::Minted(recorded), Some(Delivered::Minted)) => return Ok(minted(place, recorded, Actor::Paymint)),
        (Record::Minted(recorded), Some(Delivered::MintedBefore)) => {
            return Ok(minted(place, recorded, Actor::ThirdParty));
        }
        (Record::Refunded(_) | Record::GivenBack(_), Some(Delivered::MoneyBack)) => {
            return Ok(vec![refunded(place, order, Actor::ThirdParty)]);
        }
        // A record only moves on, so the node contradicts itself.
        (_, Some(Delivered::Minted | Delivered::MintedBefore | Delivered::MoneyBack)) => return Err(Undone::NotYet),
        (_, None) => WaitReason::NotAttempted,
        (_, Some(Delivered::NoRecord)) => WaitReason::Unpaid,
        (_, Some(Delivered::Unknown(_))) => WaitReason::Unexplained,
    };
    let detail = format!("not minted by {} in block {}", place.0, place.1.number);
    let why = Deferral { reason, detail, retry_at: Utc::now() + retry };
    let mut commands = Vec::new();
    // A refund that counted on this transaction before a reorganisation.
    if legs.returns {
        commands.push(Command::DeferRefund(why.clone()));
    }
    if legs.mints {
        commands.push(if order.mint.counts().deferred >= TRIES_MAX {
            park(ParkReason::Unexplained, why.detail)
        } else {
            Command::DeferMint(why)
        });
    }
    Ok(commands)
}

/// The mint is made: here, or by a stranger before.
fn minted((tx_hash, block): (B256, BlockRef), recorded: PaymentRecord, minted_by: Actor) -> Vec<Command> {
    vec![match Quantity::new(recorded.units) {
        Some(quantity) => Command::ConfirmMint(Minted { tx_hash, block, minted_by, to: recorded.payer, quantity }),
        None => park(ParkReason::Inconsistent, "the token's record says minted, and no units".to_owned()),
    }]
}

fn park(reason: ParkReason, detail: String) -> Command {
    Command::ParkMint(Parked { reason, detail, tx_hash: None })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use domain::examples;

    /// A mint and a refund count on the transaction that met the record's end, and on no earlier one.
    #[test]
    fn a_mint_counts_on_the_transaction_that_met_its_record() {
        let order = Order::requested(examples::request());
        let legs = Legs { charges: false, mints: true, returns: false };
        let place = examples::own_mint();
        let it = PaymentRecord { payer: examples::PAYER, units: 10, paid_at: 1_800_000_000 };
        let records =
            [Record::Absent, Record::Paid(it), Record::Minted(it), Record::Refunded(it), Record::GivenBack(it)];
        let cases = [
            (Some(Delivered::Minted), ["-", "-", "confirm_mint", "-", "-"]),
            (Some(Delivered::MintedBefore), ["-", "-", "confirm_mint", "-", "-"]),
            (Some(Delivered::MoneyBack), ["-", "-", "-", "confirm_refund", "confirm_refund"]),
            (Some(Delivered::NoRecord), ["unpaid"; 5]),
            (Some(Delivered::Unknown(9)), ["unexplained"; 5]),
            (None, ["not_attempted"; 5]),
        ];
        for (result, expected) in cases {
            let answers = records.map(|record| {
                match commands((place.tx_hash, place.block), legs, &order, record, result, Duration::ZERO) {
                    Err(Undone::NotYet) => "-",
                    Err(error) => panic!("{error}"),
                    Ok(commands) => match commands.as_slice() {
                        [Command::DeferMint(why)] => match why.reason {
                            WaitReason::Unpaid => "unpaid",
                            WaitReason::NotAttempted => "not_attempted",
                            WaitReason::Unexplained => "unexplained",
                            other => panic!("{other:?}"),
                        },
                        [command] => command.name(),
                        other => panic!("{other:?}"),
                    },
                }
            });
            assert_eq!(answers, expected, "{result:?}");
        }
    }

    /// The payer's exit fell out of the chain, and with it the refund that a mint transaction had found.
    #[test]
    fn a_refund_that_waits_for_a_mint_transaction_is_decided_by_it() {
        let order = Order::requested(examples::request());
        let legs = Legs { charges: false, mints: true, returns: true };
        let place = examples::own_mint();
        let it = PaymentRecord { payer: examples::PAYER, units: 10, paid_at: 1_800_000_000 };
        let commands =
            commands((place.tx_hash, place.block), legs, &order, Record::Paid(it), None, Duration::ZERO).unwrap();
        assert_eq!(commands.iter().map(Command::name).collect::<Vec<_>>(), ["defer_refund", "defer_mint"]);
    }
}
