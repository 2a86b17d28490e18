//! Distribution of news. The one reader of the ledger tells the hub, and the hub tells the listeners concerned.
//!
//! The hub keeps the latest news, so that a client which reconnects gets the missed ones from memory. A client names the
//! last sequence that it has. If it missed more than is kept, it is told so, and never served with a silent gap.

use crate::news::News;
use alloy_primitives::Address;
use domain::PaymentId;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Number of news that are kept: 8 MB, and some seconds at full load.
const KEPT: usize = 16_384;
/// Most news that a reconnecting client is sent. If it missed more, it is told to load its state again.
const RESUMED_MAX: usize = 1_000;
/// Most news that wait for a client that does not read. Then its stream ends, and it may reconnect.
const BUFFER: usize = 64;

/// The orders that a client listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// One order.
    Payment(PaymentId),
    /// All orders of a payer.
    Payer(Address),
    /// All orders of a token.
    Token(Address),
    /// All orders. For operators.
    Everything,
}

/// The news that a reconnecting client missed.
#[derive(Clone, Debug)]
pub enum Missed {
    /// All of them.
    News(Vec<Arc<News>>),
    /// More than is kept, or than is sent together. News continue after this sequence.
    TooMuch(u64),
}

/// This process has not read the latest news yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Starting;

/// Distributes news.
#[derive(Default)]
pub struct Hub(Mutex<State>);

#[derive(Default)]
struct State {
    kept: VecDeque<Arc<News>>,
    /// Every event after this sequence, up to `last`, is in `kept`.
    after: u64,
    /// Last sequence that was read.
    last: u64,
    /// The end of the ledger was reached.
    live: bool,
    listeners: HashMap<Topic, Vec<Listener>>,
    next_number: u64,
}

struct Listener {
    number: u64,
    queue: mpsc::Sender<Arc<News>>,
}

/// A listener. Dropping it unsubscribes.
pub struct Ear {
    hub: Arc<Hub>,
    topic: Topic,
    number: u64,
    /// The news, in the order of the ledger.
    pub queue: mpsc::Receiver<Arc<News>>,
}

impl Hub {
    /// Forgets everything. The next news stand after sequence `after`. All streams end, and their clients reconnect.
    pub(crate) fn restart(&self, after: u64) {
        self.with(|state| *state = State { after, last: after, next_number: state.next_number, ..State::default() });
    }

    /// Records that the end of the ledger was reached. From now on clients may resume here.
    pub(crate) fn live(&self) {
        self.with(|state| state.live = true);
    }

    /// Returns true if clients may resume here.
    pub fn is_live(&self) -> bool {
        self.with(|state| state.live)
    }

    /// The last sequence that was read.
    pub fn last(&self) -> u64 {
        self.with(|state| state.last)
    }

    /// Tells all listeners concerned. Call it in the order of the ledger.
    pub(crate) fn tell(&self, news: News) {
        let news = Arc::new(news);
        self.with(|state| {
            state.last = news.seq;
            for topic in
                [Topic::Payment(news.id), Topic::Payer(news.payer), Topic::Token(news.token), Topic::Everything]
            {
                state.send(topic, &news);
            }
            if state.kept.len() == KEPT
                && let Some(oldest) = state.kept.pop_front()
            {
                state.after = oldest.seq;
            }
            state.kept.push_back(news);
        });
    }

    /// A listener for the news from now on.
    pub fn listen(self: &Arc<Self>, topic: Topic) -> Ear {
        self.with(|state| self.ear(state, topic))
    }

    /// The news after sequence `seen`, and a listener for the following ones, without a gap between the two.
    ///
    /// # Errors
    /// [`Starting`]: try again a little later.
    pub fn resume(self: &Arc<Self>, topic: Topic, seen: u64) -> Result<(Missed, Ear), Starting> {
        self.with(|state| {
            if !state.live {
                return Err(Starting);
            }
            let missed = if seen < state.after { Missed::TooMuch(state.last) } else { state.missed(topic, seen) };
            Ok((missed, self.ear(state, topic)))
        })
    }

    fn ear(self: &Arc<Self>, state: &mut State, topic: Topic) -> Ear {
        let (queue, receiver) = mpsc::channel(BUFFER);
        state.next_number += 1;
        let number = state.next_number;
        state.listeners.entry(topic).or_default().push(Listener { number, queue });
        Ear { hub: Arc::clone(self), topic, number, queue: receiver }
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn missed(&self, topic: Topic, seen: u64) -> Missed {
        let begin = self.kept.partition_point(|news| news.seq <= seen);
        let concerns = self.kept.range(begin..).filter(|news| topic.is_of(news));
        let missed: Vec<_> = concerns.take(RESUMED_MAX + 1).cloned().collect();
        if missed.len() > RESUMED_MAX { Missed::TooMuch(self.last) } else { Missed::News(missed) }
    }

    fn send(&mut self, topic: Topic, news: &Arc<News>) {
        if let Some(listeners) = self.listeners.get_mut(&topic) {
            // A listener that does not keep up is removed: its stream ends, and its client reconnects for the rest.
            listeners.retain(|listener| listener.queue.try_send(Arc::clone(news)).is_ok());
            if listeners.is_empty() {
                self.listeners.remove(&topic);
            }
        }
    }
}

impl Topic {
    fn is_of(self, news: &News) -> bool {
        match self {
            Self::Payment(id) => news.id == id,
            Self::Payer(payer) => news.payer == payer,
            Self::Token(token) => news.token == token,
            Self::Everything => true,
        }
    }
}

impl Ear {
    /// The last sequence that the hub was told.
    pub fn hub_last(&self) -> u64 {
        self.hub.last()
    }

