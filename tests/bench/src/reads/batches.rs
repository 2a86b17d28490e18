//! Time of an append by its number of events, on a server that does nothing else. The next append waits for all of it.

use ledger::{Batch, Expected, NewEvent};
use runtime::Fatal;
use std::time::Instant;

use crate::house::scratch;
use crate::load::percentile_ms;
use crate::reads::{orders, past};
use crate::report::{Report, Row};

/// Numbers of events.
const SIZES: [u64; 5] = [1, 2, 10, 25, 100];
/// Measurements of each.
const TURNS: u64 = 50;

/// Measures each number of events, by turns.
///
/// # Errors
/// The server does not start, or refuses an event.
pub async fn run(report: &mut Report) -> Result<(), Fatal> {
    let dir = scratch()?;
    let (mut nats, ledger) = past::start(dir.path()).await?;
    let mut times = SIZES.map(|size| (size, Vec::new()));
    let mut next = 0;
    for _ in 0..TURNS {
        times.reverse();
        for (size, times) in &mut times {
            let batch = Batch::unordered((next..next + *size).map(new));
            next += *size;
            let begun = Instant::now();
            ledger.append(batch).await?;
            times.push(begun.elapsed());
        }
    }
    nats.stop().await?;
    for (size, mut times) in times {
        times.sort_unstable();
        report.row(Row::new(format!("reads: p50 of an append of {size} events"), percentile_ms(&times, 0.5), "ms"));
    }
    Ok(())
}

fn new(order: u64) -> NewEvent {
    NewEvent { event: orders::request_event(order), expected: Expected::Version(0), trace: None }
}
