//! A proxy that knows JSON-RPC, before one node or two.

mod after;
mod before;
mod behind;
mod pool;
mod rule;
mod serve;
mod tx;
mod upstream;

pub use rule::{ANY, Fault, Lie, Rule, RuleId, When};

use alloy::primitives::{B256, Bytes};
use before::Before;
use behind::{number, reply};
use pool::Pool;
use rule::Rules;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tx::Tx;
use upstream::Upstream;

/// A node may take its time to execute a block; what is behind the proxy is asked for no longer than this.
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(30);

/// The answer for a client.
#[derive(Debug)]
enum Reply {
    Json(Value),
    /// The first half of it.
    Half(Value),
    Html,
    Status(u16, Option<u64>),
    /// The end of the connection.
    Nothing,
}

/// A proxy on 127.0.0.1, over HTTP. Dropped, it listens no more.
///
/// Rules are asked in the order in which they were set, those that strike before the node is asked first; the first that
/// strikes has its way. Each request of a batch is asked alone; what concerns the connection, or the whole answer, then
/// befalls the batch.
#[derive(Debug)]
pub struct RpcProxy {
    address: SocketAddr,
    node: Arc<Node>,
    listening: JoinHandle<()>,
}

/// The proxy's view of the nodes behind it.
#[derive(Debug)]
struct Node {
    upstreams: Vec<Upstream>,
    rules: Mutex<Rules>,
    pool: Mutex<Pool>,
    withheld: Mutex<HashMap<B256, Tx>>,
    /// Transactions that the first node accepted, in that order.
    forwarded: Mutex<Vec<(B256, Bytes)>>,
    asked: Mutex<BTreeMap<String, u64>>,
}

impl RpcProxy {
    /// In front of `upstreams`, HTTP URLs, the first of which answers unless a rule says otherwise. The same `seed` and
    /// rules give the n-th request of a rule the same fate.
    ///
    /// # Errors
    /// No port to be had, or no upstream.
    pub async fn before(upstreams: &[&str], seed: u64) -> io::Result<Self> {
        let http = reqwest::Client::builder().timeout(UPSTREAM_TIMEOUT).build().map_err(io::Error::other)?;
        if upstreams.is_empty() {
            return Err(io::Error::other("a proxy needs a node"));
        }
        let upstreams = upstreams.iter().map(|url| Upstream { http: http.clone(), url: (*url).to_owned() }).collect();
        let node = Arc::new(Node {
            upstreams,
            rules: Mutex::new(Rules::of(seed)),
            pool: Mutex::default(),
            withheld: Mutex::default(),
            forwarded: Mutex::default(),
            asked: Mutex::default(),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let listening = tokio::spawn(serve::listen(listener, Arc::clone(&node)));
        Ok(Self { address, node, listening })
    }

    /// Where clients ask.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on.
    pub fn set(&self, rule: Rule) -> RuleId {
        self.node.rules.lock().unwrap().set(rule)
    }

    /// Takes one back; its counter stays.
    pub fn lift(&self, rule: RuleId) {
        self.node.rules.lock().unwrap().lift(Some(rule));
    }

    /// Takes all back. What was withheld is lost, as if it had been swallowed.
    pub fn heal(&self) {
        self.node.rules.lock().unwrap().lift(None);
    }

    /// How often the rule has changed what a client got, or what a node got.
    pub fn hits(&self, rule: RuleId) -> u64 {
        self.node.rules.lock().unwrap().hits(rule)
    }

    /// Requests of this method that came, whatever became of them; of every method for [`ANY`].
    pub fn asked(&self, method: &str) -> u64 {
        let asked = self.node.asked.lock().unwrap();
        asked.iter().filter(|(name, _)| method == ANY || *name == method).map(|(_, count)| count).sum()
    }

    /// The signed transactions that the first node has accepted, in that order.
    pub fn forwarded(&self) -> Vec<Bytes> {
        self.node.forwarded.lock().unwrap().iter().map(|(_, raw)| raw.clone()).collect()
    }

    /// Takes the last `depth` blocks away, and puts the transactions that came through this proxy and were in them back
    /// into the pool: real nodes do, anvil does not. A request `anvil_reorg` that comes through does the same.
    ///
    /// Answers with how many were put back.
    ///
    /// # Errors
    /// What the node says.
    pub async fn reorg(&self, depth: u64) -> Result<usize, String> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "anvil_reorg", "params": [depth, []] });
        let (answer, back) = self.node.reorg(&request).await;
        match answer.get("result") {
            Some(_) => Ok(back),
            None => Err(answer.to_string()),
        }
    }
}

