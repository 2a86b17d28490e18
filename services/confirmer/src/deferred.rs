//! Waiting payments: finds out if another transaction has paid one, or if it can provably never be paid. The
//! payment-sender tries them again; this module decides them.

use crate::desk::Desk;
use crate::judge::{judge, judge_unused};
use chain::{BILLS_MAX, BillStanding, ChainError, Head};
use domain::event::WaitReason;
use domain::order::{Stage, decide};
use domain::{Event, Order, PaymentId};
use ledger::{Answer, Delivery, Expected, Inbox, NewEvent, Outcome};
use runtime::failpoint::{WAITING_PAYMENT_HALF_JUDGED, failpoint};
use runtime::{Backoff, CancellationToken, Undone};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::join;
use tokio::sync::Semaphore;
use waits::{Carrier, Due, Limits, NewsWatch, WaitStage, Waiting, bills};

/// The durable consumer of waiting payments.
pub(crate) const DURABLE: &str = "confirmer-deferred";

/// Maximum number of messages in hand. Each causes a few calls to the node.
const IN_HAND_MAX: usize = 16;

/// Limits of looks at payments that come due: ten per second while none of them is decided, a few calls each.
const LIMITS: Limits = Limits { per_turn: 1, per_turn_max: 100, in_hand: LOOKS_MAX };
const LOOKS_MAX: usize = 16;

/// Unused nonces are watched: 800 orders a second, in two or three calls. A used one has to be searched for in the logs.
const WATCH: NewsWatch = NewsWatch {
    is_for: |reason| !matches!(reason, WaitReason::AuthorizationUsedOrCancelled),
    page: BILLS_MAX,
    pause: Duration::from_secs(1),
};

/// First wait before a payment is looked at again. Doubled each time, up to [`LOOK_MAX`].
const LOOK_FIRST: Duration = Duration::from_millis(500);

/// The longest wait. A payment that can never be paid is declared failed at most this long after the proof exists.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// The result of a look.
enum Look {
    /// The order no longer waits.
    Decided,
    /// The order waits, or its first event was not found.
    Waits,
}

/// Orders whose nonces are known to be unused after a final block, which is after their windows.
type Dead = Arc<Mutex<HashMap<PaymentId, Head>>>;

/// Looks at waiting payments until `stop`.
pub(crate) async fn run(desk: Desk, inbox: Inbox, database_url: String, stop: CancellationToken) {
    let carrier = Carrier::new(desk.ledger.clone(), DURABLE, desk.health.clone()).with_watch(WATCH);
    let (dead, looks) = (Dead::default(), Arc::new(Semaphore::new(LOOKS_MAX)));
    let message = |delivery| message(desk.clone(), carrier.clone(), delivery);
    let due = |due: Due| {
        let (desk, looks, dead) = (desk.clone(), looks.clone(), with(&dead, |dead| dead.remove(&due.id)));
        async move {
            let _look = looks.acquire_owned().await;
            Ok(match look(&desk, due.id, dead, |order| order.stage() == Stage::Deferred).await? {
                Look::Decided => Answer::Done,
                Look::Waits => Answer::Later(pause(due.tries)),
            })
        }
    };
    join!(
        inbox.run(stop.clone(), IN_HAND_MAX, message),
        carrier.look(stop.clone(), LIMITS, || looks.available_permits(), due),
        carrier.clone().follow_rows(database_url, WaitStage::Payment, stop.clone()),
        carrier.watch(stop.clone(), |orders| news(&desk, &dead, orders)),
    );
}

async fn message(desk: Desk, carrier: Carrier, delivery: Delivery) -> Outcome {
    let Some((id, event)) = delivery.order() else { return Ok(Answer::Park("not an order's message".to_owned())) };
    let wait = pause(delivery.deliveries);
    let Some(order) = desk.ledger.load_order(id).await?.state else { return Ok(Answer::Later(wait)) };
    if !order.is_carried_by(event) {
        return Ok(Answer::Done);
    }
    let waiting = carrier.waiting_of(&order, delivery.seq, false);
    if waiting.watched.is_some() || carrier.is_crowded() {
        return Ok(carrier.carry(waiting, delivery.deliveries, wait));
    }
    Ok(match look(&desk, id, None, |order| order.is_carried_by(event)).await? {
        Look::Decided => Answer::Done,
        Look::Waits => carrier.later(waiting, delivery.deliveries, wait),
    })
}

/// For each order, whether it can be decided now: its nonce is used, or its window is over in a final block. Of the two blocks
/// that are asked for, one is an ancestor of the other, and what is unused after the later one was unused after both.
async fn news(desk: &Desk, dead: &Dead, orders: Vec<Waiting>) -> Result<Vec<bool>, ChainError> {
    let Some(head) = *desk.heads.borrow() else { return Ok(vec![false; orders.len()]) };
    let confirmed = desk.chain.confirmed(head).await?;
    let ends = |order: &Waiting| order.watched.map_or(u64::MAX, |watched| watched.valid_before);
    let is_any_over = orders.iter().any(|order| ends(order) <= confirmed.time);
    let last = if is_any_over { Some(desk.chain.final_head().await?) } else { None };
    let state = last.filter(|last| last.block.number > confirmed.block.number).unwrap_or(confirmed);
    let standings = desk.chain.standings_after(&bills(&orders), state.block).await?;
    let is_news = |(order, standing): (&Waiting, Option<BillStanding>)| match (standing, last) {
        (Some(BillStanding { is_used: true, .. }), _) => true,
        (Some(_), Some(last)) if ends(order) <= last.time => {
            with(dead, |dead| dead.insert(order.id, last));
            true
        }
        (Some(_), _) | (None, _) => false,
    };
    Ok(orders.iter().zip(standings).map(is_news).collect())
}

fn with<R>(dead: &Dead, act: impl FnOnce(&mut HashMap<PaymentId, Head>) -> R) -> R {
    act(&mut dead.lock().unwrap_or_else(PoisonError::into_inner))
}

fn pause(tries: u32) -> Duration {
    Backoff { first: LOOK_FIRST, max: LOOK_MAX }.pause(tries)
}

/// Decides one order if it can be decided. `dead`: a final block after which its nonce was still unused. `carried` tests if the
/// caller still carries the order.
async fn look(
    desk: &Desk,
    id: PaymentId,
    dead: Option<Head>,
    carried: impl FnOnce(&Order) -> bool,
) -> Result<Look, Undone> {
    runtime::turn("confirmer.deferred");
    let loaded = desk.ledger.load_order(id).await?;
    let Some(order) = &loaded.state else { return Ok(Look::Waits) };
    if !carried(order) {
        return Ok(Look::Decided);
    }
    failpoint(WAITING_PAYMENT_HALF_JUDGED);
    let command = match dead.and_then(|last| judge_unused(order, last)) {
        Some(proven) => proven,
        None => {
            let Some(head) = *desk.heads.borrow() else { return Ok(Look::Waits) };
            let confirmed = desk.chain.confirmed(head).await?;
            match judge(desk, order, confirmed).await {
                Ok(Some(command)) => command,
                Ok(None) | Err(Undone::NotYet) => return Ok(Look::Waits),
                Err(error) => return Err(error),
            }
        }
    };
    // If there is nothing to record, the order waits on.
    let Ok(Some(event)) = decide(Some(order), command) else { return Ok(Look::Waits) };
    let event = Event::Order(id, event);
    let new = NewEvent { event, expected: Expected::Version(loaded.version), trace: loaded.trace.clone() };
    desk.ledger.append(&[new]).await?;
    Ok(Look::Decided)
}
