//! One order on its way through a queue, a batch and a lane, and the answer to it.

use crate::carrier::{Carrier, Due};
use crate::index::{Party, Waiting};
use chrono::{TimeDelta, Utc};
use domain::{Order, OrderEvent, PaymentId};
use ledger::{Answer, Delivery, Newest, Outcome, hand_back, retry};
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

    /// Makes a job of an order that is due, and hands it to `queue` immediately. The result is its answer.
    pub fn of_due(due: Due, queue: impl FnOnce(Self)) -> impl Future<Output = Outcome> + Send + 'static {
        let (answer, answered) = oneshot::channel();
        queue(Self { id: due.id, party: due.party, by: By::Time, tries: due.tries, seq: 0, newest: None, answer });
        async { answered.await.unwrap_or(HANDED_BACK) }
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

    /// Answers that the order is to be handled again after `delay`. If its message should not stay with the consumer that
    /// long, `carrier` takes the order over.
    pub fn later(self, carrier: &Carrier, delay: Duration) {
        let answer = self.again(carrier, delay);
        self.outcome(Ok(answer));
    }

    /// Answers that `carrier` takes the order over, because there is no room for it now. It was not tried.
    pub fn carried(self, carrier: &Carrier) {
        let answer = match self.by {
            By::Message(_) => carrier.carry(self.waiting(), 0, Duration::ZERO),
            By::Time => Answer::Later(Duration::ZERO),
        };
        self.outcome(Ok(answer));
    }

    /// Answers that the order can never be handled, and is left to an operator.
    pub fn park(self, reason: impl Into<String>) {
        self.outcome(Ok(Answer::Park(reason.into())));
    }

    /// Answers that handling this order failed.
    pub fn fail(self, carrier: &Carrier, why: impl Into<Undone>) {
        let why = why.into();
        let is_carried = match retry(&why, self.tries) {
            Answer::Later(delay) => self.again(carrier, delay) == Answer::Done,
            Answer::Done | Answer::Park(_) => false,
        };
        self.outcome(if is_carried { Ok(Answer::Done) } else { Err(why) });
    }

    /// Answers that a batch failed as a whole; the error may belong to another order of it.
    pub fn hand_back(self, carrier: &Carrier, why: &Undone) {
        let answer = match hand_back(why, self.tries) {
            Answer::Later(delay) => self.again(carrier, delay),
            answer => answer,
        };
        self.outcome(Ok(answer));
    }

    /// The answer if the order is to be handled again after `delay`. An order that was not read has no line in the index to
    /// stand in, so its message carries it.
    fn again(&self, carrier: &Carrier, delay: Duration) -> Answer {
        match self.by {
            By::Message(_) if self.party != Party::default() => carrier.later(self.waiting(), self.tries, delay),
            By::Message(_) | By::Time => Answer::Later(delay),
        }
    }

    fn waiting(&self) -> Waiting {
        let is_new = match &self.by {
            By::Message(event) => is_new(event),
            By::Time => false,
        };
        Waiting { id: self.id, party: self.party, seq: self.seq, is_new, watched: None }
    }

    /// Sends the answer. If the process is stopping nothing listens, and the work comes again later.
    fn outcome(self, outcome: Outcome) {
        let _ = self.answer.send(outcome);
    }
}

/// True if `event` makes an order owed, and says nothing against it.
fn is_new(event: &OrderEvent) -> bool {
    matches!(event, OrderEvent::PaymentRequested(_) | OrderEvent::PaymentConfirmed(_) | OrderEvent::PaymentRestored(..))
}
