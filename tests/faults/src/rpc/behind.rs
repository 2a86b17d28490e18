//! A node that lags: what it says is said of an older head.

use super::upstream::Upstream;
use serde_json::{Value, json};

/// Methods that ask for a state, and which of their parameters says at what block.
const STATE: [(&str, usize); 6] = [
    ("eth_call", 1),
    ("eth_estimateGas", 1),
    ("eth_getBalance", 1),
    ("eth_getCode", 1),
    ("eth_getTransactionCount", 1),
    ("eth_getStorageAt", 2),
];

/// The answer of `upstream` as it was `blocks` ago. `None` if its head makes no difference.
pub(super) async fn answer(upstream: &Upstream, request: &Value, blocks: u64) -> Option<Value> {
    let head = number(&upstream.result("eth_blockNumber", json!([])).await?)?;
    let head = head.saturating_sub(blocks);
    let method = request["method"].as_str()?;
    let mut request = request.clone();
    if let Some((_, place)) = STATE.iter().find(|(name, _)| *name == method) {
        let params = request["params"].as_array_mut()?;
        if params.len() <= *place {
            params.resize(place + 1, json!("latest"));
        }
        params[*place] = at(&params[*place], head);
        return Some(upstream.ask(&request).await);
    }
    match method {
        "eth_blockNumber" => Some(reply(&request, json!(hex(head)))),
        "eth_getBlockByNumber" => {
            let asked = at(&request["params"][0], head);
            if number(&asked).is_some_and(|asked| asked > head) {
                return Some(reply(&request, Value::Null));
            }
            request["params"][0] = asked;
            Some(upstream.ask(&request).await)
        }
        "eth_getLogs" => {
            let filter = &mut request["params"][0];
            if number(&filter["fromBlock"]).is_some_and(|from| from > head) {
                return Some(reply(&request, json!([])));
            }
            if filter.get("blockHash").is_none() {
                let to = number(&filter["toBlock"]).unwrap_or(head).min(head);
                filter["toBlock"] = json!(hex(to));
            }
            Some(upstream.ask(&request).await)
        }
        "eth_getTransactionReceipt" | "eth_getTransactionByHash" | "eth_getBlockByHash" => {
            let mut answer = upstream.ask(&request).await;
            let result = &mut answer["result"];
            let field = if method == "eth_getBlockByHash" { "number" } else { "blockNumber" };
            if number(&result[field]).is_none_or(|block| block <= head) {
                return Some(answer);
            }
            if method == "eth_getTransactionByHash" {
                for field in ["blockHash", "blockNumber", "transactionIndex"] {
                    result[field] = Value::Null; // in the pool, still
                }
            } else {
                *result = Value::Null;
            }
            Some(answer)
        }
        _ => None,
    }
}

/// A block tag, as a lagging node means it.
fn at(tag: &Value, head: u64) -> Value {
    match tag.as_str() {
        Some("latest" | "pending") | None => json!(hex(head)),
        Some(_) => tag.clone(),
    }
}

pub(super) fn reply(request: &Value, result: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })
}

pub(super) fn hex(number: u64) -> String {
    format!("{number:#x}")
}

pub(super) fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}
