//! A whole Paymint of real parts: its own servers, and every service as a process of its own.

use crate::answers::{Answer, Frames};
use crate::buyer::{Buyer, Payment};
use crate::chain::LocalChain;
use crate::options::StackOptions;
use crate::order::Order;
use crate::process::{Process, Service, was_killed};
use crate::stream::{Entry, Stream};
use crate::watch::eventually;
use alloy::sol_types::SolCall;
use alloy_primitives::{Bytes, U256};
use chain::abi::UsdcDouble;
use domain::{PaymentId, TokenTerms};
use neighbours::{Anvil, AnvilOptions, Mining, Nats, NatsOptions, Postgres, PostgresOptions, Tools};
use serde_json::{Value, json};
use sqlx::PgPool;
use standalone::{Servers, Shop, accounts, services};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::ExitStatus;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Installations at a time: two cores carry two.
static PLACES: Semaphore = Semaphore::const_new(2);

/// Blocks that `anvil_reorg` can go back.
const STATES_KEPT: u32 = 64;

/// Lines of each log that a failed story shows.
const TAIL_LINES: usize = 30;

/// One process of a service; a service alone means its first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance(pub Service, pub usize);

impl From<Service> for Instance {
    fn from(service: Service) -> Self {
        Self(service, 0)
    }
}

/// A Paymint. Everything ends when it is dropped.
pub struct Stack {
    processes: BTreeMap<Instance, Process>,
    env: BTreeMap<String, String>,
    api: Vec<SocketAddr>,
    pub servers: Servers,
    pub shop: Shop,
    pub chain: LocalChain,
    pub stream: Stream,
    pub tables: PgPool,
    pub http: reqwest::Client,
    pub dir: TempDir,
    _ports: Vec<UdpSocket>,
    _place: SemaphorePermit<'static>,
}

/// A place for one installation of this test process.
pub async fn permit() -> SemaphorePermit<'static> {
    PLACES.acquire().await.unwrap()
}

impl Stack {
    /// Starts servers, shop and the services that are asked for.
    pub async fn start(options: StackOptions) -> Self {
        let place = permit().await;
        let dir = tempfile::tempdir().unwrap();
        let servers = start_servers(&dir, options.block_time).await;
        let chain = LocalChain::at(&servers.anvil.rpc_url());
        let shop = tokio::select! {
            shop = Shop::open(&servers, |_| {}) => shop.unwrap(),
            () = mine_fast(&chain) => unreachable!("mining goes on"),
        };
        let (api, ports) = free_ports(2);
        let api: Vec<SocketAddr> = api.into_iter().map(|port| (Ipv4Addr::LOCALHOST, port).into()).collect();
        let env = environment(&servers, &shop, api[0], &options);
        let mut stack = Self {
            processes: BTreeMap::new(),
            env,
            api,
            stream: Stream::at(&servers.nats.url()).await,
            tables: PgPool::connect(&servers.postgres.url()).await.unwrap(),
            servers,
            shop,
            chain,
            http: reqwest::Client::new(),
            dir,
            _ports: ports,
            _place: place,
        };
        for service in options.services {
            stack.run(service).await;
        }
        stack
    }

    /// Starts a process; the API is ready when this returns.
    pub async fn run(&mut self, instance: impl Into<Instance>) {
        self.run_with(instance, &[]).await;
    }

    /// The same with further variables: a crash point, say.
    pub async fn run_with(&mut self, instance: impl Into<Instance>, more: &[(&str, &str)]) {
        let instance = instance.into();
        self.spawn(instance, more);
        if instance.0 == Service::Api {
            let url = self.url(instance, "/readyz");
            let ready = async || self.http.get(&url).send().await.is_ok_and(|answer| answer.status() == 200);
            eventually("the api is ready", async || ready().await.then_some(())).await;
        }
    }

    /// Starts a process and waits for nothing.
    pub fn spawn(&mut self, instance: impl Into<Instance>, more: &[(&str, &str)]) {
        let Instance(service, nth) = instance.into();
        let (addr, name) = (self.api[nth].to_string(), format!("{}-{nth}", service.name()));
        let log = self.dir.path().join(format!("{name}.log"));
        let own = [("API_ADDR", addr.as_str()), ("INSTANCE", name.as_str())];
        let base = self.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let env: BTreeMap<&str, &str> = base.chain(own).chain(more.iter().copied()).collect();
        let process = Process::start(service.name(), &[], env.into_iter(), &log);
        self.processes.insert(Instance(service, nth), process);
    }

