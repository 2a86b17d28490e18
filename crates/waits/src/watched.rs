//! Orders that wait for news about their authorization: for money, or for the end of a nonce or of a window. They are asked
//! for by many in one call, so the number of those that wait costs next to nothing.

use domain::event::WaitReason;
use domain::{Bill, PaymentRequest};
use std::time::Duration;

/// An authorization that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The sum that it would move.
    pub bill: Bill,
    /// End of its window, Unix seconds.
    pub valid_before: u64,
}

impl Watched {
    pub(crate) fn of(request: &PaymentRequest) -> Self {
        Self { bill: Bill::of(request), valid_before: request.authorization.valid_before }
    }
}

/// A watch over orders that wait for news.
#[derive(Clone, Copy, Debug)]
pub struct NewsWatch {
    /// True if an order that waits for this reason is watched.
    pub is_for: fn(WaitReason) -> bool,
    /// Maximum number of orders in one question.
    pub page: usize,
    /// Shortest time between two questions.
    pub pause: Duration,
}

/// A watched order comes back this long after the end of its window if there was no news.
pub(crate) const BEYOND: Duration = Duration::from_secs(3_600);
