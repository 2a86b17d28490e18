//! What the load and its listeners saw, and what went wrong: JSON lines for the auditor, written as they happen.

use harness::journal::fired_line;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

/// The journal of one run.
pub struct Journal {
    file: Mutex<File>,
    fired: Mutex<BTreeMap<String, u64>>,
}

impl Journal {
    pub fn create(path: &Path) -> Self {
        Self { file: Mutex::new(File::create(path).unwrap()), fired: Mutex::default() }
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