    /// Changes a variable for every process that is started from now on.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.env.insert(variable.to_owned(), value.to_owned());
    }

    pub fn process(&mut self, instance: impl Into<Instance>) -> &mut Process {
        let instance = instance.into();
        self.processes.get_mut(&instance).unwrap_or_else(|| panic!("{instance:?} was never started"))
    }

    /// SIGKILL.
    pub fn kill(&mut self, instance: impl Into<Instance>) {
        self.process(instance).kill();
    }

    /// Waits until the process has died of SIGKILL at its crash point.
    pub async fn until_killed(&mut self, instance: impl Into<Instance>, point: &str) {
        let instance = instance.into();
        let status = self.process(instance).ended().await;
        let hint = "was the binary built without failpoints? `cargo build --workspace` builds it with them";
        assert!(was_killed(status), "{instance:?} was to die of SIGKILL at {point}, it ended with {status}; {hint}");
    }

    /// SIGTERM, then how it ended and how long that took.
    pub async fn terminate(&mut self, instance: impl Into<Instance>) -> (ExitStatus, Duration) {
        self.process(instance).terminate().await
    }

    /// Waits for the end of a process that cannot start, and says what it said.
    pub async fn refusal(&mut self, service: Service, more: &[(&str, &str)]) -> String {
        self.spawn(service, more);
        let process = self.process(service);
        let status = process.ended().await;
        assert!(!status.success() && status.code().is_some(), "{service:?} was to refuse, it ended with {status}");
        process.said()
    }

    /// Of an instance of the API.
    pub fn url(&self, instance: impl Into<Instance>, path: &str) -> String {
        format!("http://{}{path}", self.api[instance.into().1])
    }

    pub async fn get(&self, path: &str) -> Answer {
        let response = self.http.get(self.url(Service::Api, path)).send().await.unwrap();
        Answer::of(response).await.unwrap()
    }

    /// Asks for `quantity` units of `terms` with this payment header.
    ///
    /// # Errors
    /// No answer: it may have been accepted all the same.
    pub async fn try_post(
        &self,
        api: impl Into<Instance>,
        terms: &TokenTerms,
        quantity: u32,
        (name, value): (&str, String),
    ) -> Result<Answer, reqwest::Error> {
        let url = self.url(api, &format!("/api/mint/{}", terms.token));
        let body = json!({ "quantity": quantity }).to_string();
        Answer::of(self.http.post(url).header(name, value).body(body).send().await?).await
    }

    pub async fn post(&self, terms: &TokenTerms, quantity: u32, header: (&str, String)) -> Answer {
        self.try_post(Service::Api, terms, quantity, header).await.unwrap()
    }

    /// Sends a payment as v2; it must be accepted.
    pub async fn accept(&self, payment: &Payment) -> Order {
        let answer = self.post(&payment.terms, payment.quantity, payment.v2()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(answer.id(), payment.id());
        Order::of(payment)
    }

    /// `buyer` buys `quantity` units of the demo token.
    pub async fn buy(&self, buyer: &Buyer, quantity: u32) -> Order {
        self.accept(&buyer.pay(&self.shop.token, quantity)).await
    }

    /// Somebody new with `usdc` atomic USDC.
    pub async fn buyer(&self, usdc: u64) -> Buyer {
        self.buyers(1, usdc).await.remove(0)
    }

    /// Several of them, each with `usdc`. Who has halted the chain lets them in before.
    pub async fn buyers(&self, count: usize, usdc: u64) -> Vec<Buyer> {
        let buyers: Vec<Buyer> = (0..count).map(|_| Buyer::new()).collect();
        let mut last = None;
        for buyer in &buyers {
            last = Some(self.chain.send(accounts::OWNER, self.shop.asset, funding(buyer, usdc)).await);
        }
        if let Some(last) = last {
            let funded = async || self.chain.receipt(last).await.filter(|receipt| receipt.status());
            eventually("the buyers' money", funded).await;
        }
        buyers
    }

    /// More money for somebody.
    pub async fn fund(&self, buyer: &Buyer, usdc: u64) {
        self.chain.transact(accounts::OWNER, self.shop.asset, funding(buyer, usdc)).await;
    }

    /// The same, without waiting for the block.
    pub async fn fund_soon(&self, buyer: &Buyer, usdc: u64) {
        self.chain.send(accounts::OWNER, self.shop.asset, funding(buyer, usdc)).await;
    }

    /// `GET /api/payment/{id}`.
    pub async fn status(&self, id: PaymentId) -> Value {
        let answer = self.get(&format!("/api/payment/{id}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json
    }

    /// The event stream of a payment, from the beginning or after `last_event_id`.
    pub async fn events(&self, id: PaymentId, last_event_id: Option<u64>) -> Frames {
        Frames::of(self.ask_for_events(id, last_event_id).await)
    }

    /// The status that a client is answered which has seen the last event already.
    pub async fn events_after_the_end(&self, id: PaymentId, last_event_id: u64) -> u16 {
        self.ask_for_events(id, Some(last_event_id)).await.status().as_u16()
    }

    async fn ask_for_events(&self, id: PaymentId, last_event_id: Option<u64>) -> reqwest::Response {
        let mut request = self.http.get(self.url(Service::Api, &format!("/api/events?payment={id}")));
        if let Some(last) = last_event_id {
            request = request.header("Last-Event-ID", last);
        }
        request.send().await.unwrap()
    }

    /// Waits until the event `name` of `order` is in the ledger.
    ///
    /// # Panics
    /// At once when the order has ended otherwise.
    pub async fn until(&self, order: &Order, name: &str) -> Entry {
        let what = format!("{name} of {} ", order.id);
        let look = async || {
            let found = self.stream.on(&order.subject(name)).await;
            if found.is_none() && name != "payment.failed" {
                let failed = self.stream.on(&order.subject("payment.failed")).await;
                assert!(failed.is_none(), "{what}: the payment failed: {}", failed.unwrap().body["data"]);
            }
            found
        };
        eventually(&what, look).await
    }

    /// Waits for the end that each order is to have.
    pub async fn until_ended(&self, orders: &[Order]) {
        for order in orders {
            self.until(order, order.last_event()).await;
        }
    }

    /// Every event of an order, by sequence.
    pub async fn history(&self, order: &Order) -> Vec<Entry> {
        let prefix = order.subject("");
        self.stream.all().await.into_iter().filter(|entry| entry.subject.starts_with(&prefix)).collect()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.say_what_happened();
        }
        self.processes.clear();
    }
}

impl Stack {
    /// For a failed story: the ledger's subjects and the end of every log.
    fn say_what_happened(&self) {
        let url = self.servers.nats.url();
        let told = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let read = async { Stream::at(&url).await.all().await };
            let entries = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(5), read).await });
            for entry in entries.unwrap_or_default() {
                let data = entry.body["data"].to_string();
                eprintln!("{:>5} {} {}", entry.seq, entry.subject, data.chars().take(160).collect::<String>());
            }
        });
        let _ = told.join(); // a ledger that cannot be read is no reason to say nothing else
        for (Instance(service, nth), process) in &self.processes {
            let said = process.said();
            let lines: Vec<&str> = said.lines().collect();
            let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
            eprintln!("---- {}-{nth}\n{tail}", service.name());
        }
    }
}

