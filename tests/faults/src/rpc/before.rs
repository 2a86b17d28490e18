//! Faults that are decided before the node is asked.

use super::behind::{self, number, reply};
use super::tx::Tx;
use super::upstream::Upstream;
use super::{Fault, Node, Reply, RuleId, json_or_nothing};
use alloy::primitives::Address;
use serde_json::{Value, json};

/// Geth's code for what its pool refuses.
const POOL_REFUSES: i64 = -32_000;

/// Error code of geth and providers for a search that is too wide.
const TOO_WIDE: i64 = -32_602;

/// Geth's code for a state that it does not keep.
const NO_STATE: i64 = -32_000;

/// The treatment of a request.
pub(super) enum Before<'a> {
    /// The rule leaves it alone.
    Goes,
    /// Another node is asked.
    Elsewhere(&'a Upstream),
    /// The answer.
    Ends(Reply),
}

impl Node {
    pub(super) async fn before(&self, id: RuleId, fault: &Fault, request: &Value) -> Before<'_> {
        let ends = |reply| {
            self.rules.lock().unwrap().hit(id);
            Before::Ends(reply)
        };
        if let Fault::StrictPool = fault {
            // No chance in this: its rules are always the same.
            return match self.judge(request).await {
                Some(why) => ends(Reply::Json(error(request, POOL_REFUSES, &why))),
                None => Before::Goes,
            };
        }
        let wide = match fault {
            Fault::LogRange(most) => match self.is_wider(request, *most).await {
                false => return Before::Goes,
                true => Some(format!("query exceeds max block range {most}")),
            },
            Fault::LogLimit { blocks, .. } if !self.is_wider(request, *blocks).await => return Before::Goes,
            Fault::LogsOf(contract) if !names(request, *contract) => return Before::Goes,
            Fault::LogsOf(_) => Some("query returned more than 10000 results".to_owned()),
            Fault::StatesKept(blocks) if !self.is_older(request, *blocks).await => return Before::Goes,
            _ => None,
        };
        if self.rules.lock().unwrap().strike(id).is_none() {
            return Before::Goes;
        }
        match fault {
            Fault::DropRequest => ends(Reply::Nothing),
            Fault::Status { code, retry_after_s } => ends(Reply::Status(*code, *retry_after_s)),
            Fault::Html => ends(Reply::Html),
            Fault::Oversized(bytes) => ends(Reply::Json(reply(request, json!("0".repeat(*bytes))))),
            Fault::Answer(result) => ends(Reply::Json(reply(request, result.clone()))),
            Fault::Refuse { code, message } => ends(Reply::Json(error(request, *code, message))),
            Fault::LogLimit { code, message, .. } => ends(Reply::Json(error(request, *code, message))),
            Fault::LogRange(_) | Fault::LogsOf(_) => {
                ends(Reply::Json(error(request, TOO_WIDE, &wide.unwrap_or_default())))
            }
            Fault::StatesKept(_) => ends(Reply::Json(error(request, NO_STATE, "missing trie node"))),
            Fault::Swallow => match Tx::of(request) {
                Some(tx) => ends(Reply::Json(reply(request, json!(tx.hash)))),
                None => Before::Goes,
            },
            Fault::Withhold => match Tx::of(request) {
                Some(tx) => {
                    let hash = tx.hash;
                    self.withheld.lock().unwrap().insert(hash, tx);
                    ends(Reply::Json(reply(request, json!(hash))))
                }
                None => Before::Goes,
            },
            Fault::Late(by) => {
                self.rules.lock().unwrap().hit(id);
                tokio::time::sleep(*by).await;
                Before::Goes
            }
            Fault::Upstream(other) => match self.upstreams.get(*other) {
                Some(upstream) => {
                    self.rules.lock().unwrap().hit(id);
                    Before::Elsewhere(upstream)
                }
                None => Before::Goes,
            },
            Fault::Behind(blocks) => match behind::answer(self.first(), request, *blocks).await {
                Some(answer) => ends(json_or_nothing(answer)),
                None => Before::Goes,
            },
            Fault::StrictPool
            | Fault::DropResponse
            | Fault::Truncated
            | Fault::WrongId
            | Fault::Null
            | Fault::LyingReceipt(_)
            | Fault::Deposits
            | Fault::LogGap
            | Fault::PrivatePool => Before::Goes,
        }
    }

    /// Why the pool of a common node would not take it.
    async fn judge(&self, request: &Value) -> Option<String> {
        let tx = Tx::of(request)?;
        let next = self.next_nonce(&tx).await;
        // What the node itself has lost, this pool must not claim to have.
        let is_lost = self.pool.lock().unwrap().holds(&tx) && !self.is_known(&tx).await;
        let mut pool = self.pool.lock().unwrap();
        if is_lost {
            pool.forget(&tx);
        }
        pool.take(&tx, next).err()
    }

    /// Returns whether the request needs the state of a block that has so many blocks on it.
    async fn is_older(&self, request: &Value, blocks: u64) -> bool {
        let (method, params) = (request["method"].as_str().unwrap_or_default(), &request["params"]);
        let block = match method {
            "eth_call" | "eth_getBalance" | "eth_getTransactionCount" | "eth_getCode" => &params[1],
            "eth_getStorageAt" => &params[2],
            _ => return false,
        };
        let asked = match block.get("blockHash") {
            Some(hash) => self.first().result("eth_getBlockByHash", json!([hash, false])).await,
            None => {
                let named = block.get("blockNumber").unwrap_or(block);
                self.first().result("eth_getBlockByNumber", json!([named, false])).await
            }
        };
        let head = self.first().result("eth_blockNumber", json!([])).await.as_ref().and_then(number);
        let asked = asked.as_ref().and_then(|block| number(&block["number"]));
        head.zip(asked).is_some_and(|(head, asked)| head.saturating_sub(asked) >= blocks)
    }

    async fn is_wider(&self, request: &Value, most: u64) -> bool {
        let filter = &request["params"][0];
        if filter.get("blockHash").is_some() {
            return false;
        }
        let head = self.first().result("eth_blockNumber", json!([])).await.as_ref().and_then(number).unwrap_or(0);
        let from = match filter["fromBlock"].as_str() {
            Some("earliest") => 0,
            _ => number(&filter["fromBlock"]).unwrap_or(head),
        };
        let to = number(&filter["toBlock"]).unwrap_or(head);
        to.saturating_sub(from) >= most
    }
}

/// Returns whether the search is among others for logs of this contract.
fn names(request: &Value, contract: Address) -> bool {
    let filter = &request["params"][0]["address"];
    let mut named = filter.as_array().map_or(std::slice::from_ref(filter), Vec::as_slice).iter();
    named.any(|name| name.as_str().and_then(|name| name.parse().ok()) == Some(contract))
}

fn error(request: &Value, code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": request["id"], "error": { "code": code, "message": message } })
}
