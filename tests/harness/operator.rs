//! An operator's actions on an installation.

use crate::process::Process;
use crate::stack::Stack;
use std::path::PathBuf;

impl Stack {
    /// Runs `ops` with these arguments against the servers themselves. Returns its output.
    ///
    /// # Errors
    /// The output, if `ops` failed.
    pub async fn ops(&self, arguments: &[&str]) -> Result<String, String> {
        let env = [
            ("NATS_URL", self.servers.nats.url()),
            ("NATS_MONITOR_URL", self.servers.nats.monitor_url()),
            ("DATABASE_URL", self.servers.postgres.url()),
        ];
        let env = env.iter().map(|(name, value)| (*name, value.as_str()));
        let mut process = Process::start("ops", arguments, env, &self.dir.path().join("ops.log"));
        let status = process.ended().await;
        if status.success() { Ok(process.said()) } else { Err(process.said()) }
    }

    /// Moves the ledger's store away, and starts nats-server without one. Returns a data directory from which it can be
    /// started again.
    pub async fn lose_ledger(&mut self) -> PathBuf {
        self.servers.nats.stop().await.unwrap();
        let lost = self.dir.path().join("lost");
        std::fs::create_dir(&lost).unwrap();
        std::fs::rename(self.dir.path().join("nats/store"), lost.join("store")).unwrap();
        self.servers.nats.restart().await.unwrap();
        lost
    }
}
