//! The worker of one settlement lane: takes a batch, checks and simulates it, records the transaction and broadcasts
//! it.

use crate::arrivals::{Arrivals, remaining};
use crate::company::{Burned, Companies};
use crate::config::Config;
use crate::recheck::recheck;
use crate::trial::{Tried, Verdict, defer, verdicts_of};
use chain::token::{PAY_BATCH_MAX, SEGMENTS_MAX, pay_call, segments};
use chain::{Address, Chain, Key};
use chrono::Utc;
use domain::event::{LegName, Purpose};
use domain::lane::Rest;
use domain::order::Command;
use domain::order::Stage;
use domain::{Order, PaymentId, Purchase};
use lanes::{Item, SignerLane, TermsCache, Work};
use ledger::{Ledger, Loaded, Newest};
use runtime::failpoint::{BATCH_SENT_NOT_ACKED, BATCH_TAKEN_NOT_SIGNED, failpoint};
use runtime::{Backoff, OldestWork, Undone, causes};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use waits::{Carrier, Job, OnDuty, Races};

/// Longest wait for a first payment. Then the worker looks after the lane.
const IDLE: Duration = Duration::from_millis(500);

/// The longest wait between two tries of a payment that would fail.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Resources that all lanes of this process share.
#[derive(Clone)]
pub struct SettleResources {
    pub config: Config,
    pub ledger: Ledger,
    pub chain: Chain,
    pub arrivals: Arrivals,
    pub burned: Burned,
}

/// A settlement lane at work.
pub struct SettleLane {
    lane: SignerLane,
    shared: SettleResources,
    terms: TermsCache,
    races: Races,
    on_duty: OnDuty,
    /// Nonce of the latest transaction with a payment that goes alone.
    alone: Option<u64>,
}

/// The next step for an order.
enum Next {
    Send(Box<Item>),
    /// Nothing to do: the effect of its message is in the ledger.
    Done,
    Later(Duration),
    Park(String),
}

impl Work for SettleLane {
    fn rests(&self) -> Option<Rest> {
        self.lane.rests()
    }

    fn oldest(&self) -> Option<OldestWork> {
        self.lane.oldest()
    }

    async fn turn(&mut self) -> Result<(), Undone> {
        let tended = self.lane.tend().await;
        self.on_duty.follow(tended.is_ok() && self.lane.rests().is_none());
        tended?;
        if !self.lane.has_room() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            return Ok(());
        }
        runtime::turn("payment-sender.gather");
        let (payments, tokens) = (self.lane.batch_max(PAY_BATCH_MAX), self.lane.batch_max(SEGMENTS_MAX));
        let batch = self.shared.arrivals.batch(payments, tokens, IDLE, self.linger()).await;
        if batch.is_empty() {
            return Ok(());
        }
        failpoint(BATCH_TAKEN_NOT_SIGNED);
        self.handle(batch).await
    }
}

impl SettleLane {
    /// Claims the lane of `key`.
    pub async fn claim(shared: SettleResources, key: Key) -> Result<Self, Undone> {
        let SettleResources { config, ledger, chain, arrivals, .. } = &shared;
        let lane = SignerLane::claim(ledger.clone(), chain.clone(), key, Purpose::Settle, &config.instance).await?;
        let on_duty = arrivals.duty.begin();
        Ok(Self { lane, shared, terms: TermsCache::default(), races: Races::default(), on_duty, alone: None })
    }

    fn carrier(&self) -> &Carrier {
        &self.shared.arrivals.carrier
    }

    /// Pauses between two tries of a payment that would fail.
    fn backoff(&self) -> Backoff {
        Backoff { first: self.shared.config.settings.now().payment_retry, max: RETRY_MAX }
    }

    /// How long the first payment of a batch waits for more payments. It waits longer if more of the lane's
    /// transactions wait for a block, because a transaction behind them gains little time and costs gas. A lane without
    /// any waits for `linger`.
    fn linger(&self) -> Duration {
        let waiting = u32::try_from(self.lane.in_flight()).unwrap_or(u32::MAX);
        self.shared.config.settings.now().settlement_linger.saturating_mul(waiting.saturating_add(1))
    }

    /// Handles a batch. However often it is called for one order, it sends one payment, because an order that is in a
    /// transaction is left alone.
    async fn handle(&mut self, batch: Vec<Job>) -> Result<(), Undone> {
        let mut jobs = Vec::with_capacity(batch.len());
        let sent = match self.sort(batch, &mut jobs).await {
            Ok(items) if items.is_empty() => return Ok(()),
            Ok(items) => self.send(items, &mut jobs).await,
            Err(error) => Err(error),
        };
        match sent {
            Ok(sent) => {
                self.races.over();
                failpoint(BATCH_SENT_NOT_ACKED);
                self.answer(jobs, &sent).await
            }
            // An order or the lane has moved on. All jobs are loaded and judged again.
            Err(Undone::Stale) if self.races.lost() => {
                jobs.into_iter().for_each(|job| self.shared.arrivals.again(job));
                Ok(())
            }
            Err(error) => {
                jobs.into_iter().for_each(|job| job.hand_back(self.carrier(), &error));
                Err(error)
            }
        }
    }

