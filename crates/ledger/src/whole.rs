//! The knowledge of this process about the integrity of its ledger. Every append asks it before it is sent.

use crate::damage::{Damage, Prints, StreamLook};
use domain::event::Stops;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::{Mutex, watch};

/// Everything that this process knows about the integrity of its ledger. All clones of a [`crate::Ledger`] share it.
#[derive(Debug)]
pub(crate) struct Whole {
    pub memory: Mutex<Memory>,
    /// Damage that this process has found. It stays until the process ends.
    pub found: OnceLock<Damage>,
    /// The highest sequence that was read or acknowledged.
    pub known: AtomicU64,
    /// Number of connections made so far when the ledger was last looked at.
    pub connects: AtomicU64,
    /// The reason why nothing is appended any more, as a sentence.
    pub stopped: watch::Sender<Option<Arc<str>>>,
}

/// Memory of the last look.
#[derive(Debug)]
pub(crate) struct Memory {
    pub before: StreamLook,
    pub window: Prints,
    /// True if the damage that was found is recorded in the ledger, or need not be.
    pub written: bool,
    pub stops: Stops,
}

impl Whole {
    pub(crate) fn new(before: StreamLook) -> Arc<Self> {
        let (window, stops) = (Prints::new(), Stops::default());
        let memory = Mutex::new(Memory { before, window, written: false, stops });
        let (known, connects, stopped) = (AtomicU64::new(0), AtomicU64::new(0), watch::Sender::new(None));
        Arc::new(Self { memory, found: OnceLock::new(), known, connects, stopped })
    }

    /// The highest sequence that was read or acknowledged. The ledger reaches at least this far.
    pub(crate) fn known(&self) -> u64 {
        self.known.load(Ordering::Relaxed)
    }

    /// Records that sequence `seq` was read from the ledger, or acknowledged by it.
    pub(crate) fn knows(&self, seq: u64) {
        self.known.fetch_max(seq, Ordering::Relaxed);
    }
}
