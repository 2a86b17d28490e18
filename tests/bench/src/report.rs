//! The table, and the same as JSON.

use runtime::Fatal;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

use crate::cpu::Usage;
use crate::disk::Disk;
use crate::house::target_dir;
use crate::process::Memory;
use crate::raw::Raw;

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    met: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remark: Option<String>,
}

impl Row {
    /// A figure without a target.
    pub fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { what: what.into(), value, unit, target: None, ratio: None, met: None, remark: None }
    }

    /// Met at `target` and above.
    pub fn at_least(self, target: f64) -> Self {
        Self { met: Some(self.value >= target), target: Some(format!(">= {}", figure(target))), ..self }
    }

    /// Met at `target` and below.
    pub fn at_most(self, target: f64) -> Self {
        Self { met: Some(self.value <= target), target: Some(format!("<= {}", figure(target))), ..self }
    }

    /// Met below `target`.
    pub fn below(self, target: f64) -> Self {
        Self { met: Some(self.value < target), target: Some(format!("< {}", figure(target))), ..self }
    }

    /// The figure as a multiple of a raw limit; of several, when called again.
    pub fn of(self, limit: f64, name: &str) -> Self {
        let ratio = format!("{:.3} x {name}", self.value / limit);
        Self { ratio: Some(self.ratio.map_or(ratio.clone(), |before| format!("{before}, {ratio}"))), ..self }
    }

    /// Adds a remark to the figure: how its target is computed.
    pub fn saying(self, remark: impl Into<String>) -> Self {
        Self { remark: Some(remark.into()), ..self }
    }
}

/// Everything that was found.
pub struct Report {
    rows: Vec<Row>,
    notes: Vec<String>,
    violations: Vec<String>,
    details: Map<String, Value>,
}

impl Report {
    /// Begins with the conditions: when, on what, and how busy it was.
    ///
    /// # Errors
    /// There is no `/proc`.
    pub fn begin(quick: bool) -> Result<Self, Fatal> {
        let cores = std::thread::available_parallelism()?.get();
        let load = std::fs::read_to_string("/proc/loadavg")?;
        let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
        let at = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let kind = if quick { "quick: not to be quoted" } else { "full" };
        let note = format!("{at}, {cores} processors, load average {load} before the first phase, {kind}");
        println!("{note}");
        let details = Map::from_iter([
            ("at".to_owned(), json!(at)),
            ("processors".to_owned(), json!(cores)),
            ("loadAverageBefore".to_owned(), json!(load)),
            ("quick".to_owned(), json!(quick)),
        ]);
        Ok(Self { rows: Vec::new(), notes: vec![note], violations: Vec::new(), details })
    }

    /// A line.
    pub fn row(&mut self, row: Row) {
        println!("  {}: {} {}", row.what, figure(row.value), row.unit);
        self.rows.push(row);
    }

    /// A sentence under the table.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Records a violation.
    pub fn violation(&mut self, what: impl Into<String>) {
        let what = what.into();
        println!("  VIOLATED: {what}");
        self.violations.push(what);
    }

    /// More, for the JSON file.
    ///
    /// # Errors
    /// What cannot be JSON.
    pub fn detail(&mut self, name: &str, value: impl Serialize) -> Result<(), Fatal> {
        self.details.insert(name.to_owned(), serde_json::to_value(value)?);
        Ok(())
    }

    /// The raw limits, as they were right before `phase`.
    pub fn raw(&mut self, phase: &str, raw: &Raw) {
        self.row(Row::new(format!("{phase}: raw append of 1 KiB + fdatasync"), raw.fdatasync, "/s"));
        self.row(Row::new(format!("{phase}: raw signature recoveries, one core"), raw.recoveries, "/s"));
        self.row(Row::new(format!("{phase}: raw lazy JetStream publishes"), raw.lazy_publishes, "/s"));
    }

    /// Records the memory of the services: `phase` and the limits of each, MiB.
    pub fn memory(&mut self, phase: &str, memory: &[Memory]) {
        for Memory { service, resident_kib, peak_kib } in memory {
            let mib = |kib: u64| kib as f64 / 1024.0;
            let limit = if *service == "api" { 128.0 } else { 64.0 };
            let what = format!("{phase}: memory of {service} (peak {:.0})", mib(*peak_kib));
            self.row(Row::new(what, mib(*resident_kib), "MiB").below(limit));
        }
    }

