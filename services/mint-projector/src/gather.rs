//! Gathers owed mints by token, until a batch is full or its oldest mint has waited long enough. Tokens take turns over
//! batches, and payers take turns within a batch.

use crate::asking::{Arrival, Ask, Asked, Gathered};
use crate::finder::Finder;
use crate::pool::FoundPool;
use chain::Address;
use chain::token::DELIVER_BATCH_MAX;
use chrono::{DateTime, Utc};
use domain::order::Stage;
use domain::{Order, PaymentId, Purchase};
use ledger::{ConnectError, Delivery, Inbox, Ledger, LedgerError, Loaded};
use runtime::{CancellationToken, Health, SharedSettings, Undone};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::join;
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;
use waits::{Carrier, Due, Duty, FairQueue, Job, Limits, Party, WaitStage};

/// The durable consumer. There is one for all kinds of owed mints. After a restart of nats-server, the first pull of a
/// consumer searches the ledger from its last delivered event on, under the lock that appends need, so a consumer for
/// rare events would hold up all appends.
const DURABLE: &str = "mint-projector";

/// Maximum number of messages in hand, below `max_ack_pending` of the consumer. Batches are fair within this number.
const IN_HAND_MAX: usize = 1_024;

/// Limits of tries of waiting mints. A try costs a share of one request to the ledger and of one to the node.
const LIMITS: Limits = Limits { per_turn: 10, per_turn_max: 200, in_hand: 400 };

/// Pause between two looks at the batches, short enough that none goes out late.
const TURN: Duration = Duration::from_millis(50);

/// An order, or the reason why it cannot be read, which is taken by the first job of the order.
type Found = Result<Loaded<Order>, Option<Undone>>;

/// An owed mint, with its order when it was gathered.
#[derive(Debug)]
struct Owed {
    job: Job,
    order: Loaded<Order>,
}

