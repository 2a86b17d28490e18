//! Why a server could not be started or stopped, cut by what the reader can do about it.

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

/// The result of everything here.
pub type Result<T> = std::result::Result<T, NeighbourError>;

/// Why a server could not be started or stopped. After any of these from a `start`, no process of it is left.
#[derive(Debug, thiserror::Error)]
pub enum NeighbourError {
    /// The pinned servers are not there, or not all.
    #[error("{} is not there: run `make tools`, or set {variable} to the directory that it fills (tools/.local)", missing.display())]
    NoTools {
        /// The file that was looked for.
        missing: PathBuf,
        /// The environment variable that names the directory.
        variable: &'static str,
    },
    /// Somebody listens on a port that was asked for by number.
    #[error("port {port} on 127.0.0.1, wanted for {server}, is taken: stop what listens there, or set {variable}")]
    PortTaken {
        /// Which server wanted it.
        server: &'static str,
        /// The port.
        port: u16,
        /// The environment variable that changes it.
        variable: &'static str,
    },
    /// No port could be had, though none was asked for by number.
    #[error("no free port on 127.0.0.1 was found for {server}")]
    NoPort {
        /// Which server wanted one.
        server: &'static str,
    },
    /// Another process keeps a server on the same data directory.
    #[error("{} is in use by another {server}", dir.display())]
    InUse {
        /// Which server.
        server: &'static str,
        /// The data directory.
        dir: PathBuf,
    },
    /// A file or directory could not be read, written or made fit.
    #[error("{server}: could not {action} {}", path.display())]
    Files {
        /// Which server it was for.
        server: &'static str,
        /// The action that failed, as a verb phrase.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The program could not be run at all.
    #[error("{server}: {} could not be run", program.display())]
    Spawn {
        /// Which server.
        server: &'static str,
        /// Its program.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The server ended: while starting, or later without being asked to.
    #[error("{server} ended with {status}; the end of {}:\n{tail}", log.display())]
    Ended {
        /// Which server.
        server: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// Its log file.
        log: PathBuf,
        /// The last lines of what it wrote since it was started.
        tail: String,
    },
    /// The server runs and does not answer; it was killed.
    #[error("{server} did not answer within {waited:?}; the end of {}:\n{tail}", log.display())]
    NotReady {
        /// Which server.
        server: &'static str,
        /// How long it was waited for.
        waited: Duration,
        /// Its log file.
        log: PathBuf,
        /// The last lines of what it wrote since it was started.
        tail: String,
    },
    /// The server did not stop when asked; it was killed, so that what it keeps in memory only is lost.
    #[error("{server} had not stopped {waited:?} after it was asked to, and was killed")]
    Killed {
        /// Which server.
        server: &'static str,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The server runs otherwise than was asked for.
    #[error("{server}: {reason}")]
    Refused {
        /// Which server.
        server: &'static str,
        /// The reason, and what to do.
        reason: String,
    },
}

impl NeighbourError {
    /// Returns `true` if another process took the port between its choice and the server's own bind.
    pub(crate) fn is_lost_port(&self) -> bool {
        let Self::Ended { tail, .. } = self else { return false };
        let tail = tail.to_ascii_lowercase();
        tail.contains("address already in use") || tail.contains("os error 98") || tail.contains("os error 48")
    }
}
