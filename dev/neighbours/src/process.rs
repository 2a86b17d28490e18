//! One server as a child process: started until it answers, stopped gently or not, never left behind.

use crate::{
    NeighbourError, Result,
    port::{Port, Wanted},
    probe::Probe,
    spawner,
    tree::Account,
};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Recovery is part of a start: nats-server reads 5 million events in 17 s, PostgreSQL replays its log.
const START_PATIENCE: Duration = Duration::from_secs(120);
/// anvil writes its whole state when it stops (seconds for a long-lived chain), PostgreSQL a checkpoint.
const STOP_PATIENCE: Duration = Duration::from_secs(60);
/// Dropping blocks its thread; a server that has not gone after this is killed.
const DROP_PATIENCE: Duration = Duration::from_secs(3);
/// How long a data directory may still be in use by a server whose parent was killed.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// How many other ports are tried when somebody else was quicker.
const PORT_ATTEMPTS: u32 = 5;
const TAIL_LINES: usize = 20;
const TAIL_BYTES_MAX: u64 = 16 * 1024;
/// A log larger than this is moved to `<name>.log.old` at the next start.
const LOG_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Everything that is needed to start one server.
pub(crate) struct Launch {
    pub(crate) server: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(String, String)>,
    /// Absolute and there; holds the log and the lock.
    pub(crate) dir: PathBuf,
    pub(crate) account: Option<Account>,
    pub(crate) probe: Probe,
    /// Asks it to stop and keep everything.
    pub(crate) stop_signal: Signal,
    /// Sent when this process ends without stopping it, or drops it.
    pub(crate) last_signal: Signal,
}

/// A server, running or not.
pub(crate) struct Process {
    launch: Launch,
    child: Option<Child>,
    /// Set when it ended by itself.
    end: Option<ExitStatus>,
    log_from: u64,
}

/// Makes `dir` and its absolute form.
pub(crate) fn data_dir(server: &'static str, dir: &Path) -> Result<PathBuf> {
    let made = fs::create_dir_all(dir).and_then(|()| dir.canonicalize());
    made.map_err(|source| NeighbourError::Files { server, action: "make", path: dir.to_owned(), source })
}

