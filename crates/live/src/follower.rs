//! The one reader of the ledger in this process. It tells the hub, and maintains catalogue, backlog and circuit breaker.

use crate::backlog::{Backlog, OrderStep, QueuePosition, UnderWay};
use crate::bought::{Bought, OrderFacts};
use crate::bound_keys::BoundKeys;
use crate::catalogue::Catalogue;
use crate::circuit::{BreakerStep, Circuit, Door};
use crate::gas::TokenGas;
use crate::hub::Hub;
use crate::news::News;
use crate::records::Records;
use alloy_primitives::Address;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{Event, KeyEvent, OrderEvent, PaymentId, RecordEvent, Recorded, Stage};
use futures_util::StreamExt;
use ledger::{Ledger, LedgerError};
use runtime::{CancellationToken, OldestWork, SharedSettings};
use std::collections::HashMap;
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
/// Pause between two looks for reservations of that age.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(1);

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
    keys: Mutex<BoundKeys>,
    gas: Mutex<TokenGas>,
    settings: SharedSettings,
}

impl Follower {
    /// An empty picture, which [`Follower::follow`] fills. Settlement is assumed to do `settle_rate` orders a second
    /// until that has been measured.
    pub fn new(ledger: Ledger, catalogue: Arc<Catalogue>, settle_rate: u32, settings: SharedSettings) -> Self {
        let backlog = Mutex::new(Backlog::new(settle_rate));
        Self {
            ledger,
            catalogue,
            hub: Arc::default(),
            backlog,
            seeded: AtomicBool::new(false),
            caught_up: AtomicBool::new(false),
            circuit: Mutex::default(),
            keys: Mutex::default(),
            gas: Mutex::default(),
            settings,
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

    /// The order that has waited for a service for the longest time, in the step that it is in. For information: an api that
    /// can accept orders is ready, however long they wait.
    pub fn oldest(&self) -> Option<OldestWork> {
        self.backlog(|backlog| {
            let (id, order) = backlog.oldest()?;
            let age = (Utc::now() - order.since).to_std().unwrap_or_default();
            let words = format!("{:?}", order.step).to_lowercase();
            Some(OldestWork { what: format!("order {id}"), age, words, limit: Duration::MAX })
        })
    }

    pub(crate) fn is_caught_up(&self) -> bool {
        self.caught_up.load(Ordering::Relaxed)
    }

    /// Returns true once this picture has every order under way: it has read the ledger to its end, and the rows of orders
    /// that are older than what was read.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_caught_up() && self.seeded.load(Ordering::Relaxed)
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

    pub(crate) fn keys<T>(&self, act: impl FnOnce(&mut BoundKeys) -> T) -> T {
        act(&mut self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn gas<T>(&self, act: impl FnOnce(&mut TokenGas) -> T) -> T {
        act(&mut self.gas.lock().unwrap_or_else(PoisonError::into_inner))
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
            self.keys(BoundKeys::clear);
            self.gas(|gas| *gas = TokenGas::default());
            self.seeded.store(false, Ordering::Relaxed);
        }
        let mut seed_at = (!self.seeded.load(Ordering::Relaxed)).then(Instant::now);
        let mut news = self.ledger.follow_from(EVERYTHING, after + 1);
        // A client that reconnects before the end is reached would be told that it missed nothing.
        let (mut last, mut quiets, mut expire_at) = (after, 0, Instant::now());
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
                }
            }
            if expire_at <= Instant::now() {
                self.backlog(|backlog| backlog.expire(Utc::now() - RESERVED_MAX));
                expire_at = Instant::now() + EXPIRE_INTERVAL;
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
            Ok(Event::Record(id, event)) => {
                self.backlog(|backlog| backlog.apply_record(recorded.seq, *id, event));
                self.gas(|gas| self.spend_for_record(gas, event, recorded));
            }
            Ok(Event::Key(key, KeyEvent::Bound(bound))) => {
                self.keys(|keys| keys.add(bound.payment_id, &[*key]));
            }
            _ => {}
        }
        let Ok(Event::Order(id, event)) = &recorded.event else { return Ok(()) };
        if let Some(facts) = self.facts(recorded.seq, *id, event).await? {
            let bought = facts.bought;
            self.judge(recorded, *id, event, bought);
            self.gas(|gas| self.spend(gas, bought.token, event, recorded));
            self.backlog(|backlog| {
                backlog.apply((recorded.seq, recorded.recorded_at), (*id, event), facts);
            });
            self.hub.tell(News::of(recorded, *id, event, bought.payer, bought.token));
        }
        Ok(())
    }

    /// Tells the circuit breaker of an event of an order, before the backlog knows of it.
    fn judge(&self, recorded: &Recorded, id: PaymentId, event: &OrderEvent, bought: Bought) {
        let Bought { payer, token, .. } = bought;
        // The clocks of two machines differ. An event that is read as it comes happens now, and none happens later.
        let now = Utc::now();
        let at = if self.is_caught_up() { now } else { recorded.recorded_at.min(now) };
        let door = Door { token, factory: self.catalogue.factory(token) };
        let settling_since = self.backlog(|backlog| backlog.settling_since(id));
        let step = BreakerStep { event, id, payer, door, seq: recorded.seq, at, settling_since };
        self.circuit(|circuit| circuit.apply(&step));
    }

    /// Counts the gas of an event of an order.
    fn spend(&self, gas: &mut TokenGas, token: Address, event: &OrderEvent, recorded: &Recorded) {
        gas.follow(token, event, self.settings.now().token_gas_per_day, recorded.recorded_at.min(Utc::now()));
    }

    /// Counts the gas of an event of a record.
    fn spend_for_record(&self, gas: &mut TokenGas, event: &RecordEvent, recorded: &Recorded) {
        if let RecordEvent::Found(found) = event {
            gas.found(found.token, self.settings.now().token_gas_per_day, recorded.recorded_at.min(Utc::now()));
        }
    }

    /// The order before its event at `seq`. Returns `None` if the order cannot be read.
    async fn facts(&self, seq: u64, id: PaymentId, event: &OrderEvent) -> Result<Option<OrderFacts>, LedgerError> {
        if let OrderEvent::PaymentRequested(request) = event {
            return Ok(Some(OrderFacts::new(request)));
        }
        if let Some(known) = self.backlog(|backlog| backlog.known(id)) {
            return Ok(Some(known));
        }
        Ok(OrderFacts::before(seq, &self.ledger.order_history(id).await?))
    }

    /// Takes the open orders and the taken units from the read models, because old orders are not among the news.
    /// Returns false if that failed. `read` is the last sequence that this process has read.
    async fn seed(&self, records: &Records, read: u64) -> Result<bool, LedgerError> {
        let Some(standing) = records.standing(self.ledger.incarnation()).await else { return Ok(false) };
        let Standing { position: Position { seq: position, .. }, open, units_taken, found, loads } = standing;
        if read.saturating_sub(position) > SEED_LAG_MAX {
            return Ok(false);
        }
        // The events between the position of the rows and that of this process, and the orders before them. An order that has
        // ended in the rows is known here only as it stands after all of these events, so its history tells.
        let mut since = Vec::new();
        let rows = || open.iter().filter_map(|row| open_of(row, Utc::now()));
        let mut known: HashMap<PaymentId, OrderFacts> = rows().map(|(id, order)| (id, order.facts())).collect();
        let mut between = self.ledger.follow_from(EVERYTHING, position + 1);
        while position < read
            && since.last().is_none_or(|(last, _): &(Recorded, _)| last.seq < read)
            && let Some(recorded) = between.next().await
        {
            let recorded = recorded?;
            let mut before = None;
            if let Ok(Event::Order(id, event)) = &recorded.event {
                before = match (event, known.get(id)) {
                    (OrderEvent::PaymentRequested(request), _) => Some(OrderFacts::new(request)),
                    (_, Some(facts)) => Some(*facts),
                    (_, None) => OrderFacts::before(recorded.seq, &self.ledger.order_history(*id).await?),
                };
                known.extend(before.map(|facts| (*id, facts.after(event))));
            }
            since.push((recorded, before));
        }
        let mut gas = TokenGas::of(&loads, self.settings.now().token_gas_per_day, Utc::now());
        for (recorded, before) in &since {
            match (&recorded.event, before) {
                (Ok(Event::Order(_, event)), Some(facts)) => self.spend(&mut gas, facts.bought.token, event, recorded),
                (Ok(Event::Record(_, event)), _) => self.spend_for_record(&mut gas, event, recorded),
                _ => {}
            }
        }
        self.gas(|known| *known = gas);
        // Under one lock, so that no reader sees half of it.
        self.backlog(|backlog| {
            backlog.reset(position, rows(), units_taken, found);
            for (recorded, before) in &since {
                match (&recorded.event, before) {
                    (Ok(Event::Order(id, event)), Some(facts)) => {
                        backlog.apply((recorded.seq, recorded.recorded_at), (*id, event), *facts);
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
pub(crate) fn open_of(row: &OpenOrder, now: DateTime<Utc>) -> Option<(PaymentId, UnderWay)> {
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
    Some((row.id, UnderWay { bought, hold: row.hold, step, is_held: row.is_held, seq, since: now }))
}
