//! anvil, the local chain.

use crate::{
    NeighbourError, Result, Tools,
    port::{Port, Wanted},
    probe::{self, Probe},
    process::{self, Launch, Process},
};
use nix::sys::signal::Signal;
use std::{ffi::OsString, path::PathBuf, time::Duration};
use tokio::{task::AbortHandle, time::MissedTickBehavior};

const SERVER: &str = "anvil";
/// Base's; anvil stops a block there as Base does.
const BLOCK_GAS_LIMIT: &str = "400000000";
/// See [`AnvilOptions::slots_in_an_epoch`].
const SLOTS_IN_AN_EPOCH: u32 = 8;

/// Blocks on a block that make it final, unless the options say otherwise.
pub const FINAL: u64 = 2 * SLOTS_IN_AN_EPOCH as u64;

/// When blocks are made. Automatic mining (a block per transaction) is not offered: it collapses under a backlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mining {
    /// One block per interval; fractions of a second work. At two seconds or less anvil keeps 1,500 states, whatever it is
    /// told, unless it keeps none.
    Interval(Duration),
    /// One block per interval, which this process asks for, so that anvil keeps as few states as it is told. Nobody else can
    /// stop them.
    Asked(Duration),
    /// Only when `evm_mine` is called.
    Manual,
}

/// How to start an anvil. Fill the rest with `..AnvilOptions::default()`.
#[derive(Clone, Debug)]
pub struct AnvilOptions {
    /// Holds the log and the lock.
    pub data_dir: PathBuf,
    /// Read at the start, written when it stops; a chain in memory only when `None`.
    pub state_file: Option<PathBuf>,
    /// Writes `state_file` as often as this, too: what a kill loses at most. Only while the state is small.
    pub state_interval: Option<Duration>,
    /// The JSON-RPC port (HTTP and WebSocket); a free one when `None`.
    pub port: Option<u16>,
    /// The environment variable that changes `port`, for the error that it is taken.
    pub port_variable: &'static str,
    /// 84532 (Base Sepolia) by default: stock x402 clients refuse a chain that they do not know.
    pub chain_id: u64,
    /// When blocks are made.
    pub block_time: Mining,
    /// How many accounts of the development mnemonic (`test test ... junk`) have ether.
    pub accounts: u32,
    /// `safe` is this many blocks behind `latest`, `finalized` twice as many.
    pub slots_in_an_epoch: u32,
    /// Recent states that are kept in memory, each a full copy: `anvil_reorg` goes back no further than this. None by
    /// default: a long run would take tens of GB.
    pub states_kept: Option<u32>,
    /// Further arguments, as they are.
    pub arguments: Vec<String>,
}

impl Default for AnvilOptions {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::new(),
            state_file: None,
            state_interval: None,
            port: None,
            port_variable: "PAYMINT_CHAIN_PORT",
            chain_id: 84_532,
            block_time: Mining::Interval(Duration::from_secs(2)),
            accounts: 10,
            slots_in_an_epoch: SLOTS_IN_AN_EPOCH,
            states_kept: None,
            arguments: Vec::new(),
        }
    }
}

/// An anvil of our own on 127.0.0.1. Only [`Anvil::stop`] is sure to write the state file. Transactions that are in
/// no block yet are lost at every stop.
pub struct Anvil {
    process: Process,
    port: Port,
    miner: Option<AbortHandle>,
}

