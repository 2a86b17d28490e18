//! Verdicts of the auditor.

use serde::Serialize;
use std::fmt::Write as _;

/// Findings that are printed of one check; the JSON has all.
const PRINTED_MAX: usize = 5;

/// The verdict of one check.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Such as `A01`.
    pub id: &'static str,
    /// The subject of the check.
    pub what: &'static str,
    /// How many things were looked at.
    pub checked: usize,
    pub outcome: Outcome,
    /// Findings, one sentence each.
    pub findings: Vec<String>,
    /// Remarks: parts without evidence, figures.
    pub notes: Vec<String>,
}

/// Green needs something that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Green,
    Red,
    NotApplicable,
}

/// The findings that a judge gathers.
#[derive(Debug)]
pub struct Check {
    id: &'static str,
    what: &'static str,
    checked: usize,
    findings: Vec<String>,
    notes: Vec<String>,
}

impl Check {
    pub const fn new(id: &'static str, what: &'static str) -> Self {
        Self { id, what, checked: 0, findings: Vec::new(), notes: Vec::new() }
    }

    /// One more thing was looked at; it holds, or this is wrong.
    pub fn that(&mut self, holds: bool, wrong: impl FnOnce() -> String) {
        self.checked += 1;
        if !holds {
            self.findings.push(wrong());
        }
    }

    /// Compares two values that must be equal.
    pub fn equal<T: PartialEq + std::fmt::Display>(&mut self, what: impl FnOnce() -> String, is: T, should: T) {
        let holds = is == should;
        self.that(holds, || format!("{}: {is}, not {should}", what()));
    }

    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The verdict. Nothing looked at is never green.
    pub fn verdict(self, nothing: &str) -> Verdict {
        let Self { id, what, checked, findings, mut notes } = self;
        let outcome = match (checked, findings.is_empty()) {
            (_, false) => Outcome::Red,
            (0, true) => {
                notes.insert(0, nothing.to_owned());
                Outcome::NotApplicable
            }
            (_, true) => Outcome::Green,
        };
        Verdict { id, what, checked, outcome, findings, notes }
    }
}

impl Verdict {
    /// Red where it had nothing to look at, because it was required.
    pub fn required(mut self) -> Self {
        if self.outcome == Outcome::NotApplicable {
            self.outcome = Outcome::Red;
            self.findings.push("required, and there was nothing to look at".to_owned());
        }
        self
    }
}

/// The table for people.
pub fn table(verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    for verdict in verdicts {
        let outcome = match verdict.outcome {
            Outcome::Green => "green",
            Outcome::Red => "RED",
            Outcome::NotApplicable => "n/a",
        };
        let _ = writeln!(text, "{:<4} {outcome:<6} {:>7}  {}", verdict.id, verdict.checked, verdict.what);
        for finding in verdict.findings.iter().take(PRINTED_MAX) {
            let _ = writeln!(text, "                     - {finding}");
        }
        if let Some(more @ 1..) = verdict.findings.len().checked_sub(PRINTED_MAX) {
            let _ = writeln!(text, "                     - and {more} more");
        }
        for note in &verdict.notes {
            let _ = writeln!(text, "                     ({note})");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_looked_at_is_not_green_and_where_required_it_is_red() {
        let verdict = Check::new("A16", "hygiene").verdict("no logs were given");
        assert_eq!(
            (verdict.outcome, verdict.notes.as_slice()),
            (Outcome::NotApplicable, &["no logs were given".to_owned()][..])
        );
        assert_eq!(verdict.required().outcome, Outcome::Red);
        let mut check = Check::new("A16", "hygiene");
        check.that(true, String::new);
        assert_eq!(check.verdict("").required().outcome, Outcome::Green);
        let mut check = Check::new("A16", "hygiene");
        check.equal(|| "files".to_owned(), 3, 2);
        let verdict = check.verdict("");
        assert_eq!((verdict.outcome, verdict.findings[0].as_str()), (Outcome::Red, "files: 3, not 2"));
    }
}
