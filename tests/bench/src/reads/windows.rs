//! Times of appends in the windows of two ledgers, and their limits. On the long ledger:
//!
//! - appends may take [`QUIET_MAX`] times as long as while people only buy;
//! - appends may take [`LONG_MAX`] times as long as on the short ledger.

use runtime::Fatal;
use serde_json::json;
use std::cmp::Reverse;
use std::time::Duration;

use crate::disk::Disk;
use crate::load::percentile_ms;
use crate::reads::Beside;
use crate::report::{Report, Row};

/// Limit as a multiple of the windows in which people only buy.
const QUIET_MAX: f64 = 3.0;
/// Limit for the long ledger, as a multiple of the short one. The median of five windows may be half as high again on the
/// same ledger a minute later, so a smaller limit would fail by chance.
const LONG_MAX: f64 = 2.0;
/// Maximum time of one write of the probe, milliseconds. A slower one means that the disk paused. A window in
/// which people only buy is then measured again, because it would raise the limit. The report names it.
const DISK_MAX_MS: f64 = 30.0;
/// Minimum number of windows of a kind that count.
const WINDOWS_MIN: usize = 3;
/// Other programs may use this much of the processors, percent. Beyond that even the quiet windows have stalls, and every
/// ratio would look good.
const OTHERS_MAX: f64 = 15.0;
/// Number of appends that are reported one by one.
const SLOWEST: usize = 20;

/// Appends of one window.
pub struct Window {
    /// When each append was due, since the beginning of the window, and how long it took.
    pub appends: Vec<(Duration, Duration)>,
    pub lasted: Duration,
    /// Share of the processors that other programs used.
    pub others: f64,
    /// A single write, measured beside the appends.
    pub disk: Disk,
}

/// The windows of one ledger.
pub struct Windows {
    /// Events of its past.
    pub events: u64,
    pub of: Vec<(Beside, Vec<Window>)>,
    /// Windows in which the disk paused.
    pub spoiled: Vec<(Beside, Window)>,
}

impl Window {
    /// True if the disk paused, so that the times of appends say little about the ledger.
    pub fn is_spoiled(&self) -> bool {
        self.disk.max_ms > DISK_MAX_MS
    }

    pub fn p99_ms(&self) -> f64 {
        let mut latencies: Vec<Duration> = self.appends.iter().map(|(_, took)| *took).collect();
        latencies.sort_unstable();
        percentile_ms(&latencies, 0.99)
    }

    /// The slowest appends: when they were due, and how long they took, milliseconds. Says what held them up.
    fn slowest(&self) -> Vec<[u128; 2]> {
        let mut slowest = self.appends.clone();
        slowest.sort_unstable_by_key(|(_, took)| Reverse(*took));
        slowest.truncate(SLOWEST);
        slowest.sort_unstable();
        slowest.into_iter().map(|(due, took)| [due.as_millis(), took.as_millis()]).collect()
    }
}

impl Windows {
    /// No windows yet.
    pub fn new(events: u64) -> Self {
        Self { events, of: Beside::ALL.map(|beside| (beside, Vec::new())).into(), spoiled: Vec::new() }
    }

    /// The windows of one kind that count.
    fn all(&self, beside: Beside) -> &[Window] {
        self.of.iter().find(|(kind, _)| *kind == beside).map_or(&[], |(_, windows)| windows)
    }

    /// Median of the 99th percentiles; NaN, which no limit allows, if too few windows count.
    fn p99_ms(&self, beside: Beside) -> f64 {
        let mut p99s_ms: Vec<f64> = self.all(beside).iter().map(Window::p99_ms).collect();
        if p99s_ms.len() < WINDOWS_MIN {
            return f64::NAN;
        }
        p99s_ms.sort_by(f64::total_cmp);
        p99s_ms[p99s_ms.len() / 2]
    }

    fn tell(&self, beside: Beside, report: &mut Report) -> Result<Row, Fatal> {
        let (windows, events, text) = (self.all(beside), self.events, beside.text());
        let others = windows.iter().map(|window| window.others).fold(0.0, f64::max) * 100.0;
        report.note(format!("reads, {events} events, {text}: others used at most {others:.0} % of the processors"));
        if others > OTHERS_MAX {
            report.violation(format!("reads, {events} events, {text}: others used {others:.0} % of the processors"));
        }
        let appends = windows.iter().flat_map(|window| &window.appends);
        let mut latencies: Vec<Duration> = appends.map(|(_, took)| *took).collect();
        latencies.sort_unstable();
        let shares = [0.5, 0.9, 0.99, 0.999, 1.0].map(|share| percentile_ms(&latencies, share));
        report.detail(
            &format!("reads, {events} events, {text}"),
            json!({
                "latenciesMs": shares,
                "p99OfWindowsMs": windows.iter().map(Window::p99_ms).collect::<Vec<_>>(),
                "appends": latencies.len(),
                "secondsOfWindows": windows.iter().map(|window| window.lasted.as_secs_f64()).collect::<Vec<_>>(),
                "slowestDueAndTookMs": windows.iter().map(Window::slowest).collect::<Vec<_>>(),
            }),
        )?;
        let row = Row::new(format!("reads, {events} events: p99 while {text}"), self.p99_ms(beside), "ms");
        let row = row.saying(format!("{} appends; p50 {:.1}, at most {:.0} ms", latencies.len(), shares[0], shares[4]));
        Ok(match beside {
            Beside::Nothing => row,
            Beside::ApiStarts | Beside::MinterWorks | Beside::OldStreams | Beside::Everything => {
                row.of(self.p99_ms(Beside::Nothing), "while people only buy")
            }
        })
    }
}

/// Reports the windows of both ledgers, and each limit that is exceeded as a violation.
///
/// # Errors
/// A figure is no JSON.
pub fn figures(short: &Windows, long: &Windows, report: &mut Report) -> Result<(), Fatal> {
    for windows in [short, long] {
        for (beside, window) in &windows.spoiled {
            let (events, text, p99_ms, disk_ms) = (windows.events, beside.text(), window.p99_ms(), window.disk.max_ms);
            report.note(format!(
                "reads, {events} events, {text}: not counted, p99 {p99_ms:.1} ms, because one write took {disk_ms:.0} ms"
            ));
        }
    }
    for beside in Beside::ALL {
        let row = short.tell(beside, report)?;
        report.row(row);
    }
    for beside in Beside::ALL {
        let (p99_ms, by_size) = (long.p99_ms(beside), LONG_MAX * short.p99_ms(beside));
        let by_quiet = QUIET_MAX * long.p99_ms(Beside::Nothing);
        let row = long.tell(beside, report)?.of(short.p99_ms(beside), "on the short ledger");
        report.row(row.at_most(by_size.min(by_quiet)));
        // A figure that is not known is within no limit.
        if !(p99_ms <= by_size && p99_ms <= by_quiet) {
            report.violation(format!(
                "reads: while {} the p99 is {p99_ms:.1} ms; limits are {by_quiet:.1} (people only buy) and {by_size:.1} (short ledger)",
                beside.text()
            ));
        }
    }
    Ok(())
}
