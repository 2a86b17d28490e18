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

/// Values that a test has set for its own process.
#[cfg(feature = "failpoints")]
static TEST_SETTINGS: std::sync::Mutex<std::collections::BTreeMap<&str, String>> =
    std::sync::Mutex::new(std::collections::BTreeMap::new());

/// Reads what only test builds honour: what [`set_test_setting`] has set, or the environment variable of this name.
/// Without the feature `failpoints` this is `None`.
pub fn test_setting(name: &str) -> Option<String> {
    #[cfg(feature = "failpoints")]
    {
        let set = TEST_SETTINGS.lock().ok().and_then(|settings| settings.get(name).cloned());
        set.or_else(|| std::env::var(name).ok())
    }
    #[cfg(not(feature = "failpoints"))]
    {
        let _ = name;
        None
    }
}

/// Sets a test setting in this process. It must be set before it is first read. Without the feature `failpoints` this does
/// nothing.
pub fn set_test_setting(name: &'static str, value: &str) {
    #[cfg(feature = "failpoints")]
    if let Ok(mut settings) = TEST_SETTINGS.lock() {
        settings.insert(name, value.to_owned());
    }
    #[cfg(not(feature = "failpoints"))]
    let _ = (name, value);
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
