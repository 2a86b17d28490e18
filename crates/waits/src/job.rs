//! One order on its way through a queue, a batch and a lane, and the answer to it.

use crate::carrier::{Carrier, Due, Waiting};
use crate::index::Party;
use chrono::{TimeDelta, Utc};
use domain::{Order, OrderEvent, PaymentId};
use ledger::{Answer, Delivery, Newest, Outcome, hand_back};
use runtime::Undone;
use std::time::Duration;
use tokio::sync::oneshot;

/// The reason why an order is handled now.
#[derive(Debug)]
pub enum By {
    /// A consumer delivered a message with this event.
    Message(Box<OrderEvent>),
    /// The order waited in the index, and is due.
    Time,
}

/// An order to be handled. If it is dropped without an answer, it is handed back and comes again.
#[derive(Debug)]
pub struct Job {
    /// The order.
    pub id: PaymentId,
    /// Keys of the order in the fair queue; zero addresses until the order has been read.
    pub party: Party,
    /// The reason why it is handled now.
    pub by: By,
    /// Number of deliveries or tries so far.
    pub tries: u32,
    /// Sequence of its message; 0 for an order that came due.
    pub seq: u64,
    newest: Option<Box<Newest>>,
    answer: oneshot::Sender<Outcome>,
}

/// Longest delay of a message that must stay with its consumer. Below the `ack_wait` of the consumer.
const HELD_MAX: Duration = Duration::from_secs(4);

/// A message is new for this long, longer than any queue of a shop that works. The order of an older one has probably moved
/// on: a consumer that an operator has made anew delivers all messages for the first time. Trying those costs more than
/// reading them.
const NEW_FOR: TimeDelta = TimeDelta::minutes(2);

/// The answer of a job that was dropped.
const HANDED_BACK: Outcome = Ok(Answer::Later(Duration::ZERO));

impl Job {
    /// Makes a job of a message, hands it to `queue`, and waits for its answer. A message that is not about an order is
    /// parked.
    pub async fn of_message(delivery: Delivery, party: Party, queue: impl FnOnce(Self)) -> Outcome {
        let newest = delivery.newest().map(Box::new);
        let Delivery { event, seq, deliveries, .. } = delivery;
        let domain::Event::Order(id, event) = event else {
            return Ok(Answer::Park("not an order's message".to_owned()));
        };
        let (answer, answered) = oneshot::channel();
        queue(Self { id, party, by: By::Message(Box::new(event)), tries: deliveries, seq, newest, answer });
        answered.await.unwrap_or(HANDED_BACK)
    }

    /// Makes a job of an order that is due, hands it to `queue`, and waits for its answer.
    pub async fn of_due(due: Due, queue: impl FnOnce(Self)) -> Outcome {
        let (answer, answered) = oneshot::channel();
        queue(Self { id: due.id, party: due.party, by: By::Time, tries: due.tries, seq: 0, newest: None, answer });
        answered.await.unwrap_or(HANDED_BACK)
    }

    /// The event of its message, if nothing is known to have followed it: it was stored a moment ago, and is delivered
    /// for the first time. Returns it once. If the order has moved on since, the next try has to read it.
    pub fn take_newest(&mut self) -> Option<Newest> {
        let newest = self.newest.take()?;
        (Utc::now() - newest.recorded_at() < NEW_FOR).then_some(*newest)
    }

    /// True if this job still carries the order: its message does, or it came due and the order is in the state that
    /// `waits` tests.
    pub fn carries(&self, order: &Order, waits: impl FnOnce(&Order) -> bool) -> bool {
        match &self.by {
            By::Message(event) => order.is_carried_by(event),
            By::Time => waits(order),
        }
    }

    /// Answers that the work is done: its effect is in the ledger, or another message carries the order.
    pub fn done(self) {
        self.outcome(Ok(Answer::Done));
    }

    /// Answers that the order is to be handled again after `delay`. If that is longer than the consumer may hold a
    /// message, `carrier` takes the order over. The message of a requested payment stays with its consumer, and comes
    /// again after at most [`HELD_MAX`].
    pub fn later(self, carrier: &Carrier, delay: Duration) {
        let answer = match &self.by {
            // The rows name an order as waiting only after a deferral or a confirmation. If the message of a requested
            // order were acknowledged and this process died, nothing would bring the order back.
            By::Message(event) if matches!(**event, OrderEvent::PaymentRequested(_)) => {
                Answer::Later(delay.min(HELD_MAX))
            }
            By::Message(_) => {
                carrier.later(Waiting { id: self.id, party: self.party, seq: self.seq }, self.tries, delay)
            }
            By::Time => Answer::Later(delay),
        };
        self.outcome(Ok(answer));
    }

    /// Answers that the order can never be handled, and is left to an operator.
    pub fn park(self, reason: impl Into<String>) {
        self.outcome(Ok(Answer::Park(reason.into())));
    }

    /// Answers that handling this order failed.
    pub fn fail(self, why: impl Into<Undone>) {
        self.outcome(Err(why.into()));
    }

    /// Answers that a batch failed as a whole; the error may belong to another order of it.
    pub fn hand_back(self, why: &Undone) {
        let answer = hand_back(why, self.tries);
        self.outcome(Ok(answer));
    }

    /// Sends the answer. If the process is stopping nothing listens, and the work comes again later.
    fn outcome(self, outcome: Outcome) {
        let _ = self.answer.send(outcome);
    }
}
