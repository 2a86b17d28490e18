//! A whole Paymint of real parts: its own servers, and every service as a process of its own.

use crate::chain::LocalChain;
use crate::journal;
use crate::options::StackOptions;
use crate::ports::free_ports;
use crate::process::{Process, Service, was_killed};
use crate::servers::{environment, mine_fast, start_servers};
use crate::stream::Stream;
use auditor::run::{Genesis, OpenRecords};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sqlx::PgPool;
use standalone::accounts::PAYER;
use standalone::{Servers, Shop};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::ExitStatus;
use std::sync::Mutex;
use std::time::Duration;
use tempfile::TempDir;
use testkit::eventually;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Maximum number of installations at a time. Each waits for blocks most of the time, and two cores carry three.
static PLACES: Semaphore = Semaphore::const_new(3);

/// Maximum number of processes of one service: two, and a further one that a story may start.
const INSTANCES_MAX: usize = 3;

/// One process of a service. A bare [`Service`] means its first process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance(pub Service, pub usize);

impl std::fmt::Display for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.0.name(), self.1)
    }
}

impl From<Service> for Instance {
    fn from(service: Service) -> Self {
        Self(service, 0)
    }
}

/// An installation of Paymint. All of its processes end when it is dropped.
pub struct Stack {
    pub(crate) processes: BTreeMap<Instance, Process>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) api: Vec<SocketAddr>,
    pub(crate) health: BTreeMap<Instance, SocketAddr>,
    pub servers: Servers,
    pub shop: Shop,
    pub chain: LocalChain,
    pub stream: Stream,
    pub tables: PgPool,
    pub http: reqwest::Client,
    pub dir: TempDir,
    /// The number of confirmations that the services use.
    pub(crate) confirmations: u64,
    /// Balances of the accounts before the first request.
    pub(crate) genesis: Genesis,
    /// The verdict on records that nobody ordered and that are open at the end.
    pub(crate) open_records: OpenRecords,
    /// Requests of this story, as lines of a journal.
    pub(crate) sent: Mutex<Vec<Value>>,
    _ports: Vec<UdpSocket>,
    _place: SemaphorePermit<'static>,
}

/// Waits for a place for one installation in this test process.
pub async fn permit() -> SemaphorePermit<'static> {
    PLACES.acquire().await.unwrap()
}

impl Stack {
    /// Starts servers, shop and the services that are asked for.
    pub async fn start(options: StackOptions) -> Self {
        crate::lanes::small_buckets();
        let place = permit().await;
        let dir = tempfile::tempdir().unwrap();
        let servers = start_servers(&dir, options.block_time).await;
        let chain = LocalChain::at(&servers.anvil.rpc_url());
        let shop = tokio::select! {
            shop = Shop::open(&servers, |_| {}) => shop.unwrap(),
            () = mine_fast(&chain) => unreachable!("mining goes on"),
        };
        let first = Service::ALL.map(Instance::from);
        let (ports, claims) = free_ports(INSTANCES_MAX + first.len());
        let mut addresses = ports.into_iter().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let api: Vec<SocketAddr> = addresses.by_ref().take(INSTANCES_MAX).collect();
        let env = environment(&servers, &shop, api[0], &options);
        let genesis = journal::genesis(&chain, shop.asset, &[PAYER]).await;
        let mut stack = Self {
            processes: BTreeMap::new(),
            env,
            api,
            health: first.into_iter().zip(addresses).collect(),
            stream: Stream::at(&servers.nats.url()).await,
            tables: PgPool::connect(&servers.postgres.url()).await.unwrap(),
            servers,
            shop,
            chain,
            http: reqwest::Client::new(),
            dir,
            confirmations: options.confirmations,
            genesis: serde_json::from_value(genesis).unwrap(),
            open_records: OpenRecords::default(),
            sent: Mutex::default(),
            _ports: claims,
            _place: place,
        };
        for service in &options.services {
            stack.run(*service).await;
        }
        // A service does not start while a neighbour is away, so no story may strike one before all have started.
        for service in options.services.into_iter().filter(|service| *service != Service::Api) {
            let started = async || stack.in_the_way_of(service).await.as_object().map(drop);
            eventually("every service has started", started).await;
        }
        stack
    }

    /// Starts a process. An api is ready when this returns.
    pub async fn run(&mut self, instance: impl Into<Instance>) {
        self.run_with(instance, &[]).await;
    }

    /// Like [`Self::run`], with further variables, for example a crash point.
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
        let instance @ Instance(service, nth) = instance.into();
        let health = self.health.get(&instance).map(ToString::to_string);
        let (addr, name) = (self.api[nth].to_string(), instance.to_string());
        let log = self.dir.path().join(format!("{name}.log"));
        let own = [("API_ADDR", addr.as_str()), ("INSTANCE", name.as_str())];
        let base = self.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let health = health.iter().map(|address| ("HEALTH_ADDR", address.as_str()));
        let env: BTreeMap<&str, &str> = base.chain(own).chain(health).chain(more.iter().copied()).collect();
        let process = Process::start(service.name(), &[], env.into_iter(), &log);
        self.processes.insert(instance, process);
    }

    /// From now on an audit finds it wrong that a record which nobody ordered is open.
    pub const fn no_open_records(&mut self) {
        self.open_records = OpenRecords::Wrong;
    }

    /// Changes a variable for every process that is started from now on.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.env.insert(variable.to_owned(), value.to_owned());
    }

    pub fn process(&mut self, instance: impl Into<Instance>) -> &mut Process {
        let instance = instance.into();
        self.processes.get_mut(&instance).unwrap_or_else(|| panic!("{instance:?} was never started"))
    }

    /// The output of a process in its present run.
    pub fn said(&self, service: Service) -> String {
        self.processes[&service.into()].said()
    }

    /// Freezes the node's process, or lets it continue.
    pub fn freeze_chain(&mut self, frozen: bool) {
        let pid = self.servers.anvil.pid().unwrap().cast_signed();
        kill(Pid::from_raw(pid), if frozen { Signal::SIGSTOP } else { Signal::SIGCONT }).unwrap();
    }

    /// Ends a process with SIGKILL.
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

    /// Ends a process with SIGTERM. Returns how it ended and how long that took.
    pub async fn terminate(&mut self, instance: impl Into<Instance>) -> (ExitStatus, Duration) {
        self.process(instance).terminate().await
    }

    /// Starts a process that must refuse to start, waits for its end, and returns its output.
    pub async fn refusal(&mut self, service: Service, more: &[(&str, &str)]) -> String {
        self.spawn(service, more);
        let process = self.process(service);
        let status = process.ended().await;
        assert!(!status.success() && status.code().is_some(), "{service:?} was to refuse, it ended with {status}");
        process.said()
    }
}
