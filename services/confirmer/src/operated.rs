//! Outcomes of an operator's transaction, by the records of its token: payments that went around the token and are
//! recorded now, and money that is back.

use crate::desk::{Desk, ItemVerdict, Mined};
use chain::token::{PaymentRecord, Record};
use chain::{B256, Head};
use chrono::Utc;
use domain::event::{Actor, Deferral, ParkReason, Parked, PaymentProof, Refunded, Submission, WaitReason};
use domain::order::Command;
use domain::{BlockRef, Order};
use ledger::Loaded;
use runtime::Undone;
use std::time::Duration;

/// One verdict for each item that this transaction decides.
pub(crate) async fn verdicts(desk: &Desk, mined: &Mined<'_>, confirmed: Head) -> Result<Vec<ItemVerdict>, Undone> {
    let orders = desk.orders(mined.tx).await?;
    let records = desk.records(&orders, confirmed.block).await?;
    let mut verdicts = Vec::with_capacity(orders.len());
    for (id, loaded) in orders {
        let commands = match (&loaded, records.get(&id)) {
            (Ok(Loaded { state: Some(order), .. }), Some(finding)) => {
                let is_here =
                    |leg: Option<&Submission>| leg.is_some_and(|to| to.is_for(mined.lane.signer, mined.tx.nonce));
                let legs = Here {
                    place: mined.place(),
                    charges: is_here(order.payment.submission()),
                    returns: is_here(order.refund.submission()),
                };
                commands(legs, order, finding.own(), desk.retry())
            }
            // The decider refuses this command, and the refusal shows the operator what is wrong.
            _ => vec![Command::ParkRefund(parked(mined.place()))],
        };
        verdicts.push(ItemVerdict { id, order: loaded, commands });
    }
    Ok(verdicts)
}

/// A transaction, and the legs of an order that are in it.
#[derive(Clone, Copy)]
struct Here {
    place: (B256, BlockRef),
    charges: bool,
    returns: bool,
}

/// The commands for one order. Somebody else may have recorded, minted or returned its payment before this transaction, so
/// one record can speak about both the payment and the refund.
fn commands(Here { place, charges, returns }: Here, order: &Order, record: Record, retry: Duration) -> Vec<Command> {
    let not_returned = || {
        let detail = format!("not returned by {} in block {}", place.0, place.1.number);
        let retry_at = Utc::now() + retry;
        Command::DeferRefund(Deferral { reason: WaitReason::Unexplained, detail, retry_at })
    };
    match record {
        Record::Refunded(_) | Record::GivenBack(_) => {
            vec![refunded(place, order, if returns { Actor::Paymint } else { Actor::ThirdParty })]
        }
        // Not recorded: the next try asks for the reason.
        Record::Absent if charges => vec![Command::Park(parked(place))],
        Record::Absent => returns.then(not_returned).into_iter().collect(),
        Record::Paid(paid) | Record::Minted(paid) => {
            let confirm = order.is_unpaid().then(|| confirmed(place, paid));
            let back = returns.then(|| match record {
                Record::Minted(_) => Command::ParkRefund(minted()),
                _ => not_returned(),
            });
            confirm.into_iter().chain(back).collect()
        }
    }
}

/// The token has a record of the payment.
fn confirmed((tx_hash, block): (B256, BlockRef), paid: PaymentRecord) -> Command {
    Command::Confirm(PaymentProof { tx_hash, block, recorded_at: paid.paid_at, paid_by: Actor::ThirdParty })
}

/// The payer has the money back: by this transaction, or by another one that this transaction finds.
pub(crate) fn refunded((tx_hash, block): (B256, BlockRef), order: &Order, refunded_by: Actor) -> Command {
    let (to, amount) = (order.request.payer(), order.request.authorization.value);
    Command::ConfirmRefund(Refunded { tx_hash, block, refunded_by, to, amount })
}

/// Somebody had the units minted before the money could go back.
fn minted() -> Parked {
    let detail = "the token's record says that the units are minted".to_owned();
    Parked { reason: ParkReason::Inconsistent, detail, tx_hash: None }
}

/// The payment is at the token without a record, as before this transaction.
fn parked((tx_hash, block): (B256, BlockRef)) -> Parked {
    let detail = format!("not recorded by {tx_hash} in block {}", block.number);
    Parked { reason: ParkReason::PaidAroundToken, detail, tx_hash: None }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use domain::order::{decide, evolve};
    use domain::{OrderEvent, examples};

    /// The order after `commands`, all of which the decider accepts.
    fn after(commands: Vec<Command>) -> Order {
        let requested = Order::requested(examples::request());
        commands.into_iter().fold(requested, |order, command| {
            let event = decide(Some(&order), command).unwrap().unwrap();
            evolve(Some(order), &event).unwrap().unwrap()
        })
    }

    /// Each order is at one stage afterwards, and no leg stays in the transaction that is decided.
    #[test]
    fn a_record_decides_every_leg_that_is_in_the_transaction() {
        let around = || Command::Park(examples::parked_payment());
        let ask_back = || Command::RequestRefund(examples::refund_request());
        let credit = || vec![around(), Command::Submit(examples::submission(9))];
        let give_back = || vec![around(), ask_back(), Command::SubmitRefund(examples::submission(9))];
        let refund =
            || vec![Command::Confirm(examples::proof()), ask_back(), Command::SubmitRefund(examples::submission(9))];
        let it = PaymentRecord { payer: examples::PAYER, units: 10, paid_at: 1_800_000_000 };
        let cases = [
            (credit(), Record::Absent, "payment.parked", "payment_parked"),
            (credit(), Record::Paid(it), "payment.confirmed", "paid"),
            (credit(), Record::Minted(it), "payment.confirmed", "paid"),
            (credit(), Record::GivenBack(it), "refund.confirmed", "refunded"),
            (give_back(), Record::Absent, "refund.deferred", "refund_deferred"),
            (give_back(), Record::GivenBack(it), "refund.confirmed", "refunded"),
            (give_back(), Record::Paid(it), "payment.confirmed refund.deferred", "refund_deferred"),
            (give_back(), Record::Minted(it), "payment.confirmed refund.parked", "refund_parked"),
            (refund(), Record::Absent, "refund.deferred", "refund_deferred"),
            (refund(), Record::Paid(it), "refund.deferred", "refund_deferred"),
            (refund(), Record::Refunded(it), "refund.confirmed", "refunded"),
            (refund(), Record::Minted(it), "refund.parked", "refund_parked"),
        ];
        for (path, record, written, stage) in cases {
            let before = after(path);
            let [charges, returns] = [before.payment.submission(), before.refund.submission()].map(|leg| leg.is_some());
            let here = Here { place: (examples::submission(9).tx_hash, examples::refunded().block), charges, returns };
            // As the append does it: every command is decided by the order as it was.
            let decided = |command| decide(Some(&before), command).unwrap().unwrap();
            let events: Vec<OrderEvent> =
                commands(here, &before, record, Duration::ZERO).into_iter().map(decided).collect();
            let names: Vec<&str> = events.iter().map(OrderEvent::name).collect();
            let order = events.iter().try_fold(Some(before.clone()), evolve).unwrap().unwrap();
            assert_eq!((names.join(" ").as_str(), order.stage().name()), (written, stage), "{record:?}");
            let left = [order.payment.submission(), order.refund.submission()];
            let is_refunded = order.refund.done().is_some();
            assert!(is_refunded || left == [None, None], "{record:?} leaves a leg in the transaction");
        }
    }
}
