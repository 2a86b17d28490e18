//! Lines of the journal that the auditor reads (tests/auditor/README.md), and the accounts in its run file.

use crate::buyer::Buyer;
use crate::chain::LocalChain;
use crate::stack::{Instance, Stack};
use alloy_primitives::{Address, U256};
use chrono::{DateTime, SubsecRound, Utc};
use serde_json::{Map, Value, json};
use standalone::accounts::{MINTER_KEYS, OPERATOR_KEYS, SENDER_KEYS};

/// Every key that sends for Paymint.
pub fn relayers() -> Vec<Address> {
    SENDER_KEYS.iter().chain(&MINTER_KEYS).chain(&OPERATOR_KEYS).map(|key| Buyer::with_key(key).address).collect()
}

/// Balances of `accounts` and the relayers before the first request.
pub async fn genesis(chain: &LocalChain, asset: Address, accounts: &[Address]) -> Value {
    let block = chain.height().await;
    let mut usdc = Map::new();
    for account in accounts {
        let balance = chain.usdc_of(asset, *account).await;
        usdc.insert(account.to_string(), json!(balance.to_string()));
    }
    let (mut wei, mut nonces) = (Map::new(), Map::new());
    for relayer in relayers() {
        let balance = chain.rpc("eth_getBalance", json!([relayer, "latest"])).await;
        let balance: U256 = serde_json::from_value(balance).unwrap();
        wei.insert(relayer.to_string(), json!(balance.to_string()));
        nonces.insert(relayer.to_string(), json!(chain.nonce(relayer).await));
    }
    json!({ "block": block, "asset": usdc, "wei": wei, "nonces": nonces })
}

/// A request that was sent at `at`. `answer` is null if its outcome is unknown.
pub fn request_line(
    at: DateTime<Utc>,
    path: &str,
    header: (&str, &str),
    key: Option<&str>,
    body: &str,
    answer: Value,
) -> Value {
    json!({
        "kind": "request", "at": at, "method": "POST", "path": path,
        "payment": { "name": header.0, "value": header.1 }, "idempotencyKey": key, "body": body,
        "answeredAt": if answer.is_null() { Value::Null } else { json!(now()) }, "answer": answer,
    })
}

/// A line that says how often a fault fired.
pub fn fired_line(name: &str, count: u64) -> Value {
    json!({ "kind": "fired", "name": name, "count": count })
}

/// The time, as the journal writes it.
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

impl Stack {
    /// The present use of resources by these processes, as lines of the journal. `phase` is `baseline`, `load` or
    /// `after`.
    pub fn samples(&mut self, instances: &[Instance], phase: &str) -> Vec<Value> {
        let sample = |instance: &Instance| {
            let pid = self.process(*instance).pid();
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let field = |name: &str| -> u64 {
                let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
                line.split_whitespace().next().unwrap().parse().unwrap()
            };
            let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
            json!({
                "kind": "resource", "process": instance.to_string(), "phase": phase,
                "rssBytes": field("VmRSS:") * 1024, "fds": fds, "tasks": field("Threads:"),
            })
        };
        instances.iter().map(sample).collect()
    }
}
