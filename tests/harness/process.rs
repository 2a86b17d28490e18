//! A program of this workspace as a child process: in its own process group, with its output in a file, and never left
//! behind.

use crate::binaries::binary;
use crate::lanes::LANE_BUCKET;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::fs::{self, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use testkit::PATIENCE;

/// A service, by its binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    Api,
    PaymentSender,
    Confirmer,
    MintProjector,
    Operator,
    ReadProjector,
}

impl Service {
    pub const ALL: [Self; 6] =
        [Self::Api, Self::PaymentSender, Self::Confirmer, Self::MintProjector, Self::Operator, Self::ReadProjector];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::PaymentSender => "payment-sender",
            Self::Confirmer => "confirmer",
            Self::MintProjector => "mint-projector",
            Self::Operator => "operator",
            Self::ReadProjector => "read-projector",
        }
    }
}

/// One run of a program.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    log_from: u64,
}

impl Process {
    /// Starts `target/debug/<name>` with no environment but `env`. Its output is appended to `log`.
    pub fn start<'a>(
        name: &str,
        arguments: &[&str],
        env: impl Iterator<Item = (&'a str, &'a str)>,
        log: &Path,
    ) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(log).unwrap();
        let log_from = file.metadata().unwrap().len();
        let mut command = Command::new(binary(name));
        command
            .args(arguments)
            .env_clear()
            .envs(env)
            .env("NO_COLOR", "1")
            .env(LANE_BUCKET.0, LANE_BUCKET.1)
            .stdin(Stdio::null());
        command.stdout(file.try_clone().unwrap()).stderr(file);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        // In a process group of its own. The kernel kills it when this process ends, however it ends.
        let child = neighbours::spawn(command, Signal::SIGKILL).unwrap();
        Self { child, log: log.to_owned(), log_from }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn signal(&self, signal: Signal) {
        let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), signal); // gone already is as good
    }

    /// Ends the process with SIGKILL, and waits for its end.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }

    /// Waits until the process has ended by itself or by a signal.
    ///
    /// # Panics
    /// If the process still runs after [`PATIENCE`].
    pub async fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it still runs:\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Returns `true` if SIGKILL has ended the process.
    pub fn was_killed(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some_and(was_killed)
    }

    /// Ends the process with SIGTERM. Returns how it ended and how long that took.
    pub async fn terminate(&mut self) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        self.signal(Signal::SIGTERM);
        (self.ended().await, begun.elapsed())
    }

    /// The output of this run.
    pub fn said(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let from = usize::try_from(self.log_from).unwrap().min(text.len());
        String::from_utf8_lossy(&text[from..]).into_owned()
    }
}

/// Returns `true` if SIGKILL ended it.
pub fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(9)
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
