//! Limits of the edge, from the environment.

use runtime::{ConfigError, Env, Variable};
use std::num::NonZeroUsize;
use std::time::Duration;

/// Time to the first byte of a connection. A silent connection costs a slot, and a client that has a request sends it
/// immediately.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(5);
/// The headers of a request are a few KiB: seconds on the worst line that can pay at all.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than clients and proxies keep a socket for another request, so that they close first: Node's fetch 4 s, httpx
/// 5 s, Amazon's balancer and nginx towards its upstreams 60 s. nginx itself allows its clients 75 s.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Twice the heartbeat of an event stream: a client that reads has room for something within that time.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time that can be configured, milliseconds: one hour.
const TIMEOUT_MAX_MS: u64 = 3_600_000;
/// With all headers of a request at their longest these are 256 MiB.
const CONNECTIONS_MAX: u64 = 4096;
/// An eighth of the service: no payer needs as much, and a carrier's NAT still fits.
const CONNECTIONS_PER_IP: u64 = 512;
/// Browsers open six connections to a host at most (HTTP/1.1), and one page follows one or two payments.
const SSE_PER_IP: u64 = 8;
/// All connections may be streams.
const SSE_MAX: u64 = 4096;
/// Most connections or streams that can be configured: the file descriptors of a large process.
const COUNT_MAX: u64 = 1_000_000;

/// Limits on connections and streams.
#[derive(Clone, Debug)]
pub struct EdgeConfig {
    /// Number of trusted proxies that append to `X-Forwarded-For`. With 0 the header is ignored.
    pub trusted_proxy_hops: usize,
    /// Maximum number of connections. Further clients wait in the kernel.
    pub max_connections: NonZeroUsize,
    /// Maximum number of connections from one address. Further ones are closed immediately. Behind a trusted proxy
    /// they are not counted, because the address is the proxy's.
    pub max_connections_per_ip: NonZeroUsize,
    /// From the connection to its first byte.
    pub first_byte_timeout: Duration,
    /// From the first byte of a request to the end of its headers.
    pub headers_timeout: Duration,
    /// From the end of an answer to the first byte of the next request.
    pub idle_timeout: Duration,
    /// Longest time for which a client may read nothing of an answer that is ready.
    pub write_timeout: Duration,
    /// Maximum number of open event streams of one client.
    pub sse_per_ip: NonZeroUsize,
    /// Maximum number of open event streams of all clients.
    pub sse_max: NonZeroUsize,
}

impl EdgeConfig {
    /// Reads the limits.
    ///
    /// # Errors
    /// [`ConfigError`] names the variable and its bounds.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        let count = |name, default, meaning| {
            env.number::<NonZero>(&Variable::number(name, default, 1..=COUNT_MAX, meaning)).map(|count| count.0)
        };
        let pause = |name, default, meaning| env.millis(&Variable::millis(name, default, 1..=TIMEOUT_MAX_MS, meaning));
        Ok(Self {
            trusted_proxy_hops: env.number(&Variable::number(
                "TRUSTED_PROXY_HOPS",
                0,
                0..=16,
                "Number of trusted proxies that append to X-Forwarded-For. With 0 the header is ignored.",
            ))?,
            max_connections: count(
                "MAX_CONNECTIONS",
                CONNECTIONS_MAX,
                "Maximum number of connections. Further clients wait in the kernel.",
            )?,
            max_connections_per_ip: count(
                "MAX_CONNECTIONS_PER_IP",
                CONNECTIONS_PER_IP,
                "Maximum number of connections from one address. Not counted behind a trusted proxy.",
            )?,
            first_byte_timeout: pause(
                "FIRST_BYTE_TIMEOUT_MS",
                FIRST_BYTE_TIMEOUT,
                "Longest time from a connection to its first byte.",
            )?,
            headers_timeout: pause(
                "HEADERS_TIMEOUT_MS",
                HEADERS_TIMEOUT,
                "Longest time from the first byte of a request to the end of its headers.",
            )?,
            idle_timeout: pause(
                "IDLE_TIMEOUT_MS",
                IDLE_TIMEOUT,
                "Longest time from the end of an answer to the first byte of the next request.",
            )?,
            write_timeout: pause(
                "WRITE_TIMEOUT_MS",
                WRITE_TIMEOUT,
                "Longest time for which a client may read nothing of an answer that is ready.",
            )?,
            sse_per_ip: count("SSE_PER_IP", SSE_PER_IP, "Maximum number of open event streams of one client.")?,
            sse_max: count("SSE_MAX", SSE_MAX, "Maximum number of open event streams of all clients.")?,
        })
    }
}

/// A count from 1 on, as [`Env::number`] makes it.
struct NonZero(NonZeroUsize);

impl TryFrom<u64> for NonZero {
    type Error = ();

    fn try_from(number: u64) -> Result<Self, ()> {
        usize::try_from(number).ok().and_then(NonZeroUsize::new).map(Self).ok_or(())
    }
}
