//! How much of the service one client may take, and all of them together.

use super::invalid;
use runtime::{ConfigError, Env};
use std::num::NonZeroUsize;
use std::time::Duration;

/// A silent connection costs a slot; whoever means to ask something asks at once.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(5);
/// A request's headers are a few KiB: seconds on the worst line that can pay at all.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than those in front of us keep a socket for another request, so that they close first: Node's fetch 4 s, httpx
/// 5 s, Amazon's balancer and nginx towards its upstreams 60 s. 75 s is what nginx itself allows its clients.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Twice the heartbeat of an event stream: a client that reads at all has room for something within that time.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// With all headers of a request at their longest these are 256 MiB.
const CONNECTIONS_MAX: usize = 4096;
/// A client that uses an eighth of the service is no payer; a carrier's NAT still fits.
const CONNECTIONS_PER_IP: usize = 512;
/// Requests per second. A payer sends three a purchase, and a few while it waits.
const RATE_PER_IP: u32 = 100;
/// Requests per second: above what the ledger takes on the best disk, below what makes this process the bottleneck.
const RATE_TOTAL: u32 = 5000;
/// Browsers open six connections to a host at most (HTTP/1.1); one page follows one or two payments.
const SSE_PER_IP: usize = 8;
/// All connections may be streams, but for what one address may hold besides.
const SSE_MAX: usize = 4096;

/// Limits on connections, requests and streams.
#[derive(Clone, Debug)]
pub struct Edge {
    /// `TRUSTED_PROXY_HOPS`: how many proxies of ours append to `X-Forwarded-For`. 0: nobody's word is taken.
    pub trusted_proxy_hops: usize,
    /// `MAX_CONNECTIONS`: above, the kernel lets clients wait.
    pub max_connections: NonZeroUsize,
    /// `MAX_CONNECTIONS_PER_IP`: above, closed at once. Behind a proxy of ours this is not counted: it is the proxy's.
    pub max_connections_per_ip: NonZeroUsize,
    /// `FIRST_BYTE_TIMEOUT_MS`: from the connection to its first byte.
    pub first_byte_timeout: Duration,
    /// `HEADERS_TIMEOUT_MS`: from the first byte of a request to the end of its headers.
    pub headers_timeout: Duration,
    /// `IDLE_TIMEOUT_MS`: from the end of an answer to the first byte of the next request.
    pub idle_timeout: Duration,
    /// `WRITE_TIMEOUT_MS`: how long a client may take nothing of what is there for it.
    pub write_timeout: Duration,
    /// `RATE_PER_IP`: requests per second of one client, twice as many in a burst. 0: any.
    pub rate_per_ip: u32,
    /// `RATE_TOTAL`: requests per second of all clients, to what costs the ledger something. 0: any.
    pub rate_total: u32,
    /// `SSE_PER_IP`: open event streams of one client.
    pub sse_per_ip: NonZeroUsize,
    /// `SSE_MAX`: open event streams of all clients.
    pub sse_max: NonZeroUsize,
}

impl Edge {
    pub(super) fn from_env(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self {
            trusted_proxy_hops: env.parse_or("TRUSTED_PROXY_HOPS", "a number of proxies such as 1", 0)?,
            max_connections: count(env, "MAX_CONNECTIONS", CONNECTIONS_MAX)?,
            max_connections_per_ip: count(env, "MAX_CONNECTIONS_PER_IP", CONNECTIONS_PER_IP)?,
            first_byte_timeout: pause(env, "FIRST_BYTE_TIMEOUT_MS", FIRST_BYTE_TIMEOUT)?,
            headers_timeout: pause(env, "HEADERS_TIMEOUT_MS", HEADERS_TIMEOUT)?,
            idle_timeout: pause(env, "IDLE_TIMEOUT_MS", IDLE_TIMEOUT)?,
            write_timeout: pause(env, "WRITE_TIMEOUT_MS", WRITE_TIMEOUT)?,
            rate_per_ip: env.parse_or("RATE_PER_IP", "requests per second such as 100, 0 for any", RATE_PER_IP)?,
            rate_total: env.parse_or("RATE_TOTAL", "requests per second such as 5000, 0 for any", RATE_TOTAL)?,
            sse_per_ip: count(env, "SSE_PER_IP", SSE_PER_IP)?,
            sse_max: count(env, "SSE_MAX", SSE_MAX)?,
        })
    }
}

/// A number from 1 on.
fn count(env: &Env, variable: &str, default: usize) -> Result<NonZeroUsize, ConfigError> {
    let shape = default.to_string();
    let number = env.parse_or(variable, &shape, default)?;
    NonZeroUsize::new(number).ok_or_else(|| invalid(variable, &shape, "nobody could be served".to_owned()))
}

/// A time that is not over at once.
fn pause(env: &Env, variable: &str, default: Duration) -> Result<Duration, ConfigError> {
    let time = env.millis_or(variable, default)?;
    let refused = || invalid(variable, &default.as_millis().to_string(), "nobody could be in time".to_owned());
    if time.is_zero() { Err(refused()) } else { Ok(time) }
}
