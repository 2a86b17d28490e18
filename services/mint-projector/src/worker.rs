//! One mint lane's worker: ask for a batch, verify, simulate, record, broadcast.

use crate::config::Config;
use crate::exposure::Exposure;
use crate::gather::{Ask, Batch, OnDuty, Working};
use crate::verify::{Receipts, Verdict};
use chain::{Address, Chain, Key, MintItem, MintResult};
use chrono::Utc;
use domain::event::Purpose;
use domain::event::{Deferral, Minted, ParkReason, Parked, WaitReason};
use domain::order::Command;
use domain::{Order, PaymentId, Purchase, TokenTerms};
use lanes::{Item, LaneError, NEIGHBOUR_PAUSE, SignerLane, Terms, Work};
use ledger::{Delivery, Ledger, Loaded, hand_back, keep};
use runtime::failpoint;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Looks after the lane at least this often.
const IDLE: Duration = Duration::from_millis(500);

/// Times that a lost race is run again before the messages are handed back.
const RACES_MAX: usize = 5;

/// What all lanes of this process work with.
#[derive(Clone)]
pub struct Station {
    pub config: Config,
    pub ledger: Ledger,
    pub chain: Chain,
    pub exposure: Exposure,
    /// How a lane asks for the next batch.
    pub ask: mpsc::Sender<Ask>,
    pub working: Working,
}

/// A mint lane at work.
pub struct Worker {
    lane: SignerLane,
    station: Station,
    terms: Terms,
    answer: Option<oneshot::Receiver<Batch>>,
    _on_duty: OnDuty,
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
        match tokio::time::timeout(IDLE, self.next_batch()).await {
            Ok(Some(batch)) => self.handle(batch).await,
            // Gathering has stopped, and so will this.
            Ok(None) => {
                tokio::time::sleep(IDLE).await;
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }
}

impl Worker {
    /// Claims the lane of `key`.
    pub async fn claim(station: Station, key: Key) -> Result<Self, LaneError> {
        let Station { config, ledger, chain, .. } = &station;
        let lane = SignerLane::claim(ledger.clone(), chain.clone(), key, Purpose::Mint, &config.instance).await?;
        let on_duty = station.working.begin();
        Ok(Self { lane, station, terms: Terms::default(), answer: None, _on_duty: on_duty })
    }

    /// Asks once and waits for the answer, over as many turns as it takes.
    async fn next_batch(&mut self) -> Option<Batch> {
        if self.answer.is_none() {
            let (ask, answer) = oneshot::channel();
            self.station.ask.send(ask).await.ok()?;
            self.answer = Some(answer);
        }
        let batch = self.answer.as_mut()?.await.ok();
        self.answer = None;
        batch
    }

    /// Called once or ten times for one message, it mints once: who finds it in a transaction leaves it alone, and the
    /// contract skips a payment key that it has seen.
    async fn handle(&mut self, batch: Batch) -> Result<(), LaneError> {
        failpoint("C16");
        let Batch { token, deliveries, orders, .. } = batch;
        let mut orders = Some(orders);
        for _ in 0..RACES_MAX {
            match keep(&deliveries, self.mint(token, &deliveries, orders.take())).await {
                Ok(()) => {
                    failpoint("C10");
                    let retry = self.station.config.settings.now().mint_retry;
                    return Ok(self.station.ledger.answer(deliveries, |_| retry).await?);
                }
                Err(LaneError::Stale) => {}
                Err(error) => {
                    hand_back(deliveries, NEIGHBOUR_PAUSE).await;
                    return Err(error);
                }
            }
        }
        hand_back(deliveries, NEIGHBOUR_PAUSE).await;
        Ok(())
    }