    /// Records the use of processors and disk while `count` payments were handled.
    pub fn usage(&mut self, phase: &str, usage: &Usage, disk: Disk, count: usize) {
        let share = |seconds: &f64| format!("{:.2} ms", seconds * 1_000.0 / count.max(1) as f64);
        let mut by_name: Vec<_> = usage.by_name.iter().filter(|(_, seconds)| **seconds >= 0.05).collect();
        by_name.sort_by(|a, b| b.1.total_cmp(a.1));
        let list: Vec<String> = by_name.iter().map(|(name, seconds)| format!("{name} {}", share(seconds))).collect();
        self.note(format!(
            "{phase}: processors {:.0} % busy, {:.0} % by others; an append + fdatasync meanwhile took {:.1} ms, p99 {:.1}, \
             at most {:.1}; processor time per payment: {}",
            usage.busy_share * 100.0,
            usage.others_share * 100.0,
            disk.p50_ms,
            disk.p99_ms,
            disk.max_ms,
            list.join(", ")
        ));
    }

    /// Nothing failed and every invariant holds.
    pub fn is_sound(&self) -> bool {
        self.violations.is_empty()
    }

    /// The table.
    pub fn print(&self) {
        let width = self.rows.iter().map(|row| row.what.chars().count()).max().unwrap_or(0);
        println!("\n{:<width$}  {:>10} {:<5} {:>12}  {:<8} of the raw limit", "", "figure", "", "target", "");
        for row in &self.rows {
            let met = row.met.map_or("", |met| if met { "met" } else { "NOT met" });
            let target = row.target.as_deref().unwrap_or("");
            let beside: Vec<&str> = [&row.ratio, &row.remark].into_iter().filter_map(Option::as_deref).collect();
            let beside = beside.join("; ");
            let line = format!(
                "{:<width$}  {:>10} {:<5} {target:>12}  {met:<8} {beside}",
                row.what,
                figure(row.value),
                row.unit
            );
            println!("{}", line.trim_end());
        }
        println!();
        self.notes.iter().for_each(|note| println!("- {note}"));
        self.violations.iter().for_each(|violation| println!("VIOLATED: {violation}"));
    }

    /// Writes `target/bench.json`.
    ///
    /// # Errors
    /// The disk is full.
    pub fn write(&self) -> Result<PathBuf, Fatal> {
        let file = target_dir()?.join("bench.json");
        let mut all = self.details.clone();
        all.insert("rows".to_owned(), serde_json::to_value(&self.rows)?);
        all.insert("notes".to_owned(), json!(self.notes));
        all.insert("violations".to_owned(), json!(self.violations));
        std::fs::write(&file, serde_json::to_vec_pretty(&all)?)?;
        Ok(file)
    }
}

/// Three digits that matter, thousands apart.
fn figure(value: f64) -> String {
    if !value.is_finite() {
        return "none".to_owned();
    }
    let decimals = if value >= 100.0 || value.fract() == 0.0 { 0 } else { 1 + usize::from(value < 10.0) };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(whole, f)| (whole, Some(f)));
    let grouped: String = whole
        .char_indices()
        .flat_map(|(at, digit)| ((whole.len() - at) % 3 == 0 && at > 0).then_some(',').into_iter().chain([digit]))
        .collect();
    fraction.map_or(grouped.clone(), |fraction| format!("{grouped}.{fraction}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_read_at_a_glance() {
        let cases = [(1_234_567.8, "1,234,568"), (999.6, "1,000"), (43.26, "43.3"), (0.5, "0.50"), (12.0, "12")];
        for (value, expected) in cases {
            assert_eq!(figure(value), expected);
        }
    }

    #[test]
    fn a_target_is_met_or_not() {
        assert_eq!(Row::new("a", 300.0, "/s").at_least(300.0).met, Some(true));
        assert_eq!(Row::new("a", 50.0, "ms").below(50.0).met, Some(false));
        assert_eq!(Row::new("a", f64::NAN, "ms").at_most(50.0).met, Some(false));
    }
}
