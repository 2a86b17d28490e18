//! The answers of handlers, and the one retry policy.

use runtime::{Backoff, Undone, causes};
use std::time::Duration;

/// How long the server waits for an answer or a report of progress, as in `nats/consumers`. Short, so that another
/// instance takes over soon after a crash.
pub const ACK_WAIT: Duration = Duration::from_secs(5);

/// Pause after a lost race. The other writer has finished by then.
const STALE_PAUSE: Duration = Duration::from_millis(100);

/// Pause while the chain has not decided yet: about one block of a fast chain.
const NOT_YET_PAUSE: Duration = Duration::from_millis(500);

/// Pauses after an error of a neighbour, doubled with each delivery. The longest is below [`ACK_WAIT`].
const NEIGHBOUR_PAUSES: Backoff = Backoff { first: Duration::from_secs(1), max: Duration::from_secs(4) };

/// Pause of a message that was already in hand when payouts were stopped. The loop itself fetches nothing while they
/// are.
const STOPPED_PAUSE: Duration = Duration::from_secs(1);

/// The answer to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its effect is in the ledger, or another message carries its order. The message is acknowledged.
    Done,
    /// Not handled now. The message comes again after this delay.
    Later(Duration),
    /// Never to be handled. The ledger records the message with this reason for an operator, and it is not delivered
    /// again.
    Park(String),
}

impl Answer {
    /// The answer in one word, as the metrics name it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Later(_) => "later",
            Self::Park(_) => "park",
        }
    }
}

/// The result of a handler. [`retry`] turns an error into an answer.
pub type Outcome = Result<Answer, Undone>;

/// The retry policy. Returns the answer for work that has failed, after `tries` tries counted from 1.
pub fn retry(why: &Undone, tries: u32) -> Answer {
    match why {
        Undone::Stale => Answer::Later(STALE_PAUSE),
        Undone::NotYet => Answer::Later(NOT_YET_PAUSE),
        Undone::Transient(_) => Answer::Later(NEIGHBOUR_PAUSES.pause(tries.saturating_sub(1))),
        Undone::Unknown(_) => Answer::Later(NEIGHBOUR_PAUSES.max),
        Undone::Stopped(_) => Answer::Later(STOPPED_PAUSE),
        Undone::Corrupt(_) => Answer::Park(causes(why).to_string()),
    }
}

/// Returns the answer for one piece of work of a batch that failed as a whole. It never parks, because the error may
/// belong to another piece.
pub fn hand_back(why: &Undone, tries: u32) -> Answer {
    match retry(why, tries) {
        Answer::Park(_) => Answer::Later(NEIGHBOUR_PAUSES.first),
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_retry_policy_as_data() {
        let later = |ms| Answer::Later(Duration::from_millis(ms));
        let table = [
            (Undone::Stale, 1, later(100)),
            (Undone::Stale, 1_000, later(100)),
            (Undone::NotYet, 7, later(500)),
            (Undone::transient("no answer"), 0, later(1_000)),
            (Undone::transient("no answer"), 1, later(1_000)),
            (Undone::transient("no answer"), 2, later(2_000)),
            (Undone::transient("no answer"), 3, later(4_000)),
            (Undone::transient("no answer"), u32::MAX, later(4_000)),
            (Undone::Unknown("io.paymint.x.v2".into()), 1, later(4_000)),
            (Undone::Stopped("ops.stopped.1".to_owned()), 9, later(1_000)),
            (Undone::corrupt("twice confirmed"), 1, Answer::Park("twice confirmed".to_owned())),
        ];
        for (why, tries, answer) in table {
            assert_eq!(retry(&why, tries), answer, "{why:?} after {tries} tries");
            assert!(!matches!(answer, Answer::Later(delay) if delay >= ACK_WAIT), "held by the consumer");
        }
        assert_eq!(hand_back(&Undone::corrupt("a lane's past"), 1), later(1_000));
    }
}
