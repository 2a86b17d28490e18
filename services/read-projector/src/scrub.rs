//! Scrubbing: reads the ledger again and compares it with the copy, byte for byte. A flipped bit on the disk, or a
//! store that was restored in part, would otherwise go unnoticed in events that no process reads.

use ledger::{Damage, Ledger, LedgerError};
use runtime::CancellationToken;
use std::collections::HashMap;
use std::time::Duration;
use store::{CHAIN_START, READ_MODELS, Store, StoreError, chain_hash};
use tokio::time::sleep;

/// Pause between two turns.
const TURN: Duration = Duration::from_secs(2);

/// Number of newest messages, and of older ones, that a turn reads: four pages each, about 2 MB a second with our
/// messages. A million are read in 33 minutes. More would disturb the server: it loads uncached messages under the
/// stream's lock, 8 MB at a time, and at this rate it does so every eight seconds.
const STRETCH: u64 = 1024;

/// An unfinished turn, which proves nothing.
#[derive(Debug, thiserror::Error)]
enum Unfinished {
    #[error("{0}")]
    Ledger(#[from] LedgerError),
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Scrubs until `stop`, or until it finds damage, which it reports. Waits for unavailable neighbours.
pub(crate) async fn run(ledger: Ledger, store: Store, stop: CancellationToken) {
    // The older messages are read backwards from here, repeatedly. 0: from the newest.
    let mut below = 0;
    let mut suspected = None;
    while !stop.is_cancelled() && ledger.damage().is_none() {
        runtime::turn("read-projector.scrub");
        match turn(&ledger, &store, below).await {
            Ok((None, next)) => {
                below = next;
                suspected = None;
            }
            // The damage was found twice, as all damage that is found by reading must be. A lagging replica is not
            // damage.
            Ok((damage, _)) if damage == suspected => {
                if let Some(damage) = damage {
                    ledger.report(damage);
                }
            }
            Ok((damage, _)) => suspected = damage,
            Err(error) => tracing::debug!(error = %runtime::causes(&error), "not scrubbed now"),
        }
        tokio::select! { () = sleep(TURN) => {}, () = stop.cancelled() => {} }
    }
}

/// Reads the newest messages, and the older ones that end below `below`. Returns where the next older ones end.
async fn turn(ledger: &Ledger, store: &Store, below: u64) -> Result<(Option<Damage>, u64), Unfinished> {
    let Some(position) = store.position(READ_MODELS).await? else { return Ok((None, 0)) };
    if !position.is_of(ledger.incarnation()) {
        // The projection itself reports this.
        return Ok((None, 0));
    }
    let newest = position.seq.saturating_sub(STRETCH);
    if let Some(damage) = differs(ledger, store, newest + 1, position.seq).await? {
        return Ok((Some(damage), below));
    }
    let end = if below <= 1 || below > newest { newest } else { below - 1 };
    let start = end.saturating_sub(STRETCH) + 1;
    Ok((differs(ledger, store, start, end).await?, start))
}

/// The first sequence from `from` to `to` at which the ledger differs from the copy.
async fn differs(ledger: &Ledger, store: &Store, from: u64, to: u64) -> Result<Option<Damage>, Unfinished> {
    if to < from {
        return Ok(None);
    }
    let copy: HashMap<u64, _> = store.chain_between(from, to).await?.into_iter().collect();
    let mut found: HashMap<u64, _> =
        ledger.between(from, to).await?.into_iter().map(|recorded| (recorded.seq, recorded)).collect();
    for sequence in from..=to {
        let Some(recorded) = found.remove(&sequence) else { return Ok(Some(Damage::Hole { sequence })) };
        let before = if sequence == 1 { Some(&CHAIN_START) } else { copy.get(&(sequence - 1)) };
        let same = before.is_some_and(|before| copy.get(&sequence) == Some(&chain_hash(*before, &recorded)));
        if !same {
            return Ok(Some(Damage::Altered { sequence }));
        }
    }
    Ok(None)
}
