//! The worker of one operator's lane: takes a batch of one token, checks and tries what each order asks for, records one
//! transaction for each kind of deed and broadcasts it.

use crate::deed::{Consequence, consequence, waits};
use crate::sort::{Group, OperateResources, Sorter};
use chain::token::{Deed, OPERATE_BATCH_MAX, operate_call};
use chain::{Address, Key};
use chrono::Utc;
use domain::event::{Deferral, Purpose, RefundReason, RefundRequest, WaitReason};
use domain::lane::Rest;
use domain::order::Command;
use domain::{PaymentId, PaymentRequest};
use lanes::{Item, SignerLane, Work};
use ledger::Loaded;
use runtime::failpoint::{BATCH_SENT_NOT_ACKED, BATCH_TAKEN_NOT_SIGNED, failpoint};
use runtime::{OldestWork, Undone, causes};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::time::Instant;
use waits::{Job, OnDuty, Races};

/// Longest wait for a first order. Then the worker looks after the lane.
const IDLE: Duration = Duration::from_millis(500);

/// Time that the first order of a batch waits for others. Nobody waits for a refund by the second.
const LINGER: Duration = Duration::from_millis(200);

/// Pause before a factory is asked again whether the account is its operator.
const BARRED_PAUSE: Duration = Duration::from_secs(5);

/// An operator's lane at work.
pub struct OperateLane {
    lane: SignerLane,
    shared: OperateResources,
    sorter: Sorter,
    races: Races,
    on_duty: OnDuty,
    /// The factories of which the account was no operator when they were asked last, with the time of the next question.
    barred: HashMap<Address, Instant>,
}

impl Work for OperateLane {
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
        self.ask_again().await;
        if !self.lane.has_room() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            return Ok(());
        }
        runtime::turn("operator.gather");
        let batch = self.shared.inflow.queue.batch(self.lane.batch_max(OPERATE_BATCH_MAX), 1, IDLE, LINGER).await;
        if batch.is_empty() {
            return Ok(());
        }
        failpoint(BATCH_TAKEN_NOT_SIGNED);
        self.handle(batch).await
    }
}

impl OperateLane {
    /// Claims the lane of `key`.
    pub async fn claim(shared: OperateResources, key: Key) -> Result<Self, Undone> {
        let OperateResources { config, ledger, chain, inflow, .. } = &shared;
        let lane = SignerLane::claim(ledger.clone(), chain.clone(), key, Purpose::Operate, &config.instance).await?;
        let on_duty = inflow.duty.begin();
        let sorter = Sorter::new(shared.clone());
        Ok(Self { lane, shared, sorter, races: Races::default(), on_duty, barred: HashMap::new() })
    }

    /// Returns whether the account is an operator of `factory`. If it is none, `/readyz` says so until it is one, and the
    /// orders of other factories go on.
    async fn is_admitted(&mut self, factory: Address) -> Result<bool, Undone> {
        if self.barred.get(&factory).is_some_and(|next| Instant::now() < *next) {
            return Ok(false);
        }
        let account = self.lane.address();
        let is_operator = self.shared.chain.is_operator(factory, account).await?;
        if is_operator {
            self.barred.remove(&factory);
            self.shared.health.good(&part(account, factory));
        } else {
            self.barred.insert(factory, Instant::now() + BARRED_PAUSE);
            let why = format!("{account} is no operator of the factory {factory}: its owner appoints");
            self.shared.health.bad(&part(account, factory), why);
        }
        Ok(is_operator)
    }

    /// Asks the factories that did not admit the account again, when their time has come. One that does not answer is asked at
    /// the next turn, and holds up no other.
    async fn ask_again(&mut self) {
        let now = Instant::now();
        let due: Vec<Address> =
            self.barred.iter().filter(|(_, next)| **next <= now).map(|(factory, _)| *factory).collect();
        for factory in due {
            if let Err(error) = self.is_admitted(factory).await {
                tracing::warn!(%factory, error = %causes(&error), "the factory does not say who its operators are");
            }
        }
    }

