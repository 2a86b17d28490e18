//! PostgreSQL's data directory ("cluster"): made once from a cached template, where the account that runs it gets at it.
//!
//! PostgreSQL refuses to run as root. When we are root it runs as the owner of the existing cluster, else as `nobody`.
//! That account may not get at our directories (a clone below `/root`, a temporary directory): then the programs are
//! copied to, and the cluster is made in, [`SHARED_DIR`], and `pgdata` in the data directory is a link to it.
//! An ordinary user has everything in the data directory, and the template among the tools.

use crate::{
    NeighbourError, Result, Tools,
    tree::{self, Account},
};
use nix::{errno::Errno, sys::signal, unistd::Pid};
use std::{
    fs,
    hash::{BuildHasher, RandomState},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

pub(crate) const SERVER: &str = "postgres";
/// The role that owns the database, and the database.
const NAME: &str = "paymint";
/// Directory that root shares with the account that runs PostgreSQL. It is persistent, like the clusters in it.
const SHARED_DIR: &str = "/var/lib/paymint";
/// Part of the template's name; count it up when [`initialize`] changes.
const TEMPLATE_VERSION: u32 = 2;

/// A data directory that is ready to be run on.
pub(crate) struct Cluster {
    pub(crate) pgdata: PathBuf,
    /// The directory of the programs, where `account` gets at them.
    pub(crate) bin: PathBuf,
    pub(crate) account: Option<Account>,
    pub(crate) password: String,
    pub(crate) throwaway: Option<Throwaway>,
}

/// A cluster outside of the data directory that nobody will want again; removed when dropped.
pub(crate) struct Throwaway(PathBuf);

impl Drop for Throwaway {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // what remains is swept by the next one
    }
}

/// Finds or makes the cluster of `dir`. Blocking: a copy of 40 MB, and initdb when there is no template yet.
/// After an error, and when interrupted, `dir` has either a whole cluster or none.
pub(crate) fn prepare(tools: &Tools, dir: &Path, durable: bool) -> Result<Cluster> {
    let pgdata = dir.join("pgdata");
    let account = Account::unprivileged(&pgdata);
    let bin = match account {
        Some(account) if !account.reaches(&tools.postgres_bin().join("postgres")) => shared_programs(tools, account)?,
        _ => tools.postgres_bin().to_owned(),
    };
    let password_file = dir.join("password");
    let mut throwaway = None;
    if !pgdata.exists() {
        let (template, password) = template(tools, &bin, account, dir)?;
        write_private(&password_file, &password).map_err(files("write", &password_file))?;
        let making = dir.join("pgdata.new");
        let _ = fs::remove_file(&making).or_else(|_| fs::remove_dir_all(&making)); // of an interrupted run
        let make = |at: &Path| {
            tree::make_private(at, account)?;
            tree::copy(&template.join("pgdata"), at, account)?;
            if durable { tree::sync(at) } else { Ok(()) }
        };
        match account {
            Some(account) if !account.reaches(dir) => {
                let elsewhere = shared_data_dir(account, durable)?;
                make(&elsewhere).map_err(files("make", &elsewhere))?;
                symlink(&elsewhere, &making).map_err(files("make", &making))?;
                throwaway = (!durable).then(|| Throwaway(elsewhere));
            }
            _ => make(&making).map_err(files("make", &making))?,
        }
        fs::rename(&making, &pgdata).map_err(files("make", &pgdata))?;
    }
    let password = fs::read_to_string(&password_file).map_err(files("read", &password_file))?;
    let path = pgdata.canonicalize().map_err(files("find", &pgdata))?;
    if !account.map_or_else(|| tree::is_ours(&path), |account| account.reaches(&path)) {
        let reason =
            format!("{} belongs to another user: run as that user, or name another data directory", path.display());
        return Err(NeighbourError::Refused { server: SERVER, reason });
    }
    Ok(Cluster { pgdata: path, bin, account, password, throwaway })
}

/// The name of the role, its password and the database, as a URL has them around the address.
pub(crate) fn url(password: &str, port: u16) -> String {
    format!("postgres://{NAME}:{password}@127.0.0.1:{port}/{NAME}")
}

/// A finished cluster to copy, and its password. One per version and user; whoever makes it second throws theirs away.
fn template(tools: &Tools, bin: &Path, account: Option<Account>, dir: &Path) -> Result<(PathBuf, String)> {
    let name = format!("postgres-template-{}-{}-{TEMPLATE_VERSION}", version(bin)?, nix::unistd::geteuid());
    let read = |at: &Path| fs::read_to_string(at.join("password"));
    let home = if account.is_some() { shared_dir()? } else { tools.root().to_owned() };
    let ready = home.join(&name);
    if let Ok(password) = read(&ready) {
        return Ok((ready, password));
    }
    // Tools that are installed for everybody cannot be written to; then each data directory has its own template.
    let mut ready_and_making =
        [home.as_path(), dir].into_iter().map(|home| (home.join(&name), home.join(unique(&name))));
    let (ready, making) = ready_and_making
        .find(|(_, making)| tree::make_private(making, account).is_ok())
        .ok_or_else(|| files("write to", dir)(io::ErrorKind::PermissionDenied.into()))?;
    initialize(bin, account, &making)?;
    if fs::rename(&making, &ready).is_err() {
        let _ = fs::remove_dir_all(&making); // somebody else was quicker, or the next line says what is wrong
    }
    let password = read(&ready).map_err(files("read", &ready))?;
    Ok((ready, password))
}

