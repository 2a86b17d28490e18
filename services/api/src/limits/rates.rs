//! Requests per second. A refused request costs about a microsecond and takes nothing from what is left.

use super::ClientIp;
use crate::error::Problem;
use governor::clock::{Clock, DefaultClock, Reference};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A client that used its whole burst is as good as new after this long.
const REFILL: Duration = Duration::from_secs(2);

/// The rates that are left. `None`: no limit.
///
/// The state of a client is forgotten as soon as it says nothing any more, which is looked for every [`REFILL`]. So there
/// are never more than the clients of two such spans: 100 bytes each, and each had to open a connection (or to come
/// through a proxy of ours).
pub(super) struct Rates {
    per_client: Option<DefaultKeyedRateLimiter<ClientIp>>,
    total: Option<DefaultDirectRateLimiter>,
    clock: DefaultClock,
    swept: Mutex<Instant>,
}

impl Rates {
    /// Requests per second; 0 for any.
    pub(super) fn new(per_client: u32, total: u32) -> Self {
        let twice = |rate: NonZeroU32| {
            Quota::per_second(rate).allow_burst(rate.saturating_mul(NonZeroU32::MIN.saturating_add(1)))
        };
        Self {
            per_client: NonZeroU32::new(per_client).map(|rate| RateLimiter::keyed(twice(rate))),
            total: NonZeroU32::new(total).map(|rate| RateLimiter::direct(Quota::per_second(rate))),
            clock: DefaultClock::default(),
            swept: Mutex::new(Instant::now()),
        }
    }

    /// Takes one request from what this client may still send.
    ///
    /// # Errors
    /// `RateLimited`, with the time to wait.
    pub(super) fn take(&self, client: ClientIp) -> Result<(), Problem> {
        let Some(limiter) = &self.per_client else { return Ok(()) };
        if self.is_time_to_sweep() {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
        limiter.check_key(&client).map_err(|until| Problem::RateLimited { retry_after_s: self.wait_s(&until) })
    }

    /// Takes one request from what all clients together may still send.
    ///
    /// # Errors
    /// `Overloaded`, with the time to wait.
    pub(super) fn take_of_all(&self) -> Result<(), Problem> {
        let Some(limiter) = &self.total else { return Ok(()) };
        limiter.check().map_err(|until| Problem::Overloaded { retry_after_s: self.wait_s(&until) })
    }

    /// Rounded up: who comes back after whole seconds does not come too early.
    fn wait_s<T: Reference>(&self, until: &NotUntil<T>) -> u64
    where
        DefaultClock: Clock<Instant = T>,
    {
        let wait = until.wait_time_from(self.clock.now());
        (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
    }

    /// By whoever comes first after the time: state grows only when somebody comes.
    fn is_time_to_sweep(&self) -> bool {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = swept.elapsed() >= REFILL;
        if is_time {
            *swept = Instant::now();
        }
        is_time
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn client(n: u32) -> ClientIp {
        IpAddr::from(n.to_be_bytes()).into()
    }

    #[test]
    fn a_client_that_asks_too_often_is_refused_alone() {
        let rates = Rates::new(5, 0);
        let taken = (0..100).filter(|_| rates.take(client(1)).is_ok()).count();
        assert!((10..13).contains(&taken), "a burst is two seconds' worth: {taken}");
        assert_eq!(rates.take(client(1)), Err(Problem::RateLimited { retry_after_s: 1 }));
        assert_eq!(rates.take(client(2)), Ok(()));
        assert!((0..10_000).all(|_| rates.take_of_all().is_ok()), "0 is no limit");
    }

    #[test]
    fn all_together_are_refused_above_the_total() {
        let rates = Rates::new(0, 7);
        let taken = (0..100).filter(|_| rates.take_of_all().is_ok()).count();
        assert!((7..9).contains(&taken), "{taken}");
        assert_eq!(rates.take_of_all(), Err(Problem::Overloaded { retry_after_s: 1 }));
        assert!((0..10_000).all(|_| rates.take(client(1)).is_ok()), "0 is no limit");
    }

    #[test]
    fn who_stays_away_is_forgotten() {
        let rates = Rates::new(100, 0);
        let known = || rates.per_client.as_ref().unwrap().len();
        (0..10_000).for_each(|n| rates.take(client(n)).unwrap());
        assert_eq!(known(), 10_000);
        std::thread::sleep(Duration::from_millis(50));
        *rates.swept.lock().unwrap() -= REFILL;
        rates.take(client(0)).unwrap();
        assert_eq!(known(), 1);
    }
}
