//! The sources of payments for the lanes: messages of two consumers, and waiting payments that come due.

use chain::{BILLS_MAX, Chain, ChainError};
use domain::event::WaitReason;
use domain::{Event, Order, OrderEvent};
use ledger::{Answer, ConnectError, Delivery, Inbox, Ledger, Outcome};
use runtime::{CancellationToken, Health, Undone};
use std::sync::Arc;
use std::time::Duration;
use tokio::join;
use tokio::sync::Semaphore;
use waits::{Carrier, Due, Duty, Job, Limits, NewsWatch, Party, Queue, WaitStage, Waiting, bills};

/// The durable consumers.
const REQUESTED: &str = "payment-sender";
const DEFERRED: &str = "payment-sender-deferred";

/// Maximum number of messages in hand, below `max_ack_pending` of each consumer.
const REQUESTED_MAX: usize = 1_000;
const DEFERRED_MAX: usize = 256;

/// Number of new orders that are handled by their messages, which spares reading them. Every further one is carried.
const HELD_MAX: usize = 500;

/// Payers without money are watched: 3,200 orders a second, in four calls.
const WATCH: NewsWatch = NewsWatch {
    is_for: |reason| matches!(reason, WaitReason::Unfunded),
    page: BILLS_MAX,
    pause: Duration::from_millis(250),
};

/// Limits of tries of other waiting payments, and of those whose money has arrived while nobody watched: ten per second while
/// none succeeds, which cost the node at most twice as many calls.
const LIMITS: Limits = Limits { per_turn: 1, per_turn_max: 100, in_hand: 50 };

/// Payments on their way to the lanes.
#[derive(Clone)]
pub struct Arrivals {
    ledger: Ledger,
    requested: Inbox,
    deferred: Inbox,
    held: Arc<Semaphore>,
    queue: Queue<Job>,
    /// Payments that wait in this process.
    pub carrier: Carrier,
    /// Number of lanes that this process works.
    pub duty: Duty,
}

impl Arrivals {
    /// Binds to the consumers. A consumer that is not as `nats/` defines it ends the start, also of a standby instance.
    pub async fn bind(ledger: &Ledger, health: Health) -> Result<Self, ConnectError> {
        let requested = ledger.inbox(REQUESTED, health.clone()).await?;
        let deferred = ledger.inbox(DEFERRED, health.clone()).await?;
        let carrier = Carrier::new(ledger.clone(), DEFERRED, health).with_new_from(REQUESTED).with_watch(WATCH);
        let (queue, duty, held) = (Queue::default(), Duty::default(), Arc::new(Semaphore::new(HELD_MAX)));
        Ok(Self { ledger: ledger.clone(), requested, deferred, held, queue, carrier, duty })
    }

    /// Fills the queue while a lane is worked, until `stop`.
    pub async fn run(self, database_url: String, stop: CancellationToken) {
        self.duty.shifts(&stop, |off| self.shift(&database_url, off)).await;
    }

    /// Watches payers without money while a lane is worked, until `stop`.
    pub async fn watch(self, chain: Chain, stop: CancellationToken) {
        let watch = async |off| self.carrier.watch(off, |orders| have_money(&chain, orders)).await;
        self.duty.shifts(&stop, watch).await;
    }

    /// The next batch of at most `payments` ready payments for at most `tokens` tokens. Waits up to `idle` for the first, and
    /// then up to `linger` until the batch is full.
    pub async fn batch(&self, payments: usize, tokens: usize, idle: Duration, linger: Duration) -> Vec<Job> {
        let batch = self.queue.batch(payments, tokens, idle, linger).await;
        self.carrier.wake();
        batch
    }

    /// Puts a payment that is to be judged again behind the others of its payer.
    pub fn again(&self, job: Job) {
        self.queue.push(job.party, job);
    }

    /// Only a process that works a lane takes over orders from the rows. Otherwise its index would grow without end.
    async fn shift(&self, database_url: &str, off: CancellationToken) {
        self.queue.open();
        let message = |delivery| self.clone().message(delivery);
        let due = |due: Due| {
            let queue = self.queue.clone();
            Job::of_due(due, move |job| queue.push(job.party, job))
        };
        let close = async {
            off.cancelled().await;
            self.queue.close();
        };
        join!(
            self.requested.clone().run(off.clone(), REQUESTED_MAX, message),
            self.deferred.clone().run(off.clone(), DEFERRED_MAX, message),
            self.carrier.look(off.clone(), LIMITS, || self.queue.room(), due),
            self.carrier.clone().follow_rows(database_url.to_owned(), WaitStage::Unsent, off.clone()),
            close,
        );
    }

