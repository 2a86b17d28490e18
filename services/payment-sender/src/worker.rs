//! One lane's worker. It may be killed at any line: what it began is in the ledger or did not happen.

use crate::config::Config;
use crate::recheck::recheck;
use chain::{Asset, Call, Chain, Key, SETTLE_BATCH_MAX, Simulated};
use chrono::Utc;
use domain::event::{Deferral, Submission, WaitReason};
use domain::lane::Purpose;
use domain::order::{Command, decide};
use domain::{Event, Order, OrderEvent, PaymentId, Purchase, Stage, TokenTerms};
use lanes::{LaneError, SignerLane};
use ledger::{AppendError, Delivery, Expected, Inbox, Ledger, Loaded, NewEvent, keep};
use runtime::{CancellationToken, Fatal, Health, failpoint};
use std::collections::HashMap;
use std::time::Duration;

/// Waits for a first message this long, then looks after the lane.
const IDLE: Duration = Duration::from_millis(500);

/// After a neighbour's fault the batch comes again after this.
const NEIGHBOUR_PAUSE: Duration = Duration::from_secs(1);

/// The longest wait between two tries of a payment that would fail.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Times that a lost race is run again before the messages are handed back.
const RACES_MAX: usize = 5;

/// A lane at work.
pub struct Worker {
    lane: SignerLane,
    ledger: Ledger,
    chain: Chain,
    requested: Inbox,
    deferred: Inbox,
    tokens: HashMap<chain::Address, TokenTerms>,
    config: Config,
    health: Health,
}

/// An order that may be sent, with the version that its append must name.
struct Candidate {
    id: PaymentId,
    order: Order,
    version: u64,
    trace: Option<String>,
}

/// What is to be done with a message now.
enum Next {
    Send(Box<Candidate>),
    /// What it asked for is in the ledger.
    Done,
    Later(Duration),
    SetAside(String),
}

impl Worker {
    /// Claims the lane of `key` and binds to the consumers.
    pub async fn start(config: &Config, key: Key, ledger: Ledger, chain: Chain, health: Health) -> Result<Self, Fatal> {
        let lane = SignerLane::claim(ledger.clone(), chain.clone(), key, Purpose::Settle, &config.instance).await?;
        let requested = ledger.inbox("payment-sender").await?;
        let deferred = ledger.inbox("payment-sender-deferred").await?;
        let (tokens, config) = (HashMap::new(), config.clone());
        Ok(Self { lane, ledger, chain, requested, deferred, tokens, config, health })
    }