/// Owed mints on their way to the lanes.
#[derive(Clone)]
pub struct Gathering {
    ledger: Ledger,
    inbox: Inbox,
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
            let arrive = arrive.clone();
            let since = waits_since(&delivery);
            Job::of_message(delivery, Party::default(), move |job| {
                let _ = arrive.send(Arrival { job, since });
            })
        };
        let due = |due: Due| {
            let arrive = arrive.clone();
            Job::of_due(due, move |job| {
                let _ = arrive.send(Arrival { job, since: Instant::now() });
            })
        };
        join!(
            self.inbox.clone().run(off.clone(), IN_HAND_MAX, message),
            self.carrier.look(off.clone(), LIMITS, due),
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
        let found = self.pool().clone();
        let mut owing = Owing { fair: FairQueue::default(), oldest: HashMap::new(), again, found };
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
        }
    }

    /// Puts each arrived job with the others of its token.
    async fn sort(&self, arrived: &mut Vec<Arrival>, owing: &mut Owing) {
        let mut loaded = match orders(&self.ledger, arrived).await {
            Ok(loaded) => loaded,
            Err(error) => {
                let error = Undone::from(error);
                arrived.drain(..).for_each(|arrival| arrival.job.hand_back(&error));
                return;
            }
        };
        for Arrival { mut job, since } in arrived.drain(..) {
            match loaded.get_mut(&job.id) {
                Some(Ok(order)) => {
                    let Some(state) = &order.state else {
                        job.fail(Undone::NotYet);
                        continue;
                    };
                    let Purchase::Mint { token, .. } = state.request.purchase;
                    job.party = Party { token, payer: state.request.payer() };
                    if !job.carries(state, waits) {
                        job.done();
                    } else if let Some(wait) = remaining(state) {
                        job.later(&self.carrier, wait);
                    } else {
                        owing.add(token, Owed { job, order: order.clone() }, since);
                    }
                }
                // A second job of the same order waits for the answer to the first.
                Some(Err(error)) => job.fail(error.take().unwrap_or(Undone::NotYet)),
                None => job.fail(Undone::NotYet),
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

/// Owed mints that no lane has taken.
struct Owing {
    fair: FairQueue<Address, Address, Owed>,
    /// For each token, the time since when its oldest mint waits.
    oldest: HashMap<Address, Instant>,
    again: mpsc::UnboundedSender<Arrival>,
    /// Records that no order stands for. They ride with the mints of their token.
    found: FoundPool,
}

impl Owing {
    fn add(&mut self, token: Address, owed: Owed, since: Instant) {
        let oldest = self.oldest.entry(token).or_insert(since);
        *oldest = since.min(*oldest);
        self.fair.push(token, owed.job.party.payer, owed);
    }

    fn is_ripe(&self, token: Address, max_wait: Duration) -> bool {
        let waited = self.oldest.get(&token).is_some_and(|oldest| oldest.elapsed() >= max_wait);
        waited || self.fair.len_of(token) >= DELIVER_BATCH_MAX
    }

    /// Hands full batches, and those that have waited long enough, to the lanes that ask; tokens take turns. While no
    /// lane asks, batches stay here and grow. Records without an order get what room is left, and a transaction of their
    /// own only if no batch is to be sent.
    fn hand_over(&mut self, asked: &mut Asked, max_wait: Duration) {
        let ripe: Vec<Address> = self.fair.turns().filter(|token| self.is_ripe(*token, max_wait)).collect();
        for token in ripe {
            let Some(ask) = asked.next() else { return };
            let taken = self.fair.take_of(token, ask.most);
            if self.fair.len_of(token) == 0 {
                self.oldest.remove(&token);
            }
            self.hand(ask, token, taken);
        }
        if let Some(token) = self.found.alone()
            && let Some(ask) = asked.next()
        {
            self.hand(ask, token, Vec::new());
        }
    }

    fn hand(&self, ask: Ask, token: Address, taken: Vec<Owed>) {
        let found = self.found.riders(token, ask.most.saturating_sub(taken.len()));
        let (jobs, orders, again) = (Vec::new(), HashMap::new(), self.again.clone());
        let mut batch = Gathered { token, jobs, orders, found, again };
        for Owed { job, order } in taken {
            batch.orders.insert(job.id, order);
            batch.jobs.push(job);
        }
        ask.answer(batch);
    }
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
    use crate::asking::Asking;
    use domain::{Event, OrderEvent, PaymentKey, examples};
    use ledger::{Answer, Expected, NewEvent, Outcome};
    use testkit::Broker;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    fn asks() -> (mpsc::Sender<Ask>, Asked) {
        let (asks, arriving) = mpsc::channel(2);
        (asks, Asked::new(arriving))
    }

    fn owing() -> (Owing, UnboundedReceiver<Arrival>) {
        let (again, arriving) = unbounded_channel();
        let found = FoundPool::new(SharedSettings::default());
        (Owing { fair: FairQueue::default(), oldest: HashMap::new(), again, found }, arriving)
    }

    /// Adds an owed mint that has waited long enough. Returns the answer that its message will get.
    fn add(owing: &mut Owing, n: u8) -> impl Future<Output = Outcome> + Unpin + use<> {
        let id = PaymentId::of(PaymentKey(chain::B256::with_last_byte(n)));
        let party = Party { token: examples::TOKEN, payer: Address::repeat_byte(n) };
        let (queue, mut queued) = unbounded_channel();
        let answer = Job::of_due(Due { id, party, tries: 1 }, move |job| queue.send(job).unwrap());
        let mut answer = Box::pin(answer);
        assert!(poll_once(&mut answer).is_none());
        let order = Order::requested(examples::request());
        let owed = Owed { job: queued.try_recv().unwrap(), order: Loaded { state: Some(order), ..Loaded::default() } };
        owing.add(party.token, owed, Instant::now());
        answer
    }

    /// Polls a future once.
    fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(future).poll(&mut context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }

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
                arrive.send(Arrival { job, since: Instant::now() }).unwrap();
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

    #[tokio::test]
    async fn a_lane_that_withdraws_its_request_gets_no_batch_and_another_lane_gets_it() {
        let (asks, mut asked) = asks();
        let (mut resting, mut working) = (Asking::new(asks.clone()), Asking::new(asks));
        for lane in [&mut resting, &mut working] {
            assert!(poll_once(&mut Box::pin(lane.next(DELIVER_BATCH_MAX))).is_none(), "it has asked");
        }
        resting.withdraw();
        let (mut owing, _arriving) = owing();
        let _answer = add(&mut owing, 1);
        owing.hand_over(&mut asked, Duration::ZERO);
        assert!(poll_once(&mut Box::pin(resting.next(DELIVER_BATCH_MAX))).is_none(), "it asks anew, behind the other");
        assert_eq!(working.next(DELIVER_BATCH_MAX).await.unwrap().jobs.len(), 1);
    }

    #[tokio::test]
    async fn a_batch_that_reached_a_lane_which_cannot_send_is_gathered_again_or_handed_back_when_gathering_is_over() {
        let (asks, mut asked) = asks();
        let mut lane = Asking::new(asks);
        let (mut owing, mut arriving) = owing();
        let mut handed_over = |lane: &mut Asking| {
            assert!(poll_once(&mut Box::pin(lane.next(DELIVER_BATCH_MAX))).is_none());
            let answer = add(&mut owing, 1);
            owing.hand_over(&mut asked, Duration::ZERO);
            answer
        };
        let mut answer = handed_over(&mut lane);
        lane.withdraw();
        let arrival = arriving.try_recv().unwrap();
        assert!(poll_once(&mut answer).is_none(), "still in hand");
        arrival.job.done();
        assert_eq!(answer.await.unwrap(), Answer::Done);

        let answer = handed_over(&mut lane);
        drop(arriving);
        lane.withdraw();
        assert_eq!(answer.await.unwrap(), Answer::Later(Duration::ZERO));
    }
}