    /// Handles a batch. However often it is called for one order, it sends one transaction for it, because an order that is
    /// in a transaction is left alone. A group that fails holds up no other.
    async fn handle(&mut self, batch: Vec<Job>) -> Result<(), Undone> {
        let mut result = Ok(());
        for Group { token, factory, deed, items, jobs } in self.sorter.sort(batch).await? {
            let sent = match self.is_admitted(factory).await {
                Ok(true) if self.lane.has_room() => self.operate(token, deed, items).await,
                Ok(_) => Ok(HashSet::new()),
                Err(error) => Err(error),
            };
            let answered = match sent {
                Ok(sent) => {
                    self.races.over();
                    failpoint(BATCH_SENT_NOT_ACKED);
                    self.answer(jobs, &sent).await
                }
                // An order or the lane has moved on. All jobs are loaded and judged again.
                Err(Undone::Stale) if self.races.lost() => {
                    jobs.into_iter().for_each(|job| self.shared.inflow.queue.push(job.party, job));
                    Ok(())
                }
                Err(error) => {
                    jobs.into_iter().for_each(|job| job.hand_back(&self.shared.inflow.carrier, &error));
                    Err(error)
                }
            };
            result = result.and(answered);
        }
        result
    }

    /// Tries `deed` for these payments, and sends it for those for which it would be done. Returns the orders in the
    /// transaction.
    async fn operate(&mut self, token: Address, deed: Deed, items: Vec<Item>) -> Result<HashSet<PaymentId>, Undone> {
        let good = self.doable(token, deed, items).await?;
        if good.is_empty() {
            return Ok(HashSet::new());
        }
        let call = operate_call(token, deed, &requests(&good));
        match deed {
            Deed::Credit => self.lane.send(call, &good, Command::Submit).await?,
            Deed::GiveBack | Deed::Refund => self.lane.send(call, &good, Command::SubmitRefund).await?,
        };
        Ok(good.iter().map(|item| item.id).collect())
    }

    /// The payments for which the deed would be done now, or was done before. For the others the reason is recorded.
    async fn doable(&self, token: Address, deed: Deed, items: Vec<Item>) -> Result<Vec<Item>, Undone> {
        let OperateResources { ledger, chain, .. } = &self.shared;
        let results = chain.try_operate(self.lane.address(), token, deed, &requests(&items)).await?;
        let mut good = Vec::with_capacity(items.len());
        for (item, result) in items.into_iter().zip(results) {
            match consequence(deed, result) {
                Consequence::Send => good.push(item),
                Consequence::GoBack => item.record(ledger, Command::RequestRefund(sold_out())).await?,
                Consequence::AskWhy => match chain.why_not_back(&item.order.request).await {
                    Ok((reason, detail)) => self.defer(&item, reason, detail).await?,
                    Err(error) => {
                        tracing::warn!(payment = %item.id, error = %causes(&error), "not returned, and the asset does not say why");
                    }
                },
                Consequence::Defer(detail) => self.defer(&item, WaitReason::Unexplained, detail).await?,
                Consequence::Wait(why) => tracing::warn!(payment = %item.id, why, "the payment is not recorded now"),
            }
        }
        Ok(good)
    }

    /// Defers a refund, with a visible reason. A reason that is recorded already is not recorded again.
    async fn defer(&self, item: &Item, reason: WaitReason, detail: String) -> Result<(), Undone> {
        let retry_at = Utc::now() + self.shared.backoff().pause(item.order.refund.counts().deferred);
        item.record(&self.shared.ledger, Command::DeferRefund(Deferral { reason, detail, retry_at })).await
    }

    /// Answers the jobs of a group that was handled. Orders that are not in the transaction are read again.
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
                left.into_iter().for_each(|job| job.hand_back(&self.shared.inflow.carrier, &error));
                return Err(error);
            }
        };
        for job in left {
            match loaded.remove(&job.id) {
                Some(Ok(Loaded { state: Some(order), .. })) if !job.carries(&order, waits) => job.done(),
                Some(Err(error)) => job.fail(&self.shared.inflow.carrier, error),
                Some(Ok(_)) | None => {
                    let wait = self.shared.backoff().pause(job.tries);
                    job.later(&self.shared.inflow.carrier, wait);
                }
            }
        }
        Ok(())
    }
}

/// A lane that ends stands in nobody's way.
impl Drop for OperateLane {
    fn drop(&mut self) {
        for factory in self.barred.keys() {
            self.shared.health.good(&part(self.lane.address(), *factory));
        }
    }
}

/// Name in `/readyz` of an account at a factory.
fn part(account: Address, factory: Address) -> String {
    format!("lane {account} at {factory}")
}

/// The decision that a payment around the token goes back, because it cannot be recorded.
fn sold_out() -> RefundRequest {
    let detail = "too few units are left to record the payment".to_owned();
    RefundRequest { reason: RefundReason::SoldOut, by: "operator".to_owned(), detail }
}

fn requests(items: &[Item]) -> Vec<&PaymentRequest> {
    items.iter().map(|item| &item.order.request).collect()
}
