//! Refilling the ledger from its second copy, the table `ledger`: the copy is checked, put, compared, and only then is
//! the ledger opened. Each step may be repeated.

use alloy_primitives::B256;
use domain::{Event, KeyEvent, OrderEvent};
use ledger::{Added, ConnectError, Copied, Ledger, LedgerConfig, LedgerError, Recorded, Refill, RefillError};
use std::collections::HashSet;
use store::{CHAIN_START, LedgerRow, Position, READ_MODELS, Store, StoreError};

/// Events in memory at a time: 64 MB of the largest there are.
const PAGE: u64 = 1000;

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refilled {
    /// Events of the copy that stand in the ledger.
    pub events: u64,
    /// Subjects that only the old ledger had, and that stand behind them now.
    pub added: Vec<String>,
    /// Subjects that only the old ledger had, and that stand nowhere now: what was decided there is decided anew.
    pub left: Vec<String>,
    /// Sequences that got a header more. Unless there are none, the tables are of another ledger, and are rebuilt.
    pub changed: Vec<u64>,
}

/// Why nothing, or not everything, was refilled. The ledger is not open, unless it was before.
#[derive(Debug, thiserror::Error)]
pub enum NotRefilled {
    /// NATS: see [`ConnectError`].
    #[error("the ledger was not refilled: {0}")]
    Connect(#[from] ConnectError),
    /// NATS, while it is read.
    #[error("the ledger was not refilled, begin again: {0}")]
    Ledger(#[from] LedgerError),
    /// NATS, while it is written: see [`RefillError`].
    #[error("the ledger was not refilled, begin again: {0}")]
    Refill(#[from] RefillError),
    /// The database.
    #[error("the ledger was not refilled: the database")]
    Store(#[from] StoreError),
    /// There is nothing to refill from.
    #[error("DATABASE_URL holds no copy of a ledger: no read-projector has worked there")]
    NoCopy,
    /// What is there is in use, or was.
    #[error(
        "NATS_URL has a ledger already, of {events} events: stop nats-server, move its store directory away, and start it \
         without one"
    )]
    Occupied {
        /// How many.
        events: u64,
    },
    /// The copy lacks what follows it in the old ledger.
    #[error(
        "the old ledger goes on soundly behind sequence {seq}, where the copy ends: let read-projector copy it first, with \
         NATS_URL of the old ledger"
    )]
    Behind {
        /// Where the copy ends.
        seq: u64,
    },
    /// The copy is damaged itself.
    #[error("the copy is damaged: its hashes do not hold at sequence {seq}")]
    BrokenCopy {
        /// From here on.
        seq: u64,
    },
    /// The server does not have what it was given.
    #[error("sequence {seq} is not what the copy has: delete the stream LEDGER, which is not in use, and begin again")]
    Differs {
        /// Where.
        seq: u64,
    },
}

