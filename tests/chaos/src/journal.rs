//! Record of the load, its listeners and the faults: JSON lines for the auditor, written immediately.

use harness::journal::{fired_line, now};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

/// The journal of one run.
pub struct Journal {
    file: Mutex<File>,
    notes: Mutex<File>,
    fired: Mutex<BTreeMap<String, u64>>,
}

impl Journal {
    /// `journal.jsonl`, and `notes.txt` beside it, in `folder`.
    pub fn create(folder: &Path) -> Self {
        let file = |name| Mutex::new(File::create(folder.join(name)).unwrap());
        Self { file: file("journal.jsonl"), notes: file("notes.txt"), fired: Mutex::default() }
    }

    /// For who looks into a red run; the auditor does not read it.
    pub fn note(&self, what: &str) {
        writeln!(self.notes.lock().unwrap(), "{} {what}", now().to_rfc3339()).unwrap();
    }

    pub fn line(&self, line: &Value) {
        writeln!(self.file.lock().unwrap(), "{line}").unwrap();
    }

    /// `name` has really happened, so often.
    pub fn fired(&self, name: &str, count: u64) {
        if count > 0 {
            *self.fired.lock().unwrap().entry(name.to_owned()).or_default() += count;
            self.line(&fired_line(name, count));
        }
    }

    pub fn count(&self, name: &str) -> u64 {
        self.fired.lock().unwrap().get(name).copied().unwrap_or_default()
    }
}
