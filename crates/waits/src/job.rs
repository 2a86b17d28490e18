//! One piece of work on its way through a queue, a batch and a lane, and its answer.

use crate::carrier::{Carrier, Due, Waiting};
use crate::index::Party;
use domain::{Order, OrderEvent, PaymentId};
use ledger::{Answer, Delivery, Outcome, hand_back};
use runtime::Undone;
use std::time::Duration;
use tokio::sync::oneshot;

/// What brought an order here.
#[derive(Debug)]
pub enum By {
    /// A message in hand, with this event.
    Message(Box<OrderEvent>),
    /// The index: it waited, and is due.
    Time,
}

/// An order to be handled. Dropped without an answer, it is handed back and comes again.
#[derive(Debug)]
pub struct Job {
    /// The order.
    pub id: PaymentId,
    /// Its keys in the fair queue; zero addresses until its order has been read.
    pub party: Party,
    /// What brought it here.
    pub by: By,
    /// How often it has been delivered or tried.
    pub tries: u32,
    /// Sequence of its message; 0 for one that came due.
    pub seq: u64,
    answer: oneshot::Sender<Outcome>,
}

/// The answer of a job that was dropped.
const HANDED_BACK: Outcome = Ok(Answer::Later(Duration::ZERO));

impl Job {
    /// Makes a job of a message, hands it to `queue`, and waits for its answer. A message of another stream is parked.
    pub async fn of_message(delivery: Delivery, party: Party, queue: impl FnOnce(Self)) -> Outcome {
        let Delivery { event, seq, deliveries, .. } = delivery;
        let domain::Event::Order(id, event) = event else {
            return Ok(Answer::Park("not an order's message".to_owned()));
        };
        let (answer, answered) = oneshot::channel();
        queue(Self { id, party, by: By::Message(Box::new(event)), tries: deliveries, seq, answer });
        answered.await.unwrap_or(HANDED_BACK)
    }

    /// Makes a job of an order that is due, hands it to `queue`, and waits for its answer.
    pub async fn of_due(due: Due, queue: impl FnOnce(Self)) -> Outcome {
        let (answer, answered) = oneshot::channel();
        queue(Self { id: due.id, party: due.party, by: By::Time, tries: due.tries, seq: 0, answer });
        answered.await.unwrap_or(HANDED_BACK)
    }

    /// True if this job carries the order on: its message does, or it came due and the order `waits`.
    pub fn carries(&self, order: &Order, waits: impl FnOnce(&Order) -> bool) -> bool {
        match &self.by {
            By::Message(event) => order.is_carried_by(event),
            By::Time => waits(order),
        }
    }

    /// What it asked for is in the ledger, or another message carries its order on.
    pub fn done(self) {
        self.outcome(Ok(Answer::Done));
    }

    /// Not before `delay` is over. A message that would wait for longer than its consumer holds it is taken over by
    /// `carrier`.
    pub fn later(self, carrier: &Carrier, delay: Duration) {
        let answer = match self.by {
            By::Message(_) => {
                carrier.later(Waiting { id: self.id, party: self.party, seq: self.seq }, self.tries, delay)
            }
            By::Time => Answer::Later(delay),
        };
        self.outcome(Ok(answer));
    }

    /// Never: for an operator.
    pub fn park(self, reason: impl Into<String>) {
        self.outcome(Ok(Answer::Park(reason.into())));
    }

    /// It failed alone.
    pub fn fail(self, why: impl Into<Undone>) {
        self.outcome(Err(why.into()));
    }

    /// It failed together with others.
    pub fn hand_back(self, why: &Undone) {
        let answer = hand_back(why, self.tries);
        self.outcome(Ok(answer));
    }

    /// Nobody listens if the process is stopping: the work comes again then.
    fn outcome(self, outcome: Outcome) {
        let _ = self.answer.send(outcome);
    }
}
