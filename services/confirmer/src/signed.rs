//! Signed transactions. Each is held until it is N blocks deep; then all of its items are decided in one atomic append.

use crate::desk::{Desk, ItemVerdict, Mined};
use crate::{mints, operated, payments};
use chain::{Included, Inclusion};
use domain::event::{OpenTx, Purpose, Settled};
use domain::order::decide;
use domain::{Event, LaneId, PaymentId, SignerEvent};
use ledger::{Answer, Batch, Delivery, Expected, Inbox, NewEvent, Nonce, Outcome, parked};
use runtime::failpoint::{self, CrashPoint, failpoint};
use runtime::{CancellationToken, Undone, causes};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// The durable consumer of signed transactions.
pub(crate) const DURABLE: &str = "confirmer";

/// Maximum number of transactions in hand. It is more than the windows of sixteen lanes hold, so that transactions that
/// cannot be decided leave room for others.
const IN_HAND_MAX: usize = 256;

/// Maximum number of transactions that are decided concurrently. The receipt of a hundred payments has 130 kB.
const DECIDING_MAX: usize = 64;

/// A transaction is looked at again after this time without news of the head, in case the news is lost.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Takes signed transactions in hand until `stop`.
pub(crate) async fn run(desk: Desk, inbox: Inbox, stop: CancellationToken) {
    let holds = Holds { deciding: Arc::new(Semaphore::new(DECIDING_MAX)), held: Arc::default() };
    inbox.run(stop.clone(), IN_HAND_MAX, |delivery| hold(desk.clone(), holds.clone(), delivery, stop.clone())).await;
}

/// State that all transactions in hand share.
#[derive(Clone)]
struct Holds {
    deciding: Arc<Semaphore>,
    /// Nonces in hand. Each has one hold, also if its message is delivered again.
    held: Arc<Mutex<HashSet<(LaneId, u64)>>>,
}

/// The right to decide one nonce.
struct Hold {
    nonce: (LaneId, u64),
    held: Arc<Mutex<HashSet<(LaneId, u64)>>>,
}

impl Holds {
    /// Takes the right to decide a nonce. Returns `None` if it is in hand already.
    fn take(&self, nonce: (LaneId, u64)) -> Option<Hold> {
        let is_free = self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(nonce);
        is_free.then(|| Hold { nonce, held: self.held.clone() })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.nonce);
    }
}

/// Holds one transaction until it is decided. When `stop` comes first, its message is handed back.
async fn hold(mut desk: Desk, holds: Holds, delivery: Delivery, stop: CancellationToken) -> Outcome {
    let Event::Signer(lane, SignerEvent::Signed(tx)) = &delivery.event else {
        return Ok(Answer::Park("not a signed transaction".to_owned()));
    };
    let Some(_hold) = holds.take((*lane, tx.nonce)) else { return Err(Undone::NotYet) };
    let message = Message::of(DURABLE, &delivery);
    loop {
        runtime::turn("confirmer.signed");
        let deciding = holds.deciding.acquire().await.map_err(Undone::transient)?;
        let decided = desk.decide(*lane, tx, message).await;
        drop(deciding);
        match decided {
            Ok(()) => {
                failpoint(not_acked(tx.purpose));
                return Ok(Answer::Done);
            }
            Err(Undone::NotYet) => {}
            Err(other) => return Err(other),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(Answer::Later(Duration::ZERO)),
            changed = desk.heads.changed() => changed.map_err(Undone::transient)?,
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
    }
}

/// The message that a decision answers.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    /// The durable consumer that delivered it.
    pub consumer: &'static str,
    pub seq: u64,
    pub subject: &'a str,
    /// A person has it handled once more.
    pub is_redriven: bool,
}

impl<'a> Message<'a> {
    pub(crate) fn of(consumer: &'static str, delivery: &'a Delivery) -> Self {
        Self { consumer, seq: delivery.seq, subject: &delivery.subject, is_redriven: delivery.is_redriven }
    }
}

impl Desk {
    /// Decides every item of `tx`, or none. A second call finds the decision in the ledger and does nothing.
    async fn decide(&self, lane: LaneId, tx: &OpenTx, message: Message<'_>) -> Result<(), Undone> {
        let attempts = match self.ledger.nonce(lane, tx.nonce).await? {
            Nonce::Ended if message.is_redriven => return self.decide_again(lane, tx.nonce, message).await,
            Nonce::Ended => return Ok(()),
            Nonce::Open(replacements) => [vec![tx.clone()], replacements].concat(),
        };
        self.conclude(lane, &attempts, message, None).await
    }

    /// Decides a nonce by all transactions that were signed for it, in order. `again` is the number of the reversal
    /// after which it is decided once more.
    pub(crate) async fn conclude(
        &self,
        lane: LaneId,
        attempts: &[OpenTx],
        message: Message<'_>,
        again: Option<u32>,
    ) -> Result<(), Undone> {
        let (events, settled) = self.outcomes(lane, attempts, message, again).await?;
        let batch = Batch::of(events).sealed_by(settled);
        failpoint(not_appended(attempts[0].purpose));
        self.ledger.append(batch).await?;
        Ok(())
    }

    /// Decides the items of a used nonce that contradicted the ledger when it was settled. The others are decided, and need
    /// no event. A nonce that was reverted is decided by its own message, and one that somebody else used has no items.
    pub(crate) async fn decide_again(&self, lane: LaneId, nonce: u64, message: Message<'_>) -> Result<(), Undone> {
        let ends = self.ledger.ends_of(lane, nonce).await?;
        if !matches!(ends.last(), Some(SignerEvent::Settled(_) | SignerEvent::Resettled(..))) {
            return Ok(());
        }
        let attempts = self.ledger.attempts(lane, &[nonce], u64::MAX).await?;
        let (events, _) = self.outcomes(lane, &attempts, message, None).await?;
        if !events.is_empty() {
            self.ledger.append(Batch::unordered(events)).await?;
        }
        Ok(())
    }

