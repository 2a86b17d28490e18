//! The consequences of trying payments: which are sent, which wait with a reason, and which come again immediately.

use chain::token::{Paid, Trial};
use chrono::Utc;
use domain::event::{Deferral, WaitReason};
use domain::order::Command;
use domain::{Order, PaymentId};
use lanes::Item;
use ledger::{AppendError, Batch, Ledger, NewEvent};
use runtime::{Backoff, Undone};
use std::collections::HashSet;

/// The payments of a batch after their trial. Those about which nothing is known are in none of the fields.
#[derive(Debug, Default)]
pub struct Tried {
    /// Payments that would be made now, and those that the token knows already: a transaction of ours that finds a record is
    /// how the confirmer learns of it.
    pub good: Vec<Item>,
    /// Those of `good` that the token knows already.
    pub known: HashSet<PaymentId>,
    /// Payments that would fail now.
    pub waiting: Vec<(Item, Deferral)>,
    /// Payments that the trial did not reach, because of others.
    pub unreached: HashSet<PaymentId>,
}

/// The consequence of trying a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Send,
    /// The token has a record with its key.
    Known,
    Defer(WaitReason, String),
    /// Others used up the gas of the trial.
    Unreached,
    /// Nothing is known about the payment.
    Unknown,
}

impl Tried {
    /// Sorts `items` by their verdicts.
    pub fn of(items: Vec<Item>, verdicts: Vec<Verdict>, backoff: Backoff) -> Self {
        let mut tried = Self::default();
        for (item, verdict) in items.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Send => tried.good.push(item),
                Verdict::Known if is_of_another(&item.order) => {}
                Verdict::Known => {
                    tried.known.insert(item.id);
                    tried.good.push(item);
                }
                Verdict::Defer(reason, detail) => {
                    let retry_at = Utc::now() + backoff.pause(item.order.payment.counts().deferred);
                    tried.waiting.push((item, Deferral { reason, detail, retry_at }));
                }
                Verdict::Unreached => _ = tried.unreached.insert(item.id),
                Verdict::Unknown => {}
            }
        }
        tried
    }
}

/// The verdicts of one token's trials. If it reached no payment at all, nothing is known: the next trial would end in the
/// same way.
pub fn verdicts_of(trials: Vec<Trial>) -> impl Iterator<Item = Verdict> {
    let not_reached = Trial::Result(Paid::NotAttempted);
    let behind = if trials.iter().all(|trial| *trial == not_reached) { Verdict::Unknown } else { Verdict::Unreached };
    trials.into_iter().map(move |trial| if trial == not_reached { behind.clone() } else { verdict(trial) })
}

fn verdict(trial: Trial) -> Verdict {
    let defer = |reason, detail: &str| Verdict::Defer(reason, detail.to_owned());
    match trial {
        Trial::Result(Paid::Recorded) => Verdict::Send,
        Trial::Result(Paid::Known) => Verdict::Known,
        Trial::Result(Paid::SoldOut) => defer(WaitReason::SoldOut, "the token has too few units left"),
        Trial::Result(Paid::Stopped) => defer(WaitReason::SettlementStopped, "new payments are stopped"),
        Trial::Result(Paid::Impossible) => {
            defer(WaitReason::Unexplained, "the token says that the payment is impossible")
        }
        Trial::Result(Paid::Unknown(code)) => {
            Verdict::Defer(WaitReason::Unexplained, format!("the token answers {code}"))
        }
        // The trial had too little gas, or the asset did not say why. That says nothing about the payment.
        Trial::Result(Paid::NotAttempted | Paid::Failed) => Verdict::Unknown,
        Trial::Refused(reason, detail) => Verdict::Defer(reason, detail),
    }
}

/// True if a transaction was sent and the nonce turned out to be spent by somebody else, such as for another payment with the
/// same nonce. The confirmer decides the order once that is final, so no second transaction is paid for. If the record falls
/// out of the chain before, the trial says so, and the payment is sent.
fn is_of_another(order: &Order) -> bool {
    let waits_for = order.payment.deferral().map(|why| why.reason);
    order.payment.counts().submitted > 0 && waits_for == Some(WaitReason::AuthorizationUsedOrCancelled)
}

