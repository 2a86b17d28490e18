//! Owed mints by token, until a batch of one is full or its oldest mint has waited long enough. Tokens take turns over
//! batches, and payers take turns within a batch.

use crate::asking::{Arrival, Ask, Asked, Gathered};
use crate::pool::FoundPool;
use chain::Address;
use chain::token::DELIVER_BATCH_MAX;
use domain::Order;
use ledger::Loaded;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use waits::{FairQueue, Job};

/// An owed mint, with its order when it was gathered.
#[derive(Debug)]
pub struct Owed {
    pub job: Job,
    pub order: Loaded<Order>,
}

/// Owed mints that no lane has taken.
pub struct Owing {
    fair: FairQueue<Address, Address, Owed>,
    /// For each token, the time since when its oldest mint waits.
    oldest: HashMap<Address, Instant>,
    again: mpsc::UnboundedSender<Arrival>,
    /// Records that no order stands for. They ride with the mints of their token.
    found: FoundPool,
}

impl Owing {
    /// Nothing owed yet. Jobs that are to be gathered again go into `again`.
    pub fn new(again: mpsc::UnboundedSender<Arrival>, found: FoundPool) -> Self {
        Self { fair: FairQueue::default(), oldest: HashMap::new(), again, found }
    }

    /// Number of owed mints.
    pub fn len(&self) -> usize {
        self.fair.len()
    }

    /// Adds an owed mint that waits for others since `since`.
    pub fn add(&mut self, token: Address, owed: Owed, since: Instant) {
        let oldest = self.oldest.entry(token).or_insert(since);
        *oldest = since.min(*oldest);
        self.fair.push(token, owed.job.party.payer, u64::MAX, owed);
    }

    fn is_ripe(&self, token: Address, max_wait: Duration) -> bool {
        let waited = self.oldest.get(&token).is_some_and(|oldest| oldest.elapsed() >= max_wait);
        waited || self.fair.len_of(token) >= DELIVER_BATCH_MAX
    }

    /// Hands full batches, and those that have waited long enough, to the lanes that ask; tokens take turns. While no
    /// lane asks, batches stay here and grow. Records without an order get what room is left, and a transaction of their
    /// own only if no batch is to be sent.
    pub fn hand_over(&mut self, asked: &mut Asked, max_wait: Duration) {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::asking::Asking;
    use domain::{PaymentId, PaymentKey, examples};
    use ledger::{Answer, Outcome};
    use runtime::SharedSettings;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
    use waits::{Due, Party};

    fn asks() -> (mpsc::Sender<Ask>, Asked) {
        let (asks, arriving) = mpsc::channel(2);
        (asks, Asked::new(arriving))
    }

    fn owing() -> (Owing, UnboundedReceiver<Arrival>) {
        let (again, arriving) = unbounded_channel();
        let found = FoundPool::new(SharedSettings::default());
        (Owing::new(again, found), arriving)
    }

    /// Adds an owed mint that has waited long enough. Returns the answer that its message will get.
    fn add(owing: &mut Owing, n: u8) -> impl Future<Output = Outcome> + Unpin + use<> {
        let id = PaymentId::of(PaymentKey(chain::B256::with_last_byte(n)));
        let party = Party { token: examples::TOKEN, payer: Address::repeat_byte(n), ..Party::default() };
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
