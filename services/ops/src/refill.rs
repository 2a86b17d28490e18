//! Refills the ledger from its second copy, the table `ledger`: the copy is checked, put into the ledger and compared,
//! and only then the ledger is opened. Each step may be repeated.

use alloy_primitives::B256;
use domain::{Event, KeyEvent, OrderEvent, Recorded, StoredMessage};
use ledger::{Added, ConnectError, Ledger, LedgerConfig, LedgerError, Refill, RefillError, more_belongs};
use std::collections::HashSet;
use store::{CHAIN_START, LedgerRow, Position, READ_MODELS, Store, StoreError};

/// Maximum number of events in memory: 64 MB if all have the maximum size.
const PAGE: u64 = 1000;

/// The result of a refill.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refilled {
    /// Number of events of the copy that are in the ledger.
    pub events: u64,
    /// Subjects that only the old ledger had and that were appended after the copy.
    pub added: Vec<String>,
    /// Subjects that only the old ledger had and that were dropped. Decisions among them are made again.
    pub left: Vec<String>,
    /// Sequences that were stored with one header more. If there are any, the tables belong to another ledger and must
    /// be rebuilt.
    pub changed: Vec<u64>,
}

/// The reason why nothing, or not everything, was refilled. The ledger is not open, unless it was before.
#[derive(Debug, thiserror::Error)]
pub enum NotRefilled {
    /// NATS: see [`ConnectError`].
    #[error("the ledger was not refilled: {0}")]
    Connect(#[from] ConnectError),
    /// NATS failed while it was read.
    #[error("the ledger was not refilled, begin again: {0}")]
    Ledger(#[from] LedgerError),
    /// NATS failed while it was written: see [`RefillError`].
    #[error("the ledger was not refilled, begin again: {0}")]
    Refill(#[from] RefillError),
    /// The database.
    #[error("the ledger was not refilled: the database")]
    Store(#[from] StoreError),
    /// There is nothing to refill from.
    #[error("DATABASE_URL holds no copy of a ledger: no read-projector has worked there")]
    NoCopy,
    /// The existing ledger is or was in use.
    #[error(
        "NATS_URL has a ledger already, of {events} events: stop nats-server, move its store directory away, and start it \
         without one"
    )]
    Occupied {
        /// Number of events in it.
        events: u64,
    },
    /// The copy lacks events that follow it in the old ledger.
    #[error(
        "the old ledger goes on soundly behind sequence {seq}, where the copy ends: let read-projector copy it first, with \
         NATS_URL of the old ledger"
    )]
    Behind {
        /// Last sequence of the copy.
        seq: u64,
    },
    /// The copy itself is damaged.
    #[error("the copy is damaged: its hashes do not hold at sequence {seq}")]
    BrokenCopy {
        /// First damaged sequence.
        seq: u64,
    },
    /// The server does not hold the event that it was given.
    #[error("sequence {seq} is not what the copy has: delete the stream LEDGER, which is not in use, and begin again")]
    Differs {
        /// The sequence.
        seq: u64,
    },
}

/// Fills the server at `into`, which has no ledger, with the copy in `store`, makes the tables continue with it, and
/// opens it. From `old`, the damaged ledger, it carries over accepted orders that were never copied. No projector may
/// run.
///
/// # Errors
/// [`NotRefilled`]. When called again it continues.
pub async fn refill(into: &LedgerConfig, store: &Store, old: Option<&Ledger>) -> Result<Refilled, NotRefilled> {
    let position = store.position(READ_MODELS).await?.filter(|at| at.seq > 0).ok_or(NotRefilled::NoCopy)?;
    let mut refill = Refill::begin(into).await?;
    let mut refilled = Refilled { events: position.seq, ..Refilled::default() };
    if refill.is_open() {
        // Either a refill was killed while it opened this ledger, or this is the damaged one.
        let is_whole = position.is_of(refill.incarnation())
            && match compare(&refill, store, position.seq).await {
                Ok(changed) => changed.is_empty(),
                Err(NotRefilled::Differs { .. }) => false,
                Err(other) => return Err(other),
            };
        if !is_whole {
            return Err(NotRefilled::Occupied { events: refill.last() });
        }
        refill.open().await?;
        return Ok(refilled);
    }
    check(store, &position).await?;
    tracing::info!(events = position.seq, "the copy is whole");
    let strays = match old {
        Some(old) => strays(old, store, position.seq).await?,
        None => Vec::new(),
    };
    put(&mut refill, store, position.seq).await?;
    refilled.changed = compare(&refill, store, position.seq).await?;
    tracing::info!(events = position.seq, "every event is in its place");
    (refilled.added, refilled.left) = carry_over(&mut refill, strays).await?;
    if refilled.changed.is_empty() {
        store.adopt(&position, refill.incarnation()).await?;
    }
    refill.open().await?;
    Ok(refilled)
}

