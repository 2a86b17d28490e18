//! One Paymint with two of every service, proxies before all its neighbours, and somebody who starts again what dies.

use crate::journal::Journal;
use crate::load::WEALTH;
use alloy_primitives::{Address, Bytes};
use domain::{PaymentId, TokenTerms};
use faults::{RpcProxy, TcpProxy};
use harness::{Buyer, Instance, LocalChain, Service, Stack, StackOptions, binary};
use serde_json::{Value, json};
use standalone::accounts::OWNER;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex as Data;
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::sync::Mutex;

/// N: shallow enough that a reorganisation of some blocks goes deeper.
pub const CONFIRMATIONS: u64 = 3;

/// anvil goes on with whole seconds after it was halted, so it begins with one.
const BLOCK_TIME: Duration = Duration::from_secs(1);

/// Between a process's death and its successor, as a supervisor of services has it.
const RESTART: Duration = Duration::from_millis(200);

/// Looks of the supervisor between two times that money is given again, which fees may have priced out: three seconds.
const FUND_EVERY: u64 = 15;

/// Money that was given longer ago is below what a reorganisation takes away.
const FUNDED_LATELY: Duration = Duration::from_secs(60);

/// Units of each token of few.
pub const FEW: u32 = 4;

/// The time that `ops` may take when its neighbours are in trouble.
const OPS_TIMEOUT: Duration = Duration::from_secs(30);

/// One Paymint in trouble.
pub struct House {
    pub stack: Mutex<Stack>,
    pub nats: TcpProxy,
    pub postgres: TcpProxy,
    pub nodes: [RpcProxy; 2],
    pub chain: LocalChain,
    pub token: TokenTerms,
    pub rare: TokenTerms,
    /// The creator of a token who buys from himself.
    pub creator: Buyer,
    /// His token.
    pub own: TokenTerms,
    /// Tokens of [`FEW`] units, each for one purchase.
    few: Data<Vec<TokenTerms>>,
    /// The environment of `ops`, which goes past the proxies.
    ops: Vec<(&'static str, String)>,
    pub journal: Journal,
    pub http: reqwest::Client,
    /// URLs of the two instances of the api.
    pub urls: [String; 2],
    /// Until then what was paid may be out of the chain.
    reorganised_until: Data<Option<Instant>>,
    /// Calls that gave people money, which no pool puts back when their blocks vanish.
    fundings: Data<Vec<(Instant, Bytes)>>,
    armed: Data<BTreeMap<Instance, Armed>>,
    /// Services that the supervisor does not restart.
    held: Data<Vec<Service>>,
    found: Data<Vec<String>>,
}

/// A process that is to die by its own hand.
#[derive(Clone, Debug)]
struct Armed {
    /// The name in the journal.
    name: String,
    variable: String,
}

/// Two of every service.
pub fn everyone() -> Vec<Instance> {
    Service::ALL.iter().flat_map(|service| both(*service)).collect()
}

/// Both instances of a service.
pub fn both(service: Service) -> [Instance; 2] {
    [Instance(service, 0), Instance(service, 1)]
}

impl House {
    /// Starts everything, with `few` tokens of few units.
    pub async fn start(seed: u64, folder: &Path, few: usize) -> Self {
        let options = StackOptions { block_time: BLOCK_TIME, confirmations: CONFIRMATIONS, ..StackOptions::empty() };
        // Two of everything look at the head through two providers, on few cores; orders that expire do so soon.
        let options = options.with("HEAD_POLL_MS", 250).with("MIN_WINDOW_S", 5);
        // Every record without an order must be found and minted.
        let mut stack = Stack::start(options.with("RECORD_GAS_PER_DAY", 1_000_000_000)).await;
        let rare = stack.rare_token().await;
        let creator = stack.buyer(WEALTH).await;
        let own = stack.token_by(creator.address, "OWN").await;
        let few = stack.tokens_of_few(few, FEW.into()).await;
        let ops = stack.ops_environment();
        let (nats, postgres) = (stack.proxy_nats().await, stack.proxy_postgres().await);
        let url = stack.servers.anvil.rpc_url();
        let nodes = [RpcProxy::before(&[&url], seed).await.unwrap(), RpcProxy::before(&[&url], !seed).await.unwrap()];
        stack.set("RPC_URL", &format!("{},{}", nodes[0].url(), nodes[1].url()));
        stack.run_all().await;
        for instance in everyone().into_iter().filter(|instance| instance.1 == 1) {
            stack.run(instance).await;
        }
        Self {
            nats,
            postgres,
            nodes,
            chain: stack.chain.clone(),
            token: stack.shop.token.clone(),
            rare,
            creator,
            own,
            few: few.into(),
            ops,
            journal: Journal::create(folder),
            // A client gives up after a bounded time.
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(12))
                .pool_idle_timeout(Duration::from_secs(3))
                .build()
                .unwrap(),
            urls: [0, 1].map(|nth| stack.url(Instance(Service::Api, nth), "")),
            stack: Mutex::new(stack),
            reorganised_until: Data::default(),
            fundings: Data::default(),
            armed: Data::default(),
            held: Data::default(),
            found: Data::default(),
        }
    }