    /// `orders` as they were gathered; none: they are loaded now. What the contract has minted already is judged by orders
    /// that are loaded now: a message that comes again while its first delivery is in hand (the server was away, F02) has
    /// been gathered with an order that another batch has moved since.
    async fn mint(
        &mut self,
        token: Address,
        deliveries: &[Delivery],
        orders: Option<HashMap<PaymentId, Loaded<Order>>>,
    ) -> Result<(), LaneError> {
        let as_gathered = orders.is_some();
        let owed = owed(deliveries, self.loaded(deliveries, orders).await?);
        let reservation = self.station.exposure.reserve(owed).await?;
        let taken = reservation.taken();
        let sent = self.mint_owed(token, reservation.items, as_gathered).await;
        match &sent {
            Ok(in_ledger) => self.station.exposure.release(&taken, in_ledger).await,
            Err(LaneError::Stale) => self.station.exposure.release(&taken, &[]).await,
            // It may be in the ledger: it counts until its payment is final, and may be tried again meanwhile.
            Err(LaneError::Transient(_) | LaneError::Broken(_)) => {}
        }
        sent.map(|_| ())
    }

    /// Answers with the orders that are in the transaction.
    async fn mint_owed(
        &mut self,
        token: Address,
        owed: Vec<Item>,
        as_gathered: bool,
    ) -> Result<Vec<PaymentId>, LaneError> {
        if owed.is_empty() {
            return Ok(Vec::new());
        }
        let Some(terms) = self.terms.of(&self.station.ledger, token).await? else {
            let why =
                Parked { reason: ParkReason::Inconsistent, detail: format!("the token {token} is not registered") };
            for item in &owed {
                item.record(&self.station.ledger, Command::ParkMint(why.clone())).await?;
            }
            return Ok(Vec::new());
        };
        let paid = self.paid(owed, &terms).await?;
        if paid.is_empty() {
            return Ok(Vec::new());
        }
        let good = self.mintable(token, paid, as_gathered).await?;
        if good.is_empty() {
            return Ok(Vec::new());
        }
        let call = self.station.chain.mint_call(token, &entries(&good));
        self.lane.send(call, &good, Command::SubmitMint).await?;
        Ok(good.iter().map(|item| item.id).collect())
    }

    /// Those that would be minted now. What the simulation skips is said of each; where it reverts as a whole, halves are
    /// tried, until what spoils it stands alone and is parked (C22).
    ///
    /// # Errors
    /// `Stale`, of orders `as_gathered`: one of them is minted already, load them again.
    async fn mintable(&self, token: Address, paid: Vec<Item>, as_gathered: bool) -> Result<Vec<Item>, LaneError> {
        let mut good = Vec::with_capacity(paid.len());
        let mut groups = vec![paid];
        while let Some(mut group) = groups.pop() {
            let call = self.station.chain.mint_call(token, &entries(&group));
            match self.station.chain.simulate_mint(self.lane.address(), &call).await {
                Ok(results) => {
                    if as_gathered && results.contains(&MintResult::AlreadyMinted) {
                        return Err(LaneError::Stale);
                    }
                    for (item, result) in group.into_iter().zip(results) {
                        match result {
                            MintResult::Minted => good.push(item),
                            other => self.skip(&item, token, other).await?,
                        }
                    }
                }
                Err(fails) if fails.is_failed_call() => match group.as_slice() {
                    [] => {}
                    [alone] => {
                        let detail = fails.to_string().chars().take(200).collect();
                        let why = Parked { reason: ParkReason::Unexplained, detail };
                        alone.record(&self.station.ledger, Command::ParkMint(why)).await?;
                    }
                    [_, _, ..] => {
                        let half = group.split_off(group.len() / 2);
                        groups.extend([half, group]);
                    }
                },
                Err(other) => return Err(other.into()),
            }
        }
        Ok(good)
    }

    async fn loaded(
        &self,
        deliveries: &[Delivery],
        gathered: Option<HashMap<PaymentId, Loaded<Order>>>,
    ) -> Result<HashMap<PaymentId, Loaded<Order>>, LaneError> {
        if let Some(orders) = gathered {
            return Ok(orders);
        }
        let ids: Vec<PaymentId> = deliveries.iter().filter_map(|delivery| Some(delivery.order()?.0)).collect();
        let loaded = self.station.ledger.load_orders(&ids).await?;
        Ok(loaded.into_iter().filter_map(|(id, order)| Some((id, order.ok()?))).collect())
    }

