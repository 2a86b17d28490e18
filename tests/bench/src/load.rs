//! Load: presigned requests over N keep-alive connections, and what became of them.
//!
//! All of it runs on one thread of its own with a runtime of its own, so that the client takes one of the processors at
//! most. Connections are opened before the clock starts.

use crate::client::{Connection, find};
use futures_util::future::join_all;
use runtime::Fatal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Failures that are told apart in the report; the rest is counted.
const FAILURES_SHOWN: usize = 3;

/// A request as it goes over the wire, and the id that its 202 must name.
pub struct Shot {
    /// Request line, headers, body.
    pub bytes: Vec<u8>,
    /// `paymentQueueId`.
    pub id: String,
}

/// When the next request goes out.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// As soon as the connection has its answer: finds the highest rate. Latency is then connections / rate, by
    /// Little's law, whatever the service does.
    Saturated,
    /// So many a second over all connections, at random times (Poisson), answered or not: finds the latency at that
    /// rate. Counted from the time at which the request was due, so that a stall counts for all who wait.
    PerSecond(f64),
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Answered 202 with the right id.
    pub accepted: usize,
    /// Everything else, what was never sent because its connection had broken included.
    pub failed: usize,
    /// The first failures.
    pub failures: Vec<String>,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Of the accepted ones, sorted.
    pub latencies: Vec<Duration>,
}

impl Outcome {
    /// Accepted a second.
    pub fn rate(&self) -> f64 {
        self.accepted as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that this share of the accepted requests did not exceed, milliseconds.
    pub fn percentile_ms(&self, share: f64) -> f64 {
        percentile_ms(&self.latencies, share)
    }
}

/// The same of any sorted list.
pub fn percentile_ms(sorted: &[Duration], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).map_or(f64::NAN, |found| found.as_secs_f64() * 1_000.0)
}

/// Fires every shot once, over `connections` connections.
///
/// # Errors
/// A connection that cannot be opened. Failed requests are no errors here: they are counted.
pub async fn fire(
    address: SocketAddr,
    shots: Arc<Vec<Shot>>,
    connections: usize,
    pace: Pace,
) -> Result<Outcome, Fatal> {
    tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(all(address, shots, connections, pace))
    })
    .await?
}

async fn all(address: SocketAddr, shots: Arc<Vec<Shot>>, connections: usize, pace: Pace) -> Result<Outcome, Fatal> {
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(Connection::open(address).await.map_err(|e| format!("the api at {address}: {e}"))?);
    }
    let due = Arc::new(schedule(pace, shots.len()));
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let gunners: Vec<_> = open
        .into_iter()
        .map(|connection| tokio::spawn(gunner(connection, shots.clone(), due.clone(), next.clone(), begun)))
        .collect();
    let mut sum = Outcome::default();
    for done in join_all(gunners).await {
        let done = done?;
        sum.accepted += done.accepted;
        sum.failures.extend(done.failures);
        sum.latencies.extend(done.latencies);
        sum.elapsed = sum.elapsed.max(done.elapsed);
    }
    // Also what was never sent because its connection broke.
    sum.failed = shots.len() - sum.accepted;
    sum.failures.truncate(FAILURES_SHOWN);
    sum.latencies.sort_unstable();
    Ok(sum)
}

/// Times from the beginning; none when nobody waits for a time.
fn schedule(pace: Pace, count: usize) -> Vec<Duration> {
    let Pace::PerSecond(rate) = pace else { return Vec::new() };
    let mut at = 0.0;
    let gaps = std::iter::repeat_with(|| -(1.0 - rand::random::<f64>()).ln() / rate);
    gaps.take(count)
        .map(|gap| {
            at += gap;
            Duration::from_secs_f64(at)
        })
        .collect()
}

/// One connection takes the next shot that nobody has taken, waits until it is due, and fires it.
async fn gunner(
    mut connection: Connection,
    shots: Arc<Vec<Shot>>,
    due: Arc<Vec<Duration>>,
    next: Arc<AtomicUsize>,
    begun: Instant,
) -> Outcome {
    let mut outcome = Outcome::default();
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let Some(shot) = shots.get(index) else { return outcome };
        let mut from = Instant::now();
        if let Some(due) = due.get(index) {
            from = begun + *due;
            tokio::time::sleep_until(from).await;
        }
        let answer = connection.exchange(&shot.bytes).await;
        outcome.elapsed = begun.elapsed();
        match answer {
            Ok(answer) if answer.status == 202 && find(answer.body, shot.id.as_bytes()).is_some() => {
                outcome.accepted += 1;
                outcome.latencies.push(from.elapsed());
            }
            Ok(answer) => {
                let body = String::from_utf8_lossy(answer.body).chars().take(200).collect::<String>();
                outcome.failures.push(format!("{}: {body}", answer.status));
            }
            Err(e) => {
                outcome.failures.push(e.to_string());
                return outcome;
            }
        }
    }
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
        let due = schedule(Pace::PerSecond(1_000.0), 10_000);
        let last = due.last().map_or(0.0, Duration::as_secs_f64);
        assert!((9.0..11.0).contains(&last), "{last}");
        assert!(schedule(Pace::Saturated, 10).is_empty());
    }
}
