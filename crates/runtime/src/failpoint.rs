//! Crash points: named lines at which a test build kills its own process with SIGKILL.
//!
//! This is the table of all of them. `docs/CATALOGUE.md` says what must be true after each, and which tests show it.

/// A line at which a test build can kill its own process. Each is one row of the table below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashPoint(&'static str);

impl CrashPoint {
    /// The name of its constant. `PAYMINT_KILL_AT` takes this name.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

impl std::fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

/// Declares the constants and [`ALL`] from one row each.
macro_rules! crash_points {
    ($($(#[doc = $sentence:literal])+ $name:ident,)+) => {
        $($(#[doc = $sentence])+ pub const $name: CrashPoint = CrashPoint(stringify!($name));)+

        /// Every crash point.
        pub const ALL: &[CrashPoint] = &[$($name),+];
    };
}

crash_points! {
    /// The api has checked a payment, and has not yet asked the ledger to append its order.
    ORDER_CHECKED_NOT_APPENDED,
    /// The ledger has the order that the api asked it to append, and the api has not read the ledger's answer.
    ORDER_APPEND_NOT_ANSWERED,
    /// The ledger has appended an order, and the api has not yet answered its client with 202.
    ORDER_APPENDED_NOT_ACCEPTED,
    /// A payment-sender, mint-projector or operator has taken a batch of orders, and has signed nothing for it.
    BATCH_TAKEN_NOT_SIGNED,
    /// A transaction is signed and in the ledger, and no node has received it.
    SIGNED_NOT_BROADCAST,
    /// A node has been asked to take a transaction; the orders in it are not yet acknowledged.
    AFTER_BROADCAST,
    /// A payment-sender, mint-projector or operator has sent a batch, and has acknowledged none of its messages.
    BATCH_SENT_NOT_ACKED,
    /// A replacement transaction is signed and in the ledger, and no node has received it.
    REPLACEMENT_NOT_BROADCAST,
    /// The confirmer has seen the receipt of a transaction, and has not yet asked how deep its block is.
    RECEIPT_SEEN_NOT_CONFIRMED,
    /// The confirmer has decided the payments of a confirmed transaction, and has not yet appended the outcomes.
    PAYMENTS_DECIDED_NOT_APPENDED,
    /// The outcomes of a payment transaction are in the ledger, and the confirmer has not acknowledged its message.
    PAYMENTS_APPENDED_NOT_ACKED,
    /// The confirmer has decided the mints of a confirmed transaction, and has not yet appended the outcomes.
    MINTS_DECIDED_NOT_APPENDED,
    /// The outcomes of a mint transaction are in the ledger, and the confirmer has not acknowledged its message.
    MINTS_APPENDED_NOT_ACKED,
    /// The confirmer has decided an operator's transaction that is confirmed, and has not yet appended the outcomes.
    REFUNDS_DECIDED_NOT_APPENDED,
    /// The outcomes of an operator's transaction are in the ledger, and the confirmer has not acknowledged its message.
    REFUNDS_APPENDED_NOT_ACKED,
    /// The confirmer looks at a waiting payment: it knows the confirmed block, and has not yet asked what happened there.
    WAITING_PAYMENT_HALF_JUDGED,
    /// The simulation has skipped a mint, and the mint-projector has not yet recorded why.
    SKIPPED_MINT_NOT_RECORDED,
    /// The read-projector has committed rows together with their position, and has not yet read on.
    ROWS_COMMITTED,
}

/// Kills the process here if `PAYMINT_KILL_AT` names this point: `NAME` at the first pass, `NAME:3` at the third. Does
/// nothing without the feature `failpoints`.
#[inline]
pub fn failpoint(point: CrashPoint) {
    #[cfg(feature = "failpoints")]
    armed::pass(point);
    #[cfg(not(feature = "failpoints"))]
    let _ = point;
}

/// True if this process still has to die at this point. For a point that must first wait for something outside.
#[cfg(feature = "failpoints")]
pub fn is_armed(point: CrashPoint) -> bool {
    armed::is_armed(point)
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
    use super::CrashPoint;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Plan {
        name: String,
        passes_left: AtomicU32,
    }

    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();

    /// Passes until the process dies at `point`, this one included. `None` if it dies elsewhere or not at all.
    fn passes_left(point: CrashPoint) -> Option<&'static AtomicU32> {
        let plan = PLAN.get_or_init(|| {
            let text = std::env::var("PAYMINT_KILL_AT").ok()?;
            let (name, pass) = text.split_once(':').unwrap_or((&text, "1"));
            Some(Plan { name: name.to_owned(), passes_left: AtomicU32::new(pass.parse().unwrap_or(1)) })
        });
        plan.as_ref().filter(|plan| plan.name == point.name()).map(|plan| &plan.passes_left)
    }

    pub fn is_armed(point: CrashPoint) -> bool {
        passes_left(point).is_some_and(|passes| passes.load(Ordering::SeqCst) > 0)
    }

    pub fn pass(point: CrashPoint) {
        if passes_left(point).is_some_and(|passes| passes.fetch_sub(1, Ordering::SeqCst) == 1) {
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

#[cfg(test)]
mod tests {
    use super::ALL;
    use std::collections::BTreeSet;

    /// A name in backticks that consists of capital letters and underscores, such as `ROWS_COMMITTED`.
    fn names(text: &str) -> BTreeSet<&str> {
        let is_name =
            |word: &&str| word.contains('_') && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        text.split('`').skip(1).step_by(2).filter(is_name).collect()
    }

    #[test]
    fn the_catalogue_says_which_crash_point_belongs_to_which_id() {
        let catalogue = include_str!("../../../docs/CATALOGUE.md");
        let rows = catalogue.lines().filter(|line| line.starts_with("| C"));
        let found: BTreeSet<&str> = rows.flat_map(names).collect();
        assert_eq!(found, ALL.iter().map(|point| point.name()).collect());
    }
}