/// Fills the server at `into`, which has no ledger, with the copy in `store`; makes the tables go on with it; opens it.
/// From `old`, the damaged ledger, is carried over what was accepted there and never copied. Nobody may project.
///
/// # Errors
/// [`NotRefilled`]. Called again it goes on where it was.
pub async fn refill(into: &LedgerConfig, store: &Store, old: Option<&Ledger>) -> Result<Refilled, NotRefilled> {
    let position = store.position(READ_MODELS).await?.filter(|at| at.seq > 0).ok_or(NotRefilled::NoCopy)?;
    let mut refill = Refill::begin(into).await?;
    let mut refilled = Refilled { events: position.seq, ..Refilled::default() };
    if refill.is_open() {
        // It was killed while it was opened; or it is the damaged one.
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

/// The hashes of the copy hold up to its end, which is where the projection stands.
async fn check(store: &Store, end: &Position) -> Result<(), NotRefilled> {
    let mut before: B256 = CHAIN_START;
    for from in pages(1, end.seq) {
        let mut rows = page(store, from, end.seq).await?.into_iter();
        for seq in from..=end.seq.min(from + PAGE - 1) {
            let row = rows.next().filter(|row| row.seq == seq && row.follows(before));
            before = row.ok_or(NotRefilled::BrokenCopy { seq })?.hash;
        }
    }
    if before == end.hash { Ok(()) } else { Err(NotRefilled::BrokenCopy { seq: end.seq }) }
}

async fn put(refill: &mut Refill, store: &Store, last: u64) -> Result<(), NotRefilled> {
    for from in pages(refill.last() + 1, last) {
        let rows = page(store, from, last).await?;
        refill.put(&rows.into_iter().map(copied).collect::<Result<Vec<_>, _>>()?).await?;
    }
    Ok(refill.end(last).await?)
}

/// Every event that was put, read again; answers with those that got a header more.
async fn compare(refill: &Refill, store: &Store, last: u64) -> Result<Vec<u64>, NotRefilled> {
    let mut changed = Vec::new();
    for from in pages(1, last) {
        let rows = page(store, from, last).await?;
        let mut found = refill.between(from, last.min(from + PAGE - 1)).await?.into_iter();
        for row in rows {
            let wanted = copied(row)?;
            let seq = wanted.seq;
            let found = found.next().filter(|found| found.seq == seq).ok_or(NotRefilled::Differs { seq })?;
            if found.subject != wanted.subject || found.payload != wanted.payload {
                return Err(NotRefilled::Differs { seq });
            }
            if found.headers != wanted.headers {
                if !wanted.more_belongs() {
                    return Err(NotRefilled::Differs { seq });
                }
                changed.push(seq);
            }
        }
    }
    Ok(changed)
}

/// What the old ledger has at places where the copy, which ends at `end`, has something else, or nothing.
async fn strays(old: &Ledger, store: &Store, end: u64) -> Result<Vec<Recorded>, NotRefilled> {
    let (_, last) = old.state().await?;
    let (mut strays, mut continued) = (Vec::new(), false);
    for from in pages(1, last) {
        let mut rows = page(store, from, last).await?.into_iter().peekable();
        for found in old.between(from, last.min(from + PAGE - 1)).await? {
            while rows.next_if(|row| row.seq < found.seq).is_some() {}
            let row = rows.next_if(|row| row.seq == found.seq);
            let same = row.is_some_and(|row| row.subject == found.subject.as_bytes() && row.payload == found.payload);
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

/// Adds those of `strays` that depend on no other event: what was accepted from a client, and what a person registered.
/// Everything else was decided on a ledger that was damaged. Answers with the subjects that were added, and those that
/// were left.
async fn carry_over(refill: &mut Refill, strays: Vec<Recorded>) -> Result<(Vec<String>, Vec<String>), NotRefilled> {
    let (mut added, mut left) = (Vec::new(), Vec::new());
    // The keys first. Who came again under a key of the copy, with another order, would be charged for both.
    let mut second = HashSet::new();
    let (keys, others): (Vec<_>, Vec<_>) =
        strays.into_iter().partition(|stray| matches!(stray.event, Ok(Event::Key(..))));
    for stray in keys.into_iter().chain(others) {
        let stands_alone = match &stray.event {
            Ok(Event::Order(id, OrderEvent::PaymentRequested(_))) => !second.contains(id),
            Ok(Event::Key(..) | Event::Token(..)) => true,
            Ok(Event::Order(..) | Event::Signer(..) | Event::Ops(_)) | Err(_) => false,
        };
        match if stands_alone { refill.add(&stray).await? } else { Added::Other } {
            Added::Now => added.push(stray.subject),
            Added::Before => {}
            Added::Other => {
                if let Ok(Event::Key(_, KeyEvent::Bound(bound))) = &stray.event {
                    second.insert(bound.payment_id);
                }
                left.push(stray.subject);
            }
        }
    }
    Ok((added, left))
}

/// The first sequences of the pages from `from` to `to`.
fn pages(from: u64, to: u64) -> impl Iterator<Item = u64> {
    (0..).map(move |page| from + page * PAGE).take_while(move |first| *first <= to)
}

async fn page(store: &Store, from: u64, last: u64) -> Result<Vec<LedgerRow>, StoreError> {
    store.ledger_range(from, last.min(from + PAGE - 1)).await
}

fn copied(row: LedgerRow) -> Result<Copied, NotRefilled> {
    let subject = String::from_utf8(row.subject).map_err(|_| NotRefilled::BrokenCopy { seq: row.seq })?;
    Ok(Copied { seq: row.seq, subject, headers: row.headers, payload: row.payload.into() })
}
