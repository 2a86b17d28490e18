//! PostgreSQL.

use crate::{
    NeighbourError, Result, Tools,
    cluster::{self, Cluster, SERVER, Throwaway},
    port::{Port, Wanted},
    probe::Probe,
    process::{self, Launch, Process},
};
use nix::sys::signal::Signal;
use std::{ffi::OsString, path::PathBuf};

/// Two instances of every service with a pool of ten each, and room for people.
const CONNECTIONS_MAX: u32 = 200;

/// How to start a PostgreSQL. Fill the rest with `..PostgresOptions::default()`.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Holds the cluster (`pgdata/`, or a link to it when root cannot have it here), the password, log and lock.
    pub data_dir: PathBuf,
    /// The port; a free one when `None`.
    pub port: Option<u16>,
    /// The environment variable that changes `port`, for the error that it is taken.
    pub port_variable: &'static str,
    /// `true` if committed data survive a loss of power. Tests may do without, which is faster on a slow disk. A kill
    /// of the server loses nothing in either case.
    pub durable: bool,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { data_dir: PathBuf::new(), port: None, port_variable: "PAYMINT_POSTGRES_PORT", durable: true }
    }
}

/// A PostgreSQL of our own on 127.0.0.1, with an empty database `paymint` at first; shut down without a checkpoint
/// when dropped, which costs a replay at the next start and no data.
pub struct Postgres {
    process: Process, // before the throwaway, so that it has ended when its files go
    port: Port,
    password: String,
    _throwaway: Option<Throwaway>,
}

impl Postgres {
    /// Makes the cluster if there is none, starts it and waits until it asks clients for their password.
    /// # Errors
    /// Any of [`NeighbourError`]; no server is left then.
    pub async fn start(tools: &Tools, options: PostgresOptions) -> Result<Self> {
        let dir = process::data_dir(SERVER, &options.data_dir)?;
        let wanted = [Wanted { server: SERVER, port: options.port, variable: options.port_variable }];
        let prepared = {
            let _alone = process::lock(SERVER, &dir).await?;
            let (tools, dir) = (tools.clone(), dir.clone());
            tokio::task::spawn_blocking(move || cluster::prepare(&tools, &dir, options.durable)).await
        };
        let Cluster { pgdata, bin, account, password, throwaway } =
            prepared.map_err(|panicked| NeighbourError::Refused {
                server: SERVER,
                reason: format!("preparing the data directory failed: {panicked}"),
            })??;
        let (process, [port]) = process::start_on(&dir, wanted, |[port]| Launch {
            server: SERVER,
            program: bin.join("postgres"),
            arguments: arguments(&pgdata, port, options.durable),
            environment: vec![("LC_ALL".into(), "C".into())],
            dir: dir.clone(),
            account,
            probe: Probe::Postgres { port },
            // "Fast": sessions are ended, a checkpoint is written.
            stop_signal: Signal::SIGINT,
            // "Immediate": the postmaster takes its own children along, which a SIGKILL of it would not.
            last_signal: Signal::SIGQUIT,
        })
        .await?;
        Ok(Self { process, port, password, _throwaway: throwaway })
    }

    /// Where the database `paymint` is, with user and password: not for logs.
    pub fn url(&self) -> String {
        cluster::url(&self.password, self.port.number)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port.number
    }

    /// Its process id while it runs.
    pub fn pid(&mut self) -> Option<u32> {
        self.process.pid()
    }

    /// The file that it writes to.
    pub fn log_path(&self) -> PathBuf {
        self.process.log_path()
    }

    /// Stops it and waits for that; open sessions are ended. Nothing to do when it does not run.
    /// # Errors
    /// `Killed` when it had to be killed; it does not run then either.
    pub async fn stop(&mut self) -> Result<()> {
        self.process.stop().await
    }

    /// Kills it, as a crash would. The server is gone when this returns; its sessions notice within moments, and
    /// [`Postgres::restart`] waits for them.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same port and data, after stopping it if it runs.
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

fn arguments(pgdata: &std::path::Path, port: u16, durable: bool) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["-D".into(), pgdata.into()];
    let mut set = |setting: &str| arguments.extend(["-c".into(), setting.into()]);
    set("listen_addresses=127.0.0.1");
    set("unix_socket_directories=");
    set(&format!("port={port}"));
    set(&format!("max_connections={CONNECTIONS_MAX}"));
    if cfg!(target_os = "linux") {
        set("recovery_init_sync_method=syncfs"); // after a crash: one call where a thousand take seconds
    }
    if !durable {
        // Nothing waits for the disk. Commits still go to the system's cache, and torn pages are still repaired,
        // so that tests may kill the server.
        set("fsync=off");
    }
    arguments
}