    async fn message(self, delivery: Delivery) -> Outcome {
        match &delivery.event {
            Event::Order(id, OrderEvent::PaymentRequested(request)) => {
                let waiting =
                    Waiting { id: *id, party: Party::of(request), seq: delivery.seq, is_new: true, watched: None };
                self.requested(delivery, waiting).await
            }
            Event::Order(id, event) => {
                let Some(order) = self.ledger.load_order(*id).await?.state else { return Err(Undone::NotYet) };
                if !order.is_carried_by(event) {
                    return Ok(Answer::Done);
                }
                let waiting = self.carrier.waiting_of(&order, delivery.seq, false);
                match remaining(&order) {
                    wait if waiting.watched.is_some() => {
                        Ok(self.carrier.carry(waiting, delivery.deliveries, wait.unwrap_or_default()))
                    }
                    Some(wait) => Ok(self.carrier.later(waiting, delivery.deliveries, wait)),
                    None if self.carrier.is_crowded() => {
                        Ok(self.carrier.carry(waiting, delivery.deliveries, Duration::ZERO))
                    }
                    None => {
                        let party = waiting.party;
                        Job::of_message(delivery, party, |job| self.queue.push(party, job)).await
                    }
                }
            }
            _ => Job::of_message(delivery, Party::default(), drop).await,
        }
    }

    /// A new order is handled by its message, or is carried if there are many. Then it stands in the fair queue of the
    /// index, and its message holds no place that the order of somebody else needs.
    async fn requested(&self, delivery: Delivery, waiting: Waiting) -> Outcome {
        let place = self.held.try_acquire();
        if (place.is_err() || self.carrier.has_fresh()) && !self.carrier.is_full() {
            return Ok(self.carrier.carry(waiting, 0, Duration::ZERO));
        }
        Job::of_message(delivery, waiting.party, |job| self.queue.push(waiting.party, job)).await
    }
}

/// For each order, whether its payer has the money now. The trial says if it is enough for all of a payer's orders.
async fn have_money(chain: &Chain, orders: Vec<Waiting>) -> Result<Vec<bool>, ChainError> {
    let standings = chain.standings(&bills(&orders)).await?;
    Ok(standings.into_iter().map(|seen| seen.is_some_and(|seen| seen.is_funded && !seen.is_used)).collect())
}

