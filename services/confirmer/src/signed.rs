//! Signed transactions: each is held until it is N blocks deep, then all of its items are decided in one atomic append.

use crate::desk::{Desk, Mined, Verdict, alarm_if_lost, answer};
use crate::{Undecided, mints, payments, watch};
use chain::{Included, Inclusion};
use domain::event::{OpenTx, Purpose};
use domain::event::{ParkedMessage, Settled};
use domain::order::decide;
use domain::{Event, LaneId, OpsEvent, SignerEvent};
use ledger::{Batch, Delivery, Expected, Inbox, NewEvent, Nonce, PROGRESS_INTERVAL, Recorded};
use runtime::{CancellationToken, Fatal, failpoint};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The durable consumer of signed transactions.
const DURABLE: &str = "confirmer";

/// Transactions in hand at once; receipts of a hundred payments are 130 kB each.
const IN_HAND_MAX: usize = 64;

/// After a neighbour's fault the transaction is looked at again after this.
const NEIGHBOUR_PAUSE: Duration = Duration::from_secs(1);

/// Takes signed transactions in hand until `stop`.
pub async fn run(desk: Desk, stop: CancellationToken) -> Result<(), Fatal> {
    let inbox = desk.ledger.inbox(DURABLE).await?;
    let places = Arc::new(Semaphore::new(IN_HAND_MAX));
    let mut hands = JoinSet::new();
    while !stop.is_cancelled() {
        desk.ledger.until_whole(&stop).await;
        while hands.try_join_next().is_some() {}
        let room = places.available_permits();
        if room == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        match inbox.fetch(room, Duration::from_millis(500), Duration::ZERO).await {
            Ok(deliveries) => {
                for delivery in deliveries {
                    let place = places.clone().acquire_owned().await?;
                    let (desk, inbox, stop) = (desk.clone(), inbox.clone(), stop.clone());
                    hands.spawn(async move {
                        hold(desk, inbox, delivery, stop).await;
                        drop(place);
                    });
                }
            }
            Err(error) => {
                tracing::warn!(%error, "no transactions to be had");
                tokio::time::sleep(NEIGHBOUR_PAUSE).await;
            }
        }
    }
    // Whoever is in the middle of an append finishes it; the others stop at their next wait.
    while hands.join_next().await.is_some() {}
    Ok(())
}

/// Holds one transaction until it is decided, reporting progress. On `stop` it is handed back.
async fn hold(mut desk: Desk, inbox: Inbox, delivery: Delivery, stop: CancellationToken) {
    let Event::Signer(signer, SignerEvent::Signed(tx)) = delivery.event.clone() else {
        return answer(inbox.set_aside(delivery, "not a signed transaction").await);
    };
    loop {
        match desk.decide(signer, &tx, &delivery.recorded).await {
            Ok(()) => {
                failpoint(after_publish(tx.purpose));
                return delivery.ack().await;
            }
            Err(Undecided::Stale) => continue,
            Err(Undecided::NotDeepYet) => {}
            Err(Undecided::Stopped(_)) => return delivery.nak(NEIGHBOUR_PAUSE).await,
            Err(Undecided::Neighbour(error)) => {
                tracing::warn!(%signer, nonce = tx.nonce, error, "not decided");
                tokio::time::sleep(NEIGHBOUR_PAUSE).await;
            }
            Err(Undecided::Corrupt(why)) => return answer(inbox.set_aside(delivery, &why).await),
        }
        delivery.progress().await;
        tokio::select! {
            () = stop.cancelled() => return delivery.nak(Duration::ZERO).await,
            _ = desk.heads.changed() => {}
            () = tokio::time::sleep(PROGRESS_INTERVAL) => {}
        }
    }
}

impl Desk {
    /// Decides every item of `tx`, or nothing. Called twice, the second time finds it written.
    async fn decide(&self, signer: LaneId, tx: &OpenTx, message: &Recorded) -> Result<(), Undecided> {
        let attempts = match self.ledger.nonce(signer, tx.nonce).await? {
            Nonce::Ended => return Ok(()),
            Nonce::Open(replacements) => [vec![tx.clone()], replacements].concat(),
        };
        self.conclude(signer, &attempts, message, None).await
    }

