//! A queue of orders, and its pace. Integers only: milliseconds, and orders per 1,000 seconds.

use crate::bought::Bought;
use crate::turns::Turns;
use alloy_primitives::Address;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::VecDeque;
use std::time::Duration;

/// Orders of a full transaction. Only a line of at least this length shows how fast it can move; a shorter one shows how
/// fast orders arrive.
const SATURATED: usize = 100;
/// Seconds of movement that are remembered.
const WINDOW_S: u64 = 60;
/// Weight of the assumed pace, in seconds of observation. A burst is drained in a second or two, and after that the
/// observation has to outweigh the assumption.
const ASSUMED_S: u64 = 1;

/// An order that arrives now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newcomer {
    /// One that would wait longest, of a payer without others.
    Any,
    /// One for a token, of this payer, or of a payer without others.
    Of(Address, Option<Address>),
}

/// Orders in line, by the sequence of the event that put them there.
pub(crate) struct Line {
    turns: Turns,
    /// Observations: seconds, and the orders that left in them.
    seen: VecDeque<(u64, u64)>,
    /// The second under observation: its time, its weight, and the orders that left.
    now: Option<(i64, u64, u64)>,
    /// The second in which the line became long; `None` while it is short.
    long_since: Option<i64>,
    /// Time of the last movement, or of the first order.
    moved: DateTime<Utc>,
}

impl Line {
    /// An empty line, assumed to move `rate` orders a second, in which tokens take turns of `per_turn` orders.
    pub fn new(rate: u32, per_turn: usize) -> Self {
        let assumed = (ASSUMED_S, ASSUMED_S * u64::from(rate));
        Self {
            turns: Turns::new(per_turn),
            seen: VecDeque::from([assumed]),
            now: None,
            long_since: None,
            moved: DateTime::UNIX_EPOCH,
        }
    }

    pub fn clear(&mut self) {
        self.turns = self.turns.emptied();
        self.long_since = None;
    }

    pub fn len(&self) -> usize {
        self.turns.len()
    }

    /// Appends `seq`. Call it in the order of the ledger.
    pub fn enter(&mut self, bought: Bought, seq: u64, at: DateTime<Utc>) {
        if self.turns.len() == 0 {
            self.moved = at;
        }
        self.turns.enter(bought.token, bought.payer, seq);
        if self.turns.len() == SATURATED {
            self.long_since = Some(at.timestamp());
        }
    }

    /// Removes `seq`, whose turn has come.
    pub fn leave(&mut self, bought: Bought, seq: u64, at: DateTime<Utc>) {
        if !self.turns.leave(bought.token, bought.payer, seq) {
            return;
        }
        self.observe(at);
        if self.turns.len() < SATURATED {
            self.long_since = None;
        }
        self.moved = at;
    }

    /// Position of `seq`; 1 is next.
    pub fn position(&self, bought: Bought, seq: u64) -> Option<usize> {
        self.turns.position(bought.token, bought.payer, seq)
    }

    /// Position of an order that arrives now.
    pub fn next(&self, newcomer: Newcomer) -> usize {
        match newcomer {
            Newcomer::Any => self.turns.last(),
            Newcomer::Of(token, payer) => self.turns.next(token, payer),
        }
    }

    /// Predicted wait at `position`: the time for the orders up to it, and the time since the last movement.
    pub fn wait(&self, position: usize, now: DateTime<Utc>) -> Duration {
        let position = u64::try_from(position).unwrap_or(u64::MAX);
        let turn = position.saturating_mul(1_000_000).checked_div(self.per_1000s(now)).unwrap_or(u64::MAX / 2);
        Duration::from_millis(turn).saturating_add(self.stalled(now))
    }

    /// The time since an order left, while others wait.
    pub fn stalled(&self, now: DateTime<Utc>) -> Duration {
        let stalled = if self.turns.len() == 0 { TimeDelta::zero() } else { now - self.moved };
        stalled.to_std().unwrap_or_default()
    }

    /// Orders per 1,000 seconds. A second that is over at `now` counts, although no order may have left since: a burst can
    /// be gone within one second, and the next burst has to know.
    pub fn per_1000s(&self, now: DateTime<Utc>) -> u64 {
        let (mut total, mut gone) = sum(&self.seen);
        if let Some((second, seconds, left)) = self.now
            && second < now.timestamp()
        {
            let seconds = weight((seconds, left), (total, gone));
            if seconds > 0 {
                (total, gone) = (total + seconds, gone + left);
            }
        }
        (gone * 1_000).checked_div(total).unwrap_or_default()
    }

    /// Notes that an order leaves at `at`. A second counts if the line was long, or if more orders left than predicted.
    fn observe(&mut self, at: DateTime<Utc>) {
        let second = at.timestamp();
        match &mut self.now {
            Some((when, _, left)) if *when == second => *left += 1,
            now => {
                let before = now.take().map(|(when, seconds, left)| {
                    keep(&mut self.seen, seconds, left);
                    when
                });
                // In a long line every second counts, also those in which no order left.
                let seconds = self.long_since.map_or(0, |since| {
                    let passed = second - before.unwrap_or(since).max(since);
                    u64::try_from(passed).unwrap_or_default().clamp(1, WINDOW_S)
                });
                *now = Some((second, seconds, 1));
            }
        }
    }
}

/// Seconds and orders of all observations.
fn sum(seen: &VecDeque<(u64, u64)>) -> (u64, u64) {
    seen.iter().fold((0, 0), |(total, gone), (seconds, left)| (total + seconds, gone + left))
}

/// Seconds that an observation counts for. Of a short line, a second counts only if more orders left than predicted.
fn weight((seconds, left): (u64, u64), (total, gone): (u64, u64)) -> u64 {
    let faster_than_thought = left * total > gone;
    if seconds == 0 && faster_than_thought { 1 } else { seconds }
}

/// Adds an observation. `seconds` is 0 if the line was short.
fn keep(seen: &mut VecDeque<(u64, u64)>, seconds: u64, left: u64) {
    let (total, gone) = sum(seen);
    let seconds = weight((seconds, left), (total, gone));
    if seconds == 0 {
        return;
    }
    seen.push_back((seconds, left));
    let mut excess = (total + seconds).saturating_sub(WINDOW_S);
    while let Some((oldest, _)) = seen.front().filter(|(oldest, _)| *oldest <= excess).copied() {
        excess -= oldest;
        seen.pop_front();
    }
}

/// Whole seconds, rounded up, so that the wait is not longer than predicted.
pub fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX)
}