    /// The outcome of every item of a transaction that is N blocks deep, and the event that its nonce is used.
    async fn outcomes(
        &self,
        lane: LaneId,
        attempts: &[OpenTx],
        message: Message<'_>,
        again: Option<u32>,
    ) -> Result<(Vec<NewEvent>, NewEvent), Undone> {
        let Some(head) = *self.heads.borrow() else { return Err(Undone::NotYet) };
        let Some((tx, included)) = self.mined(attempts.iter().rev()).await? else {
            return Err(Undone::NotYet);
        };
        failpoint(failpoint::RECEIPT_SEEN_NOT_CONFIRMED);
        if !self.chain.is_confirmed(included.block, head).await? {
            return Err(Undone::NotYet);
        }
        let confirmed = self.chain.confirmed(head).await?;
        let mined = Mined { lane, tx, included: &included };
        let verdicts = match tx.purpose {
            Purpose::Settle => payments::verdicts(self, &mined, confirmed).await?,
            Purpose::Mint => mints::verdicts(self, &mined, confirmed).await?,
            Purpose::Operate => operated::verdicts(self, &mined, confirmed).await?,
        };
        let (mut events, contradictions) = written(verdicts);
        if let Some((id, why)) = contradictions.first() {
            // A server that kept only the beginning of an append, or an earlier decision of the nonce, has given the message
            // up before. What is stored already is left out: the ledger would refuse the whole append, again and again.
            let parked = parked(message.consumer, message.seq, message.subject, &format!("{id}: {why}"));
            events.extend(self.ledger.giving_up(parked, &contradictions).await?);
        }
        let (nonce, hash, items) = (tx.nonce, tx.tx_hash, tx.items.len());
        tracing::info!(%lane, nonce, tx = %hash, items, block = included.block.number, "transaction decided");
        Ok((events, settled(&mined, again)))
    }

    /// Finds the transaction of a nonce that is in a block.
    async fn mined<'a>(
        &self,
        attempts: impl Iterator<Item = &'a OpenTx>,
    ) -> Result<Option<(&'a OpenTx, Box<Included>)>, Undone> {
        for tx in attempts {
            if let Inclusion::Included(included) = self.chain.inclusion(tx.tx_hash).await? {
                return Ok(Some((tx, included)));
            }
        }
        Ok(None)
    }
}

/// The events that record `verdicts`, and the orders about which the chain and the ledger contradict each other, each with a
/// reason. An operator must look at those: they are held, and the others go on. Verdicts that are recorded already need no
/// event.
fn written(verdicts: Vec<ItemVerdict>) -> (Vec<NewEvent>, Vec<(PaymentId, String)>) {
    let mut events = Vec::with_capacity(verdicts.len());
    let mut contradictions: Vec<(PaymentId, String)> = Vec::new();
    for ItemVerdict { id, order, commands } in verdicts {
        for command in commands {
            let decided = match &order {
                Ok(loaded) => decide(loaded.state.as_ref(), command).map_err(|rejection| rejection.to_string()),
                Err(impossible) => Err(causes(impossible).to_string()),
            };
            match (&order, decided) {
                (Ok(loaded), Ok(Some(event))) => {
                    let (event, expected) = (Event::Order(id, event), Expected::Version(loaded.version));
                    events.push(NewEvent { event, expected, trace: loaded.trace.clone() });
                }
                (_, Ok(_)) => {}
                (_, Err(why)) => {
                    tracing::error!(payment = %id, why, "the chain and the ledger disagree");
                    if contradictions.last().is_none_or(|(last, _)| *last != id) {
                        contradictions.push((id, why));
                    }
                }
            }
        }
    }
    (events, contradictions)
}

/// The event that the nonce is used. It depends on no other event of the lane, so it only expects that its own subject
/// is empty.
fn settled(mined: &Mined<'_>, again: Option<u32>) -> NewEvent {
    let settled = Settled {
        nonce: mined.tx.nonce,
        tx_hash: mined.tx.tx_hash,
        block: mined.included.block,
        succeeded: mined.included.succeeded,
        gas_used: mined.included.gas_used,
        gas_price_wei: mined.included.gas_price_wei,
    };
    let event = match again {
        None => SignerEvent::Settled(settled),
        Some(n) => SignerEvent::Resettled(n, settled),
    };
    let event = Event::Signer(mined.lane, event);
    NewEvent { event, expected: Expected::Absent, trace: None }
}

/// The crash point before the append of a transaction's outcomes.
fn not_appended(purpose: Purpose) -> CrashPoint {
    match purpose {
        Purpose::Settle => failpoint::PAYMENTS_DECIDED_NOT_APPENDED,
        Purpose::Mint => failpoint::MINTS_DECIDED_NOT_APPENDED,
        Purpose::Operate => failpoint::REFUNDS_DECIDED_NOT_APPENDED,
    }
}

/// The crash point after that append. All outcomes of a transaction are one append, so there is none in between.
fn not_acked(purpose: Purpose) -> CrashPoint {
    match purpose {
        Purpose::Settle => failpoint::PAYMENTS_APPENDED_NOT_ACKED,
        Purpose::Mint => failpoint::MINTS_APPENDED_NOT_ACKED,
        Purpose::Operate => failpoint::REFUNDS_APPENDED_NOT_ACKED,
    }
}
