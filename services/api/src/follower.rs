//! The one reader of the ledger in this process: it tells the hub, and keeps the catalogue, the backlog and the breaker.

use crate::backlog::{Backlog, Open, Place, Step};
use crate::catalogue::Catalogue;
use crate::circuit::Circuit;
use crate::hub::{Hub, KEPT};
use crate::news::News;
use crate::records::Records;
use alloy_primitives::Address;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{Event, OrderEvent, PaymentId, Purchase};
use futures_util::StreamExt;
use ledger::{Ledger, LedgerError, Recorded};
use runtime::CancellationToken;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use store::{OpenOrder, StageName};

/// Everything, of which the orders are most. A filter would cost the server a walk over all subjects that match it, at
/// every look: half of a core at a hundred thousand events.
const EVERYTHING: &str = ">";
/// Without news for this long it is asked where the ledger ends.
const QUIET: Duration = Duration::from_millis(250);
/// So often without any, five seconds, and what the end lacks is not waited for: a damaged ledger may never give it.
const QUIETS_MAX: u32 = 20;
/// After reading broke off.
const PAUSE: Duration = Duration::from_millis(500);
/// How far the read models may be behind for the backlog to be taken from there. Catching up takes a second.
const SEED_LAG_MAX: u64 = 100_000;
/// Between two tries to take it from there.
const SEED_INTERVAL: Duration = Duration::from_secs(1);
/// A reservation that has become no order within this never will: an append is given up after 10 s.
const RESERVED_MAX: TimeDelta = TimeDelta::seconds(30);

pub(crate) struct Follower {
    ledger: Ledger,
    catalogue: Arc<Catalogue>,
    pub(crate) hub: Arc<Hub>,
    backlog: Mutex<Backlog>,
    /// The backlog was taken from the read models.
    seeded: AtomicBool,
    circuit: Mutex<Circuit>,
}

impl Follower {
    /// Knows nothing until [`Follower::follow`].
    pub(crate) fn new(ledger: Ledger, catalogue: Arc<Catalogue>, settle_rate: u32) -> Self {
        let backlog = Mutex::new(Backlog::new(settle_rate));
        Self {
            ledger,
            catalogue,
            hub: Arc::default(),
            backlog,
            seeded: AtomicBool::new(false),
            circuit: Mutex::default(),
        }
    }

    /// Where an order stands in line.
    pub(crate) fn place(&self, id: PaymentId) -> Option<Place> {
        self.backlog(|backlog| backlog.place(id, Utc::now()))
    }

