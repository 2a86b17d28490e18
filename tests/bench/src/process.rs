//! The services as processes of their own: started, waited for, weighed, stopped; gone when this process is gone.

#[cfg(target_os = "linux")]
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getppid};
use runtime::Fatal;
use serde::Serialize;
use standalone::services;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::{Child, Command};

use crate::armed::refuse_armed;
use crate::client::Connection;

/// First argument of a process of this program that is to become another one.
const TETHERED: &str = "--tethered";
/// With this variable a process leaves the first processor to those that are measured.
const BACKGROUND: &str = "PAYMINT_BENCH_BACKGROUND";
/// 2,000 connections, from both ends when client and service share a limit, and room.
const FILES: u64 = 8_192;
/// A service is ready within this, or something is wrong.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// SIGTERM to exit; services promise ten seconds.
const STOP_TIMEOUT: Duration = Duration::from_secs(12);

/// A program to become, tied to the life of the process that started this one.
pub struct Tethered {
    parent: i32,
    program: PathBuf,
    arguments: Vec<OsString>,
}

/// Returns the program to become, if [`tether`] started this process.
pub fn tethered() -> Option<Tethered> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [first, parent, program, arguments @ ..] if first == TETHERED => Some(Tethered {
            parent: parent.to_str()?.parse().ok()?,
            program: program.into(),
            arguments: arguments.to_vec(),
        }),
        _ => None,
    }
}

/// A command that becomes `program` and ends when this process ends, however that comes about. What it writes is appended
/// to `log`; a caller that wants its standard output takes it back.
///
/// # Errors
/// The log cannot be written.
pub fn tether(program: &Path, log: &Path) -> Result<Command, Fatal> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg(TETHERED)
        .arg(std::process::id().to_string())
        .arg(program)
        .stdin(std::process::Stdio::null())
        .stdout(File::options().create(true).append(true).open(log)?)
        .stderr(File::options().append(true).open(log)?)
        .kill_on_drop(true);
    Ok(command)
}

impl Tethered {
    /// Asks the kernel for a SIGTERM at the parent's death, then becomes the program. Returns only if that fails.
    pub fn become_it(self) -> Fatal {
        #[cfg(target_os = "linux")]
        if let Err(e) = nix::sys::prctl::set_pdeathsig(Signal::SIGTERM) {
            return e.into();
        }
        if getppid() != Pid::from_raw(self.parent) {
            return "started by somebody who has gone".into();
        }
        if std::env::var_os(BACKGROUND).is_some()
            && let Err(e) = leave_first_processor(Pid::this())
        {
            return e;
        }
        let failed = std::process::Command::new(&self.program).args(&self.arguments).env_remove(BACKGROUND).exec();
        format!("{} cannot be started: {failed}", self.program.display()).into()
    }
}

