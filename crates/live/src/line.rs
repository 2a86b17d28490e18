//! A queue of orders, and its pace. Integers only: milliseconds, and orders per 1,000 seconds.

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
        let turn = position.saturating_mul(1_000_000).checked_div(self.per_1000s(now)).unwrap_or(u64::MAX / 2);
        Duration::from_millis(turn).saturating_add(self.stalled(now))
    }

    /// The time since an order left, while others wait.
    pub fn stalled(&self, now: DateTime<Utc>) -> Duration {
        let stalled = if self.orders.is_empty() { TimeDelta::zero() } else { now - self.moved };
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
