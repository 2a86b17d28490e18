//! Failures in a row at one token, which open its circuit breaker.

use chrono::{DateTime, TimeDelta, Utc};
use std::collections::VecDeque;

/// Failures in a row, each of another payer, that are no coincidence.
pub(super) const RUN: usize = 20;
/// Age at which a failure counts no longer.
pub(super) const COUNTED_FOR: TimeDelta = TimeDelta::seconds(60);
/// Failures that count within one second. One transaction can fail a hundred payers at a time, and one bad transaction is
/// no run.
pub(super) const PER_SECOND: usize = 4;

/// The times of the latest failures, oldest first. There are [`PER_SECOND`] for each second of [`COUNTED_FOR`] at most.
#[derive(Debug, Default)]
pub(super) struct FailureRun(VecDeque<DateTime<Utc>>);

impl FailureRun {
    /// Counts a failure of one more payer. Returns true if that makes a run.
    pub fn add(&mut self, at: DateTime<Utc>) -> bool {
        while self.0.front().is_some_and(|oldest| at - *oldest >= COUNTED_FOR) {
            self.0.pop_front();
        }
        let in_this_second = self.0.iter().rev().take_while(|failure| failure.timestamp() == at.timestamp()).count();
        if in_this_second < PER_SECOND {
            self.0.push_back(at);
        }
        self.0.len() >= RUN
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}
