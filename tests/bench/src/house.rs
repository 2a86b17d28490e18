//! The base of a phase: servers of its own, the deployed contracts, and the addresses for the services.

use dev_chain::DevChain;
use ledger::Ledger;
use runtime::Fatal;
use standalone::{ServerOptions, Servers, Shop, services};
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

use crate::limits::Limits;
use crate::process::{Services, free_address, in_background};
use crate::reads::past;

/// CloudEvents source; nothing is written under it.
const SOURCE: &str = "/paymint/bench";
/// Data directories are `target/bench-data-<process id>.<random>`.
const SCRATCH: &str = "bench-data-";
/// Where `standalone` keeps the data of nats-server, below those of the installation.
const NATS_DIR: &str = "nats";

/// Servers and shop.
pub struct House {
    /// The three servers.
    pub servers: Servers,
    /// The deployed contracts and the token.
    pub shop: Shop,
    /// The chain, under our control.
    pub chain: DevChain,
    /// To read.
    pub ledger: Ledger,
    /// Where the api will listen.
    pub api: SocketAddr,
    /// JSON-RPC of the chain for services that start from now on, if it is not the node itself.
    pub rpc_url: Option<String>,
    /// True if services leave the first processor to nats-server and this process.
    in_background: bool,
    all_logs: PathBuf,
    logs: PathBuf,
    dir: TempDir,
}

impl House {
    /// Starts the servers with data on the disk of `target/`, durable as in production, and opens the shop.
    ///
    /// # Errors
    /// The first that does not start. Nothing is left running.
    pub async fn start(name: &str, block_time: Duration) -> Result<Self, Fatal> {
        Self::start_in(scratch()?, name, block_time).await
    }

    /// Like [`House::start`], with a copy of the nats-server's data in `past` as the ledger.
    ///
    /// # Errors
    /// As [`House::start`].
    pub async fn start_on(name: &str, block_time: Duration, past: &Path) -> Result<Self, Fatal> {
        let dir = scratch()?;
        past::copy(past, &dir.path().join(NATS_DIR))?;
        Self::start_in(dir, name, block_time).await
    }

    async fn start_in(dir: TempDir, name: &str, block_time: Duration) -> Result<Self, Fatal> {
        let logs = target_dir()?.join("bench-logs").join(name);
        fs::create_dir_all(&logs)?;
        let options = ServerOptions {
            data_dir: dir.path().to_owned(),
            ports: None,
            keep_chain: false,
            durable: true,
            block_time,
        };
        let servers = Servers::start(&options).await?;
        let shop = Shop::open(&servers, |_| {}).await?;
        let chain = DevChain::connect(&servers.anvil.rpc_url()).await?;
        let ledger = Ledger::connect(&Shop::ledger(&servers), SOURCE).await?;
        Ok(Self {
            servers,
            shop,
            chain,
            ledger,
            api: free_address()?,
            rpc_url: None,
            in_background: false,
            all_logs: logs.clone(),
            logs,
            dir,
        })
    }

    /// Starts services as processes of their own, with the environment that `standalone` gives them, and `limits`.
    ///
    /// # Errors
    /// The first that does not become ready.
    pub async fn services(&self, names: &[&'static str], limits: Limits) -> Result<Services, Fatal> {
        self.services_at(self.api, names, limits).await
    }

    /// Like [`House::services`], with the first api at another address.
    ///
    /// # Errors
    /// The first that does not become ready.
    pub async fn services_at(
        &self,
        api: SocketAddr,
        names: &[&'static str],
        limits: Limits,
    ) -> Result<Services, Fatal> {
        let mut environment = services::environment(&self.servers, &self.shop, api);
        environment.extend(limits.variables());
        environment.extend(self.rpc_url.clone().map(|url| ("RPC_URL", url)));
        let logs = if api == self.api { self.logs.clone() } else { self.logs.join(api.port().to_string()) };
        fs::create_dir_all(&logs)?;
        Services::start(names, &environment, api, &logs, self.in_background).await
    }

    /// Puts the logs of services that start from now on into a directory of this name, below that of
    /// this house.
    ///
    /// # Errors
    /// The disk is full.
    pub fn logs_below(&mut self, name: &str) -> Result<(), Fatal> {
        self.logs = self.all_logs.join(name);
        Ok(fs::create_dir_all(&self.logs)?)
    }

    /// Where the logs of its services are.
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// Last sequence of the ledger.
    ///
    /// # Errors
    /// No answer.
    pub async fn last_seq(&self) -> Result<u64, Fatal> {
        Ok(self.ledger.state().await?.1)
    }

    /// Stops nats-server and PostgreSQL, drops their files from memory, and starts both again. What PostgreSQL was going to
    /// write in the next minutes is on the disk then, and holds nothing up.
    ///
    /// # Errors
    /// It does not stop or start.
    pub async fn restart_cold(&mut self) -> Result<(), Fatal> {
        self.servers.nats.stop().await?;
        self.servers.postgres.stop().await?;
        past::forget(self.dir.path())?;
        self.servers.postgres.restart().await?;
        if self.in_background {
            self.leave_first_processor()?;
        }
        Ok(self.servers.nats.restart().await?)
    }

    /// Everything but nats-server and this process leaves the first processor to these two: the chain, PostgreSQL, and
    /// the services that start from now on.
    ///
    /// # Errors
    /// A server has ended.
    pub fn put_in_background(&mut self) -> Result<(), Fatal> {
        self.in_background = true;
        self.leave_first_processor()
    }

    fn leave_first_processor(&mut self) -> Result<(), Fatal> {
        let servers = [self.servers.anvil.pid(), self.servers.postgres.pid()];
        servers.into_iter().flatten().try_for_each(in_background)
    }

    /// Stops the servers; their data go.
    pub async fn end(mut self) {
        self.servers.stop().await;
    }
}

/// A directory on the disk of `target/` that goes with its handle; what killed runs left is removed on the way.
/// PostgreSQL, which runs as another account when we are root, gets into it.
///
/// # Errors
/// The disk is full, or not ours.
pub fn scratch() -> Result<TempDir, Fatal> {
    let target = target_dir()?;
    for entry in fs::read_dir(&target)?.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(SCRATCH)?.split('.').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            let _ = fs::remove_dir_all(entry.path()); // somebody else is at it, or the disk says so at the next line
        }
    }
    let prefix = format!("{SCRATCH}{}.", std::process::id());
    let open_to_all = Permissions::from_mode(0o755);
    Ok(tempfile::Builder::new().prefix(&prefix).permissions(open_to_all).tempdir_in(target)?)
}

/// `target/`, where this program is in `release/` or `debug/`.
///
/// # Errors
/// The program has been moved elsewhere.
pub fn target_dir() -> Result<PathBuf, Fatal> {
    let me = std::env::current_exe()?;
    Ok(me.parent().and_then(|dir| dir.parent()).ok_or("this program is in no target directory")?.to_owned())
}
