//! Load: requests made beforehand over N keep-alive connections, and what became of them.
//!
//! All of it runs on one thread of its own with a runtime of its own, so that the client takes one of the processors at
//! most. Connections are opened before the clock starts.

use crate::client::{Answer, Connection, find, header};
use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use runtime::Fatal;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Seed of the random times.
const SCHEDULE: u64 = 1;
/// Failures that are told apart in the report; the rest is counted.
const FAILURES_SHOWN: usize = 3;

/// A request as it goes over the wire, and what it must be answered with.
pub struct Shot {
    /// Request line, headers, body.
    pub bytes: Vec<u8>,
    /// The status code.
    pub status: u16,
    /// Text that the body must contain: the id of a 202, the code of a refusal.
    pub says: String,
}

/// When the next request goes out.
#[derive(Clone, Debug)]
pub enum Pace {
    /// Each connection sends again as soon as it has its answer, which finds the highest rate. Latency is then
    /// connections / rate, by Little's law, whatever the service does.
    Saturated,
    /// Requests per second over all connections, at random times (Poisson), answered or not, which finds the latency at
    /// that rate. It counts from the time at which the request was due, so that a stall counts for all waiting
    /// requests.
    PerSecond(f64),
    /// One for each permit that somebody adds, until the semaphore is closed: a closed loop around more than the answer.
    Permitted(Arc<Semaphore>),
}

/// The requests, and how they are sent.
#[derive(Clone)]
pub struct Load {
    /// The requests, in this order.
    pub shots: Arc<Vec<Shot>>,
    /// How many are sent; the shots come round again where there are fewer.
    pub count: usize,
    /// Connections.
    pub connections: usize,
    /// When.
    pub pace: Pace,
    /// `Some(n)`: each connection comes from an address of its own in 127.n.0.0/16. `None`: all come from one.
    pub network: Option<u8>,
}

impl Load {
    /// Every shot once.
    pub fn once(shots: Vec<Shot>, connections: usize, pace: Pace) -> Self {
        Self { count: shots.len(), shots: Arc::new(shots), connections, pace, network: None }
    }

    /// From as many addresses as there are connections, all in 127.`network`.0.0/16.
    pub fn within_network(self, network: u8) -> Self {
        Self { network: Some(network), ..self }
    }
}

/// The result of a load.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The shots that were answered as they must be, by index.
    pub hits: Vec<usize>,
    /// When each of these was due, in the order of `hits`.
    pub posted: Vec<DateTime<Utc>>,
    /// How long they took, sorted.
    pub latencies: Vec<Duration>,
    /// How long it took to say "not now", sorted: 503 or 429, with `Retry-After` in whole seconds.
    pub put_off: Vec<Duration>,
    /// Everything else, what was never sent because its connection had broken included.
    pub failed: usize,
    /// How often each status and code was answered that a shot did not ask for.
    pub refused: BTreeMap<String, usize>,
    /// The first failures.
    pub failures: Vec<String>,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

impl Outcome {
    /// Answered as they must be, a second.
    pub fn rate(&self) -> f64 {
        self.hits.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that this share of the hits did not exceed, milliseconds.
    pub fn percentile_ms(&self, share: f64) -> f64 {
        percentile_ms(&self.latencies, share)
    }

    /// The first fault of a load in which nothing may be refused. `None` if every answer was as expected.
    pub fn fault(&self) -> Option<String> {
        let put_off = self.put_off.len();
        (self.failed + put_off > 0)
            .then(|| format!("{} requests failed, {put_off} were put off: {}", self.failed, self.failures.join(" | ")))
    }
}

/// A percentile of a sorted list, milliseconds.
pub fn percentile_ms(sorted: &[Duration], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).map_or(f64::NAN, |found| found.as_secs_f64() * 1_000.0)
}

/// Fires the load.
///
/// # Errors
/// A connection that cannot be opened. Failed requests are no errors here: they are counted.
pub async fn fire(address: SocketAddr, load: Load) -> Result<Outcome, Fatal> {
    tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(all(address, load))
    })
    .await?
}

