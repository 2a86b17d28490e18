//! A queue of orders, and its pace. Integers only: milliseconds, and orders per 1,000 seconds.

use chrono::{DateTime, TimeDelta, Utc};
use std::collections::VecDeque;
use std::time::Duration;

/// Orders of a full transaction. Only a line of at least this length shows how fast it can move; a shorter one shows how
/// fast orders arrive.
const SATURATED: usize = 100;
/// Seconds of movement that are remembered.
const WINDOW_S: u64 = 60;
/// Weight of the assumed pace, in seconds of observation.
const ASSUMED_S: u64 = 10;
/// Number of values that a mean follows.
const WEIGHT: i64 = 16;

/// Orders in the order of arrival, by the sequence of the event that put them in line.
pub(crate) struct Line {
    orders: VecDeque<u64>,
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
    /// An empty line, assumed to move `rate` orders a second.
    pub fn new(rate: u32) -> Self {
        let assumed = (ASSUMED_S, ASSUMED_S * u64::from(rate));
        Self {
            orders: VecDeque::new(),
            seen: VecDeque::from([assumed]),
            now: None,
            long_since: None,
            moved: DateTime::UNIX_EPOCH,
        }
    }

    pub fn clear(&mut self) {
        self.orders.clear();
        self.long_since = None;
    }

    pub fn len(&self) -> usize {
        self.orders.len()
    }

    /// Appends `seq`. Call it in the order of the ledger.
    pub fn enter(&mut self, seq: u64, at: DateTime<Utc>) {
        if self.orders.is_empty() {
            self.moved = at;
        }
        self.orders.push_back(seq);
        if self.orders.len() == SATURATED {
            self.long_since = Some(at.timestamp());
        }
    }

    /// Removes `seq`, whose turn has come.
    pub fn leave(&mut self, seq: u64, at: DateTime<Utc>) {
        let Ok(index) = self.orders.binary_search(&seq) else { return };
        self.observe(at);
        self.orders.remove(index);
        if self.orders.len() < SATURATED {
            self.long_since = None;
        }
        self.moved = at;
    }

    /// Position of `seq`; 1 is next.
    pub fn position(&self, seq: u64) -> Option<usize> {
        self.orders.binary_search(&seq).ok().map(|index| index + 1)
    }

    /// Predicted wait at `position`: the time for the orders up to it, and the time since the last movement.
    pub fn wait(&self, position: usize, now: DateTime<Utc>) -> Duration {
        let position = u64::try_from(position).unwrap_or(u64::MAX);
        let turn = position.saturating_mul(1_000_000).checked_div(self.per_1000s()).unwrap_or(u64::MAX / 2);
        let stalled = if self.orders.is_empty() { TimeDelta::zero() } else { now - self.moved };
        Duration::from_millis(turn).saturating_add(stalled.to_std().unwrap_or_default())
    }

    /// Orders per 1,000 seconds.
    pub fn per_1000s(&self) -> u64 {
        let (seconds, left) = self.seen.iter().fold((0, 0), |(s, l), (seconds, left)| (s + seconds, l + left));
        (left * 1_000).checked_div(seconds).unwrap_or_default()
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

/// Adds an observation. `seconds` is 0 if the line was short.
fn keep(seen: &mut VecDeque<(u64, u64)>, seconds: u64, left: u64) {
    let (total, gone) = seen.iter().fold((0, 0), |(s, l), (seconds, left)| (s + seconds, l + left));
    let faster_than_thought = left * total > gone;
    let seconds = if seconds == 0 && faster_than_thought { 1 } else { seconds };
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

/// A moving mean of durations.
pub(crate) struct Mean {
    ms: i64,
    /// No value was seen yet.
    guessed: bool,
}

impl Mean {
    pub fn new(guess: Duration) -> Self {
        Self { ms: i64::try_from(guess.as_millis()).unwrap_or(i64::MAX), guessed: true }
    }

    pub fn saw(&mut self, took: TimeDelta) {
        let took = took.num_milliseconds().max(0);
        self.ms = if self.guessed { took } else { self.ms + (took - self.ms) / WEIGHT };
        self.guessed = false;
    }

    pub fn get(&self) -> Duration {
        Duration::from_millis(self.ms.unsigned_abs())
    }
}

/// Whole seconds, rounded up, so that the wait is not longer than predicted.
pub fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX)
}
