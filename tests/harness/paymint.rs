//! `paymint run`, started as a user does it.

use crate::ports::free_ports;
use crate::process::Process;
use crate::stack::permit;
use serde_json::Value;
use std::fs::Permissions;
use std::net::UdpSocket;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use testkit::eventually;
use tokio::sync::SemaphorePermit;

/// Flags of `paymint run`, in the order of [`Paymint::ports`], with the variable of each.
pub const PORTS: [(&str, &str); 5] = [
    ("--api-port", "PAYMINT_API_PORT"),
    ("--chain-port", "PAYMINT_CHAIN_PORT"),
    ("--nats-port", "PAYMINT_NATS_PORT"),
    ("--nats-monitor-port", "PAYMINT_NATS_MONITOR_PORT"),
    ("--postgres-port", "PAYMINT_POSTGRES_PORT"),
];

/// A data directory and five ports. It may be started several times.
pub struct Paymint {
    pub dir: TempDir,
    pub ports: Vec<u16>,
    tools: PathBuf,
    _claims: Vec<UdpSocket>,
    _place: SemaphorePermit<'static>,
}

impl Paymint {
    pub async fn new() -> Self {
        crate::lanes::small_buckets();
        let place = permit().await;
        let (ports, claims) = free_ports(PORTS.len());
        let tools = neighbours::Tools::locate().unwrap().root().to_owned();
        Self { dir: tempfile::tempdir().unwrap(), ports, tools, _claims: claims, _place: place }
    }

    /// Uses an anvil that starts and never answers.
    pub fn with_a_chain_that_hangs(mut self) -> Self {
        let tools = self.dir.path().join("tools");
        std::fs::create_dir_all(tools.join("bin")).unwrap();
        symlink(self.tools.join("bin/nats-server"), tools.join("bin/nats-server")).unwrap();
        symlink(self.tools.join("postgres"), tools.join("postgres")).unwrap();
        let anvil = tools.join("bin/anvil");
        std::fs::write(&anvil, "#!/bin/sh\nwhile :; do sleep 1; done\n").unwrap();
        std::fs::set_permissions(&anvil, Permissions::from_mode(0o755)).unwrap();
        self.tools = tools;
        self
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Starts `paymint run` and waits for nothing.
    pub fn spawn(&self) -> Process {
        let ports: Vec<String> = self.ports.iter().map(ToString::to_string).collect();
        let flags = PORTS.iter().zip(&ports).flat_map(|((flag, _), port)| [*flag, port.as_str()]);
        self.paymint(&std::iter::once("run").chain(flags).collect::<Vec<_>>())
    }

    /// Starts `paymint demo`. Its files are below this directory, too.
    pub fn demo(&self) -> Process {
        self.paymint(&["demo"])
    }

    fn paymint(&self, arguments: &[&str]) -> Process {
        let (data, dir) = (self.data(), self.dir.path());
        let env = [
            ("PAYMINT_DATA", data.to_str().unwrap()),
            ("PAYMINT_TOOLS", self.tools.to_str().unwrap()),
            ("TMPDIR", dir.to_str().unwrap()),
            ("RUST_LOG", "warn"),
        ];
        Process::start("paymint", arguments, env.into_iter(), &dir.join("paymint.log"))
    }

    /// Starts `paymint run`, and waits for `endpoints.json`.
    pub async fn start(&self) -> (Process, Value) {
        let process = self.spawn();
        let file = self.data().join("endpoints.json");
        let read = async || std::fs::read(&file).ok().map(|bytes| serde_json::from_slice(&bytes).unwrap());
        let endpoints = eventually("endpoints.json is there", read).await;
        (process, endpoints)
    }

    /// Command lines of all processes of this installation: they name its directory or one of its ports. If root runs
    /// PostgreSQL as another user, only the port is named.
    pub fn processes(&self) -> Vec<String> {
        let dir = self.dir.path().to_string_lossy().into_owned();
        let is_ours = |number: &str| number.parse().is_ok_and(|number| self.ports.contains(&number));
        let of_ours = |line: &String| line.contains(&dir) || line.split(|c: char| !c.is_ascii_digit()).any(is_ours);
        command_lines().into_iter().filter(of_ours).collect()
    }
}

/// Command lines of all processes of this machine, arguments separated by spaces.
fn command_lines() -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let numbered = processes.filter(|path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()))
    });
    numbered.filter_map(|path| command_line(&path)).collect()
}

fn command_line(process: &Path) -> Option<String> {
    let bytes = std::fs::read(process.join("cmdline")).ok()?;
    Some(String::from_utf8_lossy(&bytes).replace('\0', " "))
}
