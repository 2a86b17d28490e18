//! The sources of orders for the lanes: messages of one consumer, and waiting orders that come due.

use crate::deed::{remaining, waits};
use domain::{Event, Order, Purchase};
use ledger::{Answer, ConnectError, Delivery, Inbox, Ledger, Outcome};
use runtime::{CancellationToken, Health, Undone};
use std::time::Duration;
use tokio::join;
use waits::{Carrier, Due, Duty, Job, Limits, Party, Queue, WaitStage, Waiting};

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
            self.carrier.look(off.clone(), LIMITS, due),
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
        let party = party(&order);
        let waiting = Waiting { id: *id, party, seq: delivery.seq };
        match remaining(&order) {
            Some(wait) => Ok(self.carrier.later(waiting, delivery.deliveries, wait)),
            None if self.carrier.is_crowded() => Ok(self.carrier.carry(waiting, delivery.deliveries, Duration::ZERO)),
            None => Job::of_message(delivery, party, |job| self.queue.push(party, job)).await,
        }
    }
}

/// Keys of the order in the fair queue.
fn party(order: &Order) -> Party {
    let Purchase::Mint { token, .. } = order.request.purchase;
    Party { token, payer: order.request.payer() }
}
