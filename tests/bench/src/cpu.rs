//! Use of the processors: by each process of this run by name, and by all others together. Read from `/proc`.

use runtime::Fatal;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::time::Instant;

/// `/proc` counts in hundredths of a second on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// A look at `/proc`.
pub struct Snapshot {
    at: Instant,
    busy: u64,
    by_name: BTreeMap<String, u64>,
}

/// Processor time between two looks, seconds.
#[derive(Clone, Debug, Serialize)]
pub struct Usage {
    /// Use by this run's processes, by name; PostgreSQL and its sessions together.
    pub by_name: BTreeMap<String, f64>,
    /// Use by all other processes: noise.
    pub others: f64,
    /// Share of all processors that others used, of 1.
    pub others_share: f64,
    /// Share of all processors that was used at all, of 1.
    pub busy_share: f64,
    /// All processors, seconds.
    pub capacity: f64,
    /// How many there are.
    pub cores: f64,
}

impl Usage {
    /// Seconds that the processes of this name used.
    pub fn of(&self, name: &str) -> f64 {
        self.by_name.get(name).copied().unwrap_or(0.0)
    }

    /// The cores left to everybody else by the processes of these names, on average: 1.25 of 2, say.
    pub fn cores_left_by(&self, names: &[&str]) -> f64 {
        let used: f64 = names.iter().map(|name| self.of(name)).sum();
        self.cores * (1.0 - used / self.capacity).max(0.0)
    }
}

impl Snapshot {
    /// Looks now.
    ///
    /// # Errors
    /// There is no `/proc`.
    pub fn take() -> Result<Self, Fatal> {
        let stat = fs::read_to_string("/proc/stat")?;
        let cpu = stat.lines().next().unwrap_or_default();
        let counts: Vec<u64> = cpu.split_whitespace().skip(1).map_while(|count| count.parse().ok()).collect();
        // user, nice, system, (idle, iowait,) irq, softirq, steal; guest time is in user.
        let busy = counts.iter().enumerate().filter(|(at, _)| !matches!(at, 3 | 4) && *at < 8).map(|(_, n)| n).sum();
        Ok(Self { at: Instant::now(), busy, by_name: ours()? })
    }

    /// The use since then.
    ///
    /// # Errors
    /// There is no `/proc`.
    pub fn since(&self) -> Result<Usage, Fatal> {
        let now = Self::take()?;
        let seconds = |before: u64, after: u64| after.saturating_sub(before) as f64 / TICKS_PER_SECOND;
        let used = |name: &String, after: u64| seconds(self.by_name.get(name).copied().unwrap_or(0), after);
        let by_name: BTreeMap<String, f64> =
            now.by_name.iter().map(|(name, after)| (name.clone(), used(name, *after))).collect();
        let all = seconds(self.busy, now.busy);
        let others = (all - by_name.values().sum::<f64>()).max(0.0);
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let capacity = (now.at - self.at).as_secs_f64() * cores;
        Ok(Usage { by_name, others, others_share: others / capacity, busy_share: all / capacity, capacity, cores })
    }
}

/// Ticks of this process and of all that descend from it, by name.
fn ours() -> Result<BTreeMap<String, u64>, Fatal> {
    let mut processes: HashMap<u32, (u32, String, u64)> = HashMap::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // Gone since the directory was read.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        processes.extend(parse(&stat).map(|process| (pid, process)));
    }
    let me = std::process::id();
    let descends = |mut pid: u32| {
        // Process ids are reused: limit the walk.
        for _ in 0..16 {
            match processes.get(&pid) {
                _ if pid == me => return true,
                Some((parent, ..)) => pid = *parent,
                None => return false,
            }
        }
        false
    };
    let mut by_name = BTreeMap::new();
    for (pid, (_, name, ticks)) in &processes {
        if descends(*pid) {
            *by_name.entry(name.clone()).or_insert(0) += ticks;
        }
    }
    Ok(by_name)
}

/// Parent, name and ticks (own, and of children that have ended) of a line of `/proc/<pid>/stat`.
fn parse(stat: &str) -> Option<(u32, String, u64)> {
    let (before, after) = stat.rsplit_once(')')?;
    let name = before.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().map_while(|ticks| ticks.parse::<u64>().ok()).sum();
    Some((fields.get(1)?.parse().ok()?, name, ticks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cores_left_are_those_that_the_named_did_not_use() {
        let by_name = [("nats-server", 6.0), ("paymint-bench", 3.0), ("api", 9.0)];
        let by_name = by_name.map(|(name, seconds)| (name.to_owned(), seconds)).into();
        let usage = Usage { by_name, others: 0.0, others_share: 0.0, busy_share: 0.9, capacity: 20.0, cores: 2.0 };
        assert_eq!(usage.cores_left_by(&["nats-server", "paymint-bench"]), 1.1);
        assert_eq!(usage.cores_left_by(&["nobody"]), 2.0);
        assert_eq!(usage.of("api"), 9.0);
    }

    #[test]
    fn a_name_may_hold_blanks_and_parentheses() {
        let line = "42 (a (b) c) S 7 42 42 0 -1 4194560 100 0 0 0 10 20 3 4 20 0 1 0 5 6 7";
        assert_eq!(parse(line), Some((7, "a (b) c".to_owned(), 37)));
    }
}
