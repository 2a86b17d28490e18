//! The sources of owed mints for the lanes: messages of one consumer, and waiting mints that come due. They are gathered
//! by token.

use crate::asking::{Arrival, Ask, Asked};
use crate::finder::Finder;
use crate::owing::{Owed, Owing};
use crate::pool::FoundPool;
use chrono::{DateTime, Utc};
use domain::order::Stage;
use domain::{Order, PaymentId};
use ledger::{ConnectError, Delivery, Inbox, Ledger, LedgerError, Loaded};
use runtime::{CancellationToken, Health, SharedSettings, Undone};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::join;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::time::Instant;
use waits::{Carrier, Due, Duty, Job, Limits, Party, READY_MAX, WaitStage};

/// The durable consumer. There is one for all kinds of owed mints. After a restart of nats-server, the first pull of a
/// consumer searches the ledger from its last delivered event on, under the lock that appends need, so a consumer for
/// rare events would hold up all appends.
const DURABLE: &str = "mint-projector";

/// Maximum number of messages in hand, below `max_ack_pending` of the consumer.
const IN_HAND_MAX: usize = 1_024;

/// Number of owed mints that are gathered by their messages, which spares reading them. Every further one is carried.
const HELD_MAX: usize = 500;

/// Limits of tries of waiting mints. A try costs a share of one request to the ledger and of one to the node.
const LIMITS: Limits = Limits { per_turn: 10, per_turn_max: 200, in_hand: 400 };

/// Pause between two looks at the batches, short enough that none goes out late.
const TURN: Duration = Duration::from_millis(50);

/// An order, or the reason why it cannot be read, which is taken by the first job of the order.
type Found = Result<Loaded<Order>, Option<Undone>>;

/// Owed mints on their way to the lanes.
#[derive(Clone)]
pub struct Gathering {
    ledger: Ledger,
    inbox: Inbox,
    held: Arc<Semaphore>,
    /// Number of mints that are in hand and that no lane has taken.
    ready: Arc<AtomicUsize>,
    asked: Arc<Mutex<Asked>>,
    settings: SharedSettings,
    finder: Finder,
    /// Mints that wait in this process.
    pub carrier: Carrier,
    /// Number of lanes that this process works.
    pub duty: Duty,
}

impl Gathering {
    /// Binds to the consumer. A consumer that is not as `nats/` defines it ends the start, also of a standby instance.
    pub async fn bind(
        ledger: &Ledger,
        finder: Finder,
        asked: mpsc::Receiver<Ask>,
        health: Health,
    ) -> Result<Self, ConnectError> {
        Ok(Self {
            ledger: ledger.clone(),
            inbox: ledger.inbox(DURABLE, health.clone()).await?,
            held: Arc::new(Semaphore::new(HELD_MAX)),
            ready: Arc::default(),
            asked: Arc::new(Mutex::new(Asked::new(asked))),
            settings: finder.settings.clone(),
            finder,
            carrier: Carrier::new(ledger.clone(), DURABLE, health),
            duty: Duty::default(),
        })
    }

    /// Gathers while a lane is worked, until `stop`.
    pub async fn run(self, database_url: String, stop: CancellationToken) {
        self.duty.shifts(&stop, |off| self.shift(&database_url, off)).await;
    }

    /// Only a process that works a lane takes over orders from the rows. Otherwise its index would grow without end.
    async fn shift(&self, database_url: &str, off: CancellationToken) {
        let (arrive, arriving) = mpsc::unbounded_channel();
        let message = |delivery: Delivery| {
            let (arrive, place) = (arrive.clone(), self.held.clone().try_acquire_owned().ok());
            let may_stay = place.is_some() && !self.carrier.has_fresh();
            async move {
                let since = waits_since(&delivery);
                let queue = move |job| drop(arrive.send(Arrival { job, may_stay, since }));
                let outcome = Job::of_message(delivery, Party::default(), queue).await;
                drop(place);
                outcome
            }
        };
        let due = |due: Due| {
            self.ready.fetch_add(1, Ordering::Relaxed);
            Job::of_due(due, |job| drop(arrive.send(Arrival { job, may_stay: true, since: Instant::now() })))
        };
        let room = || READY_MAX.saturating_sub(self.ready.load(Ordering::Relaxed));
        join!(
            self.inbox.clone().run(off.clone(), IN_HAND_MAX, message),
            self.carrier.look(off.clone(), LIMITS, room, due),
            self.carrier.clone().follow_rows(database_url.to_owned(), WaitStage::Mint, off.clone()),
            self.finder.run(off.clone()),
            self.gather(arriving, arrive.clone(), off.clone()),
        );
    }

    /// Records that no order stands for.
    pub fn pool(&self) -> &FoundPool {
        &self.finder.writer.pool
    }

    /// Gathers arriving jobs until `off`. Jobs that no lane has taken by then are handed back.
    async fn gather(
        &self,
        mut arriving: mpsc::UnboundedReceiver<Arrival>,
        again: mpsc::UnboundedSender<Arrival>,
        off: CancellationToken,
    ) {
        let mut owing = Owing::new(again, self.pool().clone());
        let mut asked = self.asked.lock().await;
        let mut arrived = Vec::new();
        while !off.is_cancelled() {
            runtime::turn("mint-projector.gather");
            tokio::select! {
                _ = arriving.recv_many(&mut arrived, IN_HAND_MAX) => self.sort(&mut arrived, &mut owing).await,
                () = asked.arrive() => {}
                () = tokio::time::sleep(TURN) => {}
                () = off.cancelled() => {}
            }
            owing.hand_over(&mut asked, self.settings.now().mint_wait_max);
            let ready = owing.len() + arriving.len();
            if ready < self.ready.swap(ready, Ordering::Relaxed) {
                self.carrier.wake();
            }
        }
    }

