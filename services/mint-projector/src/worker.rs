//! One mint lane's worker. It may be killed at any line: what it began is in the ledger or did not happen.

use crate::config::Config;
use crate::gather::{Ask, Batch, order_id};
use crate::verify::{Receipts, Verdict};
use chain::{Address, Chain, Key, MintItem, MintResult};
use chrono::Utc;
use domain::event::{Deferral, Minted, ParkReason, Parked, Submission, WaitReason};
use domain::lane::Purpose;
use domain::order::{Command, decide};
use domain::{Event, Order, PaymentId, Purchase, Stage, TokenTerms};
use lanes::{LaneError, SignerLane};
use ledger::{AppendError, Delivery, Expected, Ledger, Loaded, NewEvent, keep};
use runtime::{CancellationToken, Fatal, Health, failpoint};
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Looks after the lane at least this often.
const IDLE: Duration = Duration::from_millis(500);

/// After a neighbour's fault the messages come again after this.
const NEIGHBOUR_PAUSE: Duration = Duration::from_secs(1);

/// Times that a lost race is run again before the messages are handed back.
const RACES_MAX: usize = 5;

/// A mint lane at work.
pub struct Worker {
    lane: SignerLane,
    ledger: Ledger,
    chain: Chain,
    tokens: HashMap<Address, TokenTerms>,
    retry: Duration,
    health: Health,
    ask: mpsc::Sender<Ask>,
    answer: Option<oneshot::Receiver<Batch>>,
}

/// An order that is owed a mint, with the version that its append must name.
struct Candidate {
    id: PaymentId,
    order: Order,
    version: u64,
    trace: Option<String>,
}

impl Worker {
    /// Claims the lane of `key`; the worker will `ask` for batches.
    pub async fn start(
        config: &Config,
        key: Key,
        ledger: Ledger,
        chain: Chain,
        health: Health,
        ask: mpsc::Sender<Ask>,
    ) -> Result<Self, Fatal> {
        let lane = SignerLane::claim(ledger.clone(), chain.clone(), key, Purpose::Mint, &config.instance).await?;
        let (tokens, retry) = (HashMap::new(), config.retry);
        Ok(Self { lane, ledger, chain, tokens, retry, health, ask, answer: None })
    }

    /// Mints batch after batch until `stop`.
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

