//! The one reader of the ledger in this process. It tells the hub, and maintains catalogue, backlog and circuit breaker.

use crate::backlog::{Backlog, OrderStep, QueuePosition, UnderWay};
use crate::bought::Bought;
use crate::catalogue::Catalogue;
use crate::circuit::Circuit;
use crate::hub::Hub;
use crate::news::News;
use crate::records::Records;
use alloy_primitives::Address;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{Event, OrderEvent, PaymentId, Recorded, Stage};
use futures_util::StreamExt;
use ledger::{Ledger, LedgerError};
use runtime::CancellationToken;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use store::{OpenOrder, Position, Standing};

/// All subjects; most events are of orders. A narrower filter would cost the server a walk over all matching subjects at
/// every look, half of a core at a hundred thousand events.
const EVERYTHING: &str = ">";
/// Number of events that are read at a start: those of a second at full load, and of many seconds in most shops. A client
/// that has missed more loads its state again. Each event costs the server 20 µs, and while it answers it stores nothing.
const READ_AT_START: u64 = 4_096;
/// Time without events after which the follower asks for the end of the ledger.
const QUIET: Duration = Duration::from_millis(250);
/// Quiet intervals (5 s) after which the follower goes live anyway. Events that are missing at the end of a damaged
/// ledger never arrive.
const QUIETS_MAX: u32 = 20;
/// Pause after a read failed.
const PAUSE: Duration = Duration::from_millis(500);
/// Maximum lag of the read models, in events, for the backlog to be taken from them. Catching up takes a second.
const SEED_LAG_MAX: u64 = 100_000;
/// Pause between two tries to take the backlog from the read models.
const SEED_INTERVAL: Duration = Duration::from_secs(1);
/// Longest life of a reservation. An append is given up after 10 s, so a reservation of this age never becomes an order.
const RESERVED_MAX: TimeDelta = TimeDelta::seconds(30);

/// Reads the ledger and maintains the live picture.
pub struct Follower {
    ledger: Ledger,
    catalogue: Arc<Catalogue>,
    /// Distributes the news.
    pub hub: Arc<Hub>,
    backlog: Mutex<Backlog>,
    /// True once the backlog was taken from the read models.
    seeded: AtomicBool,
    /// True while everything that the ledger had when reading began has been read.
    caught_up: AtomicBool,
    circuit: Mutex<Circuit>,
}

impl Follower {
    /// An empty picture, which [`Follower::follow`] fills. Settlement is assumed to do `settle_rate` orders a second
    /// until that has been measured.
    pub fn new(ledger: Ledger, catalogue: Arc<Catalogue>, settle_rate: u32) -> Self {
        let backlog = Mutex::new(Backlog::new(settle_rate));
        Self {
            ledger,
            catalogue,
            hub: Arc::default(),
            backlog,
            seeded: AtomicBool::new(false),
            caught_up: AtomicBool::new(false),
            circuit: Mutex::default(),
        }
    }

    /// Position of an order, which is shown at `stage`, in its queue.
    pub fn position(&self, id: PaymentId, stage: Stage) -> Option<QueuePosition> {
        self.backlog(|backlog| backlog.place(id, stage, Utc::now()))
    }

    /// Units of `token` that are left of `max`. `None` while this picture is not complete or behind the ledger.
    pub fn units_left(&self, token: Address, max: u64) -> Option<u64> {
        self.is_caught_up().then(|| self.backlog(|backlog| backlog.units_left(token, max))).flatten()
    }

    pub(crate) fn is_caught_up(&self) -> bool {
        self.caught_up.load(Ordering::Relaxed)
    }

    /// Records that the end of the ledger was reached.
    fn catch_up(&self) {
        self.caught_up.store(true, Ordering::Relaxed);
        self.hub.live();
    }

