//! An anvil with the USDC double, and proxies before it that misbehave as they are told.

pub mod shop;

use alloy::primitives::U256;
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::{SolCall, SolStruct, eip712_domain};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use chain::abi::UsdcDouble;
use chain::{Address, B256, Chain, ChainConfig, ChainError, Evidence, Head, Inclusion};
use dev_chain::{BASE_SEPOLIA_USDC, DevChain};
use domain::request::SignatureBytes;
use domain::{Authorization, Usdc};
use neighbours::{Anvil, AnvilOptions, Mining, Tools};
use runtime::Env;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// Funded and unlocked.
pub const ACCOUNT: Address = alloy::primitives::address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266");

/// A chain whose blocks are mined by the test.
pub struct Local {
    pub anvil: Anvil,
    pub dev: DevChain,
    http: reqwest::Client,
    _dir: TempDir,
}

impl Local {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = AnvilOptions {
            data_dir: dir.path().into(),
            block_time: Mining::Manual,
            states_kept: Some(100),
            ..AnvilOptions::default()
        };
        let anvil = Anvil::start(&Tools::locate().unwrap(), options).await.unwrap();
        let dev = DevChain::connect(&anvil.rpc_url()).await.unwrap();
        dev.etch_usdc(BASE_SEPOLIA_USDC).await.unwrap();
        let local = Self { anvil, dev, http: reqwest::Client::new(), _dir: dir };
        local.mine(3).await;
        local
    }

    pub async fn rpc(&self, method: &str, params: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = self.http.post(self.anvil.rpc_url()).json(&body).send().await.unwrap();
        let mut answer: Value = answer.json().await.unwrap();
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    pub async fn mine(&self, blocks: u64) {
        for _ in 0..blocks {
            self.rpc("evm_mine", json!([])).await;
        }
    }

    /// A transaction of [`ACCOUNT`] to `to`, in a block.
    pub async fn transact(&self, to: Address, input: alloy::primitives::Bytes) -> B256 {
        let call = json!([{ "from": ACCOUNT, "to": to, "input": input, "gas": "0xf4240" }]);
        let hash = self.rpc("eth_sendTransaction", call).await.as_str().unwrap().parse().unwrap();
        self.mine(1).await;
        hash
    }

    /// Gives `to` some USDC, in a block of its own.
    pub async fn give_usdc(&self, to: Address, value: Usdc) {
        let call = UsdcDouble::mintCall { to, amount: U256::from(value.0) };
        self.transact(BASE_SEPOLIA_USDC, call.abi_encode().into()).await;
    }

    pub async fn proxy(&self) -> Proxy {
        Proxy::start(&self.anvil.rpc_url(), TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// `count` proxies that let everything pass.
    pub async fn proxies<const COUNT: usize>(&self) -> [Proxy; COUNT] {
        let mut proxies = Vec::new();
        for _ in 0..COUNT {
            proxies.push(self.proxy().await);
        }
        proxies.try_into().unwrap_or_else(|_| unreachable!())
    }
}

alloy::sol! {
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

/// An authorization of payer number `who`, whose nonce is 32 times that byte, and its signature.
pub fn signed(who: u8, to: Address, value: Usdc) -> (Authorization, SignatureBytes) {
    let payer = PrivateKeySigner::from_bytes(&B256::with_last_byte(who)).unwrap();
    let (from, nonce, valid_before) = (payer.address(), B256::repeat_byte(who), 4_000_000_000);
    let message = TransferWithAuthorization {
        from,
        to,
        value: U256::from(value.0),
        validAfter: U256::ZERO,
        validBefore: U256::from(valid_before),
        nonce,
    };
    let domain = eip712_domain! {
        name: "USDC", version: "2", chain_id: 84_532, verifying_contract: BASE_SEPOLIA_USDC,
    };
    let signature = payer.sign_hash_sync(&message.eip712_signing_hash(&domain)).unwrap();
    let signature = SignatureBytes::from_slice(&signature.as_bytes());
    (Authorization { from, to, value, valid_after: 0, valid_before, nonce }, signature)
}

/// A proxy's treatment of a call.
pub enum Act {
    Pass,
    /// Answers without the node: status, `Retry-After`, body. `ID` in the body is replaced by the question's id.
    Answer(u16, Option<u64>, Vec<u8>),
    /// Forwards the node's answer after this delay.
    Late(Duration),
    /// Changes the node's answer.
    Change(Box<dyn Fn(&mut Value) + Send>),
}

type Rule = Box<dyn Fn(&str, &Value) -> Act + Send + Sync>;

/// A proxy in front of a node. It ends when it is dropped.
pub struct Proxy {
    pub url: String,
    at: Arc<Inner>,
    task: tokio::task::JoinHandle<()>,
}

struct Inner {
    node: String,
    http: reqwest::Client,
    rule: Mutex<Rule>,
    calls: Mutex<Vec<(Instant, String)>>,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

impl Proxy {
    pub fn start(node: &str, listener: TcpListener) -> Self {
        let url = format!("http://{}/s3cret-key", listener.local_addr().unwrap());
        let at = Arc::new(Inner {
            node: node.to_owned(),
            http: reqwest::Client::new(),
            rule: Mutex::new(Box::new(|_, _| Act::Pass)),
            calls: Mutex::new(Vec::new()),
            under_way: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let router = axum::Router::new().fallback(forward).with_state(at.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, at, task }
    }

    /// Sets the treatment of later calls.
    pub fn rule(&self, rule: impl Fn(&str, &Value) -> Act + Send + Sync + 'static) {
        *self.at.rule.lock().unwrap() = Box::new(rule);
    }

    /// Changes every answer to `method`.
    pub fn change(&self, method: &'static str, change: impl Fn(&mut Value) + Send + Sync + Clone + 'static) {
        self.rule(move |asked, _| if asked == method { Act::Change(Box::new(change.clone())) } else { Act::Pass });
    }

    /// Answers every call in this way.
    pub fn answer(&self, status: u16, retry_after: Option<u64>, body: &[u8]) {
        let body = body.to_vec();
        self.rule(move |_, _| Act::Answer(status, retry_after, body.clone()));
    }

    pub fn pass(&self) {
        self.rule(|_, _| Act::Pass);
    }

    /// Methods called since the last look, with their times.
    pub fn calls(&self) -> Vec<(Instant, String)> {
        std::mem::take(&mut *self.at.calls.lock().unwrap())
    }

    /// The largest number of concurrent calls.
    pub fn most_under_way(&self) -> usize {
        self.at.most.load(Ordering::SeqCst)
    }

    pub fn methods(&self) -> Vec<String> {
        self.calls().into_iter().map(|(_, method)| method).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(State(at): State<Arc<Inner>>, body: Bytes) -> Response {
    let question: Value = serde_json::from_slice(&body).unwrap();
    let method = question["method"].as_str().unwrap().to_owned();
    let act = (at.rule.lock().unwrap())(&method, &question["params"]);
    at.calls.lock().unwrap().push((Instant::now(), method));
    let under_way = at.under_way.fetch_add(1, Ordering::SeqCst) + 1;
    at.most.fetch_max(under_way, Ordering::SeqCst);
    let answer = answer(&at, act, &question, body).await;
    at.under_way.fetch_sub(1, Ordering::SeqCst);
    answer
}

async fn answer(at: &Inner, act: Act, question: &Value, body: Bytes) -> Response {
    if let Act::Late(time) = act {
        tokio::time::sleep(time).await;
    }
    let reply = |status: u16, body: Vec<u8>| Response::builder().status(status).body(Body::from(body)).unwrap();
    match act {
        Act::Answer(status, retry_after, body) => {
            let text = String::from_utf8(body).unwrap().replace("ID", &question["id"].to_string());
            let mut answer = reply(status, text.into_bytes());
            if let Some(seconds) = retry_after {
                answer.headers_mut().insert("retry-after", seconds.into());
            }
            answer
        }
        act => {
            let answer = at.http.post(&at.node).header("content-type", "application/json").body(body).send().await;
            let mut answer: Value = answer.unwrap().json().await.unwrap();
            if let Act::Change(change) = act {
                change(&mut answer);
            }
            reply(200, serde_json::to_vec(&answer).unwrap())
        }
    }
}

/// A chain of Base Sepolia behind these providers, N = 3.
pub fn config(urls: &[&str], more: &[(&str, &str)]) -> ChainConfig {
    let own = [("RPC_URL", urls.join(",")), ("CHAIN_ID", "84532".to_owned()), ("CONFIRMATIONS", "3".to_owned())];
    let asset = [("ASSET_NAME", "USDC"), ("ASSET_VERSION", "2")].map(|(name, value)| (name, value.to_owned()));
    let address = [("ASSET_ADDRESS", BASE_SEPOLIA_USDC.to_string())];
    let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
    ChainConfig::from_env(&Env::of(own.into_iter().chain(asset).chain(address).chain(more))).unwrap()
}

pub async fn connect(proxies: &[&Proxy]) -> Chain {
    let urls: Vec<&str> = proxies.iter().map(|proxy| proxy.url.as_str()).collect();
    Chain::connect(config(&urls, &[])).await.unwrap()
}

/// A transaction that is three deep.
pub async fn mined(local: &Local) -> B256 {
    let hash = local.transact(Address::ZERO, alloy::primitives::Bytes::new()).await;
    local.mine(2).await;
    hash
}

pub async fn included(chain: &Chain, hash: B256) -> bool {
    matches!(chain.inclusion(hash).await, Ok(Inclusion::Included(found)) if found.succeeded)
}

/// Asserts that the result is undecided.
#[track_caller]
pub fn transient<T: std::fmt::Debug>(answer: Result<T, ChainError>) -> String {
    match answer {
        Err(ChainError::Transient { source, .. }) => {
            let cause = source.to_string();
            assert!(!cause.contains("s3cret"), "{cause}");
            cause
        }
        other => panic!("decided: {other:?}"),
    }
}

/// A payment that is on the chain, three deep.
pub async fn paid(local: &Local) -> Authorization {
    let (auth, signature) = signed(6, Address::repeat_byte(5), Usdc(9));
    local.give_usdc(auth.from, auth.value).await;
    let call = UsdcDouble::transferWithAuthorization_1Call {
        from: auth.from,
        to: auth.to,
        value: U256::from(auth.value.0),
        validAfter: U256::ZERO,
        validBefore: U256::from(auth.valid_before),
        nonce: auth.nonce,
        v: signature[64],
        r: B256::from_slice(&signature[..32]),
        s: B256::from_slice(&signature[32..64]),
    };
    local.transact(BASE_SEPOLIA_USDC, call.abi_encode().into()).await;
    local.mine(2).await;
    auth
}

/// The evidence about `auth` in the blocks up to one that is three deep.
pub async fn evidence(chain: &Chain, auth: &Authorization, confirmed: Head) -> Result<Evidence, ChainError> {
    chain.evidence(auth, confirmed.block, confirmed.block).await
}
