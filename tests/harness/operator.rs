//! An operator's actions on an installation.

use crate::lanes::LANE_BUCKET;
use crate::process::Process;
use crate::stack::Stack;
use alloy::sol_types::SolCall;
use alloy_primitives::{B256, Bytes, U256, keccak256};
use chain::abi::TokenFactory;
use dev_chain::DevChain;
use domain::PaymentId;
use serde_json::json;
use standalone::accounts::OWNER;
use std::path::PathBuf;

/// Slot of `_operatorSince` in TokenFactory: after settleStopped, and two slots each for owner, guardian and treasury.
const OPERATORS_SLOT: u64 = 7;

impl Stack {
    /// Runs `ops` with these arguments against the servers themselves. Returns its output.
    ///
    /// # Errors
    /// The output, if `ops` failed.
    pub async fn ops(&self, arguments: &[&str]) -> Result<String, String> {
        let env = self.ops_environment();
        let env = env.iter().map(|(name, value)| (*name, value.as_str()));
        let mut process = Process::start("ops", arguments, env, &self.dir.path().join("ops.log"));
        let status = process.ended().await;
        if status.success() { Ok(process.said()) } else { Err(process.said()) }
    }

    /// A person asks with `ops` for the money of this order.
    pub async fn ask_back(&self, id: PaymentId) {
        let id = id.to_string();
        let said = self.ops(&["refund", &id, "--by", "alice", "--why", "the buyer changed their mind"]).await.unwrap();
        assert!(said.contains(&id), "{said}");
    }

    /// The variables of `ops`.
    pub fn ops_environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("NATS_URL", self.servers.nats.url()),
            ("NATS_MONITOR_URL", self.servers.nats.monitor_url()),
            ("DATABASE_URL", self.servers.postgres.url()),
            // A ledger says how many nonces are in a bucket of a lane.
            (LANE_BUCKET.0, LANE_BUCKET.1.to_owned()),
            ("NO_COLOR", "1".to_owned()),
        ]
    }

    /// Makes every token refuse new payments. On a halted chain the caller mines meanwhile.
    pub async fn stop_settlement(&self) {
        self.dev_chain().await.stop_settlement(OWNER, self.shop.factory).await.unwrap();
    }

    /// Makes every token take new payments again.
    pub async fn resume_settlement(&self) {
        self.dev_chain().await.resume_settlement(OWNER, self.shop.factory).await.unwrap();
    }

    /// Makes the owner of the factory an operator beside ours, without the delay that the contract wants.
    pub async fn appoint_owner(&self) {
        let slot = keccak256([OWNER.into_word(), B256::from(U256::from(OPERATORS_SLOT))].concat());
        self.chain.rpc("anvil_setStorageAt", json!([self.shop.factory, slot, B256::from(U256::ONE)])).await;
        let asked: Bytes = TokenFactory::isOperatorCall { account: OWNER }.abi_encode().into();
        let answer = self.chain.rpc("eth_call", json!([{ "to": self.shop.factory, "input": asked }, "latest"])).await;
        assert_eq!(answer, json!(B256::from(U256::ONE)), "the owner is an operator");
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