    /// Puts each arrived job with the others of its token.
    async fn sort(&self, arrived: &mut Vec<Arrival>, owing: &mut Owing) {
        let mut loaded = match orders(&self.ledger, arrived).await {
            Ok(loaded) => loaded,
            Err(error) => {
                let error = Undone::from(error);
                arrived.drain(..).for_each(|arrival| arrival.job.hand_back(&self.carrier, &error));
                return;
            }
        };
        for Arrival { mut job, may_stay, since } in arrived.drain(..) {
            match loaded.get_mut(&job.id) {
                Some(Ok(order)) => {
                    let Some(state) = &order.state else {
                        job.fail(&self.carrier, Undone::NotYet);
                        continue;
                    };
                    job.party = Party::of(&state.request);
                    if !job.carries(state, waits) {
                        job.done();
                    } else if let Some(wait) = remaining(state) {
                        job.later(&self.carrier, wait);
                    } else if !may_stay && !self.carrier.is_full() {
                        job.carried(&self.carrier);
                    } else {
                        owing.add(job.party.token, Owed { job, order: order.clone() }, since);
                    }
                }
                // A second job of the same order waits for the answer to the first.
                Some(Err(error)) => job.fail(&self.carrier, error.take().unwrap_or(Undone::NotYet)),
                None => job.fail(&self.carrier, Undone::NotYet),
            }
        }
    }
}

/// The orders of the arrived jobs. Of an order whose payment has just been confirmed, only the request is read, unless it has
/// another job here: that could be answered by an order that lacks the very event which the job carries.
async fn orders(ledger: &Ledger, arrived: &mut [Arrival]) -> Result<HashMap<PaymentId, Found>, LedgerError> {
    let (mut paid, mut unknown, mut found) = (HashMap::new(), Vec::new(), HashMap::new());
    for Arrival { job, .. } in arrived {
        match job.take_newest() {
            Some(newest) => _ = paid.insert(job.id, newest),
            None => unknown.push(job.id),
        }
    }
    let mut requested = ledger.requested(&paid.keys().copied().collect::<Vec<_>>()).await?;
    for (id, newest) in paid {
        match requested.remove(&id).and_then(|order| newest.after_request(order)) {
            Some(order) => _ = found.insert(id, Ok(order)),
            None => unknown.push(id),
        }
    }
    let loaded = ledger.load_orders(&unknown).await?;
    found.extend(loaded.into_iter().map(|(id, order)| (id, order.map_err(|error| Some(error.into())))));
    Ok(found)
}

/// The time since when a message waits for others: since its event was stored, and not since it arrived, so that
/// nothing waits a second time after a restart. A redelivered message counts from now, because it waited for something
/// else.
fn waits_since(delivery: &Delivery) -> Instant {
    let age = |at: DateTime<Utc>| (Utc::now() - at).to_std().unwrap_or_default();
    let waited = if delivery.deliveries == 1 { age(delivery.recorded_at) } else { Duration::ZERO };
    let now = Instant::now();
    now.checked_sub(waited).unwrap_or(now)
}

/// True if a mint that came due is still owed and in no transaction.
pub fn waits(order: &Order) -> bool {
    matches!(order.stage(), Stage::Paid | Stage::MintDeferred)
}

/// Time until a deferred mint may be tried. Returns `None` if it may be tried now.
fn remaining(order: &Order) -> Option<Duration> {
    let why = order.mint.deferral().filter(|_| order.stage() == Stage::MintDeferred)?;
    (why.retry_at - Utc::now()).to_std().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use domain::{Event, OrderEvent, examples};
    use ledger::{Expected, NewEvent};
    use testkit::Broker;
    use tokio::sync::mpsc::unbounded_channel;

    /// A job may be answered without an append. If the one of `restored` were judged by the order as `confirmed` leaves it,
    /// it would be answered, and nothing would carry the order.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_order_with_a_second_job_is_read_whole() {
        let broker = Broker::with_accounts().await;
        let (ops, minter) = (broker.ledger("ops").await, broker.ledger("mint-projector").await);
        let (id, mut version) = (examples::request().id(), 0);
        for event in [
            OrderEvent::PaymentRequested(Box::new(examples::request())),
            OrderEvent::PaymentSubmitted(1, examples::submission(7)),
            OrderEvent::PaymentConfirmed(examples::proof()),
            OrderEvent::PaymentReverted(1, examples::reversal(7)),
            OrderEvent::PaymentRestored(1, examples::proof()),
        ] {
            let expected = Expected::Version(version);
            let new = NewEvent { event: Event::Order(id, event), expected, trace: None };
            version = ops.append(new).await.unwrap()[0];
        }
        let (arrive, mut arriving) = unbounded_channel();
        let inbox = minter.inbox(DURABLE, Health::default()).await.unwrap();
        let running = tokio::spawn(inbox.run(CancellationToken::new(), 8, move |delivery| {
            let arrive = arrive.clone();
            Job::of_message(delivery, Party::default(), move |job| {
                arrive.send(Arrival { job, may_stay: true, since: Instant::now() }).unwrap();
            })
        }));
        let mut arrived = vec![arriving.recv().await.unwrap(), arriving.recv().await.unwrap()];
        arrived.sort_by_key(|arrival| arrival.job.seq);
        let found = orders(&minter, &mut arrived).await.unwrap();
        let Some(Ok(Loaded { state: Some(order), version: read, .. })) = found.get(&id) else { panic!("not found") };
        assert_eq!((*read, order.payment.counts().reverted), (version, 1));
        let carries: Vec<bool> = arrived.iter().map(|arrival| arrival.job.carries(order, waits)).collect();
        assert_eq!(carries, [false, true]);
        running.abort();
    }
}