    /// Returns true if it listens to one payment only.
    pub const fn is_of_payment(&self) -> bool {
        matches!(self.topic, Topic::Payment(_))
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.hub.with(|state| {
            if let Some(listeners) = state.listeners.get_mut(&self.topic) {
                listeners.retain(|listener| listener.number != self.number);
                if listeners.is_empty() {
                    state.listeners.remove(&self.topic);
                }
            }
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use domain::PaymentKey;

    fn news(seq: u64, payer: u8) -> News {
        let id = PaymentId::of(PaymentKey(alloy_primitives::B256::with_last_byte(payer)));
        let (payer, token) = (Address::repeat_byte(payer), Address::repeat_byte(0xee));
        News { seq, id, payer, token, first: false, last: false, frame: Bytes::new() }
    }

    fn seqs(ear: &mut Ear) -> Vec<u64> {
        std::iter::from_fn(|| ear.queue.try_recv().ok()).map(|news| news.seq).collect()
    }

    #[test]
    fn news_reach_those_whom_they_concern_and_who_leaves_is_forgotten() {
        let hub = Arc::new(Hub::default());
        let one = Topic::Payer(Address::repeat_byte(1));
        let (mut mine, mut token, mut all) =
            (hub.listen(one), hub.listen(Topic::Token(Address::repeat_byte(0xee))), hub.listen(Topic::Everything));
        for (seq, payer) in [(3, 1), (5, 2), (6, 1)] {
            hub.tell(news(seq, payer));
        }
        assert_eq!((seqs(&mut mine), seqs(&mut token), seqs(&mut all)), (vec![3, 6], vec![3, 5, 6], vec![3, 5, 6]));
        drop((mine, token, all));
        assert_eq!(hub.with(|state| state.listeners.len()), 0);
    }

    #[test]
    fn b50_who_comes_back_gets_what_it_missed_or_is_told_that_it_was_too_much() {
        let hub = Arc::new(Hub::default());
        hub.restart(10);
        assert_eq!(hub.resume(Topic::Everything, 10).err(), Some(Starting));
        hub.live();
        for seq in 11..=2_000 {
            hub.tell(news(seq, u8::try_from(seq % 4).unwrap()));
        }
        let resumed = |topic, seen| match hub.resume(topic, seen).unwrap().0 {
            Missed::News(news) => Ok(news.len()),
            Missed::TooMuch(now) => Err(now),
        };
        assert_eq!(resumed(Topic::Everything, 9), Err(2_000));
        assert_eq!(resumed(Topic::Everything, 999), Err(2_000));
        assert_eq!(resumed(Topic::Everything, 1_000), Ok(1_000));
        assert_eq!(resumed(Topic::Everything, 2_000), Ok(0));
        assert_eq!(resumed(Topic::Payer(Address::repeat_byte(1)), 10), Ok(497));
        let (Missed::News(missed), mut ear) = hub.resume(Topic::Everything, 1_999).unwrap() else { panic!() };
        hub.tell(news(2_001, 1));
        assert_eq!((missed[0].seq, seqs(&mut ear)), (2_000, vec![2_001]));
    }

    #[test]
    fn b50_no_more_is_kept_than_was_agreed() {
        let hub = Arc::new(Hub::default());
        hub.live();
        let kept = u64::try_from(KEPT).unwrap();
        for seq in 1..=kept + 3 {
            hub.tell(news(seq, 1));
        }
        let nobody = Topic::Payer(Address::repeat_byte(9));
        let resumed = |seen| matches!(hub.resume(nobody, seen).unwrap().0, Missed::News(_));
        assert_eq!((resumed(2), resumed(3)), (false, true));
        assert_eq!(hub.with(|state| state.kept.len()), KEPT);
    }

    #[test]
    fn b51_who_does_not_read_is_let_go_after_what_was_buffered() {
        let hub = Arc::new(Hub::default());
        let mut ear = hub.listen(Topic::Everything);
        for seq in 1..=100 {
            hub.tell(news(seq, 1));
        }
        assert_eq!(seqs(&mut ear), (1..=64).collect::<Vec<_>>());
        assert!(ear.queue.is_closed());
        assert_eq!(hub.with(|state| state.listeners.len()), 0);
    }
}
