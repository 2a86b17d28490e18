//! Requests per second. A refused request costs about a microsecond and uses up nothing.

use crate::client::ClientIp;
use governor::clock::{Clock, DefaultClock, Reference};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// A client that used its whole burst has it again after this time.
const REFILL: Duration = Duration::from_secs(2);

/// The requests that clients may still send.
///
/// The entry of a client is removed once it has its whole burst again; [`RequestRates::take`] looks for such entries every
/// [`REFILL`]. So there are never more entries than clients in two such spans, of 100 bytes each, and each client had to
/// open a connection or come through a trusted proxy.
pub struct RequestRates {
    per_client: RwLock<Limiter<DefaultKeyedRateLimiter<ClientIp>>>,
    total: RwLock<Limiter<DefaultDirectRateLimiter>>,
    clock: DefaultClock,
    swept: Mutex<Instant>,
}

/// A limiter and the requests per second that it was built for; `None` with 0, which is no limit.
struct Limiter<L> {
    rate: u32,
    limiter: Option<Arc<L>>,
}

/// Why a request is refused, and when it may come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooFast {
    /// This client sends too many requests.
    Client {
        /// Seconds to wait.
        retry_after_s: u64,
    },
    /// All clients together do.
    Total {
        /// Seconds to wait.
        retry_after_s: u64,
    },
}

impl Default for RequestRates {
    fn default() -> Self {
        Self {
            per_client: RwLock::new(Limiter { rate: 0, limiter: None }),
            total: RwLock::new(Limiter { rate: 0, limiter: None }),
            clock: DefaultClock::default(),
            swept: Mutex::new(Instant::now()),
        }
    }
}

impl RequestRates {
    /// Takes one request from those that this client may still send. `rate` is in requests per second, and 0 is no
    /// limit. With another rate than before all clients begin anew.
    ///
    /// # Errors
    /// [`TooFast::Client`] with the time to wait.
    pub fn take(&self, client: ClientIp, rate: u32) -> Result<(), TooFast> {
        let burst = |rate: NonZeroU32| rate.saturating_mul(NonZeroU32::MIN.saturating_add(1));
        let build = |rate| RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst(rate)));
        let Some(limiter) = current(&self.per_client, rate, build) else { return Ok(()) };
        if self.is_time_to_sweep() {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
        limiter.check_key(&client).map_err(|until| TooFast::Client { retry_after_s: self.wait_s(&until) })
    }

    /// Takes one request from those that all clients together may still send. `rate` is in requests per second, and 0
    /// is no limit.
    ///
    /// # Errors
    /// [`TooFast::Total`] with the time to wait.
    pub fn take_of_all(&self, rate: u32) -> Result<(), TooFast> {
        let build = |rate| RateLimiter::direct(Quota::per_second(rate));
        let Some(limiter) = current(&self.total, rate, build) else { return Ok(()) };
        limiter.check().map_err(|until| TooFast::Total { retry_after_s: self.wait_s(&until) })
    }

    /// Seconds to wait, rounded up, so that a client which waits for them is not too early.
    fn wait_s<T: Reference>(&self, until: &NotUntil<T>) -> u64
    where
        DefaultClock: Clock<Instant = T>,
    {
        let wait = until.wait_time_from(self.clock.now());
        (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
    }

    /// Returns true for the first request after each [`REFILL`]. Entries are added by requests only, so that is enough.
    fn is_time_to_sweep(&self) -> bool {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = swept.elapsed() >= REFILL;
        if is_time {
            *swept = Instant::now();
        }
        is_time
    }
}

/// The limiter for `rate`, built anew if the rate has changed.
fn current<L>(slot: &RwLock<Limiter<L>>, rate: u32, build: impl FnOnce(NonZeroU32) -> L) -> Option<Arc<L>> {
    {
        let slot = slot.read().unwrap_or_else(PoisonError::into_inner);
        if slot.rate == rate {
            return slot.limiter.clone();
        }
    }
    let mut slot = slot.write().unwrap_or_else(PoisonError::into_inner);
    if slot.rate != rate {
        *slot = Limiter { rate, limiter: NonZeroU32::new(rate).map(|rate| Arc::new(build(rate))) };
    }
    slot.limiter.clone()
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
        let rates = RequestRates::default();
        let taken = (0..100).filter(|_| rates.take(client(1), 5).is_ok()).count();
        assert!((10..13).contains(&taken), "a burst is two seconds' worth: {taken}");
        assert_eq!(rates.take(client(1), 5), Err(TooFast::Client { retry_after_s: 1 }));
        assert_eq!(rates.take(client(2), 5), Ok(()));
        assert!((0..10_000).all(|_| rates.take_of_all(0).is_ok()), "0 is no limit");
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_share_one_rate() {
        let rates = RequestRates::default();
        let of = |network: u16, host: u16| ClientIp::from(IpAddr::from([0x2001, 0xdb8, 0, network, 0, 0, 0, host]));
        let taken = (0..1_000).filter(|host| rates.take(of(1, *host), 5).is_ok()).count();
        assert!((10..13).contains(&taken), "{taken}");
        assert_eq!(rates.take(of(2, 1), 5), Ok(()), "another network");
    }

    #[test]
    fn all_together_are_refused_above_the_total() {
        let rates = RequestRates::default();
        let taken = (0..100).filter(|_| rates.take_of_all(7).is_ok()).count();
        assert!((7..9).contains(&taken), "{taken}");
        assert_eq!(rates.take_of_all(7), Err(TooFast::Total { retry_after_s: 1 }));
        assert!((0..10_000).all(|_| rates.take(client(1), 0).is_ok()), "0 is no limit");
    }

    #[test]
    fn another_rate_holds_from_the_next_request_on() {
        let rates = RequestRates::default();
        assert!((0..100).any(|_| rates.take(client(1), 5).is_err()));
        assert!((0..100).all(|_| rates.take(client(1), 1_000).is_ok()));
        assert!((0..100).any(|_| rates.take(client(1), 5).is_err()));
    }

    #[test]
    fn a_client_that_stays_away_is_forgotten() {
        let rates = RequestRates::default();
        let known = || rates.per_client.read().unwrap().limiter.as_ref().unwrap().len();
        (0..10_000).for_each(|n| rates.take(client(n), 100).unwrap());
        assert_eq!(known(), 10_000);
        std::thread::sleep(Duration::from_millis(50));
        *rates.swept.lock().unwrap() -= REFILL;
        rates.take(client(0), 100).unwrap();
        assert_eq!(known(), 1);
    }
}