    /// Reads each payment's log pair from the chain; what contradicts it is parked, what is not seen waits.
    async fn paid(&self, owed: Vec<Item>, terms: &TokenTerms) -> Result<Vec<Item>, LaneError> {
        let mut receipts = Receipts::default();
        let mut paid = Vec::with_capacity(owed.len());
        for item in owed {
            let Some(proof) = item.order.payment.done() else { continue };
            match receipts.verify(&self.station.chain, &item.order.request, proof, terms).await? {
                Verdict::Paid => paid.push(item),
                Verdict::NotSeen => tracing::warn!(payment = %item.id, "the node does not show the payment now"),
                Verdict::Wrong(why) => item.record(&self.station.ledger, Command::ParkMint(why)).await?,
            }
        }
        Ok(paid)
    }

    /// Simulation says that the contract would skip it.
    async fn skip(&self, item: &Item, token: Address, result: MintResult) -> Result<(), LaneError> {
        let park = |reason, detail: &str| Command::ParkMint(Parked { reason, detail: detail.to_owned() });
        let command = match result {
            MintResult::AlreadyMinted => match self.minted_before(item, token).await? {
                Some((minted, true)) => Command::ConfirmMint(minted),
                // Not deep enough: looked at again when the message comes again.
                Some((_, false)) => return Ok(()),
                None => park(ParkReason::MintedElsewhere, "the contract says minted, but no transaction is found"),
            },
            MintResult::AlreadyRefunded => park(ParkReason::AlreadyRefunded, "the contract says refunded"),
            MintResult::OverCap => park(ParkReason::OverCap, "the token's cap is reached"),
            MintResult::BadRecipient => park(ParkReason::BadRecipient, "the token refuses the recipient"),
            MintResult::Refused(code) => park(ParkReason::Unexplained, &format!("the contract answers {code}")),
            MintResult::Minted | MintResult::Unpaid => {
                let detail = "the token has not received enough for it".to_owned();
                let retry_at = Utc::now() + self.station.config.settings.now().mint_retry;
                Command::DeferMint(Deferral { reason: WaitReason::Unpaid, detail, retry_at })
            }
        };
        failpoint("C22");
        item.record(&self.station.ledger, command).await
    }

    /// The mint that the contract remembers, and whether it is deep enough.
    async fn minted_before(&self, item: &Item, token: Address) -> Result<Option<(Minted, bool)>, LaneError> {
        let request = &item.order.request;
        let Purchase::Mint { quantity, .. } = request.purchase;
        let Some((tx_hash, block)) = self.station.chain.find_mint(token, request.payment_key).await? else {
            return Ok(None);
        };
        let deep = self.station.chain.is_confirmed(block, self.station.chain.head().await?).await?;
        Ok(Some((Minted { tx_hash, block, to: request.payer(), quantity }, deep)))
    }
}

/// The orders that these messages carry on, and that are due.
fn owed(deliveries: &[Delivery], mut loaded: HashMap<PaymentId, Loaded<Order>>) -> Vec<Item> {
    let mut owed = Vec::with_capacity(deliveries.len());
    for (id, event) in deliveries.iter().filter_map(Delivery::order) {
        let Some(item) = loaded.remove(&id).and_then(|order| Item::of(id, order)) else { continue };
        let due = item.order.mint.deferral().is_none_or(|why| why.retry_at <= Utc::now());
        if item.order.is_carried_by(event) && due {
            owed.push(item);
        }
    }
    owed
}

/// One entry per payment, whatever its quantity.
fn entries(items: &[Item]) -> Vec<MintItem> {
    items
        .iter()
        .map(|item| {
            let request = &item.order.request;
            let Purchase::Mint { quantity, .. } = request.purchase;
            MintItem { id: item.id, payment_key: request.payment_key, to: request.payer(), quantity }
        })
        .collect()
}
