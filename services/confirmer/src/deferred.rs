//! Waiting payments: finds out if another transaction has paid one, or if it can provably never be paid. The
//! payment-sender tries them again; this module decides them.

use crate::desk::Desk;
use crate::judge::judge;
use domain::order::{Stage, decide};
use domain::{Event, Order, PaymentId, Purchase};
use ledger::{Answer, Delivery, Expected, Inbox, NewEvent, Outcome};
use runtime::failpoint::{WAITING_PAYMENT_HALF_JUDGED, failpoint};
use runtime::{Backoff, CancellationToken, Undone};
use std::time::Duration;
use tokio::join;
use waits::{Carrier, Due, Limits, Party, WaitStage, Waiting};

/// The durable consumer of waiting payments.
pub(crate) const DURABLE: &str = "confirmer-deferred";

/// Maximum number of messages in hand. Each causes a few calls to the node.
const IN_HAND_MAX: usize = 16;

/// Limits of looks at payments that come due: fifty per second while none of them is decided.
const LIMITS: Limits = Limits { per_turn: 5, per_turn_max: 100, in_hand: 16 };

/// First wait before a payment is looked at again. Doubled each time, up to [`LOOK_MAX`].
const LOOK_FIRST: Duration = Duration::from_millis(500);

/// The longest wait. A payment that can never be paid is declared failed at most this long after the proof exists.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// The result of a look.
enum Look {
    /// The order no longer waits.
    Decided,
    /// The order waits. Holds its keys in the fair queue.
    Waits(Party),
    /// The first event of the order was not found.
    Unknown,
}

/// Looks at waiting payments until `stop`.
pub(crate) async fn run(desk: Desk, inbox: Inbox, database_url: String, stop: CancellationToken) {
    let carrier = Carrier::new(desk.ledger.clone(), DURABLE, desk.health.clone());
    let message = |delivery| message(desk.clone(), carrier.clone(), delivery);
    let due = |due: Due| {
        let desk = desk.clone();
        async move {
            Ok(match look(&desk, due.id, |order| order.stage() == Stage::Deferred).await? {
                Look::Decided => Answer::Done,
                Look::Waits(_) | Look::Unknown => Answer::Later(pause(due.tries)),
            })
        }
    };
    join!(
        inbox.run(stop.clone(), IN_HAND_MAX, message),
        carrier.look(stop.clone(), LIMITS, || 0, due),
        carrier.clone().follow_rows(database_url, WaitStage::Payment, stop.clone()),
    );
}

async fn message(desk: Desk, carrier: Carrier, delivery: Delivery) -> Outcome {
    let Some((id, event)) = delivery.order() else { return Ok(Answer::Park("not an order's message".to_owned())) };
    let wait = pause(delivery.deliveries);
    let waiting = |party| Waiting { id, party, seq: delivery.seq, is_new: false };
    if carrier.is_crowded() {
        let Some(order) = desk.ledger.load_order(id).await?.state else { return Ok(Answer::Later(wait)) };
        let waiting = waiting(party(&order));
        let is_carried = order.is_carried_by(event);
        return Ok(if is_carried { carrier.carry(waiting, delivery.deliveries, wait) } else { Answer::Done });
    }
    Ok(match look(&desk, id, |order| order.is_carried_by(event)).await? {
        Look::Decided => Answer::Done,
        Look::Waits(party) => carrier.later(waiting(party), delivery.deliveries, wait),
        Look::Unknown => Answer::Later(wait),
    })
}

/// Keys of the order in the fair queue.
fn party(order: &Order) -> Party {
    let Purchase::Mint { token, .. } = order.request.purchase;
    Party { token, payer: order.request.payer() }
}

fn pause(tries: u32) -> Duration {
    Backoff { first: LOOK_FIRST, max: LOOK_MAX }.pause(tries)
}

/// Decides one order if it can be decided. `carried` tests if the caller still carries the order.
async fn look(desk: &Desk, id: PaymentId, carried: impl FnOnce(&Order) -> bool) -> Result<Look, Undone> {
    runtime::turn("confirmer.deferred");
    let loaded = desk.ledger.load_order(id).await?;
    let Some(order) = &loaded.state else { return Ok(Look::Unknown) };
    if !carried(order) {
        return Ok(Look::Decided);
    }
    let waits = Look::Waits(party(order));
    let Some(head) = *desk.heads.borrow() else { return Ok(waits) };
    let confirmed = desk.chain.confirmed(head).await?;
    failpoint(WAITING_PAYMENT_HALF_JUDGED);
    let command = match judge(desk, order, confirmed).await {
        Ok(Some(command)) => command,
        Ok(None) | Err(Undone::NotYet) => return Ok(waits),
        Err(error) => return Err(error),
    };
    // If there is nothing to record, the order waits on.
    let Ok(Some(event)) = decide(Some(order), command) else { return Ok(waits) };
    let event = Event::Order(id, event);
    let new = NewEvent { event, expected: Expected::Version(loaded.version), trace: loaded.trace.clone() };
    desk.ledger.append(&[new]).await?;
    Ok(Look::Decided)
}