/// One load under way.
struct Round {
    load: Load,
    due: Vec<Duration>,
    next: AtomicUsize,
    begun: Instant,
}

async fn all(address: SocketAddr, load: Load) -> Result<Outcome, Fatal> {
    let mut open = Vec::with_capacity(load.connections);
    for nth in 0..load.connections {
        let connection = match load.network {
            Some(network) => Connection::open_from(source(network, nth).into(), address).await,
            None => Connection::open(address).await,
        };
        open.push(connection.map_err(|e| format!("the server at {address}: {e}"))?);
    }
    let due = schedule(&load.pace, load.count);
    let round = Arc::new(Round { due, load, next: AtomicUsize::new(0), begun: Instant::now() });
    let gunners: Vec<_> = open.into_iter().map(|connection| tokio::spawn(gunner(connection, round.clone()))).collect();
    let mut sum = Outcome::default();
    for done in join_all(gunners).await {
        let done = done?;
        sum.hits.extend(done.hits);
        sum.posted.extend(done.posted);
        sum.latencies.extend(done.latencies);
        sum.put_off.extend(done.put_off);
        sum.failed += done.failed;
        sum.failures.extend(done.failures);
        for (code, count) in done.refused {
            *sum.refused.entry(code).or_default() += count;
        }
        sum.elapsed = sum.elapsed.max(done.elapsed);
    }
    if !matches!(&round.load.pace, Pace::Permitted(permits) if permits.is_closed()) {
        sum.failed += round.load.count.saturating_sub(round.next.load(Ordering::Relaxed));
    }
    sum.failures.truncate(FAILURES_SHOWN);
    sum.latencies.sort_unstable();
    sum.put_off.sort_unstable();
    Ok(sum)
}

/// Times from the beginning; none when nobody waits for a time. The same pace has the same times, so that two loads compare.
fn schedule(pace: &Pace, count: usize) -> Vec<Duration> {
    let Pace::PerSecond(rate) = pace else { return Vec::new() };
    let mut at = 0.0;
    let mut rng = StdRng::seed_from_u64(SCHEDULE);
    let gaps = std::iter::repeat_with(|| -(1.0 - rng.random::<f64>()).ln() / rate);
    gaps.take(count)
        .map(|gap| {
            at += gap;
            Duration::from_secs_f64(at)
        })
        .collect()
}

/// One connection takes the next shot that nobody has taken, waits until it is due, and fires it.
async fn gunner(mut connection: Connection, round: Arc<Round>) -> Outcome {
    let mut outcome = Outcome::default();
    loop {
        if let Pace::Permitted(permits) = &round.load.pace {
            match permits.acquire().await {
                Ok(permit) => permit.forget(),
                Err(_) => return outcome, // closed: it is over
            }
        }
        let number = round.next.fetch_add(1, Ordering::Relaxed);
        if number >= round.load.count {
            return outcome;
        }
        let index = number % round.load.shots.len().max(1);
        let Some(shot) = round.load.shots.get(index) else { return outcome };
        let mut from = Instant::now();
        if let Some(due) = round.due.get(number) {
            from = round.begun + *due;
            tokio::time::sleep_until(from).await;
        }
        let answer = connection.exchange(&shot.bytes).await;
        outcome.elapsed = round.begun.elapsed();
        match answer {
            Ok(answer) if answer.status == shot.status && find(answer.body, shot.says.as_bytes()).is_some() => {
                outcome.hits.push(index);
                outcome.posted.push(Utc::now() - from.elapsed());
                outcome.latencies.push(from.elapsed());
            }
            Ok(answer) if come_back(&answer).is_some() => {
                *outcome.refused.entry(refusal(&answer)).or_default() += 1;
                outcome.put_off.push(from.elapsed());
            }
            Ok(answer) => {
                *outcome.refused.entry(refusal(&answer)).or_default() += 1;
                let body = String::from_utf8_lossy(answer.body).chars().take(200).collect::<String>();
                outcome.failed += 1;
                outcome.failures.push(format!("{}: {body}", answer.status));
            }
            Err(e) => {
                outcome.failed += 1;
                outcome.failures.push(e.to_string());
                return outcome;
            }
        }
    }
}