/// Starts a server on the wanted ports; where a port was left to us, on another one when somebody else was quicker.
pub(crate) async fn start_on<const N: usize>(
    dir: &Path,
    wanted: [Wanted; N],
    launch: impl Fn([u16; N]) -> Launch,
) -> Result<(Process, [Port; N])> {
    for wanted in &wanted[..1] {
        drop(lock(wanted.server, dir).await?); // a predecessor on this directory holds its port as well
    }
    let any_port = wanted.iter().any(|wanted| wanted.port.is_none());
    let mut attempt = 1;
    loop {
        let ports = Port::take_all(&wanted).await?;
        let mut process =
            Process { launch: launch(ports.each_ref().map(|port| port.number)), child: None, end: None, log_from: 0 };
        match process.start().await {
            Ok(()) => return Ok((process, ports)),
            Err(error) if any_port && error.is_lost_port() && attempt < PORT_ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

impl Process {
    /// Starts the server and waits until it answers. After an error it does not run.
    pub(crate) async fn start(&mut self) -> Result<()> {
        let lock = lock(self.launch.server, &self.launch.dir).await?;
        let log = self.open_log()?;
        let Launch { server, ref program, probe, last_signal, .. } = self.launch;
        let spawned = log.try_clone().and_then(|errors| {
            let mut command = Command::new(program);
            command
                .args(&self.launch.arguments)
                .envs(self.launch.environment.iter().map(|(name, value)| (name, value)));
            // The lock travels as standard input, which no server reads: it is free again when the server and
            // every process that it has started are gone.
            command.stdin(Stdio::from(lock)).stdout(log).stderr(errors).current_dir("/");
            if let Some(account) = self.launch.account {
                account.apply(&mut command);
            }
            spawner::spawn(command, last_signal)
        });
        let child = spawned.map_err(|source| NeighbourError::Spawn { server, program: program.clone(), source })?;
        self.child = Some(child);
        self.end = None;
        let begun = Instant::now();
        let mut pause = Duration::from_millis(5);
        while !probe.answers().await {
            self.still_running()?;
            if begun.elapsed() > START_PATIENCE {
                self.kill();
                return Err(NeighbourError::NotReady {
                    server,
                    waited: START_PATIENCE,
                    log: self.log_path(),
                    tail: self.tail(),
                });
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
        self.still_running()?; // else somebody else answered on its port
        tracing::debug!(server, pid = self.pid(), duration_ms = begun.elapsed().as_millis(), "{server} answers");
        Ok(())
    }

    /// Asks the server to stop and waits for it. Nothing to do when it does not run.
    /// # Errors
    /// `Killed` when it took too long; it does not run then either.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        signal(pid, self.launch.stop_signal);
        let begun = Instant::now();
        while self.pid().is_some() {
            if begun.elapsed() > STOP_PATIENCE {
                self.kill();
                return Err(NeighbourError::Killed { server: self.launch.server, waited: STOP_PATIENCE });
            }
            sleep(Duration::from_millis(5)).await;
        }
        self.end = None; // as asked
        Ok(())
    }

    /// Kills the server at once, as a crash would. It is gone when this returns.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL); // gone already is as good
            let _ = child.wait();
        }
        self.end = None;
    }

    /// Waits until the server ends without being asked to.
    pub(crate) async fn ended(&mut self) -> NeighbourError {
        loop {
            if let Err(error) = self.still_running() {
                return error;
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// The process id while it runs.
    pub(crate) fn pid(&mut self) -> Option<u32> {
        self.still_running().ok().and(self.child.as_ref()).map(Child::id)
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.launch.dir.join(format!("{}.log", self.launch.server))
    }

    /// `Ok` also for a server that was stopped; an error only for one that ended by itself.
    fn still_running(&mut self) -> Result<()> {
        if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
            self.child = None;
            self.end = Some(status);
        }
        let Some(status) = self.end else { return Ok(()) };
        Err(NeighbourError::Ended { server: self.launch.server, status, log: self.log_path(), tail: self.tail() })
    }

    fn open_log(&mut self) -> Result<File> {
        let path = self.log_path();
        let opened = fs::metadata(&path).map_or(Ok(0), |log| {
            if log.len() < LOG_BYTES_MAX {
                Ok(log.len())
            } else {
                fs::rename(&path, path.with_extension("log.old")).map(|()| 0)
            }
        });
        let opened = opened.and_then(|length| Ok((length, OpenOptions::new().create(true).append(true).open(&path)?)));
        let (length, log) = opened.map_err(|source| NeighbourError::Files {
            server: self.launch.server,
            action: "open",
            path,
            source,
        })?;
        self.log_from = length;
        Ok(log)
    }

    fn tail(&self) -> String {
        let read = || -> std::io::Result<String> {
            let mut log = File::open(self.log_path())?;
            let from = self.log_from.max(log.metadata()?.len().saturating_sub(TAIL_BYTES_MAX));
            log.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            log.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let text = read().unwrap_or_else(|error| format!("(unreadable: {error})"));
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(pid) = self.pid() else { return };
        signal(pid, self.launch.last_signal);
        let begun = Instant::now();
        while self.pid().is_some() && begun.elapsed() < DROP_PATIENCE {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.kill();
    }
}

fn signal(pid: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid.cast_signed()), signal); // gone already is as good
}

/// Locks the data directory for one server, until the file is dropped.
pub(crate) async fn lock(server: &'static str, dir: &Path) -> Result<File> {
    let path = dir.join(format!("{server}.lock"));
    let opened = OpenOptions::new().create(true).truncate(false).write(true).read(true).open(&path);
    let file = opened.map_err(|source| NeighbourError::Files { server, action: "open", path: path.clone(), source })?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) if begun.elapsed() < LOCK_PATIENCE => {
                sleep(Duration::from_millis(20)).await
            }
            Err(fs::TryLockError::WouldBlock) => return Err(NeighbourError::InUse { server, dir: dir.to_owned() }),
            Err(fs::TryLockError::Error(source)) => {
                return Err(NeighbourError::Files { server, action: "lock", path, source });
            }
        }
    }
}