impl Drop for RpcProxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Node {
    /// One request, alone or of a batch.
    async fn answer(&self, request: &Value) -> Reply {
        let Some(method) = request["method"].as_str() else { return json_or_nothing(self.first().ask(request).await) };
        *self.asked.lock().unwrap().entry(method.to_owned()).or_default() += 1;
        let rules = self.rules.lock().unwrap().for_method(method);
        let mut upstream = self.first();
        for (id, fault) in rules.iter().filter(|(_, fault)| !fault.comes_after()) {
            match self.before(*id, fault, request).await {
                Before::Goes => {}
                Before::Elsewhere(other) => {
                    upstream = other;
                    break;
                }
                Before::Ends(reply) => return reply,
            }
        }
        let answer = match method {
            "anvil_reorg" => self.reorg(request).await.0,
            "eth_sendRawTransaction" => self.forward(upstream, request).await,
            "eth_getTransactionByHash" => match hash_in(request).and_then(|hash| self.withheld(hash)) {
                Some(tx) => reply(request, tx.pending()),
                None => upstream.ask(request).await,
            },
            _ => upstream.ask(request).await,
        };
        if answer.is_null() {
            return Reply::Nothing;
        }
        for (id, fault) in rules.iter().filter(|(_, fault)| fault.comes_after()) {
            if let Some(reply) = self.after(*id, fault, &answer) {
                return reply;
            }
        }
        Reply::Json(answer)
    }

    fn first(&self) -> &Upstream {
        &self.upstreams[0]
    }

    /// Keeps the bytes of what is accepted.
    async fn forward(&self, upstream: &Upstream, request: &Value) -> Value {
        let answer = upstream.ask(request).await;
        let parse = |value: &Value| value.as_str().map(str::to_owned);
        if let (Some(hash), Some(raw)) = (parse(&answer["result"]), parse(&request["params"][0]))
            && let (Ok(hash), Ok(raw)) = (hash.parse(), raw.parse())
        {
            self.forwarded.lock().unwrap().push((hash, raw));
        }
        answer
    }

    /// A transaction that is shown as pending and goes nowhere.
    fn withheld(&self, hash: B256) -> Option<Tx> {
        let is_standing = self.rules.lock().unwrap().is_standing(&Fault::Withhold);
        self.withheld.lock().unwrap().get(&hash).filter(|_| is_standing).cloned()
    }

    async fn reorg(&self, request: &Value) -> (Value, usize) {
        let depth = &request["params"][0];
        let depth = depth.as_u64().or_else(|| number(depth)).unwrap_or(0);
        let lost = self.included_in_the_last(depth).await;
        let answer = self.first().ask(request).await;
        let mut back = 0;
        for raw in lost {
            let sent = self.first().result("eth_sendRawTransaction", json!([raw])).await;
            back += usize::from(sent.is_some());
        }
        (answer, back)
    }

    /// Bytes of those that the last `depth` blocks hold, in the order of their arrival.
    async fn included_in_the_last(&self, depth: u64) -> Vec<Bytes> {
        let forwarded = self.forwarded.lock().unwrap().clone();
        let head = self.first().result("eth_blockNumber", json!([])).await;
        let Some(head) = head.as_ref().and_then(number) else { return Vec::new() };
        let mut included: Vec<Bytes> = Vec::new();
        for (hash, raw) in forwarded {
            let receipt = self.first().result("eth_getTransactionReceipt", json!([hash])).await.unwrap_or_default();
            let is_lost = number(&receipt["blockNumber"]).is_some_and(|block| block + depth > head);
            if is_lost && !included.contains(&raw) {
                included.push(raw);
            }
        }
        included
    }

    /// The nonce that `account` has after the latest block.
    async fn next_nonce(&self, tx: &Tx) -> u64 {
        let nonce = self.first().result("eth_getTransactionCount", json!([tx.from, "latest"])).await;
        nonce.as_ref().and_then(number).unwrap_or_default()
    }

    async fn is_known(&self, tx: &Tx) -> bool {
        self.withheld(tx.hash).is_some()
            || self.first().result("eth_getTransactionByHash", json!([tx.hash])).await.is_some_and(|tx| !tx.is_null())
    }
}

fn hash_in(request: &Value) -> Option<B256> {
    request["params"][0].as_str()?.parse().ok()
}

/// A node that gives no answer is passed on as that.
fn json_or_nothing(answer: Value) -> Reply {
    if answer.is_null() { Reply::Nothing } else { Reply::Json(answer) }
}