    /// Answers the jobs whose orders need no sending. The other jobs are put into `jobs`, and their orders are
    /// returned. After an error all jobs without an answer are in `jobs`.
    async fn sort(&mut self, mut batch: Vec<Job>, jobs: &mut Vec<Job>) -> Result<Vec<Item>, Undone> {
        let (mut known, mut unknown) = (HashMap::new(), Vec::new());
        for job in &mut batch {
            // After a lost race all are read: one order has moved on behind its message, so others may have, too.
            match job.take_newest().filter(|_| !self.races.are_on()).and_then(Newest::new_order) {
                Some(order) => _ = known.insert(job.id, Ok(order)),
                None => unknown.push(job.id),
            }
        }
        // If another job of an order needs all of it, both are judged by all of it.
        match self.shared.ledger.load_orders(&unknown).await {
            Ok(loaded) => known.extend(loaded),
            Err(error) => {
                jobs.extend(batch);
                return Err(error.into());
            }
        }
        let mut items: Vec<Item> = Vec::new();
        let mut batch = batch.into_iter();
        while let Some(job) = batch.next() {
            if items.iter().any(|item| item.id == job.id) {
                jobs.push(job);
                continue;
            }
            let next = match known.remove(&job.id) {
                Some(Ok(order)) => self.next(&job, order).await,
                Some(Err(error)) => {
                    job.fail(self.carrier(), error);
                    continue;
                }
                // A second job of an order that was handled above.
                None => Ok(Next::Later(IDLE)),
            };
            match next {
                Ok(Next::Send(item)) => {
                    items.push(*item);
                    jobs.push(job);
                }
                Ok(Next::Done) => job.done(),
                Ok(Next::Later(delay)) => job.later(self.carrier(), delay),
                Ok(Next::Park(why)) => job.park(why),
                // A registration of a newer build holds the orders of its token, and no others.
                Err(error @ Undone::Unknown(_)) => job.fail(self.carrier(), error),
                Err(error) => {
                    jobs.push(job);
                    jobs.extend(batch);
                    return Err(error);
                }
            }
        }
        Ok(items)
    }

    async fn next(&mut self, job: &Job, loaded: Loaded<Order>) -> Result<Next, Undone> {
        let Some(item) = Item::of(job.id, loaded) else { return Ok(Next::Later(IDLE)) };
        if !job.carries(&item.order, waits) {
            return Ok(Next::Done);
        }
        // The money of this order is to go back, and its charge fell out of the chain. It waits until somebody else has it
        // charged, or its window closes.
        if !item.order.progress().may_submit(LegName::Payment) {
            return Ok(Next::Later(RETRY_MAX));
        }
        if let Some(wait) = remaining(&item.order) {
            return Ok(Next::Later(wait.min(RETRY_MAX)));
        }
        let token = token_of(&item.order);
        let Some(terms) = self.terms.of(&self.shared.ledger, token).await? else {
            return Ok(Next::Park(format!("the token {token} is not registered")));
        };
        let chain = self.shared.chain.config();
        if let Err(forged) = recheck(&item.order.request, &terms, &chain.asset, chain.chain_id) {
            return Ok(Next::Park(format!("not sent: {forged:?}")));
        }
        Ok(Next::Send(Box::new(item)))
    }

