//! Gathering: confirmed payments by token and group, until a batch is full or its oldest has waited long enough.

use crate::config::Config;
use chain::{Address, MINT_BATCH_MAX};
use chrono::Utc;
use domain::order::MintGroup;
use domain::{Order, PaymentId, Purchase};
use ledger::{Delivery, Inbox, Ledger, LedgerError, Loaded, PROGRESS_INTERVAL, hand_back};
use runtime::{CancellationToken, Fatal};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Messages in hand at most; `max_ack_pending` of the consumer is 2,048.
const IN_HAND_MAX: usize = 1_024;

/// Waits for news at most this long, so that a batch goes out on time.
const TURN: Duration = Duration::from_millis(50);

/// After a neighbour's fault.
const NEIGHBOUR_PAUSE: Duration = Duration::from_secs(1);

/// What shares a transaction: a token, and those of its orders that may be minted together.
type Together = (Address, MintGroup);

/// Messages that owe a mint of one token.
#[derive(Debug)]
pub struct Batch {
    /// The token.
    pub token: Address,
    /// In the order of their arrival.
    pub deliveries: Vec<Delivery>,
    /// Their orders as they were then. Who builds on one that has moved since is refused, and loads it again.
    pub orders: HashMap<PaymentId, Loaded<Order>>,
    oldest: Instant,
}

impl Batch {
    /// Begun by a message that waits since `oldest`.
    fn new(token: Address, oldest: Instant) -> Self {
        Self { token, deliveries: Vec::new(), orders: HashMap::new(), oldest }
    }

    /// A message waits since its event, not since it came here: who starts again does not let everybody wait once more.
    /// One that was delivered before waited for something else than company.
    fn waits_since(delivery: &Delivery) -> Instant {
        let age = (Utc::now() - delivery.recorded.recorded_at).to_std().unwrap_or_default();
        let waited = if delivery.deliveries == 1 { age } else { Duration::ZERO };
        let now = Instant::now();
        now.checked_sub(waited).unwrap_or(now)
    }

    fn add(&mut self, id: PaymentId, order: Loaded<Order>, delivery: Delivery) {
        self.orders.insert(id, order);
        self.deliveries.push(delivery);
    }

    /// Leaves at most `max` messages in it; the rest is as old.
    fn split_off(&mut self, max: usize) -> Self {
        let deliveries = self.deliveries.split_off(self.deliveries.len().min(max));
        let ids = deliveries.iter().filter_map(|delivery| Some(delivery.order()?.0));
        let orders = ids.filter_map(|id| Some((id, self.orders.remove(&id)?))).collect();
        Self { token: self.token, deliveries, orders, oldest: self.oldest }
    }

    /// Together again, in the order in which they were.
    fn append(&mut self, rest: Self) {
        self.deliveries.extend(rest.deliveries);
        self.orders.extend(rest.orders);
    }
}

/// A free lane's question for the next batch.
pub type Ask = oneshot::Sender<Batch>;

/// How many lanes this process works. An instance that stands by gathers nothing: what it held, nobody else would mint.
#[derive(Clone, Debug, Default)]
pub struct Working(Arc<AtomicUsize>);

/// One lane is worked for as long as this lives.
#[derive(Debug)]
pub struct OnDuty(Arc<AtomicUsize>);

impl Working {
    /// A lane is worked.
    pub fn begin(&self) -> OnDuty {
        self.0.fetch_add(1, Ordering::Relaxed);
        OnDuty(self.0.clone())
    }

