//! What a handler answers, and the one retry policy.

use runtime::{Backoff, Undone, causes};
use std::time::Duration;

/// How long the server waits for an answer or for a sign of progress; the same as in `nats/consumers`. Short, so that
/// another instance takes over soon after a crash.
pub const ACK_WAIT: Duration = Duration::from_secs(5);

/// After a lost race: the other writer has finished by then.
const STALE_PAUSE: Duration = Duration::from_millis(100);

/// While the chain does not decide: about a block of a fast chain.
const NOT_YET_PAUSE: Duration = Duration::from_millis(500);

/// After a neighbour's fault: first pause, doubled with each delivery up to the last one, which is below [`ACK_WAIT`].
const NEIGHBOUR_PAUSES: Backoff = Backoff { first: Duration::from_secs(1), max: Duration::from_secs(4) };

/// The stop is watched by the loop; a message that was in hand when it came waits this long.
const STOPPED_PAUSE: Duration = Duration::from_secs(1);

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What it caused is in the ledger, or another message carries its order on: acknowledged.
    Done,
    /// Not now: again after this delay.
    Later(Duration),
    /// Never: recorded in the ledger with this reason, for an operator, and not delivered again.
    Park(String),
}

impl Answer {
    /// The answer in one word, as metrics name it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Later(_) => "later",
            Self::Park(_) => "park",
        }
    }
}

/// What a handler returns. An error becomes an answer by [`retry`].
pub type Outcome = Result<Answer, Undone>;

/// The retry policy: the answer for work that was tried `tries` times, counted from 1, and is not done.
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

/// The answer for one of many pieces of work that failed together. It parks nothing: the fault is not known to be its own.
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
