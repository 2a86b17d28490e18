//! Faults of the answer: the node has done as it was asked.

use super::{Fault, Lie, Node, Reply, RuleId};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

/// The hash of no block.
const NOWHERE: &str = "0x00000000000000000000000000000000000000000000000000000000000000ff";

impl Node {
    /// The answer that replaces the node's. `None` if the rule leaves this answer alone or has nothing to change in it.
    pub(super) fn after(&self, id: RuleId, fault: &Fault, answer: &Value) -> Option<Reply> {
        let result = &answer["result"];
        if !applies(fault, result) || *fault == Fault::Deposits && self.has_forwarded(&result["transactionHash"]) {
            return None;
        }
        let mut rules = self.rules.lock().unwrap();
        let chance = rules.strike(id)?;
        rules.hit(id);
        drop(rules);
        let mut answer = answer.clone();
        Some(match fault {
            Fault::DropResponse => Reply::Nothing,
            Fault::Truncated => Reply::Half(answer),
            other => {
                change(other, &mut answer, chance);
                Reply::Json(answer)
            }
        })
    }
}

impl Node {
    /// Returns whether the transaction of this hash came through the proxy.
    fn has_forwarded(&self, hash: &Value) -> bool {
        self.forwarded.lock().unwrap().iter().any(|(known, _)| json!(known) == *hash)
    }
}

/// Returns `true` if this result has something to change.
fn applies(fault: &Fault, result: &Value) -> bool {
    match fault {
        Fault::Null | Fault::LyingReceipt(_) | Fault::Deposits => !result.is_null(),
        Fault::PrivatePool => !result.is_null() && result["blockHash"].is_null(),
        Fault::LogGap => result.as_array().is_some_and(|logs| !logs.is_empty()),
        _ => true,
    }
}

fn change(fault: &Fault, answer: &mut Value, mut chance: StdRng) {
    let result = &mut answer["result"];
    match fault {
        Fault::Null | Fault::PrivatePool => *result = Value::Null,
        Fault::WrongId => {
            let id = answer["id"].as_u64().unwrap_or_default();
            answer["id"] = json!(id + 1_000);
        }
        Fault::LyingReceipt(Lie::Status) => {
            let was = result["status"] == "0x1";
            result["status"] = json!(if was { "0x0" } else { "0x1" });
        }
        Fault::Deposits => {
            result["type"] = json!("0x7e");
            result["depositNonce"] = json!("0x1");
            result["depositReceiptVersion"] = json!("0x1");
            result["effectiveGasPrice"] = json!("0x0");
        }
        Fault::LyingReceipt(Lie::NoLogs) => result["logs"] = json!([]),
        Fault::LyingReceipt(Lie::BlockHash) => result["blockHash"] = json!(NOWHERE),
        Fault::LogGap => {
            if let Some(logs) = result.as_array_mut() {
                let gone = chance.random_range(0..logs.len());
                let mut nth = 0..;
                logs.retain(|_| nth.next() != Some(gone) && chance.random_ratio(1, 2));
            }
        }
        _ => {}
    }
}