    /// Answers the jobs of a batch that was handled. The append has put the sent orders into a transaction at the
    /// version that was read, so reading them again would show nothing else. Only the other orders are read again.
    async fn answer(&self, jobs: Vec<Job>, sent: &HashSet<PaymentId>) -> Result<(), Undone> {
        let (done, left): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| sent.contains(&job.id));
        done.into_iter().for_each(Job::done);
        if left.is_empty() {
            return Ok(());
        }
        let ids: Vec<PaymentId> = left.iter().map(|job| job.id).collect();
        let mut loaded = match self.shared.ledger.load_orders(&ids).await {
            Ok(loaded) => loaded,
            Err(error) => {
                let error = error.into();
                left.into_iter().for_each(|job| job.hand_back(self.carrier(), &error));
                return Err(error);
            }
        };
        for job in left {
            match loaded.remove(&job.id) {
                Some(Ok(Loaded { state: Some(order), .. })) if !job.carries(&order, waits) => job.done(),
                Some(Err(error)) => job.fail(self.carrier(), error),
                // A second job of one order is judged when it comes again.
                Some(Ok(_)) | None => {
                    let wait = self.backoff().pause(job.tries);
                    job.later(self.carrier(), wait);
                }
            }
        }
        Ok(())
    }

    /// Sends the payments in the company that they may have. Returns the orders in transactions.
    async fn send(&mut self, items: Vec<Item>, jobs: &mut Vec<Job>) -> Result<HashSet<PaymentId>, Undone> {
        let payers: Vec<Address> = items.iter().map(|item| item.order.request.payer()).collect();
        // A payer with code then costs the gas of one failure, and goes alone.
        let code = self.shared.chain.with_code(&payers).await.unwrap_or_else(|error| {
            tracing::debug!(error = %causes(&error), "no node tells which payers have code");
            HashSet::new()
        });
        let per_day = self.shared.config.settings.now().payer_gas_per_day;
        let Companies { ordinary, with_code, alone } = self.shared.burned.sort(items, &code, per_day, Utc::now());
        let mut sent = HashSet::new();
        for items in [ordinary, with_code].into_iter().filter(|items| !items.is_empty()) {
            if self.lane.has_room() {
                sent.extend(self.send_together(items, jobs).await?);
            }
        }
        // One at a time: its payer may let it fail, and every further one would cost gas before this one tells.
        let is_free = self.alone.is_none_or(|nonce| !self.lane.is_in_flight(nonce));
        if !alone.is_empty() && is_free && self.lane.has_room() {
            sent.extend(self.send_alone(alone, per_day).await?);
        }
        Ok(sent)
    }

    /// Tries the payments, defers those that would fail, and sends the others in one transaction. Returns the orders in
    /// the transaction. A payment about which nothing is known now is neither sent nor deferred. The `jobs` of payments that
    /// the trial did not reach go back into the queue: a pause would be the price of what others did.
    async fn send_together(&mut self, items: Vec<Item>, jobs: &mut Vec<Job>) -> Result<HashSet<PaymentId>, Undone> {
        let Tried { good, waiting, unreached, .. } = self.tried(by_token(items)).await?;
        defer(&self.shared.ledger, waiting).await?;
        let (again, rest) = std::mem::take(jobs).into_iter().partition(|job| unreached.contains(&job.id));
        *jobs = rest;
        for job in again {
            self.shared.arrivals.again(job);
        }
        if !good.is_empty() {
            self.sign(&good).await?;
        }
        Ok(good.iter().map(|item| item.id).collect())
    }

    /// Tries the payments, and sends one of them in a transaction of its own. The others, and those whose payers have used up
    /// their gas, wait. A payment that its token knows costs no second transaction, so it goes first and needs no budget.
    async fn send_alone(&mut self, items: Vec<Item>, per_day: u64) -> Result<HashSet<PaymentId>, Undone> {
        let Tried { good, mut waiting, known, .. } = self.tried(by_token(items)).await?;
        let (mut known, new): (Vec<Item>, Vec<Item>) = good.into_iter().partition(|item| known.contains(&item.id));
        let (mut next, now) = (known.pop(), Utc::now());
        for item in new {
            match self.shared.burned.over_budget(item.order.request.payer(), per_day, now) {
                Some(why) => waiting.push((item, why)),
                None if next.is_none() => next = Some(item),
                None => {}
            }
        }
        defer(&self.shared.ledger, waiting).await?;
        let Some(item) = next else { return Ok(HashSet::new()) };
        let item = [item];
        self.alone = Some(self.sign(&item).await?);
        Ok(item.iter().map(|item| item.id).collect())
    }

    /// Sends `items` in one transaction, and returns its nonce.
    async fn sign(&mut self, items: &[Item]) -> Result<u64, Undone> {
        let call = pay_call(self.shared.config.hub, &segments(items.iter().map(|item| &item.order.request)));
        self.lane.send(call, items, Command::Submit).await
    }

    /// Tries the payments, each token by itself.
    ///
    /// # Errors
    /// No token could be tried.
    async fn tried(&self, items: Vec<Item>) -> Result<Tried, Undone> {
        let parts = segments(items.iter().map(|item| &item.order.request));
        let trials = self.shared.chain.try_pay(self.lane.address(), &parts).await;
        let (mut failure, mut is_any_known) = (None, false);
        let mut verdicts = Vec::with_capacity(items.len());
        for (part, trial) in parts.iter().zip(trials) {
            match trial {
                Ok(trials) => {
                    is_any_known = true;
                    verdicts.extend(verdicts_of(trials));
                }
                Err(error) => {
                    tracing::warn!(token = %part.token, error = %causes(&error), "payments to the token cannot be tried now");
                    verdicts.extend(part.requests.iter().map(|_| Verdict::Unknown));
                    failure = Some(error);
                }
            }
        }
        match failure {
            Some(error) if !is_any_known => Err(error.into()),
            _ => Ok(Tried::of(items, verdicts, self.backoff())),
        }
    }
}

/// The items in the order of the call: those of one token stand together.
fn by_token(items: Vec<Item>) -> Vec<Item> {
    let mut tokens: Vec<(Address, Vec<Item>)> = Vec::new();
    for item in items {
        let token = token_of(&item.order);
        match tokens.iter_mut().find(|(known, _)| *known == token) {
            Some((_, items)) => items.push(item),
            None => tokens.push((token, vec![item])),
        }
    }
    tokens.into_iter().flat_map(|(_, items)| items).collect()
}

fn token_of(order: &Order) -> Address {
    let Purchase::Mint { token, .. } = order.request.purchase;
    token
}

/// True if a payment that came due still waits to be sent.
fn waits(order: &Order) -> bool {
    matches!(order.stage(), Stage::Requested | Stage::Deferred)
}
