//! The three servers that everything stands on.

use crate::users;
use neighbours::{Anvil, AnvilOptions, Mining, Nats, NatsOptions, NeighbourError, Postgres, PostgresOptions, Tools};
use std::path::PathBuf;
use std::time::Duration;

/// Base Sepolia: stock x402 clients refuse chains that they do not know.
pub const CHAIN_ID: u64 = 84_532;

/// How often a chain that is kept is written down while it runs; a kill loses at most this.
const CHAIN_DUMP_INTERVAL: Duration = Duration::from_secs(15);

/// Blocks whose state the chain keeps, each a full copy. As on real networks, it has none for a final block, which is sixteen
/// blocks old.
const STATES_KEPT: u32 = 8;

/// Ten seconds are allowed for everything, and services take up to five of them.
const STOP_TIMEOUT: Duration = Duration::from_secs(4);

/// The options of the servers.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where their data are.
    pub data_dir: PathBuf,
    /// Fixed ports, or free ones.
    pub ports: Option<Ports>,
    /// The chain survives a restart.
    pub keep_chain: bool,
    /// Committed rows survive a loss of power.
    pub durable: bool,
    /// Interval of blocks.
    pub block_time: Duration,
}

/// Ports of an installation that stays.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// JSON-RPC.
    pub chain: u16,
    /// NATS clients.
    pub nats: u16,
    /// NATS monitor.
    pub nats_monitor: u16,
    /// PostgreSQL.
    pub postgres: u16,
}

/// The servers, running.
pub struct Servers {
    /// NATS with JetStream.
    pub nats: Nats,
    /// PostgreSQL.
    pub postgres: Postgres,
    /// The chain.
    pub anvil: Anvil,
}

impl Servers {
    /// Starts all three side by side.
    ///
    /// # Errors
    /// The first that does not start; the others are stopped then.
    pub async fn start(options: &ServerOptions) -> Result<Self, NeighbourError> {
        let tools = Tools::locate()?;
        let dir = |name: &str| options.data_dir.join(name);
        let ports = options.ports;
        let nats = NatsOptions {
            port: ports.map(|ports| ports.nats),
            monitor_port: ports.map(|ports| ports.nats_monitor),
            ..users::options(&dir("nats"))?
        };
        let postgres = PostgresOptions {
            data_dir: dir("postgres"),
            port: ports.map(|ports| ports.postgres),
            durable: options.durable,
            ..PostgresOptions::default()
        };
        let anvil = AnvilOptions {
            data_dir: dir("chain"),
            state_file: options.keep_chain.then(|| dir("chain").join("state.json")),
            state_interval: options.keep_chain.then_some(CHAIN_DUMP_INTERVAL),
            port: ports.map(|ports| ports.chain),
            chain_id: CHAIN_ID,
            block_time: Mining::Asked(options.block_time),
            states_kept: Some(STATES_KEPT),
            ..AnvilOptions::default()
        };
        let (nats, postgres, anvil) = tokio::try_join!(
            Nats::start(&tools, nats),
            Postgres::start(&tools, postgres),
            Anvil::start(&tools, anvil)
        )?;
        Ok(Self { nats, postgres, anvil })
    }

    /// Resolves when one of them ends unasked.
    pub async fn ended(&mut self) -> NeighbourError {
        tokio::select! {
            error = self.nats.ended() => error,
            error = self.postgres.ended() => error,
            error = self.anvil.ended() => error,
        }
    }

    /// Stops all three; the chain writes its state. What does not stop within [`STOP_TIMEOUT`] is killed when dropped,
    /// which costs a recovery at the next start and, of the chain, what came after its last dump.
    pub async fn stop(&mut self) {
        let stopping = async { tokio::join!(self.nats.stop(), self.postgres.stop(), self.anvil.stop()) };
        let Ok((nats, postgres, anvil)) = tokio::time::timeout(STOP_TIMEOUT, stopping).await else {
            return tracing::warn!("a server did not stop in time");
        };
        for result in [nats, postgres, anvil] {
            if let Err(error) = result {
                tracing::warn!(%error, "a server did not stop as it should");
            }
        }
    }
}
