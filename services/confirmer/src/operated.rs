//! Outcomes of an operator's transaction, by the records of its token: payments that went around the token and are
//! recorded now, and money that is back.

use crate::desk::{Desk, ItemVerdict, Legs, Mined, Orders};
use crate::records::Finding;
use chain::token::{Deed, PaymentRecord, Record};
use chain::{B256, Head};
use chrono::Utc;
use domain::event::{Actor, Deferral, Minted, ParkReason, Parked, PaymentProof, Refunded, WaitReason};
use domain::order::Command;
use domain::{BlockRef, Order, PaymentId, PaymentKey, Quantity};
use ledger::Loaded;
use runtime::Undone;
use std::collections::HashMap;
use std::time::Duration;

/// One verdict for each item that this transaction decides.
pub(crate) async fn verdicts(desk: &Desk, mined: &Mined<'_>, confirmed: Head) -> Result<Vec<ItemVerdict>, Undone> {
    let orders = desk.orders(mined.tx).await?;
    let done = mined.included.operated(mined.tx.target);
    let records = records(desk, mined, (&orders, &done), confirmed).await?;
    let mut verdicts = Vec::with_capacity(orders.len());
    for (id, loaded) in orders {
        let commands = match &loaded {
            Ok(Loaded { state: Some(order), .. }) => {
                let seen =
                    Seen { finding: records.get(&id).copied(), done: done.get(&order.request.payment_key).copied() };
                commands(mined.place(), mined.legs(order), order, seen, desk.retry())
            }
            // The decider refuses this command, and the refusal shows the operator what is wrong.
            _ => vec![Command::ParkRefund(around(mined.place()))],
        };
        verdicts.push(ItemVerdict { id, order: loaded, commands });
    }
    Ok(verdicts)
}

/// The records after the block of the transaction, because its receipt does not tell a record that had ended before from one
/// that ends later. If the nodes answer, and no longer have the state of that block, only what the receipt reports is known.
/// They keep it for 128 blocks or more. For the rest, the next transaction finds what this one found.
async fn records(
    desk: &Desk,
    mined: &Mined<'_>,
    (orders, done): (&Orders, &HashMap<PaymentKey, Deed>),
    confirmed: Head,
) -> Result<HashMap<PaymentId, Finding>, Undone> {
    match desk.records(orders, mined.included.block).await {
        Ok(records) => Ok(records),
        Err(Undone::Transient(_)) => {
            let deeds: HashMap<PaymentId, Deed> = done.iter().map(|(key, deed)| (PaymentId::of(*key), *deed)).collect();
            let later = desk.records(orders, confirmed.block).await?;
            Ok(later.into_iter().filter_map(|(id, finding)| Some((id, after(*deeds.get(&id)?, finding)))).collect())
        }
        Err(other) => Err(other),
    }
}

/// The finding right after `deed` was done, by a later one: a payment that was recorded then may be minted or refunded since.
fn after(deed: Deed, later: Finding) -> Finding {
    match (deed, later) {
        (Deed::Credit, Finding::Own(Record::Minted(paid) | Record::Refunded(paid))) => Finding::Own(Record::Paid(paid)),
        (Deed::Credit | Deed::GiveBack | Deed::Refund, later) => later,
    }
}

/// The chain's words about one payment after the transaction.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// The record. `None`: nothing is known.
    finding: Option<Finding>,
    /// The deed that the receipt reports.
    done: Option<Deed>,
}

