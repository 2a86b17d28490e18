//! An operator's actions on an installation.

use crate::process::Process;
use crate::stack::Stack;
use dev_chain::DevChain;
use standalone::accounts::OWNER;
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

    /// Makes every token refuse new payments. On a halted chain the caller mines meanwhile.
    pub async fn stop_settlement(&self) {
        self.dev_chain().await.stop_settlement(OWNER, self.shop.factory).await.unwrap();
    }

    /// Makes every token take new payments again.
    pub async fn resume_settlement(&self) {
        self.dev_chain().await.resume_settlement(OWNER, self.shop.factory).await.unwrap();
    }

    /// The chain, as the owner of its contracts uses it.
    pub(crate) async fn dev_chain(&self) -> DevChain {
        DevChain::connect(&self.servers.anvil.rpc_url()).await.unwrap()
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
