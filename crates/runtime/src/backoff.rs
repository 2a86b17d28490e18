//! Growing pauses between tries.

use std::time::Duration;

/// A pause that doubles with each try, up to a ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Pause after the first failure.
    pub first: Duration,
    /// Longest pause.
    pub max: Duration,
}

impl Backoff {
    /// The pause after `failures` earlier ones: 0 gives `first`, 1 twice as long.
    pub fn pause(self, failures: u32) -> Duration {
        self.first.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_ceiling() {
        let backoff = Backoff { first: Duration::from_millis(10), max: Duration::from_millis(500) };
        let pauses = [0, 1, 5, 6, 31, 32, u32::MAX].map(|failures| backoff.pause(failures).as_millis());
        assert_eq!(pauses, [10, 20, 320, 500, 500, 500, 500]);
    }
}
