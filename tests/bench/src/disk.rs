//! How the disk fares while the services are measured: an append with `fdatasync` now and then, timed.
//!
//! Every 202 waits for the disk. On a machine that others use too, the slowest of these says what part of a bad
//! percentile is theirs.

use runtime::Fatal;
use serde::Serialize;
use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::house::scratch;
use crate::load::percentile_ms;
use crate::raw::MESSAGE;

/// 40 a second: no load, and a hundred samples in the shortest run.
const PAUSE: Duration = Duration::from_millis(25);

/// A probe at work.
pub struct Probe {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<Vec<Duration>, Fatal>>,
}

/// The measured times, milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Disk {
    /// Half of the appends took less.
    pub p50_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// All of them.
    pub max_ms: f64,
}

impl Probe {
    /// Begins.
    ///
    /// # Errors
    /// The disk is full.
    pub fn start() -> Result<Self, Fatal> {
        let dir = scratch()?;
        let file = File::create(dir.path().join("probe"))?;
        let (stop, stopped) = oneshot::channel();
        Ok(Self { stop, task: tokio::spawn(probe(file, dir, stopped)) })
    }

    /// Ends, and says what it found.
    ///
    /// # Errors
    /// The disk is full.
    pub async fn end(self) -> Result<Disk, Fatal> {
        let _ = self.stop.send(()); // it ends by itself only with an error, which comes next
        let mut took = self.task.await??;
        took.sort_unstable();
        let [p50_ms, p99_ms, max_ms] = [0.5, 0.99, 1.0].map(|share| percentile_ms(&took, share));
        Ok(Disk { p50_ms, p99_ms, max_ms })
    }
}

async fn probe(mut file: File, dir: TempDir, mut stopped: oneshot::Receiver<()>) -> Result<Vec<Duration>, Fatal> {
    let mut took = Vec::new();
    loop {
        let append = tokio::task::spawn_blocking(move || -> std::io::Result<_> {
            let begun = Instant::now();
            file.write_all(&MESSAGE)?;
            file.sync_data()?;
            Ok((file, begun.elapsed()))
        });
        let elapsed;
        (file, elapsed) = append.await??;
        took.push(elapsed);
        tokio::select! {
            _ = &mut stopped => break,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
    dir.close()?;
    Ok(took)
}
