//! The ledger's record during faults. Times are those at which nats-server stored an event, so the time of reading does
//! not matter.

use alloy_primitives::Address;
use chrono::{DateTime, Utc};
use domain::event::Purpose;
use domain::{Event, OrderEvent, PaymentId, Recorded, SignerEvent};
use futures_util::StreamExt;
use ledger::Ledger;
use runtime::Fatal;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Between two looks at what was read.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// Longest wait: an event that has not come by then never comes.
const PATIENCE: Duration = Duration::from_secs(600);

/// An event that shows that somebody works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// An order.
    Accepted,
    /// A lane is taken by a process that starts.
    Claimed(Address),
    /// A transaction of a lane.
    Signed(Address, Purpose),
    /// A nonce, and what became of everything in its transaction.
    Settled,
    /// A mint, confirmed.
    Minted,
}

/// The events so far.
#[derive(Debug, Default)]
struct Past {
    /// Sequence, time, event; in order.
    signs: Vec<(u64, DateTime<Utc>, Sign)>,
    /// When they were accepted, and when they ended, well or not.
    orders: HashMap<PaymentId, (DateTime<Utc>, Option<DateTime<Utc>>)>,
    /// Sequence and time of the last event.
    read: Option<(u64, DateTime<Utc>)>,
    /// Reading has ended: why.
    broken: Option<String>,
}

/// A reader of the ledger at work.
pub struct Watch {
    past: Arc<Mutex<Past>>,
    work: JoinHandle<()>,
}

impl Watch {
    /// Reads from sequence `from` on, for as long as it lives. Each order that ends adds one of `permits`.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn begin(ledger: &Ledger, from: u64, permits: Arc<Semaphore>) -> Result<Self, Fatal> {
        let past = Arc::new(Mutex::new(Past::default()));
        let mut news = ledger.read_from(from).await?;
        let work = tokio::spawn({
            let past = past.clone();
            async move {
                while let Some(recorded) = news.next().await {
                    let done = recorded.map_err(|e| e.to_string()).and_then(|recorded| lock(&past).add(&recorded));
                    match done {
                        Ok(ended) => permits.add_permits(ended),
                        Err(why) => return lock(&past).broken = Some(why),
                    }
                }
            }
        });
        Ok(Self { past, work })
    }

    /// When the first event of this kind after sequence `after` was stored, from `from` on.
    pub fn first(&self, after: u64, from: DateTime<Utc>, is: impl Fn(Sign) -> bool) -> Option<DateTime<Utc>> {
        lock(&self.past).after(after).iter().find(|(_, at, sign)| *at >= from && is(*sign)).map(|(_, at, _)| *at)
    }

    /// When a lane signed its first transaction for `purpose` after it was claimed behind `after`: the dead, whose claim
    /// is before it, may still be heard a moment later.
    pub fn first_signed_by_a_new_claim(&self, after: u64, purpose: Purpose) -> Option<DateTime<Utc>> {
        let mut claimed = HashSet::new();
        lock(&self.past).after(after).iter().find_map(|(_, at, sign)| match sign {
            Sign::Claimed(lane) => {
                claimed.insert(*lane);
                None
            }
            Sign::Signed(lane, what) => (*what == purpose && claimed.contains(lane)).then_some(*at),
            Sign::Accepted | Sign::Settled | Sign::Minted => None,
        })
    }

    /// Mints from the first time on and before the second; none while that is not over.
    pub fn minted(&self, (from, to): (DateTime<Utc>, DateTime<Utc>)) -> Option<usize> {
        let past = lock(&self.past);
        past.read.filter(|(_, read)| *read >= to)?;
        let minted = past.signs.iter().filter(|(_, at, sign)| *sign == Sign::Minted && (from..to).contains(at));
        Some(minted.count())
    }

    /// Orders that were under way at this time, and when the last of them ended, if they have.
    pub fn under_way(&self, at: DateTime<Utc>) -> (usize, Option<DateTime<Utc>>) {
        let past = lock(&self.past);
        let ends = past.orders.values().filter(|(accepted, end)| *accepted <= at && end.is_none_or(|end| end > at));
        let (mut count, mut last) = (0, Some(at));
        for (_, end) in ends {
            count += 1;
            last = last.zip(*end).map(|(last, end)| last.max(end));
        }
        (count, last.filter(|_| past.read.is_some_and(|(_, read)| read > at)))
    }

    /// Orders, and those of them that have ended.
    pub fn orders(&self) -> (usize, usize) {
        let past = lock(&self.past);
        (past.orders.len(), past.orders.values().filter(|(_, end)| end.is_some()).count())
    }

    /// Returns `true` if everything up to this sequence was read.
    pub fn has_read(&self, seq: u64) -> bool {
        lock(&self.past).read.is_some_and(|(read, _)| read >= seq)
    }

    /// Waits until `look` finds it.
    ///
    /// # Errors
    /// `what` did not happen, or the ledger holds what cannot be read.
    pub async fn until<T>(&self, what: &str, look: impl Fn(&Self) -> Option<T>) -> Result<T, Fatal> {
        let begun = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return Ok(found);
            }
            if let Some(why) = &lock(&self.past).broken {
                return Err(format!("{what}: {why}").into());
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("{what}: not within {} s", PATIENCE.as_secs()).into());
            }
            sleep(LOOK_INTERVAL).await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl Past {
    fn after(&self, seq: u64) -> &[(u64, DateTime<Utc>, Sign)] {
        &self.signs[self.signs.partition_point(|(at, _, _)| *at <= seq)..]
    }

    /// Answers with the number of orders that it ends.
    fn add(&mut self, recorded: &Recorded) -> Result<usize, String> {
        let at = recorded.recorded_at;
        let event = recorded.event.as_ref().map_err(|e| format!("{}: {e}", recorded.subject))?;
        let (mut sign, mut ended) = (None, None);
        match event {
            Event::Order(id, OrderEvent::PaymentRequested(_)) => {
                self.orders.entry(*id).or_insert((at, None));
                sign = Some(Sign::Accepted);
            }
            Event::Order(id, OrderEvent::MintConfirmed(_)) => (sign, ended) = (Some(Sign::Minted), Some(*id)),
            Event::Order(id, OrderEvent::PaymentFailed(_) | OrderEvent::MintParked(..)) => ended = Some(*id),
            Event::Signer(lane, SignerEvent::Claimed(_)) => sign = Some(Sign::Claimed(lane.signer)),
            Event::Signer(lane, SignerEvent::Signed(tx)) => sign = Some(Sign::Signed(lane.signer, tx.purpose)),
            Event::Signer(_, SignerEvent::Settled(_)) => sign = Some(Sign::Settled),
            Event::Order(..)
            | Event::Signer(..)
            | Event::Token(..)
            | Event::Record(..)
            | Event::Key(..)
            | Event::Ops(_) => {}
        }
        self.read = Some((recorded.seq, at));
        self.signs.extend(sign.map(|sign| (recorded.seq, at, sign)));
        let ends = ended.and_then(|id| self.orders.get_mut(&id)).map(|(_, end)| end).filter(|end| end.is_none());
        Ok(usize::from(ends.map(|end| *end = Some(at)).is_some()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