/// Keeps a process that runs, its children, and all that they start from now on, off the first processor.
///
/// A low priority does not do that: every session of PostgreSQL begins a session of the system (`setsid`), and Linux
/// divides the processors among these first (`sched_autogroup_enabled`).
///
/// # Errors
/// It has ended, or is another user's.
pub fn in_background(pid: u32) -> Result<(), Fatal> {
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = thread?;
        leave_first_processor(Pid::from_raw(thread.file_name().to_string_lossy().parse()?))?;
        for child in fs::read_to_string(thread.path().join("children"))?.split_whitespace() {
            let child = child.parse()?;
            // A child that has ended meanwhile takes no processor.
            if let Err(error) = in_background(child)
                && Path::new(&format!("/proc/{child}")).exists()
            {
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Keeps a thread off the first processor, if there is another one.
#[cfg(target_os = "linux")]
fn leave_first_processor(thread: Pid) -> Result<(), Fatal> {
    let (allowed, mut others) = (sched_getaffinity(Pid::this())?, CpuSet::new());
    let allowed: Vec<usize> = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false)).collect();
    for cpu in allowed.iter().skip(1) {
        others.set(*cpu)?;
    }
    if allowed.len() > 1 {
        sched_setaffinity(thread, &others)?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn leave_first_processor(_: Pid) -> Result<(), Fatal> {
    Err("only Linux can keep a process off a processor".into())
}

/// Raises the limit of open files, which the services inherit.
///
/// # Errors
/// The hard limit is too low.
pub fn raise_file_limit() -> Result<(), Fatal> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if hard < FILES {
        return Err(format!("{hard} open files are allowed at most, {FILES} are needed: ulimit -n").into());
    }
    Ok(setrlimit(Resource::RLIMIT_NOFILE, soft.max(FILES), hard)?)
}

/// Resident memory of one process, KiB.
#[derive(Clone, Debug, Serialize)]
pub struct Memory {
    /// The service.
    pub service: &'static str,
    /// `VmRSS`: now.
    pub resident_kib: u64,
    /// `VmHWM`: at most, ever.
    pub peak_kib: u64,
}

/// One running process of a service.
struct Running {
    name: &'static str,
    child: Child,
    log: PathBuf,
    /// Where it answers `/readyz`; the api answers everything there.
    address: SocketAddr,
    environment: BTreeMap<&'static str, String>,
}

/// Running services.
pub struct Services(Vec<Running>);

impl Services {
    /// Starts the programs of these names beside this one, each with its own part of `environment`, and waits until
    /// each says that it is ready. A name that comes again is another instance. The first api listens at `api`. Logs go to
    /// `logs`. `in_background`: not on the first processor.
    ///
    /// # Errors
    /// A program with failpoints. Else the first that does not become ready, with the end of its log; the others are stopped then.
    pub async fn start(
        names: &[&'static str],
        environment: &BTreeMap<&'static str, String>,
        api: SocketAddr,
        logs: &Path,
        in_background: bool,
    ) -> Result<Self, Fatal> {
        for name in names {
            refuse_armed(&program(name)?)?;
        }
        let mut started = Self(Vec::new());
        for (at, name) in names.iter().enumerate() {
            let nth = names[..at].iter().filter(|other| *other == name).count();
            let instance = if nth == 0 { (*name).to_owned() } else { format!("{name}-{nth}") };
            let address = if *name == "api" && nth == 0 { api } else { free_address()? };
            let mut environment = services::of(name, environment);
            environment.insert(if *name == "api" { "API_ADDR" } else { "HEALTH_ADDR" }, address.to_string());
            environment.insert("INSTANCE", format!("bench-{instance}"));
            if in_background {
                environment.insert(BACKGROUND, "1".to_owned());
            }
            let log = logs.join(format!("{instance}.log"));
            File::create(&log)?;
            let child = spawn(name, &environment, &log)?;
            started.0.push(Running { name, child, log, address, environment });
        }
        for at in 0..names.len() {
            started.until_ready(at).await?;
        }
        Ok(started)
    }

    async fn until_ready(&mut self, at: usize) -> Result<(), Fatal> {
        let address = self.0[at].address;
        let waited = tokio::time::timeout(READY_TIMEOUT, async {
            while !is_ready(address).await && self.check().is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let late = waited.await.is_err();
        self.check()?;
        if late {
            let Running { name, log, .. } = &self.0[at];
            return Err(format!("{name} did not become ready: {}", tail(log)).into());
        }
        Ok(())
    }

    /// How many processes these are; the others name one by its place, from 0.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Which service it is.
    pub fn name(&self, at: usize) -> &'static str {
        self.0[at].name
    }

    /// Where the apis among them listen.
    pub fn apis(&self) -> Vec<SocketAddr> {
        self.0.iter().filter(|running| running.name == "api").map(|running| running.address).collect()
    }

    /// Kills one, as a crash would. It is gone when this returns.
    ///
    /// # Errors
    /// It had ended already.
    pub async fn kill(&mut self, at: usize) -> Result<(), Fatal> {
        Ok(self.0[at].child.kill().await?)
    }

    /// Starts one that was killed again, as it was started before, and waits for nothing.
    ///
    /// # Errors
    /// The program is gone.
    pub fn start_again(&mut self, at: usize) -> Result<(), Fatal> {
        let Running { name, child, log, environment, .. } = &mut self.0[at];
        *child = spawn(name, environment, log)?;
        Ok(())
    }

    /// Every one of them still runs.
    ///
    /// # Errors
    /// The first that does not, with the end of its log.
    pub fn check(&mut self) -> Result<(), Fatal> {
        for Running { name, child, log, .. } in &mut self.0 {
            if let Some(status) = child.try_wait()? {
                return Err(format!("{name} ended ({status}): {}", tail(log)).into());
            }
        }
        Ok(())
    }

    /// The memory of each process.
    ///
    /// # Errors
    /// A process is gone.
    pub fn memory(&self) -> Result<Vec<Memory>, Fatal> {
        let weigh = |Running { name: service, child, .. }: &Running| {
            let pid = child.id().ok_or_else(|| format!("{service} has ended"))?;
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            let kib = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                line.and_then(|line| line.split_whitespace().next()?.parse().ok()).ok_or("no memory in /proc")
            };
            Ok(Memory { service, resident_kib: kib("VmRSS")?, peak_kib: kib("VmHWM")? })
        };
        self.0.iter().map(weigh).collect()
    }

    /// Resident memory of the one of this name, KiB.
    ///
    /// # Errors
    /// It is none of these, or gone.
    pub fn resident_kib(&self, name: &str) -> Result<u64, Fatal> {
        let memory = self.memory()?;
        let found = memory.iter().find(|memory| memory.service == name).map(|memory| memory.resident_kib);
        found.ok_or_else(|| format!("{name} was not started").into())
    }

    /// Stops them with SIGTERM.
    ///
    /// # Errors
    /// One that does not end in time, or not well.
    pub async fn stop(mut self) -> Result<(), Fatal> {
        for Running { child, .. } in &self.0 {
            if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
                kill(Pid::from_raw(pid), Signal::SIGTERM)?;
            }
        }
        for Running { name, child, log, .. } in &mut self.0 {
            let status = tokio::time::timeout(STOP_TIMEOUT, child.wait()).await;
            let status = status.map_err(|_| format!("{name} did not stop within {} s", STOP_TIMEOUT.as_secs()))??;
            if !status.success() {
                return Err(format!("{name} ended with {status}: {}", tail(log)).into());
            }
        }
        Ok(())
    }
}

/// The program of a service, beside this one.
fn program(name: &str) -> Result<PathBuf, Fatal> {
    Ok(std::env::current_exe()?.with_file_name(name))
}

fn spawn(name: &str, environment: &BTreeMap<&'static str, String>, log: &Path) -> Result<Child, Fatal> {
    Ok(tether(&program(name)?, log)?.envs(environment).spawn()?)
}

/// An address on this machine that nobody listens on now.
///
/// # Errors
/// No port is free.
pub fn free_address() -> Result<SocketAddr, Fatal> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

async fn is_ready(address: SocketAddr) -> bool {
    let Ok(mut connection) = Connection::open(address).await else { return false };
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\n\r\n");
    connection.exchange(request.as_bytes()).await.is_ok_and(|answer| answer.status == 200)
}

/// The end of a log, with its name.
pub fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    format!("{} ends with:\n{}", log.display(), lines[lines.len().saturating_sub(10)..].join("\n"))
}
