//! The sources of orders for the lanes: messages of one consumer, and waiting orders that come due.

use crate::deed::{remaining, waits};
use domain::Event;
use ledger::{Answer, ConnectError, Delivery, Inbox, Ledger, Outcome};
use runtime::{CancellationToken, Health, Undone};
use std::time::Duration;
use tokio::join;
use waits::{Carrier, Due, Duty, Job, Limits, Queue, WaitStage};

/// The durable consumer.
const DURABLE: &str = "operator";

/// Maximum number of messages in hand, below `max_ack_pending` of the consumer. The queue is fair within this number.
const IN_HAND_MAX: usize = 256;

/// Limits of tries of waiting orders: ten per second while none succeeds. Each may search the logs of a chain.
const LIMITS: Limits = Limits { per_turn: 1, per_turn_max: 50, in_hand: 50 };

/// Orders on their way to the lanes.
#[derive(Clone)]
pub struct Inflow {
    ledger: Ledger,
    inbox: Inbox,
    /// Ready orders.
    pub queue: Queue<Job>,
    /// Orders that wait in this process.
    pub carrier: Carrier,
    /// Number of lanes that this process works.
    pub duty: Duty,
}

impl Inflow {
    /// Binds to the consumer. A consumer that is not as `nats/` defines it ends the start, also of a standby instance.
    pub async fn bind(ledger: &Ledger, health: Health) -> Result<Self, ConnectError> {
        let inbox = ledger.inbox(DURABLE, health.clone()).await?;
        let carrier = Carrier::new(ledger.clone(), DURABLE, health);
        Ok(Self { ledger: ledger.clone(), inbox, queue: Queue::default(), carrier, duty: Duty::default() })
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
            self.inbox.clone().run(off.clone(), IN_HAND_MAX, message),
            self.carrier.look(off.clone(), LIMITS, || 0, due),
            self.carrier.clone().follow_rows(database_url.to_owned(), WaitStage::Refund, off.clone()),
            close,
        );
    }

    async fn message(self, delivery: Delivery) -> Outcome {
        let Event::Order(id, event) = &delivery.event else {
            return Ok(Answer::Park("not an order's message".to_owned()));
        };
        let Some(order) = self.ledger.load_order(*id).await?.state else { return Err(Undone::NotYet) };
        if !(waits(&order) && order.is_carried_by(event)) {
            return Ok(Answer::Done);
        }
        let waiting = self.carrier.waiting_of(&order, delivery.seq, false);
        match remaining(&order) {
            Some(wait) => Ok(self.carrier.later(waiting, delivery.deliveries, wait)),
            None if self.carrier.is_crowded() => Ok(self.carrier.carry(waiting, delivery.deliveries, Duration::ZERO)),
            None => Job::of_message(delivery, waiting.party, |job| self.queue.push(waiting.party, job)).await,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use domain::order::{Command, decide, evolve};
    use domain::{PaymentId, PaymentKey, PaymentRequest, examples};
    use ledger::{Expected, Lag, NewEvent};
    use std::collections::BTreeSet;
    use testkit::{Broker, until};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    /// Writes order number `nth`, which has gone through `commands`.
    async fn write(ledger: &Ledger, nth: u8, commands: Vec<Command>) -> PaymentId {
        let mut fields = examples::request().into_fields();
        fields.authorization.nonce[31] = nth;
        let nonce = fields.authorization.nonce;
        fields.payment_key = PaymentKey::new(examples::CHAIN_ID, examples::ASSET, examples::PAYER, nonce);
        let request = PaymentRequest::new(fields).unwrap();
        let (id, mut order, mut version) = (request.id(), None, 0);
        for command in std::iter::once(Command::Request(Box::new(request))).chain(commands) {
            let event = decide(order.as_ref(), command).unwrap().unwrap();
            order = evolve(order, &event).unwrap();
            let (event, expected) = (Event::Order(id, event), Expected::Version(version));
            version = ledger.append(&[NewEvent { event, expected, trace: None }]).await.unwrap()[0];
        }
        id
    }

    /// Nothing takes orders out of the index of a standby process, so it must take none over from the rows.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_process_asks_the_database_for_waiting_orders_only_while_it_works_a_lane() {
        let broker = Broker::with_accounts().await;
        let database = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("postgres://user:password@{}/paymint", database.local_addr().unwrap());
        let inflow = Inflow::bind(&broker.ledger("operator").await, Health::default()).await.unwrap();
        let (duty, stop) = (inflow.duty.clone(), CancellationToken::new());
        let running = tokio::spawn(inflow.run(url, stop.clone()));
        assert!(timeout(Duration::from_millis(500), database.accept()).await.is_err(), "on standby");
        let on_duty = duty.begin();
        timeout(Duration::from_secs(10), database.accept()).await.expect("on duty").unwrap();
        drop(on_duty);
        stop.cancel();
        timeout(Duration::from_secs(10), running).await.unwrap().unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_order_that_waits_for_an_operator_comes_once_and_one_that_has_moved_on_does_not_come() {
        let broker = Broker::with_accounts().await;
        let ops = broker.ledger("ops").await;
        let around = || Command::Park(examples::parked_payment());
        let paid = || Command::Confirm(examples::own_proof());
        let ask_back = || Command::RequestRefund(examples::refund_request());
        let waiting = [
            write(&ops, 1, vec![around()]).await,
            write(&ops, 2, vec![around(), ask_back()]).await,
            write(&ops, 3, vec![paid(), ask_back()]).await,
        ];
        write(&ops, 4, vec![around(), Command::Submit(examples::submission(9))]).await;
        write(&ops, 5, vec![paid(), ask_back(), Command::ConfirmRefund(examples::refunded())]).await;
        // Due in the future: the index carries it.
        let mut later = examples::deferral();
        later.retry_at = chrono::Utc::now() + chrono::Duration::hours(1);
        write(&ops, 6, vec![paid(), ask_back(), Command::DeferRefund(later)]).await;

        let inflow = Inflow::bind(&broker.ledger("operator").await, Health::default()).await.unwrap();
        let (stop, on_duty) = (CancellationToken::new(), inflow.duty.begin());
        let (queue, carrier) = (inflow.queue.clone(), inflow.carrier.clone());
        let running = tokio::spawn(inflow.run("postgres://nobody@127.0.0.1:1/none".to_owned(), stop.clone()));
        let mut jobs = Vec::new();
        while jobs.len() < waiting.len() {
            let taken = queue.batch(10, 1, Duration::from_secs(10), Duration::ZERO).await;
            assert!(!taken.is_empty(), "only {} came", jobs.len());
            jobs.extend(taken);
        }
        until("the deferred refund is carried", async || carrier.waiting() == 1).await;
        let ids: BTreeSet<PaymentId> = jobs.iter().map(|job| job.id).collect();
        assert_eq!(ids, BTreeSet::from(waiting));
        jobs.into_iter().for_each(Job::done);
        until("all are acknowledged", async || ops.lag(DURABLE).await.unwrap() == Lag::default()).await;
        assert!(queue.batch(10, 1, Duration::from_millis(300), Duration::ZERO).await.is_empty(), "none comes twice");
        drop(on_duty);
        stop.cancel();
        timeout(Duration::from_secs(10), running).await.unwrap().unwrap();
    }
}