impl Anvil {
    /// Starts it and waits until it answers.
    /// # Errors
    /// Any of [`NeighbourError`]; no anvil is left then. That a state file is another chain's is not noticed: anvil
    /// gives it the new id.
    pub async fn start(tools: &Tools, options: AnvilOptions) -> Result<Self> {
        let dir = process::data_dir(SERVER, &options.data_dir)?;
        let state_file = match &options.state_file {
            Some(file) => Some(std::path::absolute(file).map_err(|source| NeighbourError::Files {
                server: SERVER,
                action: "find",
                path: file.clone(),
                source,
            })?),
            None => None,
        };
        let options = AnvilOptions { state_file, ..options };
        let wanted = [Wanted { server: SERVER, port: options.port, variable: options.port_variable }];
        let (process, [port]) = process::start_on(&dir, wanted, |[port]| Launch {
            server: SERVER,
            program: tools.anvil(),
            arguments: arguments(&options, port),
            environment: Vec::new(),
            dir: dir.clone(),
            account: None,
            probe: Probe::Anvil { port, chain_id: options.chain_id },
            stop_signal: Signal::SIGTERM,
            // A kept chain is written also when this process is killed: the ledger beside it goes on from there.
            last_signal: if options.state_file.is_some() { Signal::SIGTERM } else { Signal::SIGKILL },
        })
        .await?;
        let miner = match options.block_time {
            Mining::Asked(interval) => Some(tokio::spawn(mine(port.number, interval)).abort_handle()),
            Mining::Interval(_) | Mining::Manual => None,
        };
        Ok(Self { process, port, miner })
    }

    /// Where JSON-RPC is.
    pub fn rpc_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number)
    }

    /// Its process id while it runs.
    pub fn pid(&mut self) -> Option<u32> {
        self.process.pid()
    }

    /// The file that it writes to.
    pub fn log_path(&self) -> PathBuf {
        self.process.log_path()
    }

    /// Stops it and waits until the state is written; nothing to do when it does not run.
    /// # Errors
    /// `Killed` when it had to be killed: the state file is then the last that was written, or broken.
    pub async fn stop(&mut self) -> Result<()> {
        self.process.stop().await
    }

    /// Kills it, as a crash would. It is gone when this returns; the state file is the last that was written.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same port and state file, after stopping it if it runs.
    /// # Errors
    /// Those of `stop` and `start`.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        self.process.start().await
    }

    /// Waits until it ends without being asked to, and says how.
    pub async fn ended(&mut self) -> NeighbourError {
        self.process.ended().await
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        if let Some(miner) = &self.miner {
            miner.abort();
        }
    }
}

/// Asks for a block in each interval, also of an anvil that is started again on this port.
async fn mine(port: u16, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // It may be stopped at this moment.
        let _ = probe::rpc(port, "evm_mine").await;
    }
}

fn arguments(options: &AnvilOptions, port: u16) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = [
        // As a sequencer does; and a nonce gap of ours is not hidden by fee order.
        "--order=fifo",
        // EIP-7825's cap of 16,777,216 gas per transaction, which real chains enforce.
        "--enable-tx-gas-limit",
        "--quiet",
        "--host=127.0.0.1",
    ]
    .map(OsString::from)
    .into();
    let pruned = options.states_kept.map_or("--prune-history".to_owned(), |states| format!("--prune-history={states}"));
    arguments.push(pruned.into());
    let mut set = |name: &str, value: String| arguments.push(format!("--{name}={value}").into());
    set("gas-limit", BLOCK_GAS_LIMIT.into());
    set("port", port.to_string());
    set("chain-id", options.chain_id.to_string());
    set("accounts", options.accounts.to_string());
    set("slots-in-an-epoch", options.slots_in_an_epoch.to_string());
    if let Some(interval) = options.state_interval.filter(|_| options.state_file.is_some()) {
        set("state-interval", interval.as_secs().max(1).to_string());
    }
    match options.block_time {
        Mining::Interval(interval) => {
            set("block-time", format!("{}.{:03}", interval.as_secs(), interval.subsec_millis()))
        }
        Mining::Asked(_) | Mining::Manual => arguments.push("--no-mining".into()),
    }
    if let Some(file) = &options.state_file {
        arguments.extend(["--state".into(), file.as_os_str().to_owned()]);
    }
    arguments.extend(options.arguments.iter().map(OsString::from));
    arguments
}
