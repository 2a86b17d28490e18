//! Crash points: named lines at which a test build kills its own process with SIGKILL.

/// Kills the process here if `PAYMINT_KILL_AT` names this point: `NAME` at the first pass, `NAME:3` at the third. Does
/// nothing without the feature `failpoints`.
#[inline]
pub fn failpoint(id: &'static str) {
    #[cfg(feature = "failpoints")]
    armed::pass(id);
    #[cfg(not(feature = "failpoints"))]
    let _ = id;
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Plan {
        id: String,
        passes_left: AtomicU32,
    }

    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();

    pub fn pass(id: &'static str) {
        let plan = PLAN.get_or_init(|| {
            let text = std::env::var("PAYMINT_KILL_AT").ok()?;
            let (id, pass) = text.split_once(':').unwrap_or((&text, "1"));
            Some(Plan { id: id.to_owned(), passes_left: AtomicU32::new(pass.parse().unwrap_or(1)) })
        });
        if let Some(plan) = plan
            && plan.id == id
            && plan.passes_left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            kill();
        }
    }

    /// SIGKILL: no destructor runs, nothing is flushed.
    #[allow(unsafe_code)]
    fn kill() {
        // SAFETY: plain system calls on our own process id, no memory involved.
        unsafe {
            libc::kill(libc::getpid(), libc::SIGKILL);
        }
        loop {
            std::thread::park();
        }
    }
}