    /// Fetches and sends until `stop`.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Fatal> {
        while !stop.is_cancelled() {
            match self.turn().await {
                Ok(()) => self.health.good("lanes"),
                Err(LaneError::Broken(why)) => return Err(why.into()),
                Err(error) => {
                    self.health.bad("lanes", error.to_string());
                    tracing::warn!(signer = %self.lane.address(), %error, "the lane pauses");
                    tokio::time::sleep(NEIGHBOUR_PAUSE).await;
                }
            }
        }
        Ok(())
    }

    async fn turn(&mut self) -> Result<(), LaneError> {
        self.lane.tend().await?;
        if !self.lane.has_room() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            return Ok(());
        }
        let mut batch = self.requested.fetch(SETTLE_BATCH_MAX, IDLE, self.config.linger).await?;
        batch.extend(self.deferred.take(SETTLE_BATCH_MAX - batch.len().min(SETTLE_BATCH_MAX)).await?);
        if batch.is_empty() {
            return Ok(());
        }
        failpoint("C05");
        self.handle(batch).await
    }

    /// Called once or ten times for one message, it sends one payment: who finds it in a transaction leaves it alone.
    async fn handle(&mut self, batch: Vec<Delivery>) -> Result<(), LaneError> {
        let mut open = batch;
        for _ in 0..RACES_MAX {
            let (candidates, waiting) = self.sort(open).await?;
            if candidates.is_empty() {
                return Ok(());
            }
            match keep(&waiting, self.send(candidates)).await {
                Ok(()) => {
                    failpoint("C10");
                    // In the ledger, with their transaction or with their reason to wait.
                    return self.finish(waiting).await;
                }
                Err(LaneError::Stale) => open = waiting,
                Err(error) => {
                    hand_back(waiting).await;
                    return Err(error);
                }
            }
        }
        hand_back(open).await;
        Ok(())
    }

    /// Answers what needs no sending; keeps what does.
    async fn sort(&mut self, batch: Vec<Delivery>) -> Result<(Vec<Candidate>, Vec<Delivery>), LaneError> {
        let ids: Vec<PaymentId> = batch.iter().filter_map(order_id).collect();
        let mut loaded = match self.ledger.load_orders(&ids).await {
            Ok(loaded) => loaded,
            Err(error) => {
                hand_back(batch).await;
                return Err(error.into());
            }
        };
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut waiting = Vec::new();
        for delivery in batch {
            let Event::Order(id, event) = &delivery.event else {
                self.requested.set_aside(delivery, "not an order's message").await?;
                continue;
            };
            let id = *id;
            if candidates.iter().any(|candidate| candidate.id == id) {
                waiting.push(delivery);
                continue;
            }
            let next = match loaded.remove(&id) {
                Some(Ok(order)) => self.next(id, event, order).await?,
                Some(Err(corrupt)) => Next::SetAside(corrupt.to_string()),
                // Decided a moment ago for another message of the same order.
                None => Next::Done,
            };
            match next {
                Next::Send(candidate) => {
                    candidates.push(*candidate);
                    waiting.push(delivery);
                }
                Next::Done => delivery.ack().await,
                Next::Later(delay) => delivery.nak(delay).await,
                Next::SetAside(why) => self.requested.set_aside(delivery, &why).await?,
            }
        }
        Ok((candidates, waiting))
    }

    async fn next(&mut self, id: PaymentId, event: &OrderEvent, loaded: Loaded<Order>) -> Result<Next, LaneError> {
        let Some(order) = loaded.state else { return Ok(Next::Later(NEIGHBOUR_PAUSE)) };
        if !order.is_carried_by(event) {
            return Ok(Next::Done);
        }
        if let Stage::Deferred(why) = &order.stage
            && let Ok(wait) = (why.retry_at - Utc::now()).to_std()
        {
            return Ok(Next::Later(wait.min(RETRY_MAX)));
        }
        let Purchase::Mint { token, .. } = &order.request.purchase;
        let Some(terms) = self.terms(*token).await? else {
            return Ok(Next::SetAside(format!("the token {token} is not registered")));
        };
        let asset: &Asset = &self.chain.config().asset;
        if let Err(forged) = recheck(&order.request, &terms, asset, self.chain.config().chain_id) {
            return Ok(Next::SetAside(format!("not sent: {forged:?}")));
        }
        Ok(Next::Send(Box::new(Candidate { id, version: loaded.version, trace: loaded.trace, order })))
    }

    /// Terms never change, so they are read once.
    async fn terms(&mut self, token: chain::Address) -> Result<Option<TokenTerms>, LaneError> {
        if let Some(terms) = self.tokens.get(&token) {
            return Ok(Some(terms.clone()));
        }
        let terms = self.ledger.token(token).await?;
        if let Some(terms) = &terms {
            self.tokens.insert(token, terms.clone());
        }
        Ok(terms)
    }

    /// Simulates first and leaves out what would fail; then one atomic batch, then the broadcast.
    async fn send(&mut self, candidates: Vec<Candidate>) -> Result<(), LaneError> {
        let call = self.call(&candidates);
        let requests: Vec<_> = candidates.iter().map(|candidate| &candidate.order.request).collect();
        let simulated = self.chain.simulate_settle(self.lane.address(), &call, &requests).await?;
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for (candidate, outcome) in candidates.into_iter().zip(simulated) {
            match outcome {
                Simulated::Pays => good.push(candidate),
                Simulated::Fails(reason, detail) => bad.push((candidate, reason, detail)),
            }
        }
        for (candidate, reason, detail) in bad {
            self.defer(candidate, reason, detail).await?;
        }
        if good.is_empty() {
            return Ok(());
        }
        let call = self.call(&good);
        self.lane.send(call, |submission| good.iter().filter_map(|one| submitted(one, submission)).collect()).await?;
        Ok(())
    }

    fn call(&self, candidates: &[Candidate]) -> Call {
        let requests: Vec<_> = candidates.iter().map(|candidate| &candidate.order.request).collect();
        self.chain.settle_call(self.config.settlement, &requests)
    }

    /// Not now, with the reason where everybody sees it. The same reason twice is written once.
    async fn defer(&self, candidate: Candidate, reason: WaitReason, detail: String) -> Result<(), LaneError> {
        let wait = backoff(self.config.retry, candidate.order.counts.deferred);
        let why = Deferral { reason, detail, retry_at: Utc::now() + wait };
        let Ok(Some(event)) = decide(Some(&candidate.order), Command::Defer(why)) else { return Ok(()) };
        tracing::info!(payment = %candidate.id, ?reason, "payment waits");
        let new = NewEvent {
            event: Event::Order(candidate.id, event),
            expected: Expected::Version(candidate.version),
            trace: candidate.trace,
        };
        match self.ledger.append(&[new]).await {
            Ok(_) | Err(AppendError::WrongVersion) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }

    /// Answers the messages of a batch by what the ledger says of each order now.
    async fn finish(&mut self, batch: Vec<Delivery>) -> Result<(), LaneError> {
        let ids: Vec<PaymentId> = batch.iter().filter_map(order_id).collect();
        let loaded = match self.ledger.load_orders(&ids).await {
            Ok(loaded) => loaded,
            Err(error) => {
                hand_back(batch).await;
                return Err(error.into());
            }
        };
        let answers = batch.into_iter().map(|delivery| {
            let again = match &delivery.event {
                Event::Order(id, event) => match loaded.get(id) {
                    Some(Ok(Loaded { state: Some(order), .. })) => order.is_carried_by(event),
                    _ => true,
                },
                Event::Signer(..) | Event::Token(..) | Event::Ops(_) => false,
            };
            let wait = backoff(self.config.retry, delivery.deliveries);
            async move { if again { delivery.nak(wait).await } else { delivery.ack().await } }
        });
        futures_util::future::join_all(answers).await;
        Ok(())
    }
}

fn submitted(candidate: &Candidate, submission: &Submission) -> Option<NewEvent> {
    let event = decide(Some(&candidate.order), Command::Submit(submission.clone())).ok().flatten()?;
    let event = Event::Order(candidate.id, event);
    Some(NewEvent { event, expected: Expected::Version(candidate.version), trace: candidate.trace.clone() })
}

fn order_id(delivery: &Delivery) -> Option<PaymentId> {
    match &delivery.event {
        Event::Order(id, _) => Some(*id),
        Event::Signer(..) | Event::Token(..) | Event::Ops(_) => None,
    }
}

/// Nothing was learnt of these: they come again.
async fn hand_back(batch: Vec<Delivery>) {
    for delivery in batch {
        delivery.nak(NEIGHBOUR_PAUSE).await;
    }
}

/// Doubled each time, up to [`RETRY_MAX`].
fn backoff(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1 << times.min(10)).min(RETRY_MAX)
}
