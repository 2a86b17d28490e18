//! The duration of each executable in the last run, in a file of `target/`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// Number of rows of the printed table.
const SHOWN: usize = 12;

/// Durations by name of the executable.
#[derive(Debug, Default)]
pub struct Times {
    file: PathBuf,
    all: BTreeMap<String, Duration>,
}

impl Times {
    /// Reads the durations of the last run. Empty if there was none.
    pub fn read() -> Self {
        let program = std::env::current_exe().unwrap_or_default();
        let file = program.with_file_name("test-times");
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        Self { file, all: parse(&text) }
    }

    /// The duration of this executable in the last run.
    pub fn of(&self, name: &str) -> Option<Duration> {
        self.all.get(name).copied()
    }

    /// Records the duration of this executable.
    pub fn set(&mut self, name: String, took: Duration) {
        self.all.insert(name, took);
    }

    /// Writes the durations for the next run, which is slower without them.
    pub fn write(&self) {
        let lines: String = self.all.iter().map(|(name, took)| format!("{}\t{name}\n", took.as_millis())).collect();
        let _ = std::fs::write(&self.file, lines);
    }

    /// The executables that took longest, as a table.
    pub fn table(&self) -> String {
        let mut longest: Vec<_> = self.all.iter().collect();
        longest.sort_by_key(|(_, took)| std::cmp::Reverse(**took));
        longest.iter().take(SHOWN).fold(String::new(), |mut table, (name, took)| {
            let _ = writeln!(table, "{:>9.1} s  {name}", took.as_secs_f64());
            table
        })
    }
}

fn parse(text: &str) -> BTreeMap<String, Duration> {
    let line = |line: &str| {
        let (ms, name) = line.split_once('\t')?;
        Some((name.to_owned(), Duration::from_millis(ms.parse().ok()?)))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_time_is_left_out() {
        let times = parse("1500\tapi it\nnothing\nx\ty\n");
        assert_eq!(times, BTreeMap::from([("api it".to_owned(), Duration::from_millis(1_500))]));
    }
}
