//! The api as a process of its own, with its log.

use super::{Instance, Site};
use runtime::CancellationToken;
use std::fs::{File, read_dir, read_to_string};
use std::path::PathBuf;
use std::process::{Child, Command};
use testkit::until;

/// Ended when dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
    pub api: Instance,
}

impl Site {
    /// A process that is ready. Its variables are those of [`Site::env`], changed.
    pub async fn process(&self, change: &[(&str, &str)]) -> Process {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let log = self.dir.path().join("api.log");
        let (url, monitor_url) = (self.broker.nats.url(), self.broker.nats.monitor_url());
        let child = Command::new(env!("CARGO_BIN_EXE_api"))
            .env_clear()
            .envs(self.variables(&url, &monitor_url))
            .env("API_ADDR", &address)
            .envs(change.iter().copied())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let task = tokio::spawn(async { Ok(()) });
        let api = Instance {
            url: format!("http://{address}"),
            stop: CancellationToken::new(),
            task,
            http: self.http.clone(),
        };
        let ready =
            async || api.http.get(format!("{}/readyz", api.url)).send().await.is_ok_and(|is| is.status() == 200);
        until("the process is ready", ready).await;
        Process { child, log, api }
    }
}

impl Process {
    pub fn log(&self) -> String {
        read_to_string(&self.log).unwrap()
    }

    /// Resident memory, KiB.
    pub fn memory_kib(&self) -> u64 {
        let status = read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }

    /// Open files and sockets.
    pub fn files(&self) -> usize {
        read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