/// initdb: one superuser with a random password, asked for on 127.0.0.1; nobody gets in otherwise. Not synced to disk.
fn initialize(bin: &Path, account: Option<Account>, into: &Path) -> Result<()> {
    let (pgdata, password_file) = (into.join("pgdata"), into.join("password"));
    let password = random_hex().map_err(files("read", Path::new("/dev/urandom")))?;
    let written = write_private(&password_file, &password)
        .and_then(|()| account.map_or(Ok(()), |account| account.own(&password_file)));
    written.map_err(files("write", &password_file))?;
    let mut initdb = Command::new(bin.join("initdb"));
    initdb.arg("--pgdata").arg(&pgdata).arg("--pwfile").arg(&password_file);
    initdb.args(["--username", NAME, "--auth-host=scram-sha-256", "--auth-local=reject"]);
    initdb.args(["--encoding=UTF8", "--locale=C", "--data-checksums", "--no-sync"]);
    run(initdb, account, "")?;
    let mut alone = Command::new(bin.join("postgres"));
    alone.arg("--single").arg("-D").arg(&pgdata).arg("template1");
    // Renamed, not created: a database is 300 files, and every start on a new directory copies them.
    run(alone, account, &format!("ALTER DATABASE postgres RENAME TO {NAME}\n"))
}

/// Runs a PostgreSQL program to its end. It failed, too, when it wrote ERROR and exited with 0 (`--single` does).
fn run(mut command: Command, account: Option<Account>, input: &str) -> Result<()> {
    let program = PathBuf::from(command.get_program());
    command.current_dir("/").env("LC_ALL", "C").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(account) = account {
        account.apply(&mut command);
    }
    let finished = command.spawn().and_then(|mut child| {
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(input.as_bytes()); // a program that ended early says why in its output
        }
        child.wait_with_output()
    });
    let output =
        finished.map_err(|source| NeighbourError::Spawn { server: SERVER, program: program.clone(), source })?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() && !said.contains("ERROR:") {
        return Ok(());
    }
    let reason = format!("{} ended with {}: {}", program.display(), output.status, said.trim());
    Err(NeighbourError::Refused { server: SERVER, reason })
}

fn version(bin: &Path) -> Result<String> {
    let program = bin.join("postgres");
    let output = Command::new(&program).arg("--version").output();
    let output = output.map_err(|source| NeighbourError::Spawn { server: SERVER, program, source })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().nth(2).map(str::to_owned).ok_or_else(|| {
        let reason = format!("does not say its version: {text}{}", String::from_utf8_lossy(&output.stderr));
        NeighbourError::Refused { server: SERVER, reason }
    })
}

fn shared_dir() -> Result<PathBuf> {
    let dir = PathBuf::from(SHARED_DIR);
    let made = fs::create_dir_all(&dir).and_then(|()| fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)));
    made.map(|()| dir).map_err(files("make", Path::new(SHARED_DIR)))
}

/// A copy of the programs, named by what they are copied from.
fn shared_programs(tools: &Tools, account: Account) -> Result<PathBuf> {
    let original = tools.postgres_bin();
    let postgres = original.join("postgres");
    let found = fs::metadata(&postgres).map_err(files("find", &postgres))?;
    let (home, from) = (shared_dir()?, original.parent().unwrap_or(original));
    let ready = home.join(format!("postgres-{}-{}-{}", version(original)?, found.len(), found.mtime()));
    if !ready.exists() {
        let making = home.join(unique("postgres"));
        let copied = fs::create_dir(&making).and_then(|()| tree::copy(from, &making, None));
        copied.map_err(files("make", &making))?;
        if fs::rename(&making, &ready).is_err() {
            let _ = fs::remove_dir_all(&making); // somebody else was quicker
        }
    }
    let bin = ready.join("bin");
    if account.reaches(&bin.join("postgres")) {
        return Ok(bin);
    }
    let reason = format!("the account that must run it (PostgreSQL refuses root) does not get at {}", bin.display());
    Err(NeighbourError::Refused { server: SERVER, reason })
}

/// A name for a cluster in the shared directory; what killed processes left of theirs is removed on the way.
fn shared_data_dir(account: Account, durable: bool) -> Result<PathBuf> {
    let home = shared_dir()?;
    if !account.reaches(&home) {
        let reason = format!("the account that must run it (PostgreSQL refuses root) does not get at {SHARED_DIR}");
        return Err(NeighbourError::Refused { server: SERVER, reason });
    }
    for entry in fs::read_dir(&home).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix("throwaway.")?.split('.').next()?.parse().ok());
        if owner.is_some_and(|owner| signal::kill(Pid::from_raw(owner), None) == Err(Errno::ESRCH)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(home.join(unique(if durable { "data" } else { "throwaway" })))
}

fn unique(prefix: &str) -> String {
    format!("{prefix}.{}.{:x}", std::process::id(), RandomState::new().hash_one(prefix))
}

fn random_hex() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let _ = fs::remove_file(path); // its mode would stay otherwise
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

fn files(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> NeighbourError {
    let path = path.to_owned();
    move |source| NeighbourError::Files { server: SERVER, action, path, source }
}
