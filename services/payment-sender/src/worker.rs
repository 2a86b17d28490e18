//! One lane's worker: fetch, check, simulate, record, broadcast.

use crate::config::Config;
use crate::recheck::recheck;
use chain::{Call, Chain, Key, SETTLE_BATCH_MAX, Simulated};
use chrono::Utc;
use domain::event::Purpose;
use domain::event::{Deferral, WaitReason};
use domain::order::Command;
use domain::{Order, OrderEvent, PaymentId, Purchase};
use lanes::{Item, LaneError, NEIGHBOUR_PAUSE, SignerLane, Terms, Work};
use ledger::{ConnectError, Delivery, Inbox, Ledger, Loaded, hand_back, keep};
use runtime::failpoint;
use std::time::Duration;

/// Waits for a first message this long, then looks after the lane.
const IDLE: Duration = Duration::from_millis(500);

/// The longest wait between two tries of a payment that would fail.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Times that a lost race is run again before the messages are handed back.
const RACES_MAX: usize = 5;

/// What all lanes of this process work with.
#[derive(Clone)]
pub struct Station {
    pub config: Config,
    pub ledger: Ledger,
    chain: Chain,
    requested: Inbox,
    deferred: Inbox,
}

impl Station {
    /// Binds to the consumers: one that is not as `nats/` defines it ends the start, also of an instance that stands by.
    pub async fn bind(config: Config, ledger: Ledger, chain: Chain) -> Result<Self, ConnectError> {
        let requested = ledger.inbox("payment-sender").await?;
        let deferred = ledger.inbox("payment-sender-deferred").await?;
        Ok(Self { config, ledger, chain, requested, deferred })
    }
}

/// A settlement lane at work.
pub struct Worker {
    lane: SignerLane,
    station: Station,
    terms: Terms,
}

/// What is to be done with a message now.
enum Next {
    Send(Box<Item>),
    /// What it asked for is in the ledger.
    Done,
    Later(Duration),
    SetAside(String),
}

impl Work for Worker {
    fn lane(&self) -> &SignerLane {
        &self.lane
    }

    async fn turn(&mut self) -> Result<(), LaneError> {
        self.lane.tend().await?;
        if !self.lane.has_room() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            return Ok(());
        }
        let mut batch = self.station.requested.fetch(SETTLE_BATCH_MAX, IDLE, self.linger()).await?;
        let room = SETTLE_BATCH_MAX.saturating_sub(batch.len());
        if room > 0 {
            batch.extend(self.station.deferred.take(room).await?);
        }
        if batch.is_empty() {
            return Ok(());
        }
        failpoint("C05");
        self.handle(batch).await
    }
}

impl Worker {
    /// Claims the lane of `key`.
    pub async fn claim(station: Station, key: Key) -> Result<Self, LaneError> {
        let Station { config, ledger, chain, .. } = &station;
        let lane = SignerLane::claim(ledger.clone(), chain.clone(), key, Purpose::Settle, &config.instance).await?;
        Ok(Self { lane, station, terms: Terms::default() })
    }

    /// How long the first payment of a batch waits for company: the longer, the more of the lane's transactions wait for
    /// a block, since what is sent behind them gains little and costs a transaction. A lane without any waits `linger`.
    fn linger(&self) -> Duration {
        let waiting = u32::try_from(self.lane.in_flight()).unwrap_or(u32::MAX);
        self.station.config.settings.now().settlement_linger.saturating_mul(waiting.saturating_add(1))
    }

    /// Called once or ten times for one message, it sends one payment: who finds it in a transaction leaves it alone.
    async fn handle(&mut self, batch: Vec<Delivery>) -> Result<(), LaneError> {
        let mut open = batch;
        for _ in 0..RACES_MAX {
            let (items, waiting) = self.sort(open).await?;
            if items.is_empty() {
                return Ok(());
            }
            match keep(&waiting, self.send(items)).await {
                Ok(()) => {
                    failpoint("C10");
                    let retry = self.station.config.settings.now().payment_retry;
                    return Ok(self
                        .station
                        .ledger
                        .answer(waiting, |delivery| backoff(retry, delivery.deliveries))
                        .await?);
                }
                Err(LaneError::Stale) => open = waiting,
                Err(error) => {
                    hand_back(waiting, NEIGHBOUR_PAUSE).await;
                    return Err(error);
                }
            }
        }
        hand_back(open, NEIGHBOUR_PAUSE).await;
        Ok(())
    }

