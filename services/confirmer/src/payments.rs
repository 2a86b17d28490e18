//! Outcomes of the payments in a settlement transaction, by the records of their tokens.

use crate::desk::{Desk, ItemVerdict, Mined};
use crate::records::Finding;
use chain::token::{Paid, PaymentRecord, Record, payees};
use chain::{B256, Head};
use chrono::Utc;
use domain::event::{Actor, Deferral, PaymentProof, WaitReason};
use domain::order::Command;
use domain::{BlockRef, Order};
use ledger::Loaded;
use runtime::{Backoff, Undone, causes};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The longest pause before a payment that failed on chain is sent again.
const RETRY_MAX: Duration = Duration::from_secs(600);

/// Time for all look-ups of one transaction. No payment waits for another's look-up any longer.
const LOOKUPS_MAX: Duration = Duration::from_secs(2);

/// One verdict for each item that this transaction decides.
///
/// The record of a payment says that it was charged, whoever did that, and the result byte that it was there in this
/// transaction: a record that came later falls out of the chain without it. Of any other payment the result byte says why it
/// waits. Everything else needs a look at the logs, and is found by the look at waiting payments ([`crate::deferred`]), so that
/// no other payment of the transaction waits for it.
pub(crate) async fn verdicts(desk: &Desk, mined: &Mined<'_>, confirmed: Head) -> Result<Vec<ItemVerdict>, Undone> {
    let orders = desk.orders(mined.tx).await?;
    let records = desk.records(&orders, confirmed.block).await?;
    let results = payees(mined.tx).map(|tokens| mined.included.paid(&tokens)).unwrap_or_default();
    let mut verdicts = Vec::with_capacity(orders.len());
    let lookups = Lookups { desk, confirmed, until: Instant::now() + LOOKUPS_MAX };
    for (index, (id, loaded)) in orders.into_iter().enumerate() {
        let result = results.get(index).copied().flatten();
        let command = match (&loaded, records.get(&id)) {
            (Ok(Loaded { state: Some(order), .. }), Some(finding)) => match outcome(*finding, result)? {
                Outcome::Charged(paid) => Some(confirm(&lookups, mined, order, paid, result).await),
                Outcome::Waits(reason) => retry(desk, mined, order, reason),
            },
            _ => Some(unreadable(desk, mined)),
        };
        verdicts.extend(command.map(|command| ItemVerdict { id, order: loaded, commands: vec![command] }));
    }
    Ok(verdicts)
}

/// The outcome of a transaction for one payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The transaction charged the payer, or found the payer charged.
    Charged(PaymentRecord),
    /// The payment waits for another transaction.
    Waits(WaitReason),
}

/// The outcome by the record and the result byte.
///
/// # Errors
/// `NotYet`: the node contradicts itself.
fn outcome(finding: Finding, result: Option<Paid>) -> Result<Outcome, Undone> {
    let waits = |reason| Ok(Outcome::Waits(reason));
    match (finding, result) {
        (
            Finding::Own(Record::Paid(paid) | Record::Minted(paid) | Record::Refunded(paid)),
            Some(Paid::Recorded | Paid::Known),
        ) => Ok(Outcome::Charged(paid)),
        // The nonce is spent. The logs of a final block say what for.
        (Finding::Own(Record::GivenBack(_)) | Finding::Another(_), _) => {
            waits(WaitReason::AuthorizationUsedOrCancelled)
        }
        // A record that was there in this transaction does not go away.
        (Finding::Own(Record::Absent), Some(Paid::Recorded | Paid::Known)) => Err(Undone::NotYet),
        // If there is a record now, it was made after this transaction, and the next one finds it.
        (Finding::Own(_), Some(Paid::SoldOut)) => waits(WaitReason::SoldOut),
        (Finding::Own(_), Some(Paid::Stopped)) => waits(WaitReason::SettlementStopped),
        (Finding::Own(_), Some(Paid::NotAttempted) | None) => waits(WaitReason::NotAttempted),
        (Finding::Own(_), Some(Paid::Failed | Paid::Impossible | Paid::Unknown(_))) => waits(WaitReason::Unexplained),
    }
}

/// The payment was charged, and counts on this transaction: it charged the payer, or found the record.
async fn confirm(
    lookups: &Lookups<'_>,
    mined: &Mined<'_>,
    order: &Order,
    paid: PaymentRecord,
    result: Option<Paid>,
) -> Command {
    let ((tx_hash, block), paid_by) = match result {
        Some(Paid::Recorded) => (mined.place(), Actor::Paymint),
        // An earlier transaction of ours may have recorded it: after a reorganisation both are in blocks.
        _ if order.payment.counts().submitted > 1 => match lookups.charged_by_us(order).await {
            Some(there) => (there, Actor::Paymint),
            None => (mined.place(), Actor::ThirdParty),
        },
        _ => (mined.place(), Actor::ThirdParty),
    };
    Command::Confirm(PaymentProof { tx_hash, block, recorded_at: paid.paid_at, paid_by })
}