    pub(crate) fn backlog<T>(&self, act: impl FnOnce(&mut Backlog) -> T) -> T {
        act(&mut self.backlog.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn circuit<T>(&self, act: impl FnOnce(&mut Circuit) -> T) -> T {
        act(&mut self.circuit.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads until `stop`.
    pub(crate) async fn follow(&self, records: &Records, stop: CancellationToken) {
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

    /// From where reading broke off, or else from the news that are kept for clients who come back; to the ledger's end,
    /// and on.
    async fn read(&self, records: &Records) -> Result<(), LedgerError> {
        let (created, end) = self.ledger.state().await?;
        // The same ledger, and no shorter: what is known stays known, and open streams stay open.
        let goes_on = self.hub.is_live() && created == self.ledger.incarnation() && self.hub.last() <= end;
        let after = if goes_on { self.hub.last() } else { end.saturating_sub(KEPT as u64) };
        if !goes_on {
            self.hub.restart(after);
            // What is registered from now on is among the news.
            self.catalogue.load().await?;
            self.backlog(|backlog| backlog.reset(after, []));
            self.seeded.store(false, Ordering::Relaxed);
        }
        let mut seed_at = (!self.seeded.load(Ordering::Relaxed)).then(Instant::now);
        let mut news = self.ledger.follow_from(EVERYTHING, after + 1);
        // Who comes back before the end was reached would be told that it missed nothing.
        let (mut last, mut quiets) = (after, 0);
        if after == end {
            self.hub.live();
        }
        loop {
            match tokio::time::timeout(QUIET, news.next()).await {
                Ok(Some(Ok(recorded))) => {
                    (last, quiets) = (recorded.seq, 0);
                    self.tell(&recorded).await?;
                    if last >= end {
                        self.hub.live();
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
                        self.hub.live();
                    }
                    self.backlog(|backlog| backlog.expire(Utc::now() - RESERVED_MAX));
                }
            }
            if seed_at.is_some_and(|at| at <= Instant::now()) {
                self.seeded.store(self.seed(records).await?, Ordering::Relaxed);
                seed_at = (!self.seeded.load(Ordering::Relaxed)).then(|| Instant::now() + SEED_INTERVAL);
            }
        }
    }

    /// One event: to the breaker, the backlog, and whoever listens.
    async fn tell(&self, recorded: &Recorded) -> Result<(), LedgerError> {
        if let Ok(Event::Token(..)) = &recorded.event {
            self.catalogue.registered(recorded);
        }
        let Ok(Event::Order(id, event)) = &recorded.event else { return Ok(()) };
        if let Some((payer, token)) = self.parties(*id, event).await? {
            self.circuit(|circuit| circuit.apply(event, recorded.recorded_at));
            self.backlog(|backlog| {
                backlog.apply((recorded.seq, recorded.recorded_at), (*id, event), (payer, token));
            });
            self.hub.tell(News::of(recorded, *id, event, payer, token));
        }
        Ok(())
    }

    /// Who pays for which token: the order's first event says so. None for an order that nobody can read.
    async fn parties(&self, id: PaymentId, event: &OrderEvent) -> Result<Option<(Address, Address)>, LedgerError> {
        if let OrderEvent::PaymentRequested(request) = event {
            let Purchase::Mint { token, .. } = request.purchase;
            return Ok(Some((request.payer(), token)));
        }
        if let Some(known) = self.backlog(|backlog| backlog.known(id)) {
            return Ok(Some(known));
        }
        Ok(parties_of(&self.ledger.order_history(id).await?))
    }

    /// Takes what is under way from the read models, once they answer: what was requested long ago is not among the
    /// news. Answers whether it was done.
    async fn seed(&self, records: &Records) -> Result<bool, LedgerError> {
        let Some((position, open)) = records.open_orders(self.ledger.incarnation()).await else { return Ok(false) };
        let read = self.hub.last();
        if read.saturating_sub(position) > SEED_LAG_MAX {
            return Ok(false);
        }
        // What was written between the rows and what this process has read.
        let mut since = Vec::new();
        let mut between = self.ledger.follow_from(EVERYTHING, position + 1);
        while position < read
            && since.last().is_none_or(|(last, _): &(Recorded, _)| last.seq < read)
            && let Some(recorded) = between.next().await
        {
            let recorded = recorded?;
            let parties = match &recorded.event {
                Ok(Event::Order(id, event)) => self.parties(*id, event).await?,
                _ => None,
            };
            since.push((recorded, parties));
        }
        // At one moment, so that nobody finds half of it.
        self.backlog(|backlog| {
            backlog.reset(position, open.iter().filter_map(|row| open_of(row, Utc::now())));
            for (recorded, parties) in &since {
                if let (Ok(Event::Order(id, event)), Some(parties)) = (&recorded.event, parties) {
                    backlog.apply((recorded.seq, recorded.recorded_at), (*id, event), *parties);
                }
            }
        });
        tracing::info!(orders = open.len(), position, "the backlog is known");
        Ok(true)
    }
}

/// The same of a whole history.
pub(crate) fn parties_of(history: &[Recorded]) -> Option<(Address, Address)> {
    history.iter().find_map(|recorded| match &recorded.event {
        Ok(Event::Order(_, OrderEvent::PaymentRequested(request))) => {
            let Purchase::Mint { token, .. } = request.purchase;
            Some((request.payer(), token))
        }
        _ => None,
    })
}

/// A row of the read models as the backlog knows it. How long it has been there is not in the row: less is assumed.
fn open_of(row: &OpenOrder, now: DateTime<Utc>) -> Option<(PaymentId, Open)> {
    let (step, seq) = match row.stage {
        StageName::Requested => (Step::Requested, row.requested_seq),
        StageName::Deferred => (Step::Deferred, row.requested_seq),
        StageName::Settling | StageName::Reverted => (Step::Settling, row.requested_seq),
        StageName::Paid => (Step::Paid, row.paid_seq?),
        StageName::Minting => (Step::Minting, row.paid_seq?),
        StageName::MintDeferred | StageName::MintParked => (Step::Held, row.paid_seq?),
        StageName::Failed | StageName::Lost | StageName::Minted => return None,
    };
    Some((row.id, Open { payer: row.payer, token: row.token, step, seq, since: now }))
}
