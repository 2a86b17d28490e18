//! The output of a failed story about its stack.

use crate::stack::Stack;
use crate::stream::Stream;
use std::time::Duration;

/// Lines of each log.
const TAIL_LINES: usize = 30;

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.say_what_happened();
        }
        self.processes.clear();
    }
}

impl Stack {
    /// Prints, for a failed story, the subjects of the ledger and the end of every log.
    fn say_what_happened(&self) {
        let url = self.servers.nats.url();
        let told = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let read = async { Stream::at(&url).await.all().await };
            let entries = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(5), read).await });
            for entry in entries.unwrap_or_default() {
                let data = entry.body["data"].to_string();
                eprintln!("{:>5} {} {}", entry.seq, entry.subject, data.chars().take(160).collect::<String>());
            }
        });
        let _ = told.join(); // a ledger that cannot be read is no reason to say nothing else
        for (instance, process) in &self.processes {
            let said = process.said();
            let lines: Vec<&str> = said.lines().collect();
            let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
            eprintln!("---- {instance}\n{tail}");
        }
    }
}
