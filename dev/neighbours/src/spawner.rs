//! The one thread that starts child processes.
//!
//! Linux ends a child when the *thread* that started it ends (`PR_SET_PDEATHSIG`), not its process. A worker thread
//! of an async runtime, or of one test, ends earlier than the process; this thread never does.

use nix::sys::signal::Signal;
use std::{
    io,
    process::{Child, Command},
    sync::{Mutex, PoisonError, mpsc},
};

struct Job {
    command: Command,
    reply: mpsc::SyncSender<io::Result<Child>>,
}

static SPAWNER: Mutex<Option<mpsc::Sender<Job>>> = Mutex::new(None);

/// Starts `command` in a process group of its own; `last_signal` reaches it when this process ends, however it ends
/// (Linux; elsewhere the caller's `Drop` is all there is).
/// # Errors
/// Those of [`Command::spawn`].
pub fn spawn(mut command: Command, last_signal: Signal) -> io::Result<Child> {
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    die_with_parent(&mut command, last_signal);
    let (reply, answer) = mpsc::sync_channel(1);
    sender()?.send(Job { command, reply }).map_err(io::Error::other)?;
    answer.recv().map_err(io::Error::other)?
}

fn sender() -> io::Result<mpsc::Sender<Job>> {
    let mut spawner = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(sender) = &*spawner {
        return Ok(sender.clone());
    }
    let (sender, jobs) = mpsc::channel::<Job>();
    std::thread::Builder::new().name("neighbours".into()).spawn(move || {
        for mut job in jobs {
            // Whoever asked and went away drops the child unseen; its last signal comes with the end of the process.
            let _ = job.reply.send(job.command.spawn());
        }
    })?;
    *spawner = Some(sender.clone());
    Ok(sender)
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)] // the only place: a parent cannot set this for its child, so the child does before it becomes the server
fn die_with_parent(command: &mut Command, last_signal: Signal) {
    use nix::{sys::prctl::set_pdeathsig, unistd};
    use std::os::unix::process::CommandExt;
    let parent = unistd::getpid();
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; these are two system calls without
    // allocation. It runs after the change of user, which would reset the signal.
    unsafe {
        command.pre_exec(move || {
            set_pdeathsig(last_signal)?;
            // The parent may have died before the line above.
            if unistd::getppid() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command, _: Signal) {}
