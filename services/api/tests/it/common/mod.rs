//! Shared by the tests: a ledger of their own, instances of the service, a payer with a key, and parsed answers.

pub mod described;
pub mod process;
pub mod raw;
pub mod rows;
pub mod sse;

use alloy_primitives::{Address, B256, hex};
use api::{Config, Server};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use domain::Authorization;
use domain::{Event, OrderEvent, PaymentId, TokenEvent, TokenTerms, examples};
use futures_util::StreamExt;
use ledger::{Expected, Ledger, NewEvent};
use reqwest::header::HeaderMap;
use reqwest::{Client, StatusCode};
use runtime::{CancellationToken, Env};
use secp256k1::SecretKey;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::SystemTime;
use store::{READ_MODELS, Store};
use tempfile::TempDir;
use testkit::{Broker, until};
use x402::{domain_separator, transfer_digest};

/// anvil key #2; its account is `examples::PAYER`.
pub const KEY: [u8; 32] = hex!("5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a");
/// An address without a server.
pub const NO_DATABASE: &str = "postgres://nobody:nothing@127.0.0.1:9/none";

/// A ledger with one token, without accounts. Instances of the service are started on it.
pub struct Site {
    pub broker: Broker,
    pub ledger: Ledger,
    pub dir: TempDir,
    pub http: Client,
    stop: CancellationToken,
}

impl Site {
    pub async fn start() -> Self {
        let broker = Broker::start().await;
        let (ledger, dir) = (broker.ledger("ops").await, tempfile::tempdir().unwrap());
        let site = Self { broker, ledger, dir, http: Client::new(), stop: CancellationToken::new() };
        site.register(examples::terms()).await;
        site
    }

    pub async fn register(&self, terms: TokenTerms) {
        let event = Event::Token(terms.token, TokenEvent::Registered(Box::new(terms)));
        self.ledger.append(&[NewEvent { event, expected: Expected::Absent, trace: None }]).await.unwrap();
    }

    /// Appends an event that another service would write.
    pub async fn happens(&self, id: PaymentId, event: OrderEvent) -> u64 {
        let event = NewEvent { event: Event::Order(id, event), expected: Expected::Absent, trace: None };
        self.ledger.append(&[event]).await.unwrap()[0]
    }

    pub fn env<'a>(&'a self, change: &[(&'a str, &'a str)]) -> Env {
        let (url, monitor_url) = (self.broker.nats.url(), self.broker.nats.monitor_url());
        let base = self.variables(&url, &monitor_url);
        Env::of(base.iter().chain(change).map(|(name, value)| (*name, *value)))
    }

    fn variables<'a>(&self, url: &'a str, monitor_url: &'a str) -> [(&'static str, &'a str); 12] {
        [
            ("API_ADDR", "127.0.0.1:0"),
            ("NATS_URL", url),
            ("NATS_MONITOR_URL", monitor_url),
            ("DATABASE_URL", NO_DATABASE),
            ("CHAIN_ID", "84532"),
            ("ASSET_ADDRESS", "0x036CbD53842c5426634e7929541eC2318f3dCF7e"),
            ("ASSET_NAME", "USDC"),
            ("ASSET_VERSION", "2"),
            // One payer pays for most tests, and nothing is settled.
            ("PAYER_IN_FLIGHT_MAX", "1000"),
            // Tests ask faster than a payer, all from one address; those of the limits set their own.
            ("RATE_PER_IP", "0"),
            ("RATE_TOTAL", "0"),
            ("SSE_PER_IP", "4096"),
        ]
    }

    /// An instance that has read the catalogue.
    pub async fn instance(&self, change: &[(&str, &str)]) -> Instance {
        let config = Config::from_env(&self.env(change)).unwrap();
        let stop = self.stop.child_token();
        let server = Server::start(config, stop.clone()).await.unwrap();
        let url = format!("http://{}", server.address());
        let task = tokio::spawn(server.serve());
        let instance = Instance { url, stop, task, http: self.http.clone() };
        until("the instance is ready", async || instance.get("/readyz").await.status == 200).await;
        instance
    }

    pub async fn last_sequence(&self) -> u64 {
        self.ledger.state().await.unwrap().1
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// One running api.
#[derive(Debug)]
pub struct Instance {
    pub url: String,
    pub stop: CancellationToken,
    pub task: tokio::task::JoinHandle<Result<(), runtime::Fatal>>,
    pub http: Client,
}

/// An answer, taken apart.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}")).to_str().unwrap()
    }

    pub fn id(&self) -> PaymentId {
        self.json()["paymentQueueId"].as_str().unwrap().parse().unwrap()
    }

    /// The offer in the v2 header.
    pub fn offer(&self) -> Value {
        serde_json::from_slice(&BASE64_STANDARD.decode(self.header("payment-required")).unwrap()).unwrap()
    }

    /// Status and code of a problem document that keeps the rules.
    pub fn problem(&self) -> (u16, String) {
        let (json, status) = (self.json(), self.status.as_u16());
        assert!(self.text.len() <= 1024, "{} bytes: {}", self.text.len(), self.text);
        assert_eq!(json["status"], status);
        assert!(json["type"].is_string() && json["title"].is_string() && json["detail"].is_string(), "{json}");
        assert_eq!(self.header("cache-control"), "no-store");
        if status != 402 {
            assert_eq!(self.header("content-type"), "application/problem+json");
        }
        (status, json["code"].as_str().unwrap().to_owned())
    }
}