/// The call that gives `buyer` money: anybody may mint the double.
fn funding(buyer: &Buyer, usdc: u64) -> Bytes {
    UsdcDouble::mintCall { to: buyer.address, amount: U256::from(usdc) }.abi_encode().into()
}

/// As `standalone` starts them, but free to lose what a loss of power would take, and able to reorganise.
async fn start_servers(dir: &TempDir, block_time: Duration) -> Servers {
    let tools = Tools::locate().unwrap();
    let at = |name: &str| dir.path().join(name);
    let nats = NatsOptions { data_dir: at("nats"), ..NatsOptions::default() };
    let postgres = PostgresOptions { data_dir: at("postgres"), durable: false, ..PostgresOptions::default() };
    let anvil = AnvilOptions {
        data_dir: at("chain"),
        block_time: Mining::Interval(block_time),
        states_kept: Some(STATES_KEPT),
        ..AnvilOptions::default()
    };
    let started =
        tokio::try_join!(Nats::start(&tools, nats), Postgres::start(&tools, postgres), Anvil::start(&tools, anvil));
    let (nats, postgres, anvil) = started.unwrap_or_else(|e| panic!("{e}"));
    Servers { nats, postgres, anvil }
}

/// Opening the shop takes six blocks; they need not come at the pace of the story.
async fn mine_fast(chain: &LocalChain) {
    loop {
        chain.mine(1).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What every service is told. Waits that are for people's good are short here.
fn environment(servers: &Servers, shop: &Shop, api: SocketAddr, options: &StackOptions) -> BTreeMap<String, String> {
    let quick = [
        ("MINT_MAX_WAIT_MS", "100"),
        ("SENDER_LINGER_MS", "50"),
        ("SENDER_RETRY_MS", "200"),
        ("MINT_RETRY_MS", "200"),
        ("HEAD_POLL_MS", "50"),
        ("RUST_LOG", "info,async_nats=warn,sqlx=warn"),
    ];
    let mut env: BTreeMap<String, String> =
        services::environment(servers, shop, api).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    env.extend(quick.map(|(name, value)| (name.to_owned(), value.to_owned())));
    env.insert("CONFIRMATIONS".to_owned(), options.confirmations.to_string());
    env.extend(options.env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    env
}

/// Ports on which a process of ours may be started again and again. They are below those that the kernel gives to
/// outgoing connections, and the UDP socket of the same number keeps other tests away while it is held.
pub fn free_ports(count: usize) -> (Vec<u16>, Vec<UdpSocket>) {
    let mut sockets = Vec::new();
    for port in 12_000..19_000 {
        if sockets.len() < count
            && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            && let Ok(claim) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))
        {
            sockets.push(claim);
        }
    }
    assert_eq!(sockets.len(), count, "no free ports");
    (sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect(), sockets)
}
