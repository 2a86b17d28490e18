//! Payments that wait: has somebody else paid them, or are they provably dead? The sender tries them; this decides them.

use crate::Undecided;
use crate::desk::{Desk, alarm_if_lost, answer};
use crate::payments::judge;
use domain::order::decide;
use domain::{Event, OrderEvent, PaymentId};
use ledger::{Delivery, Expected, Inbox, NewEvent};
use runtime::{CancellationToken, Fatal, failpoint};
use std::time::Duration;

/// Payments looked at in one turn.
const BATCH_MAX: usize = 64;

/// First wait before a payment is looked at again; doubled each time, up to [`LOOK_MAX`].
const LOOK_FIRST: Duration = Duration::from_millis(500);

/// The longest wait: a payment that is dead is said to be dead this long after the proof exists.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// Looks at waiting payments until `stop`.
pub async fn run(desk: Desk, stop: CancellationToken) -> Result<(), Fatal> {
    let inbox = desk.ledger.inbox("confirmer-deferred").await?;
    while !stop.is_cancelled() {
        desk.ledger.until_whole(&stop).await;
        match inbox.fetch(BATCH_MAX, Duration::from_millis(500), Duration::ZERO).await {
            Ok(batch) => {
                for delivery in batch {
                    look(&desk, &inbox, delivery).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "no waiting payments to be had");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
    Ok(())
}

async fn look(desk: &Desk, inbox: &Inbox, delivery: Delivery) {
    let wait = LOOK_FIRST.saturating_mul(1 << delivery.deliveries.min(8)).min(LOOK_MAX);
    let Event::Order(id, event) = delivery.event.clone() else {
        return answer(inbox.set_aside(delivery, "not an order's message").await);
    };
    match decide_one(desk, id, &event).await {
        Ok(true) => delivery.ack().await,
        Ok(false) | Err(Undecided::NotDeepYet | Undecided::Stale | Undecided::Stopped(_)) => delivery.nak(wait).await,
        Err(Undecided::Neighbour(error)) => {
            tracing::warn!(payment = %id, error, "not decided");
            delivery.nak(wait).await;
        }
        Err(Undecided::Corrupt(why)) => answer(inbox.set_aside(delivery, &why).await),
    }
}

/// True when the order no longer waits for this message.
async fn decide_one(desk: &Desk, id: PaymentId, event: &OrderEvent) -> Result<bool, Undecided> {
    let loaded = desk.ledger.load_order(id).await?;
    let Some(order) = &loaded.state else { return Ok(false) };
    if !order.is_carried_by(event) {
        return Ok(true);
    }
    let Some(head) = *desk.heads.borrow() else { return Err(Undecided::NotDeepYet) };
    let confirmed = desk.chain.confirmed(head).await?;
    failpoint("C15");
    let Some(command) = judge(desk, order, confirmed).await? else { return Ok(false) };
    // Where nothing is to be written this message carries the order on.
    let Ok(Some(event)) = decide(Some(order), command) else { return Ok(false) };
    alarm_if_lost(id, Some(order), &event);
    let event = Event::Order(id, event);
    let new = NewEvent { event, expected: Expected::Version(loaded.version), trace: loaded.trace.clone() };
    desk.ledger.append(&[new]).await?;
    Ok(true)
}