impl Instance {
    pub fn address(&self) -> SocketAddr {
        self.url.strip_prefix("http://").unwrap().parse().unwrap()
    }

    /// A second handle for another task. Its `task` is empty.
    pub fn another_client(&self) -> Self {
        let task = tokio::spawn(async { Ok(()) });
        Self { url: self.url.clone(), stop: self.stop.clone(), task, http: self.http.clone() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        let answer = Answer::of(self.http.get(format!("{}{path}", self.url)).send().await.unwrap()).await;
        described::check("get", path, &answer);
        answer
    }

    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
        let request = self.http.post(format!("{}{path}", self.url)).body(body);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = Answer::of(request.send().await.unwrap()).await;
        described::check("post", path, &answer);
        answer
    }

    /// Asks for `quantity` units of the demo token, with these headers.
    pub async fn mint(&self, quantity: u32, headers: &[(&str, &str)]) -> Answer {
        self.post(&mint_path(), headers, json!({ "quantity": quantity }).to_string()).await
    }

    /// Opens a stream of events, and says where its client stopped.
    pub async fn events(&self, query: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        let request = self.http.get(format!("{}/api/events{query}", self.url));
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
    }

    /// Buys as a stock v2 client does: asks, signs the offer, asks again.
    pub async fn buy(&self, quantity: u32, nonce: u8) -> Answer {
        let header = pay(&self.mint(quantity, &[]).await.offer(), nonce, |_| {});
        self.mint(quantity, &[("payment-signature", &header)]).await
    }
}

pub fn mint_path() -> String {
    format!("/api/mint/{}", examples::TOKEN)
}

pub fn now_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// The v2 header of a payment of this offer; the authorization may be changed before it is signed.
pub fn pay(offer: &Value, nonce: u8, change: impl FnOnce(&mut Authorization)) -> String {
    base64(&json!({
        "x402Version": 2,
        "accepted": offer["accepts"][0],
        "payload": payload(&offer["accepts"][0], nonce, change),
    }))
}

pub fn base64(json: &Value) -> String {
    BASE64_STANDARD.encode(json.to_string())
}

pub fn unbase64(header: &str) -> Vec<u8> {
    BASE64_STANDARD.decode(header).unwrap()
}

fn payload(terms: &Value, nonce: u8, change: impl FnOnce(&mut Authorization)) -> Value {
    let text = |path: &str| terms.pointer(path).unwrap().as_str().unwrap();
    let mut authorization = Authorization {
        from: payer(),
        to: text("/payTo").parse().unwrap(),
        value: domain::Usdc(text("/amount").parse().unwrap()),
        valid_after: 0,
        valid_before: now_s() + terms["maxTimeoutSeconds"].as_u64().unwrap(),
        nonce: B256::repeat_byte(nonce),
    };
    change(&mut authorization);
    let asset: Address = text("/asset").parse().unwrap();
    let domain = domain_separator(text("/extra/name"), text("/extra/version"), 84532, asset);
    let key = SecretKey::from_secret_bytes(KEY).unwrap();
    let signature = testkit::sign_digest(transfer_digest(&domain, &authorization), &key);
    json!({
        "signature": hex::encode_prefixed(signature),
        "authorization": {
            "from": authorization.from.to_string(),
            "to": authorization.to.to_string(),
            "value": authorization.value.0.to_string(),
            "validAfter": authorization.valid_after.to_string(),
            "validBefore": authorization.valid_before.to_string(),
            "nonce": authorization.nonce.to_string(),
        },
    })
}

/// The account of [`KEY`].
pub fn payer() -> Address {
    testkit::address_of(&SecretKey::from_secret_bytes(KEY).unwrap())
}

/// Writes the whole ledger into the read models, as the read-projector does.
pub async fn project(ledger: &Ledger, store: &Store) {
    let last = ledger.state().await.unwrap().1;
    let position = store.open(READ_MODELS, ledger.incarnation()).await.unwrap();
    let mut events = Vec::new();
    let mut stream = ledger.read_from(position.seq + 1).await.unwrap();
    while position.seq + u64::try_from(events.len()).unwrap() < last {
        events.push(stream.next().await.unwrap().unwrap());
    }
    store.apply(&events, &position).await.unwrap();
}