/// Time until a deferred payment may be tried. Returns `None` if it may be tried now.
pub fn remaining(order: &Order) -> Option<Duration> {
    let why = order.payment.deferral()?;
    (why.retry_at - chrono::Utc::now()).to_std().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chain::token::{PAY_BATCH_MAX, SEGMENTS_MAX};
    use chain::{Address, B256};
    use domain::{PaymentId, PaymentKey, PaymentRequest, Purchase, examples};
    use ledger::{Batch, Expected, Lag, NewEvent};
    use std::collections::HashSet;
    use testkit::{Broker, until};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    const BIG: Address = examples::TOKEN;
    const SMALL: Address = Address::repeat_byte(0x5a);

    /// A payer's only order of `token`.
    fn request(token: Address, payer: usize) -> PaymentRequest {
        let mut fields = examples::request().into_fields();
        let authorization = &mut fields.authorization;
        (authorization.from, authorization.to) = (Address::left_padding_from(&payer.to_be_bytes()), token);
        authorization.nonce = B256::left_padding_from(&payer.to_be_bytes());
        fields.payment_key = PaymentKey::new(fields.chain_id, fields.asset, authorization.from, authorization.nonce);
        let Purchase::Mint { token: bought, .. } = &mut fields.purchase;
        *bought = token;
        PaymentRequest::new(fields).unwrap()
    }

    /// Writes orders of `token`, each of another payer.
    async fn write(ledger: &Ledger, token: Address, payers: std::ops::Range<usize>) -> Vec<PaymentId> {
        let requests: Vec<PaymentRequest> = payers.map(|payer| request(token, payer)).collect();
        for some in requests.chunks(500) {
            let new = some.iter().map(|request| {
                let event = Event::Order(request.id(), OrderEvent::PaymentRequested(Box::new(request.clone())));
                NewEvent { event, expected: Expected::Absent, trace: None }
            });
            ledger.append(Batch::unordered(new)).await.unwrap();
        }
        requests.iter().map(|request| request.id()).collect()
    }

    /// A process that works a lane, without a database.
    struct OneLane {
        broker: Broker,
        ops: Ledger,
        arrivals: Arrivals,
        running: JoinHandle<()>,
        stop: CancellationToken,
        _on_duty: waits::OnDuty,
    }

    impl OneLane {
        async fn start() -> Self {
            let broker = Broker::with_accounts().await;
            let (ops, ledger) = (broker.ledger("ops").await, broker.ledger("payment-sender").await);
            let arrivals = Arrivals::bind(&ledger, Health::default()).await.unwrap();
            let (stop, on_duty) = (CancellationToken::new(), arrivals.duty.begin());
            let url = "postgres://nobody@127.0.0.1:1/none".to_owned();
            let running = tokio::spawn(arrivals.clone().run(url, stop.clone()));
            Self { broker, ops, arrivals, running, stop, _on_duty: on_duty }
        }

        async fn lag(&self) -> Lag {
            self.ops.lag(REQUESTED).await.unwrap()
        }

        /// The next batch of a lane.
        async fn batch(&self) -> Vec<Job> {
            let batch = self
                .arrivals
                .batch(PAY_BATCH_MAX, SEGMENTS_MAX, Duration::from_secs(5), Duration::from_millis(300))
                .await;
            // A lane takes longer to handle a batch than others take to get ready.
            let (queue, carrier) = (&self.arrivals.queue, &self.arrivals.carrier);
            until("the queue is full again", async || queue.room() == 0 || !carrier.has_fresh()).await;
            batch
        }

        async fn end(self) {
            self.stop.cancel();
            timeout(Duration::from_secs(10), self.running).await.unwrap().unwrap();
            drop(self.broker);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_order_behind_ten_thousand_of_another_token_is_in_one_of_the_next_two_batches() {
        let lane = OneLane::start().await;
        let mut left: HashSet<PaymentId> = write(&lane.ops, BIG, 0..10_000).await.into_iter().collect();
        let small = write(&lane.ops, SMALL, 50_000..50_001).await[0];
        let is_bounded = |lag: Lag| lag.pending == 0 && lag.held <= HELD_MAX as u64;
        until("all have arrived, and few hold a place", async || is_bounded(lane.lag().await)).await;
        let mut seen = None;
        for nth in 1.. {
            let batch = lane.batch().await;
            if batch.is_empty() {
                break;
            }
            for job in batch {
                match job.id == small {
                    true => seen = Some(nth),
                    false => assert!(left.remove(&job.id), "twice"),
                }
                job.done();
            }
        }
        assert!(seen <= Some(2), "{seen:?}");
        assert_eq!((seen.is_some(), left.len(), lane.arrivals.carrier.waiting()), (true, 0, 0), "each came once");
        until("all are acknowledged", async || lane.lag().await == Lag::default()).await;
        lane.end().await;
    }

    /// The token of the others cannot be tried, or its registration is of a newer build.
    #[tokio::test(flavor = "multi_thread")]
    async fn orders_that_cannot_be_tried_hold_no_place_that_another_order_needs() {
        let lane = OneLane::start().await;
        let carrier = &lane.arrivals.carrier;
        let others = write(&lane.ops, BIG, 0..1_100).await.len();
        let (mut tried, mut small, mut is_seen) = (HashSet::new(), None, false);
        let begun = tokio::time::Instant::now();
        while !is_seen {
            for job in lane.batch().await {
                if Some(job.id) == small {
                    is_seen = true;
                    job.done();
                    continue;
                }
                tried.insert(job.id);
                match tried.len() % 2 {
                    0 => job.fail(carrier, Undone::Unknown("io.paymint.token.registered.v9".into())),
                    _ => job.hand_back(carrier, &Undone::transient("no node tries it")),
                }
            }
            if small.is_none() && tried.len() >= 1_000 {
                small = Some(write(&lane.ops, SMALL, 50_000..50_001).await[0]);
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{} were tried, and the new one not", tried.len());
        }
        let held = usize::try_from(lane.lag().await.held).unwrap();
        assert!(carrier.waiting() + held >= others, "none is lost");
        lane.end().await;
    }

    /// Nothing takes orders out of the index of a standby process, so it must take none over from the rows.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_process_asks_the_database_for_waiting_orders_only_while_it_works_a_lane() {
        let broker = Broker::with_accounts().await;
        let database = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("postgres://user:password@{}/paymint", database.local_addr().unwrap());
        let ledger = broker.ledger("payment-sender").await;
        let arrivals = Arrivals::bind(&ledger, Health::default()).await.unwrap();
        let (duty, stop) = (arrivals.duty.clone(), CancellationToken::new());
        let running = tokio::spawn(arrivals.run(url, stop.clone()));
        assert!(timeout(Duration::from_millis(500), database.accept()).await.is_err(), "on standby");
        let on_duty = duty.begin();
        let (asking, _) = timeout(Duration::from_secs(10), database.accept()).await.expect("on duty").unwrap();
        drop(on_duty);
        // The end of the shift also ends the wait for a database that does not answer.
        let closed = async {
            asking.readable().await.unwrap();
            while asking.try_read(&mut [0; 1_024]).is_ok_and(|count| count > 0) {
                asking.readable().await.unwrap();
            }
        };
        timeout(Duration::from_secs(10), closed).await.expect("off duty");
        stop.cancel();
        timeout(Duration::from_secs(10), running).await.unwrap().unwrap();
    }
}