    /// Asks once and waits for the answer, over as many turns as it takes.
    async fn next_batch(&mut self) -> Option<Batch> {
        if self.answer.is_none() {
            let (ask, answer) = oneshot::channel();
            self.ask.send(ask).await.ok()?;
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
        let Batch { token, deliveries, .. } = batch;
        for _ in 0..RACES_MAX {
            match keep(&deliveries, self.mint(token, &deliveries)).await {
                Ok(()) => {
                    failpoint("C10");
                    return self.answer(deliveries).await;
                }
                Err(LaneError::Stale) => {}
                Err(error) => {
                    hand_back(deliveries).await;
                    return Err(error);
                }
            }
        }
        hand_back(deliveries).await;
        Ok(())
    }

    async fn mint(&mut self, token: Address, deliveries: &[Delivery]) -> Result<(), LaneError> {
        let Some(terms) = self.terms(token).await? else {
            return Err(LaneError::Transient(format!("the token {token} is not registered")));
        };
        let owed = self.owed(deliveries).await?;
        let paid = self.paid(owed, &terms).await?;
        if paid.is_empty() {
            return Ok(());
        }
        let call = self.chain.mint_call(token, &items(&paid));
        let simulated = self.chain.simulate_mint(self.lane.address(), &call).await?;
        let mut good = Vec::with_capacity(paid.len());
        for (candidate, result) in paid.into_iter().zip(simulated) {
            match result {
                MintResult::Minted => good.push(candidate),
                other => self.skip(candidate, token, other).await?,
            }
        }
        if good.is_empty() {
            return Ok(());
        }
        let call = self.chain.mint_call(token, &items(&good));
        self.lane.send(call, |submission| good.iter().filter_map(|one| submitted(one, submission)).collect()).await?;
        Ok(())
    }

    /// The orders that these messages carry on, and that are due.
    async fn owed(&self, deliveries: &[Delivery]) -> Result<Vec<Candidate>, LaneError> {
        let ids: Vec<PaymentId> = deliveries.iter().filter_map(order_id).collect();
        let mut loaded = self.ledger.load_orders(&ids).await?;
        let mut owed = Vec::with_capacity(ids.len());
        for delivery in deliveries {
            let Event::Order(id, event) = &delivery.event else { continue };
            let Some(Ok(Loaded { state: Some(order), version, trace, .. })) = loaded.remove(id) else { continue };
            let due = !matches!(&order.stage, Stage::MintDeferred(_, why) if why.retry_at > Utc::now());
            if order.is_carried_by(event) && due {
                owed.push(Candidate { id: *id, order, version, trace });
            }
        }
        Ok(owed)
    }

    /// Reads each payment's log pair from the chain; what contradicts it is parked, what is not seen waits.
    async fn paid(&self, owed: Vec<Candidate>, terms: &TokenTerms) -> Result<Vec<Candidate>, LaneError> {
        let mut receipts = Receipts::default();
        let mut paid = Vec::with_capacity(owed.len());
        for candidate in owed {
            let Some(proof) = candidate.order.stage.proof() else { continue };
            match receipts.verify(&self.chain, &candidate.order.request, proof, terms).await? {
                Verdict::Paid => paid.push(candidate),
                Verdict::NotSeen => tracing::warn!(payment = %candidate.id, "the node does not show the payment now"),
                Verdict::Wrong(why) => self.write(&candidate, Command::ParkMint(why)).await?,
            }
        }
        Ok(paid)
    }

    /// Simulation says that the contract would skip it.
    async fn skip(&self, candidate: Candidate, token: Address, result: MintResult) -> Result<(), LaneError> {
        let park = |reason, detail: &str| Command::ParkMint(Parked { reason, detail: detail.to_owned() });
        let command = match result {
            MintResult::AlreadyMinted => match self.minted_before(&candidate, token).await? {
                Some(minted) => Command::ConfirmMint(minted),
                None => return Ok(()),
            },
            MintResult::AlreadyRefunded => park(ParkReason::AlreadyRefunded, "the contract says refunded"),
            MintResult::OverCap => park(ParkReason::OverCap, "the token's cap is reached"),
            MintResult::BadRecipient => park(ParkReason::BadRecipient, "the token refuses the recipient"),
            MintResult::Refused(code) => park(ParkReason::Unexplained, &format!("the contract answers {code}")),
            MintResult::Minted | MintResult::Unpaid => {
                let detail = "the token has not received enough for it".to_owned();
                let retry_at = Utc::now() + self.retry;
                Command::DeferMint(Deferral { reason: WaitReason::Unpaid, detail, retry_at })
            }
        };
        self.write(&candidate, command).await
    }

    /// The mint that the contract remembers, once it is deep enough.
    async fn minted_before(&self, candidate: &Candidate, token: Address) -> Result<Option<Minted>, LaneError> {
        let request = &candidate.order.request;
        let Purchase::Mint { quantity, .. } = request.purchase;
        let Some((tx_hash, block)) = self.chain.find_mint(token, request.payment_key).await? else { return Ok(None) };
        let deep = self.chain.is_confirmed(block, self.chain.head().await?).await?;
        Ok(deep.then(|| Minted { tx_hash, block, to: request.payer(), quantity }))
    }

    /// One event of one order. A lost race is no fault: the messages are looked at again.
    async fn write(&self, candidate: &Candidate, command: Command) -> Result<(), LaneError> {
        let Ok(Some(event)) = decide(Some(&candidate.order), command) else { return Ok(()) };
        tracing::info!(payment = %candidate.id, event = event.name(), "not minted now");
        let new = NewEvent {
            event: Event::Order(candidate.id, event),
            expected: Expected::Version(candidate.version),
            trace: candidate.trace.clone(),
        };
        match self.ledger.append(&[new]).await {
            Ok(_) | Err(AppendError::WrongVersion) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }

    /// Terms never change, so they are read once.
    async fn terms(&mut self, token: Address) -> Result<Option<TokenTerms>, LaneError> {
        if !self.tokens.contains_key(&token)
            && let Some(terms) = self.ledger.token(token).await?
        {
            self.tokens.insert(token, terms);
        }
        Ok(self.tokens.get(&token).cloned())
    }

    /// Acknowledges what is in the ledger; the rest comes again.
    async fn answer(&self, deliveries: Vec<Delivery>) -> Result<(), LaneError> {
        let ids: Vec<PaymentId> = deliveries.iter().filter_map(order_id).collect();
        let loaded = match self.ledger.load_orders(&ids).await {
            Ok(loaded) => loaded,
            Err(error) => {
                hand_back(deliveries).await;
                return Err(error.into());
            }
        };
        let answers = deliveries.into_iter().map(|delivery| {
            let again = match &delivery.event {
                Event::Order(id, event) => match loaded.get(id) {
                    Some(Ok(Loaded { state: Some(order), .. })) => order.is_carried_by(event),
                    _ => true,
                },
                Event::Signer(..) | Event::Token(..) | Event::Ops(_) => false,
            };
            let wait = self.retry;
            async move { if again { delivery.nak(wait).await } else { delivery.ack().await } }
        });
        futures_util::future::join_all(answers).await;
        Ok(())
    }
}

fn items(candidates: &[Candidate]) -> Vec<MintItem> {
    candidates
        .iter()
        .map(|candidate| {
            let request = &candidate.order.request;
            let Purchase::Mint { quantity, .. } = request.purchase;
            MintItem { id: candidate.id, payment_key: request.payment_key, to: request.payer(), quantity }
        })
        .collect()
}

fn submitted(candidate: &Candidate, submission: &Submission) -> Option<NewEvent> {
    let event = decide(Some(&candidate.order), Command::SubmitMint(submission.clone())).ok().flatten()?;
    let event = Event::Order(candidate.id, event);
    Some(NewEvent { event, expected: Expected::Version(candidate.version), trace: candidate.trace.clone() })
}

/// Nothing was learnt of these: they come again.
async fn hand_back(deliveries: Vec<Delivery>) {
    for delivery in deliveries {
        delivery.nak(NEIGHBOUR_PAUSE).await;
    }
}
