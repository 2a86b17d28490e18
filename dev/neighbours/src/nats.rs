//! nats-server with JetStream.

use crate::{
    NeighbourError, Result, Tools,
    port::{Port, Wanted},
    probe::{self, Probe},
    process::{self, Launch, Process},
};
use nix::sys::signal::Signal;
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

const SERVER: &str = "nats-server";

/// Setting of Go's garbage collector, unless this process's environment has one. The collector walks the index of all
/// subjects, which only grows, each time the heap has grown by this percentage. With Go's default of 100 it took more
/// than half of the server's processor time at 700,000 subjects, with 400 a fifth, for about 2 GiB (docs/RUNBOOK.md).
const GARBAGE_COLLECTOR: (&str, &str) = ("GOGC", "400");

/// How to start a nats-server. Fill the rest with `..NatsOptions::default()`.
#[derive(Clone, Debug)]
pub struct NatsOptions {
    /// Holds the streams (`jetstream/`), the log, the lock and the generated configuration.
    pub data_dir: PathBuf,
    /// The clients' port; a free one when `None`.
    pub port: Option<u16>,
    /// The environment variable that changes `port`, for the error that it is taken.
    pub port_variable: &'static str,
    /// The monitor's port; a free one when `None`.
    pub monitor_port: Option<u16>,
    /// The environment variable that changes `monitor_port`.
    pub monitor_port_variable: &'static str,
    /// A configuration of one's own (accounts, permissions, limits), used instead of the generated one. Address,
    /// ports and store directory are set on the command line all the same; `sync_interval` is its own affair.
    pub config: Option<PathBuf>,
    /// Environment variables that `config` refers to, besides those of this process.
    pub environment: Vec<(String, String)>,
    /// An acknowledged message is on the disk. With a `config`, a start is refused unless that says so too.
    pub sync_always: bool,
}

impl Default for NatsOptions {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::new(),
            port: None,
            port_variable: "PAYMINT_NATS_PORT",
            monitor_port: None,
            monitor_port_variable: "PAYMINT_NATS_MONITOR_PORT",
            config: None,
            environment: Vec::new(),
            sync_always: true,
        }
    }
}

/// A nats-server of our own on 127.0.0.1; killed when dropped, which loses nothing that was acknowledged.
pub struct Nats {
    process: Process,
    port: Port,
    monitor_port: Port,
}

impl Nats {
    /// Starts it and waits until clients are greeted and JetStream has recovered.
    /// # Errors
    /// Any of [`NeighbourError`]; no server is left then.
    pub async fn start(tools: &Tools, options: NatsOptions) -> Result<Self> {
        let dir = process::data_dir(SERVER, &options.data_dir)?;
        let config = match &options.config {
            Some(own) => own.canonicalize().map_err(|source| files("find", own, source))?,
            None => generated_config(&dir, options.sync_always)?,
        };
        let wanted = [
            Wanted { server: SERVER, port: options.port, variable: options.port_variable },
            Wanted { server: SERVER, port: options.monitor_port, variable: options.monitor_port_variable },
        ];
        let (process, ports) = process::start_on(&dir, wanted, |[port, monitor_port]| Launch {
            server: SERVER,
            program: tools.nats_server(),
            arguments: arguments(&config, &dir, port, monitor_port),
            environment: environment(&options.environment),
            dir: dir.clone(),
            account: None,
            probe: Probe::Nats { port, monitor_port },
            stop_signal: Signal::SIGTERM,
            last_signal: Signal::SIGKILL,
        })
        .await?;
        let [port, monitor_port] = ports;
        let nats = Self { process, port, monitor_port };
        if options.sync_always {
            nats.check_sync_always().await?;
        }
        Ok(nats)
    }

    async fn check_sync_always(&self) -> Result<()> {
        let varz = probe::get(self.monitor_port.number, "/varz").await;
        if varz.is_ok_and(|(_, varz)| varz["jetstream"]["config"]["sync_always"] == true) {
            return Ok(());
        }
        let reason =
            "acknowledges before the message is on the disk: set `sync_interval: always` in its jetstream block";
        Err(NeighbourError::Refused { server: SERVER, reason: reason.into() })
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port.number)
    }

    /// Where `/varz`, `/jsz` and `/healthz` are.
    pub fn monitor_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.monitor_port.number)
    }

    /// Its process id while it runs.
    pub fn pid(&mut self) -> Option<u32> {
        self.process.pid()
    }

    /// The file that it writes to.
    pub fn log_path(&self) -> PathBuf {
        self.process.log_path()
    }

    /// Stops it and waits for that; nothing to do when it does not run.
    /// # Errors
    /// `Killed` when it had to be killed; it does not run then either.
    pub async fn stop(&mut self) -> Result<()> {
        self.process.stop().await
    }

    /// Kills it, as a crash would. It is gone when this returns.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same ports and data, after stopping it if it runs.
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

fn arguments(config: &Path, dir: &Path, port: u16, monitor_port: u16) -> Vec<OsString> {
    let (port, monitor_port) = (port.to_string(), monitor_port.to_string());
    let mut arguments: Vec<OsString> =
        ["--addr", "127.0.0.1", "--port", &port, "--http_port", &monitor_port].map(OsString::from).into();
    arguments.extend(["--jetstream".into(), "--store_dir".into(), dir.join("store").into_os_string()]);
    arguments.extend(["--config".into(), config.as_os_str().to_owned()]);
    arguments
}

fn environment(own: &[(String, String)]) -> Vec<(String, String)> {
    let (name, value) = GARBAGE_COLLECTOR;
    let default = std::env::var_os(name).is_none().then(|| (name.to_owned(), value.to_owned()));
    default.into_iter().chain(own.iter().cloned()).collect()
}

/// Writes the configuration for a server without accounts.
fn generated_config(dir: &Path, sync_always: bool) -> Result<PathBuf> {
    let sync = if sync_always { "sync_interval: always" } else { "" };
    let text = format!(
        "# Generated at every start. Address, ports and store directory are on the command line.\nmax_payload: 1MB\njetstream {{ {sync} }}\n"
    );
    let path = dir.join("nats-server.conf");
    fs::write(&path, text).map_err(|source| files("write", &path, source))?;
    Ok(path)
}

fn files(action: &'static str, path: &Path, source: std::io::Error) -> NeighbourError {
    NeighbourError::Files { server: SERVER, action, path: path.to_owned(), source }
}
