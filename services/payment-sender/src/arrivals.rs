//! The sources of payments for the lanes: messages of two consumers, and waiting payments that come due.

use domain::{Event, Order, OrderEvent, PaymentRequest, Purchase};
use ledger::{Answer, ConnectError, Delivery, Inbox, Ledger, Outcome};
use runtime::{CancellationToken, Health, Undone};
use std::time::Duration;
use tokio::join;
use waits::{Carrier, Due, Duty, Job, Limits, Party, Queue, WaitStage, Waiting};

/// The durable consumers.
const REQUESTED: &str = "payment-sender";
const DEFERRED: &str = "payment-sender-deferred";

/// Maximum number of messages in hand, below `max_ack_pending` of each consumer. The queue is fair within this number.
const REQUESTED_MAX: usize = 1_000;
const DEFERRED_MAX: usize = 256;

/// Limits of tries of waiting payments: twenty per second while none succeeds, which cost the node at most twice as
/// many calls.
const LIMITS: Limits = Limits { per_turn: 2, per_turn_max: 100, in_hand: 50 };

/// Payments on their way to the lanes.
#[derive(Clone)]
pub struct Arrivals {
    ledger: Ledger,
    requested: Inbox,
    deferred: Inbox,
    /// Ready payments.
    pub queue: Queue<Job>,
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
        let carrier = Carrier::new(ledger.clone(), DEFERRED, health);
        let (queue, duty) = (Queue::default(), Duty::default());
        Ok(Self { ledger: ledger.clone(), requested, deferred, queue, carrier, duty })
    }

    /// Fills the queue while a lane is worked, until `stop`.
    pub async fn run(self, database_url: String, stop: CancellationToken) {
        self.duty.shifts(&stop, |off| self.shift(&database_url, off)).await;
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
            self.carrier.look(off.clone(), LIMITS, due),
            self.carrier.clone().follow_rows(database_url.to_owned(), WaitStage::Payment, off.clone()),
            close,
        );
    }

    async fn message(self, delivery: Delivery) -> Outcome {
        let party = match &delivery.event {
            Event::Order(_, OrderEvent::PaymentRequested(request)) => party(request),
            Event::Order(id, event) => {
                let Some(order) = self.ledger.load_order(*id).await?.state else { return Err(Undone::NotYet) };
                if !order.is_carried_by(event) {
                    return Ok(Answer::Done);
                }
                let party = party(&order.request);
                let waiting = Waiting { id: *id, party, seq: delivery.seq };
                match remaining(&order) {
                    Some(wait) => return Ok(self.carrier.later(waiting, delivery.deliveries, wait)),
                    None if self.carrier.is_crowded() => {
                        return Ok(self.carrier.carry(waiting, delivery.deliveries, Duration::ZERO));
                    }
                    None => {}
                }
                party
            }
            _ => Party::default(),
        };
        Job::of_message(delivery, party, |job| self.queue.push(party, job)).await
    }
}

/// Keys of the order in the fair queue.
pub fn party(request: &PaymentRequest) -> Party {
    let Purchase::Mint { token, .. } = request.purchase;
    Party { token, payer: request.payer() }
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
    use testkit::Broker;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

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