/// Searches for the transactions of ours that charged what this one found charged. Only what is shown depends on them, so
/// together they may take [`LOOKUPS_MAX`], and one that fails leaves the payment to this transaction.
struct Lookups<'a> {
    desk: &'a Desk,
    confirmed: Head,
    until: Instant,
}

impl Lookups<'_> {
    async fn charged_by_us(&self, order: &Order) -> Option<(B256, BlockRef)> {
        let found = timeout_at(self.until, self.desk.charged_by_us(order, self.confirmed)).await;
        let why = match found {
            Ok(Ok(there)) => return there,
            Ok(Err(error)) => causes(&error).to_string(),
            Err(elapsed) => elapsed.to_string(),
        };
        tracing::warn!(payment = %order.request.id(), why, "who charged the payer is not looked up: a third party is named");
        None
    }
}

/// The command for an order that cannot be read. The decider refuses every command for it, and the refusal shows the
/// operator what is wrong.
fn unreadable(desk: &Desk, mined: &Mined<'_>) -> Command {
    let detail = format!("in {}", mined.tx.tx_hash);
    Command::Defer(Deferral { reason: WaitReason::Unexplained, detail, retry_at: Utc::now() + desk.retry() })
}

/// Hands the payment back to the sender, unless the order no longer waits for this transaction.
fn retry(desk: &Desk, mined: &Mined<'_>, order: &Order, reason: WaitReason) -> Option<Command> {
    mined.legs(order).charges.then(|| {
        let detail = format!("not charged by {} in block {}", mined.tx.tx_hash, mined.included.block.number);
        let retry_at = Utc::now() + pause(reason, order.payment.counts().submitted, desk.retry());
        Command::Defer(Deferral { reason, detail, retry_at })
    })
}

/// Pause before a payment is sent again that was in `submitted` transactions. What failed by itself costs us gas and its payer
/// nothing, so its pause doubles each time. What failed because of others, or of a stop, waits no longer for that.
fn pause(reason: WaitReason, submitted: u32, first: Duration) -> Duration {
    match reason {
        WaitReason::NotAttempted | WaitReason::SettlementStopped | WaitReason::SoldOut | WaitReason::AssetPaused => {
            first
        }
        WaitReason::Unexplained
        | WaitReason::AuthorizationUsedOrCancelled
        | WaitReason::AuthorizationExpired
        | WaitReason::AuthorizationNotYetValid
        | WaitReason::SignatureRefused
        | WaitReason::Blacklisted
        | WaitReason::Unfunded
        | WaitReason::PayerBudget
        | WaitReason::Unpaid => Backoff { first, max: RETRY_MAX }.pause(submitted.saturating_sub(1)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use domain::examples;

    #[test]
    fn a_payment_that_fails_on_chain_waits_longer_each_time_and_one_that_others_hold_up_does_not() {
        let first = Duration::from_secs(2);
        let pauses = |reason| [1, 2, 3, 99].map(|submitted| pause(reason, submitted, first).as_secs());
        assert_eq!(pauses(WaitReason::Unexplained), [2, 4, 8, 600]);
        assert_eq!(pauses(WaitReason::NotAttempted), [2; 4]);
        assert_eq!(pauses(WaitReason::SettlementStopped), [2; 4]);
    }

    /// Only two results say that the record was there in this transaction.
    #[test]
    fn a_payment_counts_on_the_transaction_that_met_its_record_and_on_no_earlier_one() {
        let it = PaymentRecord { payer: examples::PAYER, units: 10, paid_at: 1_800_000_000 };
        let results = [
            (Some(Paid::Recorded), None),
            (Some(Paid::Known), None),
            (Some(Paid::SoldOut), Some(WaitReason::SoldOut)),
            (Some(Paid::Failed), Some(WaitReason::Unexplained)),
            (Some(Paid::NotAttempted), Some(WaitReason::NotAttempted)),
            (Some(Paid::Impossible), Some(WaitReason::Unexplained)),
            (Some(Paid::Stopped), Some(WaitReason::SettlementStopped)),
            (Some(Paid::Unknown(9)), Some(WaitReason::Unexplained)),
            (None, Some(WaitReason::NotAttempted)),
        ];
        for (result, waits) in results {
            for record in [Record::Paid(it), Record::Minted(it), Record::Refunded(it)] {
                let found = outcome(Finding::Own(record), result).unwrap();
                assert_eq!(found, waits.map_or(Outcome::Charged(it), Outcome::Waits), "{record:?} {result:?}");
            }
            match (outcome(Finding::Own(Record::Absent), result), waits) {
                (Ok(found), Some(reason)) => assert_eq!(found, Outcome::Waits(reason), "{result:?}"),
                (Err(Undone::NotYet), None) => {}
                (other, _) => panic!("{result:?}: {other:?}"),
            }
            let spent = Outcome::Waits(WaitReason::AuthorizationUsedOrCancelled);
            assert_eq!(outcome(Finding::Another(Record::Paid(it)), result).unwrap(), spent);
            assert_eq!(outcome(Finding::Own(Record::GivenBack(it)), result).unwrap(), spent);
        }
    }
}