/// The address of a connection.
fn source(network: u8, nth: usize) -> Ipv4Addr {
    let nth = nth + 1;
    Ipv4Addr::new(127, network, (nth / 256) as u8, (nth % 256) as u8)
}

/// Status and stable code of an answer, such as `429 payer_busy`.
fn refusal(answer: &Answer<'_>) -> String {
    let body = String::from_utf8_lossy(answer.body);
    let code = ["\"code\":\"", "\"error\":\""].into_iter().find_map(|key| body.split_once(key)?.1.split('"').next());
    format!("{} {}", answer.status, code.unwrap_or("without a code"))
}

/// When a 503 or 429 says to come back.
pub fn come_back(answer: &Answer<'_>) -> Option<Duration> {
    let seconds = header(answer.head, "retry-after").filter(|_| matches!(answer.status, 503 | 429))?;
    seconds.parse::<u32>().ok().map(|seconds| Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile_ms(&sorted, 0.5), 100.0);
        assert_eq!(percentile_ms(&sorted, 0.99), 198.0);
        assert_eq!(percentile_ms(&sorted, 1.0), 200.0);
        assert!(percentile_ms(&[], 0.5).is_nan());
    }

    #[test]
    fn a_paced_schedule_has_the_rate_that_was_asked_for() {
        let due = schedule(&Pace::PerSecond(1_000.0), 10_000);
        let last = due.last().map_or(0.0, Duration::as_secs_f64);
        assert!((9.0..11.0).contains(&last), "{last}");
        assert!(schedule(&Pace::Saturated, 10).is_empty());
    }

    #[test]
    fn not_now_is_a_503_or_429_that_says_when() {
        let cases = [
            (503, "HTTP/1.1 503 x\r\nRetry-After: 3", Some(3)),
            (429, "HTTP/1.1 429 x\r\nretry-after: 60", Some(60)),
            (503, "HTTP/1.1 503 x\r\ncontent-length: 3", None),
            (503, "HTTP/1.1 503 x\r\nretry-after: soon", None),
            (500, "HTTP/1.1 500 x\r\nretry-after: 3", None),
            (402, "HTTP/1.1 402 x\r\nretry-after: 3", None),
        ];
        for (status, head, expected) in cases {
            let found = come_back(&Answer { status, head, body: b"" });
            assert_eq!(found, expected.map(Duration::from_secs), "{head}");
        }
    }

    #[test]
    fn a_refusal_is_named_by_its_status_and_code() {
        let cases = [
            (429, r#"{"type":"about:blank","code":"payer_busy"}"#, "429 payer_busy"),
            (402, r#"{"x402Version":2,"error":"payment_required"}"#, "402 payment_required"),
            (500, "oops", "500 without a code"),
        ];
        for (status, body, expected) in cases {
            assert_eq!(refusal(&Answer { status, head: "", body: body.as_bytes() }), expected);
        }
    }

    #[test]
    fn every_connection_has_an_address_of_its_own() {
        assert_eq!(source(2, 0), Ipv4Addr::new(127, 2, 0, 1));
        assert_eq!(source(2, 300), Ipv4Addr::new(127, 2, 1, 45));
    }

    #[test]
    fn what_is_put_off_is_a_fault_where_nothing_may_be() {
        assert_eq!(Outcome { hits: vec![0, 1], ..Outcome::default() }.fault(), None);
        assert!(Outcome { put_off: vec![Duration::ZERO], ..Outcome::default() }.fault().is_some());
        assert!(Outcome { failed: 1, ..Outcome::default() }.fault().is_some());
    }
}