/// Defers payments, each with a visible reason, in one append. If one of them has moved on, each gets an append of its own.
/// A reason that is recorded already is not recorded again.
///
/// # Errors
/// `Transient`: the ledger did not answer; the events may be stored.
pub async fn defer(ledger: &Ledger, waiting: Vec<(Item, Deferral)>) -> Result<(), Undone> {
    let mut events: Vec<NewEvent> = Vec::with_capacity(waiting.len());
    for (item, why) in &waiting {
        if let Some(event) = item.event(Command::Defer(why.clone())) {
            tracing::info!(payment = %item.id, reason = ?why.reason, "payment deferred");
            events.push(event);
        }
    }
    if events.is_empty() {
        return Ok(());
    }
    match ledger.append(Batch::unordered(events)).await {
        Ok(_) => Ok(()),
        Err(AppendError::WrongVersion) => {
            for (item, why) in waiting {
                item.record(ledger, Command::Defer(why)).await?;
            }
            Ok(())
        }
        Err(other) => Err(other.into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chain::B256;
    use domain::{Event, OrderEvent, PaymentKey, PaymentRequest, examples};
    use ledger::{Expected, Loaded};
    use std::time::Duration;
    use testkit::Broker;

    const BACKOFF: Backoff = Backoff { first: Duration::from_secs(2), max: Duration::from_secs(30) };

    /// Order number `n`, as it was when it was read.
    async fn item(ledger: &Ledger, n: u8) -> Item {
        let mut fields = examples::request().into_fields();
        fields.authorization.nonce = B256::repeat_byte(n);
        let authorization = &fields.authorization;
        fields.payment_key = PaymentKey::new(fields.chain_id, fields.asset, authorization.from, authorization.nonce);
        let request = PaymentRequest::new(fields).unwrap();
        let id = request.id();
        let event = Event::Order(id, OrderEvent::PaymentRequested(Box::new(request)));
        ledger.append(NewEvent { event, expected: Expected::Absent, trace: None }).await.unwrap();
        Item::of(id, ledger.load_order(id).await.unwrap()).unwrap()
    }

    fn refused() -> Trial {
        Trial::Refused(WaitReason::Unfunded, "no money".to_owned())
    }

    async fn deferrals(ledger: &Ledger, id: PaymentId) -> u32 {
        let Loaded { state, .. } = ledger.load_order(id).await.unwrap();
        state.unwrap().payment.counts().deferred
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn payments_that_would_fail_are_deferred_in_one_append_and_one_that_has_moved_on_holds_up_none() {
        let broker = Broker::with_accounts().await;
        let (ops, ledger) = (broker.ledger("ops").await, broker.ledger("payment-sender").await);
        let mut items = Vec::new();
        for n in 1..=4 {
            items.push(item(&ops, n).await);
        }
        let ids: Vec<PaymentId> = items.iter().map(|item| item.id).collect();
        let before = ops.load_order(ids[3]).await.unwrap().version;
        let moved = items.split_off(3).swap_remove(0);
        let tried = |items: Vec<Item>| {
            let verdicts = verdicts_of(items.iter().map(|_| refused()).collect()).collect();
            Tried::of(items, verdicts, BACKOFF).waiting
        };
        defer(&ledger, tried(items.clone())).await.unwrap();
        let stored = ops.between(before + 1, before + 99).await.unwrap();
        let batches: HashSet<String> = stored.iter().map(batch_of).collect();
        assert_eq!((stored.len(), batches.len()), (3, 1), "one append: {batches:?}");

        // Somebody else has deferred the first three meanwhile, as these items do not know.
        items.push(moved);
        defer(&ledger, tried(items)).await.unwrap();
        for id in ids {
            assert_eq!(deferrals(&ops, id).await, 1);
        }
    }

    /// The batch of which a stored event was a part.
    fn batch_of(recorded: &domain::Recorded) -> String {
        let headers = String::from_utf8(recorded.message.headers.clone().unwrap()).unwrap();
        headers.lines().find(|line| line.starts_with("Nats-Batch-Id")).unwrap().to_owned()
    }

    #[test]
    fn payments_behind_others_that_use_up_the_gas_come_again_without_a_pause() {
        let behind = || Trial::Result(Paid::NotAttempted);
        let cases = [
            (vec![Trial::Result(Paid::Recorded), behind()], vec![Verdict::Send, Verdict::Unreached]),
            (vec![Trial::Result(Paid::Failed), behind()], vec![Verdict::Unknown, Verdict::Unreached]),
            (vec![behind(), behind()], vec![Verdict::Unknown, Verdict::Unknown]),
        ];
        for (trials, expected) in cases {
            assert_eq!(verdicts_of(trials.clone()).collect::<Vec<_>>(), expected, "{trials:?}");
        }
    }
}
