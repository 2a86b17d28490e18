//! Whether the ledger is whole, as far as this process knows: what an append asks before it is sent.

use crate::damage::{Damage, Prints, StreamLook};
use domain::event::Stops;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::{Mutex, watch};

/// What this process knows of the integrity of its ledger. All clones of a [`crate::Ledger`] share it.
#[derive(Debug)]
pub(crate) struct Whole {
    pub memory: Mutex<Memory>,
    /// Found by this process: it stays so until the process ends.
    pub found: OnceLock<Damage>,
    /// The highest sequence that was read or acknowledged.
    pub known: AtomicU64,
    /// Connections made when the ledger was last looked at.
    pub connects: AtomicU64,
    /// Why nothing is appended any more, in a sentence.
    pub stopped: watch::Sender<Option<Arc<str>>>,
}

/// What the last look saw.
#[derive(Debug)]
pub(crate) struct Memory {
    pub before: StreamLook,
    pub window: Prints,
    /// Whether what was found is in the ledger.
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

    /// The highest sequence that was read or acknowledged: the ledger reaches at least so far.
    pub(crate) fn known(&self) -> u64 {
        self.known.load(Ordering::Relaxed)
    }

    /// Sequence `seq` was read from the ledger, or acknowledged by it.
    pub(crate) fn knows(&self, seq: u64) {
        self.known.fetch_max(seq, Ordering::Relaxed);
    }
}