    /// Restarts every process that has ended, until the run is over, and counts those that died at a crash point.
    pub async fn supervise(&self) {
        for look in 0_u64.. {
            if look.is_multiple_of(FUND_EVERY) && self.is_reorganised() {
                self.fund_again().await;
            }
            let mut dead = Vec::new();
            {
                let mut stack = self.stack.lock().await;
                for instance in everyone().into_iter().filter(|instance| !self.is_held(instance.0)) {
                    if !stack.process(instance).is_running() {
                        dead.push(instance);
                    }
                }
            }
            tokio::time::sleep(RESTART).await;
            let mut stack = self.stack.lock().await;
            for instance in dead {
                if stack.process(instance).is_running() || self.is_held(instance.0) {
                    continue;
                }
                // By itself: whoever else kills an armed process disarms it first. Without its neighbours a process does not
                // start, which is not the death that it is armed for.
                let was_killed = stack.process(instance).was_killed();
                let armed = self.armed.lock().unwrap().get(&instance).cloned();
                match armed {
                    Some(armed) if was_killed => {
                        self.journal.fired(&armed.name, 1);
                        self.forget(instance);
                        stack.spawn(instance, &[]);
                    }
                    Some(armed) => stack.spawn(instance, &[("PAYMINT_KILL_AT", &armed.variable)]),
                    None => stack.spawn(instance, &[]),
                }
            }
        }
    }

    /// Both instances of a service are killed and started again, to die where `variable` says, for example
    /// `SIGNED_NOT_BROADCAST:2`.
    pub async fn arm(&self, service: Service, name: &str, variable: &str) {
        let mut stack = self.stack.lock().await;
        for instance in both(service) {
            let armed = Armed { name: name.to_owned(), variable: variable.to_owned() };
            self.armed.lock().unwrap().remove(&instance);
            stack.kill(instance);
            stack.spawn(instance, &[("PAYMINT_KILL_AT", &armed.variable)]);
            self.armed.lock().unwrap().insert(instance, armed);
        }
    }

    /// Restarts the instances that still wait for their crash point.
    pub async fn disarm(&self, service: Service) {
        let mut stack = self.stack.lock().await;
        for instance in both(service) {
            if self.armed.lock().unwrap().remove(&instance).is_some() {
                stack.kill(instance);
                stack.spawn(instance, &[]);
            }
        }
    }

    /// SIGKILL; the supervisor starts it again.
    pub async fn kill(&self, instance: Instance) {
        self.forget(instance);
        self.stack.lock().await.kill(instance);
    }

    /// Kills both instances of a service, and keeps them down.
    pub async fn hold(&self, service: Service) {
        self.held.lock().unwrap().push(service);
        for instance in both(service) {
            self.kill(instance).await;
        }
    }

    /// Lets the supervisor start every service again.
    pub fn release(&self) {
        self.held.lock().unwrap().clear();
    }

    fn is_held(&self, service: Service) -> bool {
        self.held.lock().unwrap().contains(&service)
    }

    /// A token of which nobody has bought yet. `None`: each has its buyer.
    pub fn few(&self) -> Option<TokenTerms> {
        self.few.lock().unwrap().pop()
    }

    /// Asks for the refund of an order, with the program that a person would use.
    ///
    /// # Errors
    /// Its output, if it refuses.
    pub async fn ask_back(&self, id: PaymentId) -> Result<(), String> {
        let mut ops = Command::new(binary("ops"));
        ops.args(["refund", &id.to_string(), "--by", "chaos", "--why", "the buyer changed their mind"]);
        let output = ops.env_clear().envs(self.ops.clone()).kill_on_drop(true).output();
        let output =
            tokio::time::timeout(OPS_TIMEOUT, output).await.map_err(|_| "ops does not end".to_owned())?.unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned();
        self.journal.note(&format!("asked back: {id}: {said}"));
        if output.status.success() { Ok(()) } else { Err(said) }
    }

    /// Disarms this instance.
    pub fn forget(&self, instance: Instance) {
        self.armed.lock().unwrap().remove(&instance);
    }

    /// Blocks vanish; what was in them is back after `time`.
    pub fn reorganises(&self, time: Duration) {
        *self.reorganised_until.lock().unwrap() = Some(Instant::now() + time);
    }

    /// A call to USDC that anybody may make; whether it is ever mined is nobody's concern.
    pub async fn submit(&self, input: Bytes) {
        self.call(self.token.asset, input).await;
    }

    /// Like [`Self::submit`], for a call to any contract.
    pub async fn call(&self, to: Address, input: Bytes) {
        let call = json!([{ "from": OWNER, "to": to, "input": input, "gas": "0xf4240" }]);
        let _ = self.ask("eth_sendTransaction", call).await;
    }

    /// Like [`Self::submit`], for a call that gives money: it is repeated after a reorg.
    pub async fn fund(&self, input: Bytes) {
        self.fundings.lock().unwrap().push((Instant::now(), input.clone()));
        self.submit(input).await;
    }

    /// Makes the latest calls again that gave people money.
    async fn fund_again(&self) {
        let calls = self.fundings.lock().unwrap().clone();
        for (_, input) in calls.into_iter().filter(|(at, _)| at.elapsed() < FUNDED_LATELY) {
            self.submit(input).await;
        }
    }

    /// Returns `true` if a minted payment may be out of the chain now.
    pub fn is_reorganised(&self) -> bool {
        self.reorganised_until.lock().unwrap().is_some_and(|until| Instant::now() < until)
    }

    /// Something is wrong that the auditor does not look at.
    pub fn found(&self, what: String) {
        self.found.lock().unwrap().push(what);
    }

    pub fn all_found(&self) -> Vec<String> {
        self.found.lock().unwrap().clone()
    }

    /// Asks the chain, past the proxies.
    ///
    /// # Errors
    /// Its own.
    pub async fn ask(&self, method: &'static str, params: Value) -> Result<Value, String> {
        self.chain.node.ask(method, params).await.map_err(|e| e.to_string())
    }
}