/// Checks the hashes of the copy up to its end, which is the projection's position.
async fn check(store: &Store, end: &Position) -> Result<(), NotRefilled> {
    let mut before: B256 = CHAIN_START;
    for from in pages(1, end.seq) {
        let mut rows = page(store, from, end.seq).await?.into_iter();
        for seq in from..=end.seq.min(from + PAGE - 1) {
            let row = rows.next().filter(|row| row.message.seq == seq && row.follows(before));
            before = row.ok_or(NotRefilled::BrokenCopy { seq })?.hash;
        }
    }
    if before == end.hash { Ok(()) } else { Err(NotRefilled::BrokenCopy { seq: end.seq }) }
}

async fn put(refill: &mut Refill, store: &Store, last: u64) -> Result<(), NotRefilled> {
    for from in pages(refill.last() + 1, last) {
        refill.put(&messages(store, from, last).await?).await?;
    }
    Ok(refill.end(last).await?)
}

/// Reads every stored event again and compares it. Returns the sequences that got one header more.
async fn compare(refill: &Refill, store: &Store, last: u64) -> Result<Vec<u64>, NotRefilled> {
    let mut changed = Vec::new();
    for from in pages(1, last) {
        let copy = messages(store, from, last).await?;
        let mut found = refill.between(from, last.min(from + PAGE - 1)).await?.into_iter();
        for wanted in copy {
            let seq = wanted.seq;
            let found = found.next().filter(|found| found.seq == seq).ok_or(NotRefilled::Differs { seq })?;
            if !found.says_the_same_as(&wanted) {
                return Err(NotRefilled::Differs { seq });
            }
            if found.headers != wanted.headers {
                if !more_belongs(&wanted) {
                    return Err(NotRefilled::Differs { seq });
                }
                changed.push(seq);
            }
        }
    }
    Ok(changed)
}

/// The events of the old ledger at sequences where the copy, which ends at `end`, has another event or none.
async fn strays(old: &Ledger, store: &Store, end: u64) -> Result<Vec<Recorded>, NotRefilled> {
    let (_, last) = old.state().await?;
    let (mut strays, mut continued) = (Vec::new(), false);
    for from in pages(1, last) {
        let mut copy = messages(store, from, last).await?.into_iter().peekable();
        for found in old.between(from, last.min(from + PAGE - 1)).await? {
            while copy.next_if(|copied| copied.seq < found.seq).is_some() {}
            let same = copy.next_if(|copied| copied.seq == found.seq).is_some_and(|it| it.says_the_same_as(&found));
            match found.seq {
                seq if seq == end => continued = same,
                seq if seq == end + 1 && continued => return Err(NotRefilled::Behind { seq: end }),
                _ => {}
            }
            if !same {
                strays.push(found);
            }
        }
    }
    Ok(strays)
}

/// Appends those of `strays` that depend on no other event: orders accepted from a client, and registrations by an
/// operator. All others were decided on a damaged ledger. Returns the appended subjects and the dropped ones.
async fn carry_over(refill: &mut Refill, strays: Vec<Recorded>) -> Result<(Vec<String>, Vec<String>), NotRefilled> {
    let (mut added, mut left) = (Vec::new(), Vec::new());
    // Keys first. A client that repeated an order under a key of the copy, with another payment, would be charged for
    // both.
    let mut second = HashSet::new();
    let (keys, others): (Vec<_>, Vec<_>) =
        strays.into_iter().partition(|stray| matches!(stray.event, Ok(Event::Key(..))));
    for stray in keys.into_iter().chain(others) {
        let stands_alone = match &stray.event {
            Ok(Event::Order(id, OrderEvent::PaymentRequested(_))) => !second.contains(id),
            Ok(Event::Key(..) | Event::Token(..)) => true,
            Ok(Event::Order(..) | Event::Signer(..) | Event::Record(..) | Event::Ops(_)) | Err(_) => false,
        };
        match if stands_alone { refill.add(&stray).await? } else { Added::Other } {
            Added::Now => added.push(stray.message.subject),
            Added::Before => {}
            Added::Other => {
                if let Ok(Event::Key(_, KeyEvent::Bound(bound))) = &stray.event {
                    second.insert(bound.payment_id);
                }
                left.push(stray.message.subject);
            }
        }
    }
    Ok((added, left))
}

/// The first sequence of each page from `from` to `to`.
fn pages(from: u64, to: u64) -> impl Iterator<Item = u64> {
    (0..).map(move |page| from + page * PAGE).take_while(move |first| *first <= to)
}

async fn page(store: &Store, from: u64, last: u64) -> Result<Vec<LedgerRow>, StoreError> {
    store.ledger_range(from, last.min(from + PAGE - 1)).await
}

async fn messages(store: &Store, from: u64, last: u64) -> Result<Vec<StoredMessage>, StoreError> {
    Ok(page(store, from, last).await?.into_iter().map(|row| row.message).collect())
}