    /// The same of all that was signed for one nonce, in order, and `again` after the reversal of that number.
    pub(crate) async fn conclude(
        &self,
        signer: LaneId,
        attempts: &[OpenTx],
        message: &Recorded,
        again: Option<u32>,
    ) -> Result<(), Undecided> {
        let Some(head) = *self.heads.borrow() else { return Err(Undecided::NotDeepYet) };
        let Some((tx, included)) = self.mined(attempts.iter().rev()).await? else {
            return Err(Undecided::NotDeepYet);
        };
        failpoint("C12");
        if !self.chain.is_confirmed(included.block, head).await? {
            return Err(Undecided::NotDeepYet);
        }
        let confirmed = self.chain.confirmed(head).await?;
        let mined = Mined { signer, tx, included: &included };
        let verdicts = match tx.purpose {
            Purpose::Settle => payments::verdicts(self, &mined, confirmed).await?,
            Purpose::Mint => mints::verdicts(self, &mined).await?,
        };
        let events = written(verdicts, message, if again.is_some() { watch::DURABLE } else { DURABLE });
        let batch = Batch::of(events).sealed_by(settled(&mined, again));
        failpoint(before_publish(tx.purpose));
        self.ledger.append(batch).await?;
        let (nonce, hash, items) = (tx.nonce, tx.tx_hash, tx.items.len());
        tracing::info!(%signer, nonce, tx = %hash, items, block = included.block.number, "transaction decided");
        Ok(())
    }

    /// The one of a nonce's transactions that is in a block.
    async fn mined<'a>(
        &self,
        attempts: impl Iterator<Item = &'a OpenTx>,
    ) -> Result<Option<(&'a OpenTx, Box<Included>)>, Undecided> {
        for tx in attempts {
            if let Inclusion::Included(included) = self.chain.inclusion(tx.tx_hash).await? {
                return Ok(Some((tx, included)));
            }
        }
        Ok(None)
    }
}

/// The events that make `verdicts` true; what is true already needs none. Where the chain and the ledger contradict each
/// other, a person must look: the message is parked in the same append, and the other items go on.
fn written(verdicts: Vec<Verdict>, message: &Recorded, durable: &str) -> Vec<NewEvent> {
    let mut events = Vec::with_capacity(verdicts.len());
    let mut contradictions = Vec::new();
    for Verdict { id, order, command } in verdicts {
        let decided = match &order {
            Ok(loaded) => decide(loaded.state.as_ref(), command).map_err(|rejection| rejection.to_string()),
            Err(corrupt) => Err(corrupt.to_string()),
        };
        match (order, decided) {
            (Ok(loaded), Ok(Some(event))) => {
                alarm_if_lost(id, loaded.state.as_ref(), &event);
                let expected = Expected::Version(loaded.version);
                events.push(NewEvent { event: Event::Order(id, event), expected, trace: loaded.trace });
            }
            (_, Ok(_)) => {}
            (_, Err(why)) => {
                tracing::error!(payment = %id, why, "the chain and the ledger disagree");
                contradictions.push(format!("{id}: {why}"));
            }
        }
    }
    if !contradictions.is_empty() {
        let parked = ParkedMessage {
            consumer: durable.to_owned(),
            sequence: message.seq,
            subject: message.subject.clone(),
            reason: contradictions.join("; ").chars().take(200).collect(),
        };
        let event = Event::Ops(OpsEvent::Parked(parked));
        events.push(NewEvent { event, expected: Expected::Absent, trace: None });
    }
    events
}

/// The nonce is used. Depends on no other event of the lane, so it is appended where it is absent.
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
    let event = Event::Signer(mined.signer, event);
    NewEvent { event, expected: Expected::Absent, trace: None }
}

/// Crash points of docs/CATALOGUE.md, by purpose.
fn before_publish(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Settle => "C13",
        Purpose::Mint => "C21",
    }
}

/// C21 of docs/CATALOGUE.md is 'k of n published'; here all n are one append, so the second pass of C21 is after it.
fn after_publish(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Settle => "C14",
        Purpose::Mint => "C21",
    }
}