/// The commands for one order. Somebody else may have recorded, minted or returned its payment before this transaction, so
/// one record can speak about several legs.
fn commands(
    place: (B256, BlockRef),
    legs: Legs,
    order: &Order,
    Seen { finding, done }: Seen,
    retry: Duration,
) -> Vec<Command> {
    let why = || {
        let detail = format!("not done by {} in block {}", place.0, place.1.number);
        Deferral { reason: WaitReason::Unexplained, detail, retry_at: Utc::now() + retry }
    };
    let not_returned = || legs.returns.then(|| Command::DeferRefund(why()));
    let not_minted = || legs.mints.then(|| Command::DeferMint(why()));
    let commands = match finding {
        Some(Finding::Own(Record::Refunded(_) | Record::GivenBack(_))) => {
            let refunded_by = if done.is_some() { Actor::Paymint } else { Actor::ThirdParty };
            [Some(refunded(place, order, refunded_by)), None, None]
        }
        Some(Finding::Own(Record::Paid(paid))) => {
            [order.is_unpaid().then(|| confirmed(place, paid)), not_returned(), not_minted()]
        }
        // Somebody had the units minted before the money could go back. A payment must be known first.
        Some(Finding::Own(Record::Minted(paid))) if order.is_unpaid() => {
            [Some(confirmed(place, paid)), not_returned(), not_minted()]
        }
        Some(Finding::Own(Record::Minted(paid))) => [not_returned(), minted(place, paid), None],
        // Whatever is tried with this key, the token says that it knows it. A person must look.
        Some(Finding::Another(_)) => {
            let parked = || another(place);
            let payment = legs.charges.then(|| Command::Park(parked()));
            [payment, legs.returns.then(|| Command::ParkRefund(parked())), not_minted()]
        }
        // Not recorded, or not known: the next try asks for the reason.
        Some(Finding::Own(Record::Absent)) | None => {
            [legs.charges.then(|| Command::Park(around(place))), not_returned(), not_minted()]
        }
    };
    commands.into_iter().flatten().collect()
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

/// The units are minted by somebody else.
fn minted((tx_hash, block): (B256, BlockRef), recorded: PaymentRecord) -> Option<Command> {
    let quantity = Quantity::new(recorded.units)?;
    let minted_by = Actor::ThirdParty;
    Some(Command::ConfirmMint(Minted { tx_hash, block, minted_by, to: recorded.payer, quantity }))
}

/// The token's record of this key is of other units or another payer.
fn another((tx_hash, block): (B256, BlockRef)) -> Parked {
    let detail = format!("{tx_hash} in block {} found a record of another amount or payer", block.number);
    Parked { reason: ParkReason::Inconsistent, detail, tx_hash: None }
}

/// The payment is at the token without a record, as before this transaction.
fn around((tx_hash, block): (B256, BlockRef)) -> Parked {
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
    fn ordered(commands: Vec<Command>) -> Order {
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
        // A mint that a refund's transaction found, and that fell out of the chain.
        let mint_is_gone = || {
            let found = Minted { tx_hash: examples::submission(9).tx_hash, ..examples::minted() };
            let gone = examples::reversal(9);
            let found = Minted { block: gone.block, ..found };
            let paid = Command::Confirm(examples::proof());
            vec![paid, ask_back(), Command::ConfirmMint(found), Command::RevertMint(gone)]
        };
        let it = PaymentRecord { payer: examples::PAYER, units: 10, paid_at: 1_800_000_000 };
        let own = |record| Some(Finding::Own(record));
        let cases = [
            (credit(), None, "payment.parked", "payment_parked"),
            (credit(), own(Record::Absent), "payment.parked", "payment_parked"),
            (credit(), Some(Finding::Another(Record::Absent)), "payment.parked", "payment_parked"),
            (credit(), own(Record::Paid(it)), "payment.confirmed", "paid"),
            (credit(), own(Record::Minted(it)), "payment.confirmed", "paid"),
            (credit(), own(Record::GivenBack(it)), "refund.confirmed", "refunded"),
            (give_back(), None, "refund.deferred", "refund_deferred"),
            (give_back(), own(Record::Absent), "refund.deferred", "refund_deferred"),
            (give_back(), Some(Finding::Another(Record::Absent)), "refund.parked", "refund_parked"),
            (give_back(), own(Record::GivenBack(it)), "refund.confirmed", "refunded"),
            (give_back(), own(Record::Paid(it)), "payment.confirmed refund.deferred", "refund_deferred"),
            (give_back(), own(Record::Minted(it)), "payment.confirmed refund.deferred", "refund_deferred"),
            (refund(), None, "refund.deferred", "refund_deferred"),
            (refund(), own(Record::Absent), "refund.deferred", "refund_deferred"),
            (refund(), Some(Finding::Another(Record::Absent)), "refund.parked", "refund_parked"),
            (refund(), own(Record::Paid(it)), "refund.deferred", "refund_deferred"),
            (refund(), own(Record::Refunded(it)), "refund.confirmed", "refunded"),
            (refund(), own(Record::Minted(it)), "refund.deferred mint.confirmed", "minted"),
            (mint_is_gone(), own(Record::Paid(it)), "mint.deferred", "refund_requested"),
            (mint_is_gone(), own(Record::Minted(it)), "mint.restored", "minted"),
        ];
        for (path, finding, written, stage) in cases {
            let before = ordered(path);
            let legs = Legs {
                charges: before.payment.submission().is_some(),
                mints: before.mint.submission().is_some(),
                returns: before.refund.submission().is_some(),
            };
            let place = (examples::submission(9).tx_hash, examples::refunded().block);
            // As the append does it: every command is decided by the order as it was.
            let decided = |command| decide(Some(&before), command).unwrap().unwrap();
            let seen = Seen { finding, done: None };
            let events: Vec<OrderEvent> =
                commands(place, legs, &before, seen, Duration::ZERO).into_iter().map(decided).collect();
            let names: Vec<&str> = events.iter().map(OrderEvent::name).collect();
            let order = events.iter().try_fold(Some(before.clone()), evolve).unwrap().unwrap();
            assert_eq!((names.join(" ").as_str(), order.stage().name()), (written, stage), "{finding:?}");
            let left = [order.payment.submission(), order.mint.submission(), order.refund.submission()];
            let is_refunded = order.refund.done().is_some();
            assert!(is_refunded || left == [None, None, None], "{finding:?} leaves a leg in the transaction");
        }
    }

    #[test]
    fn of_a_block_whose_state_is_gone_only_what_the_receipt_reports_is_known() {
        let it = PaymentRecord { payer: examples::PAYER, units: 10, paid_at: 1_800_000_000 };
        let own = Finding::Own;
        for later in [Record::Paid(it), Record::Minted(it), Record::Refunded(it)] {
            assert_eq!(after(Deed::Credit, own(later)), own(Record::Paid(it)));
        }
        assert_eq!(after(Deed::Refund, own(Record::Refunded(it))), own(Record::Refunded(it)));
        assert_eq!(after(Deed::GiveBack, own(Record::GivenBack(it))), own(Record::GivenBack(it)));
    }

    #[test]
    fn money_that_the_payer_took_back_first_is_not_said_to_be_returned_by_us() {
        let order = Order::requested(examples::request());
        let legs = Legs { charges: false, mints: false, returns: true };
        let it = PaymentRecord { payer: examples::PAYER, units: 10, paid_at: 1_800_000_000 };
        let place = (examples::refunded().tx_hash, examples::refunded().block);
        for (done, expected) in [(Some(Deed::Refund), Actor::Paymint), (None, Actor::ThirdParty)] {
            let seen = Seen { finding: Some(Finding::Own(Record::Refunded(it))), done };
            match commands(place, legs, &order, seen, Duration::ZERO).as_slice() {
                [Command::ConfirmRefund(refunded)] => assert_eq!(refunded.refunded_by, expected),
                other => panic!("{other:?}"),
            }
        }
    }
}