    pub(crate) fn backlog<T>(&self, act: impl FnOnce(&mut Backlog) -> T) -> T {
        act(&mut self.backlog.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn circuit<T>(&self, act: impl FnOnce(&mut Circuit) -> T) -> T {
        act(&mut self.circuit.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the ledger until `stop`.
    pub async fn follow(&self, records: &Records, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let read = async {
                if let Err(e) = self.read(records).await {
                    tracing::warn!(error = %runtime::causes(&e), "following the orders broke off");
                }
                tokio::time::sleep(PAUSE).await;
            };
            tokio::select! { () = read => {}, () = stop.cancelled() => return }
        }
    }

    /// Reads from the event where reading broke off, or else from [`READ_AT_START`] events before the end of the ledger;
    /// to the end, and on.
    async fn read(&self, records: &Records) -> Result<(), LedgerError> {
        self.caught_up.store(false, Ordering::Relaxed);
        let (created, end) = self.ledger.state().await?;
        // The same ledger, and no shorter: the picture stays valid, and open streams stay open.
        let goes_on = self.hub.is_live() && created == self.ledger.incarnation() && self.hub.last() <= end;
        let after = if goes_on { self.hub.last() } else { end.saturating_sub(READ_AT_START) };
        if !goes_on {
            self.hub.restart(after);
            // Later registrations are among the events that are read below.
            self.catalogue.load().await?;
            self.backlog(|backlog| backlog.clear(after));
            self.seeded.store(false, Ordering::Relaxed);
        }
        let mut seed_at = (!self.seeded.load(Ordering::Relaxed)).then(Instant::now);
        let mut news = self.ledger.follow_from(EVERYTHING, after + 1);
        // A client that reconnects before the end is reached would be told that it missed nothing.
        let (mut last, mut quiets) = (after, 0);
        if after == end {
            self.catch_up();
        }
        loop {
            runtime::turn("live.follower");
            match tokio::time::timeout(QUIET, news.next()).await {
                Ok(Some(Ok(recorded))) => {
                    (last, quiets) = (recorded.seq, 0);
                    self.tell(&recorded).await?;
                    if last >= end {
                        self.catch_up();
                    }
                }
                Ok(Some(Err(e))) => return Err(e),
                Ok(None) => return Ok(()),
                Err(_) => {
                    let (_, now) = self.ledger.state().await?;
                    if now < self.hub.last() {
                        return Err(LedgerError::transient("following the ledger", "it is shorter than it was"));
                    }
                    quiets += 1;
                    if last >= now || quiets >= QUIETS_MAX {
                        self.catch_up();
                    }
                    self.backlog(|backlog| backlog.expire(Utc::now() - RESERVED_MAX));
                }
            }
            if seed_at.is_some_and(|at| at <= Instant::now()) {
                self.seeded.store(self.seed(records, last).await?, Ordering::Relaxed);
                seed_at = (!self.seeded.load(Ordering::Relaxed)).then(|| Instant::now() + SEED_INTERVAL);
            }
        }
    }

    /// Passes one event to the circuit breaker, the backlog and the listeners.
    async fn tell(&self, recorded: &Recorded) -> Result<(), LedgerError> {
        match &recorded.event {
            Ok(Event::Token(..)) => self.catalogue.registered(recorded),
            Ok(Event::Record(id, event)) => self.backlog(|backlog| backlog.apply_record(recorded.seq, *id, event)),
            _ => {}
        }
        let Ok(Event::Order(id, event)) = &recorded.event else { return Ok(()) };
        if let Some(bought) = self.bought(*id, event).await? {
            self.circuit(|circuit| circuit.apply(event, recorded.recorded_at));
            self.backlog(|backlog| {
                backlog.apply((recorded.seq, recorded.recorded_at), (*id, event), bought);
            });
            self.hub.tell(News::of(recorded, *id, event, bought.payer, bought.token));
        }
        Ok(())
    }

    /// The facts of an order, from its first event. Returns `None` if the order cannot be read.
    async fn bought(&self, id: PaymentId, event: &OrderEvent) -> Result<Option<Bought>, LedgerError> {
        if let OrderEvent::PaymentRequested(request) = event {
            return Ok(Some(Bought::by(request)));
        }
        if let Some(known) = self.backlog(|backlog| backlog.known(id)) {
            return Ok(Some(known));
        }
        Ok(Bought::in_history(&self.ledger.order_history(id).await?))
    }

    /// Takes the open orders and the taken units from the read models, because old orders are not among the news.
    /// Returns false if that failed. `read` is the last sequence that this process has read.
    async fn seed(&self, records: &Records, read: u64) -> Result<bool, LedgerError> {
        let Some(standing) = records.standing(self.ledger.incarnation()).await else { return Ok(false) };
        let Standing { position: Position { seq: position, .. }, open, units_taken, found } = standing;
        if read.saturating_sub(position) > SEED_LAG_MAX {
            return Ok(false);
        }
        // The events between the position of the rows and that of this process.
        let mut since = Vec::new();
        let mut between = self.ledger.follow_from(EVERYTHING, position + 1);
        while position < read
            && since.last().is_none_or(|(last, _): &(Recorded, _)| last.seq < read)
            && let Some(recorded) = between.next().await
        {
            let recorded = recorded?;
            let bought = match &recorded.event {
                Ok(Event::Order(id, event)) => self.bought(*id, event).await?,
                _ => None,
            };
            since.push((recorded, bought));
        }
        // Under one lock, so that no reader sees half of it.
        self.backlog(|backlog| {
            backlog.reset(position, open.iter().filter_map(|row| open_of(row, Utc::now())), units_taken, found);
            for (recorded, bought) in &since {
                match (&recorded.event, bought) {
                    (Ok(Event::Order(id, event)), Some(bought)) => {
                        backlog.apply((recorded.seq, recorded.recorded_at), (*id, event), *bought);
                    }
                    (Ok(Event::Record(id, event)), _) => backlog.apply_record(recorded.seq, *id, event),
                    _ => {}
                }
            }
        });
        tracing::info!(orders = open.len(), position, "the backlog is known");
        Ok(true)
    }
}

/// An order of the backlog from a row of the read models. The row does not tell since when, so `now` is assumed.
fn open_of(row: &OpenOrder, now: DateTime<Utc>) -> Option<(PaymentId, UnderWay)> {
    let (step, seq) = match row.stage {
        Stage::Failed | Stage::Minted | Stage::Refunded => return None,
        _ if row.goes_back => (OrderStep::GoingBack, row.requested_seq),
        Stage::Requested => (OrderStep::Requested, row.requested_seq),
        Stage::Deferred => (OrderStep::Deferred, row.requested_seq),
        Stage::PaymentParked => (OrderStep::Held, row.requested_seq),
        Stage::Settling | Stage::Reverted => (OrderStep::Settling, row.requested_seq),
        Stage::Paid => (OrderStep::Paid, row.paid_seq?),
        Stage::Minting => (OrderStep::Minting, row.paid_seq?),
        Stage::MintDeferred | Stage::MintParked => (OrderStep::Held, row.paid_seq?),
        Stage::RefundRequested | Stage::Refunding | Stage::RefundDeferred | Stage::RefundParked => {
            (OrderStep::GoingBack, row.requested_seq)
        }
    };
    let bought = Bought { payer: row.payer, token: row.token, quantity: row.quantity };
    Some((row.id, UnderWay { bought, step, seq, since: now }))
}