    fn is_none(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

impl Drop for OnDuty {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Gathers until `stop`. What is in hand then comes again after `ack_wait`.
pub async fn run(
    config: Config,
    ledger: Ledger,
    mut asked: mpsc::Receiver<Ask>,
    working: Working,
    stop: CancellationToken,
) -> Result<(), Fatal> {
    let confirmed = ledger.inbox("mint-projector").await?;
    let deferred = ledger.inbox("mint-projector-deferred").await?;
    let restored = ledger.inbox("mint-projector-restored").await?;
    let mut gathering: HashMap<Together, Batch> = HashMap::new();
    let mut reported = Instant::now();
    while !stop.is_cancelled() {
        if working.is_none() {
            let in_hand = gathering.drain().flat_map(|(_, batch)| batch.deliveries).collect();
            hand_back(in_hand, Duration::ZERO).await;
            tokio::time::sleep(TURN).await;
            continue;
        }
        let in_hand: usize = gathering.values().map(|batch| batch.deliveries.len()).sum();
        let room = IN_HAND_MAX.saturating_sub(in_hand);
        if let Err(error) = fetch(&ledger, [&confirmed, &deferred, &restored], room, &mut gathering).await {
            tracing::warn!(%error, "no confirmed payments to be had");
            tokio::time::sleep(NEIGHBOUR_PAUSE).await;
        }
        hand_over(&mut gathering, &mut asked, config.settings.now().mint_wait_max);
        if reported.elapsed() >= PROGRESS_INTERVAL {
            reported = Instant::now();
            for delivery in gathering.values().flat_map(|batch| &batch.deliveries) {
                delivery.progress().await;
            }
        }
    }
    Ok(())
}

async fn fetch(
    ledger: &Ledger,
    [confirmed, deferred, restored]: [&Inbox; 3],
    room: usize,
    gathering: &mut HashMap<Together, Batch>,
) -> Result<(), LedgerError> {
    if room == 0 {
        tokio::time::sleep(TURN).await;
        return Ok(());
    }
    let mut found = confirmed.fetch(room, TURN, Duration::ZERO).await?;
    found.extend(deferred.take(room).await?);
    found.extend(restored.take(room).await?);
    let ids: Vec<PaymentId> = found.iter().filter_map(|delivery| Some(delivery.order()?.0)).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let mut loaded = ledger.load_orders(&ids).await?;
    for delivery in found {
        let found = delivery.order().and_then(|(id, _)| Some((id, loaded.remove(&id)?)));
        match found {
            Some((id, Ok(order))) => {
                match order.state.as_ref().map(|order| (&order.request.purchase, order.mint_group())) {
                    Some((&Purchase::Mint { token, .. }, group)) => {
                        let oldest = Batch::waits_since(&delivery);
                        let batch = gathering.entry((token, group)).or_insert_with(|| Batch::new(token, oldest));
                        batch.oldest = batch.oldest.min(oldest);
                        batch.add(id, order, delivery);
                    }
                    None => delivery.nak(NEIGHBOUR_PAUSE).await,
                }
            }
            Some((_, Err(corrupt))) => confirmed.set_aside(delivery, &corrupt.to_string()).await?,
            None => delivery.nak(NEIGHBOUR_PAUSE).await,
        }
    }
    Ok(())
}

/// Hands full and ripe batches, oldest first, to the lanes that ask. When none does they stay here and grow.
fn hand_over(gathering: &mut HashMap<Together, Batch>, asked: &mut mpsc::Receiver<Ask>, max_wait: Duration) {
    let ripe = |batch: &Batch| batch.deliveries.len() >= MINT_BATCH_MAX || batch.oldest.elapsed() >= max_wait;
    let mut groups: Vec<(Instant, Together)> =
        gathering.iter().filter(|(_, batch)| ripe(batch)).map(|(together, batch)| (batch.oldest, *together)).collect();
    groups.sort_unstable();
    for (_, together) in groups {
        let Some(mut batch) = gathering.remove(&together) else { continue };
        let rest = batch.split_off(MINT_BATCH_MAX);
        let unasked = loop {
            let Ok(ask) = asked.try_recv() else { break Some(batch) };
            match ask.send(batch) {
                Ok(()) => break None,
                // That lane has gone: ask the next one.
                Err(back) => batch = back,
            }
        };
        let all_taken = unasked.is_none();
        let left = match unasked {
            None => rest,
            Some(mut batch) => {
                batch.append(rest);
                batch
            }
        };
        if !left.deliveries.is_empty() {
            gathering.insert(together, left);
        }
        if !all_taken {
            return;
        }
    }
}