    /// Answers what needs no sending; keeps what does.
    async fn sort(&mut self, batch: Vec<Delivery>) -> Result<(Vec<Item>, Vec<Delivery>), LaneError> {
        let ids: Vec<PaymentId> = batch.iter().filter_map(|delivery| Some(delivery.order()?.0)).collect();
        let loaded = match self.station.ledger.load_orders(&ids).await {
            Ok(loaded) => loaded,
            Err(error) => {
                hand_back(batch, NEIGHBOUR_PAUSE).await;
                return Err(error.into());
            }
        };
        let (mut items, mut waiting): (Vec<Item>, _) = (Vec::new(), Vec::new());
        for delivery in batch {
            // Every message of an order is judged against the same fold: only one of them carries it on.
            let next = match delivery.order() {
                None => Next::SetAside("not an order's message".to_owned()),
                Some((id, event)) => match loaded.get(&id) {
                    Some(Ok(order)) => self.next(id, event, order).await?,
                    Some(Err(corrupt)) => Next::SetAside(corrupt.to_string()),
                    None => Next::Later(NEIGHBOUR_PAUSE),
                },
            };
            match next {
                Next::Send(item) => {
                    if items.iter().all(|other| other.id != item.id) {
                        items.push(*item);
                    }
                    waiting.push(delivery);
                }
                Next::Done => delivery.ack().await,
                Next::Later(delay) => delivery.nak(delay).await,
                Next::SetAside(why) => self.station.requested.set_aside(delivery, &why).await?,
            }
        }
        Ok((items, waiting))
    }

    async fn next(&mut self, id: PaymentId, event: &OrderEvent, loaded: &Loaded<Order>) -> Result<Next, LaneError> {
        let Some(item) = Item::of(id, loaded.clone()) else { return Ok(Next::Later(NEIGHBOUR_PAUSE)) };
        if !item.order.is_carried_by(event) {
            return Ok(Next::Done);
        }
        if let Some(why) = item.order.payment.deferral()
            && let Ok(wait) = (why.retry_at - Utc::now()).to_std()
        {
            return Ok(Next::Later(wait.min(RETRY_MAX)));
        }
        let Purchase::Mint { token, .. } = item.order.request.purchase;
        let Some(terms) = self.terms.of(&self.station.ledger, token).await? else {
            return Ok(Next::SetAside(format!("the token {token} is not registered")));
        };
        let chain = self.station.chain.config();
        if let Err(forged) = recheck(&item.order.request, &terms, &chain.asset, chain.chain_id) {
            return Ok(Next::SetAside(format!("not sent: {forged:?}")));
        }
        Ok(Next::Send(Box::new(item)))
    }

    /// Simulates first and leaves out what would fail; then one atomic batch, then the broadcast.
    async fn send(&mut self, items: Vec<Item>) -> Result<(), LaneError> {
        let requests: Vec<_> = items.iter().map(|item| &item.order.request).collect();
        let call = self.call(&items);
        let simulated = self.station.chain.simulate_settle(self.lane.address(), &call, &requests).await?;
        let mut good = Vec::with_capacity(items.len());
        for (item, outcome) in items.into_iter().zip(simulated) {
            match outcome {
                Simulated::Pays => good.push(item),
                Simulated::Fails(reason, detail) => self.defer(&item, reason, detail).await?,
            }
        }
        if good.is_empty() {
            return Ok(());
        }
        let call = self.call(&good);
        self.lane.send(call, &good, Command::Submit).await
    }

    fn call(&self, items: &[Item]) -> Call {
        let requests: Vec<_> = items.iter().map(|item| &item.order.request).collect();
        self.station.chain.settle_call(self.station.config.settlement, &requests)
    }

    /// Not now, with the reason where everybody sees it. The same reason twice is written once.
    async fn defer(&self, item: &Item, reason: WaitReason, detail: String) -> Result<(), LaneError> {
        let retry_at = Utc::now()
            + backoff(self.station.config.settings.now().payment_retry, item.order.payment.counts().deferred);
        item.record(&self.station.ledger, Command::Defer(Deferral { reason, detail, retry_at })).await
    }
}

/// Doubled each time, up to [`RETRY_MAX`].
fn backoff(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1 << times.min(10)).min(RETRY_MAX)
}
