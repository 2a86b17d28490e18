//! Watches every used nonce until its block is final. If the block falls out of the chain, the nonce and everything
//! that was decided on it are taken back. They are decided again where the transaction is included next.
//!
//! The messages of the ledger carry the watched nonces: each is delayed and delivered again. The copy in memory lets a
//! reorg be noticed with the next head, and not only when a message is delivered.

use crate::desk::Desk;
use crate::signed::Message;
use chain::{B256, Chain, Head};
use domain::event::{OpenTx, Purpose, Reversal, Settled};
use domain::order::{Command, decide};
use domain::{BlockRef, Event, LaneId, SignerEvent};
use ledger::{Answer, Batch, Delivery, Expected, Inbox, NewEvent, Outcome};
use runtime::{CancellationToken, Undone, causes};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// The durable consumer of used nonces.
pub(crate) const DURABLE: &str = "confirmer-watch";

/// Maximum number of messages in hand. They are handled one after the other, because they share one view of the chain.
const IN_HAND_MAX: usize = 256;

/// A nonce whose block is not final at this age stands still. On Base a block is final after 15 to 20 minutes. If the chain
/// below it does not finalise, that takes hours.
const FINAL_MAX: Duration = Duration::from_secs(3 * 3_600);

/// Longest pause between two looks at the head, if there are no news of it.
const TURN: Duration = Duration::from_secs(2);

/// Pause between two looks at a block that is not final. On Base a block is final after 15 to 20 minutes, so thousands
/// of messages wait.
const LOOK: Duration = Duration::from_secs(10);

/// Pause between two looks at a nonce that is open again.
const LOOK_OPEN: Duration = Duration::from_millis(500);

/// The result of a look at one nonce.
enum Look {
    /// Nothing more can happen to the nonce, or a later message carries it.
    Closed,
    /// The nonce is used in its block, which is not final yet.
    Watched,
    /// The block is gone, and the transaction is not deep enough in any other block.
    Open,
}

/// The next step for a used nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Close,
    Watch,
    TakeBack,
    /// Decides the nonce once more, after the reversal with this number.
    DecideAgain(u32),
}

struct Watch {
    desk: Desk,
    /// The chain at the latest head; `None` until the first head, and after an error.
    view: Option<View>,
    /// Nonces whose message was handled, by the block that used them.
    watched: BTreeMap<(u64, B256), BTreeSet<(LaneId, u64)>>,
}

/// The chain that leads to one head.
struct View {
    head: Head,
    /// Height of the final block; `None` if the node does not say. Then nothing is closed, while reorgs are still taken
    /// back.
    finalized: Option<u64>,
    hashes: HashMap<u64, B256>,
}

/// Watches until `stop`.
pub(crate) async fn run(desk: Desk, inbox: Inbox, stop: CancellationToken) {
    let watch = Arc::new(Mutex::new(Watch { desk: desk.clone(), view: None, watched: BTreeMap::new() }));
    let message = |delivery| {
        let watch = watch.clone();
        async move { watch.lock().await.handle(&delivery).await }
    };
    let inbox = inbox.patient(FINAL_MAX);
    tokio::join!(inbox.run(stop.clone(), IN_HAND_MAX, message), follow(desk, &watch, &stop));
}

/// Checks the watched nonces whenever the head has changed, until `stop`.
async fn follow(mut desk: Desk, watch: &Mutex<Watch>, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        runtime::turn("confirmer.watch");
        desk.ledger.until_whole(stop).await;
        if let Err(error) = watch.lock().await.catch_up().await
            && !matches!(error, Undone::NotYet)
        {
            tracing::warn!(error = %causes(&error), "the used nonces cannot be checked now: they are checked again with the next head");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            Ok(()) = desk.heads.changed() => {}
            () = tokio::time::sleep(TURN) => {}
        }
    }
}

impl Watch {
    /// Updates the view to the latest head, and takes back every watched nonce whose block is gone.
    ///
    /// # Errors
    /// `NotYet`: there is no head yet. After an error the next call begins again.
    async fn catch_up(&mut self) -> Result<(), Undone> {
        let Some(head) = *self.desk.heads.borrow() else { return Err(Undone::NotYet) };
        if self.view.as_ref().is_none_or(|view| view.head.block.hash != head.block.hash) {
            let mut view = View::of(&self.desk.chain, head).await;
            self.view = None;
            self.take_back_what_is_gone(&mut view).await?;
            self.view = Some(view);
        }
        Ok(())
    }

    /// Checks the watched blocks from the highest one down to the first that is still in the chain. All lower ones are
    /// its ancestors.
    async fn take_back_what_is_gone(&mut self, view: &mut View) -> Result<(), Undone> {
        let blocks: Vec<(u64, B256)> = self.watched.keys().rev().copied().collect();
        for key in blocks {
            let block = BlockRef { number: key.0, hash: key.1 };
            match view.stands(&self.desk.chain, block).await? {
                Some(true) => return Ok(()),
                None => continue,
                Some(false) => {}
            }
            let mut left = BTreeSet::new();
            for (lane, nonce) in self.watched.get(&key).cloned().unwrap_or_default() {
                if !self.is_taken_back(view.head, lane, nonce, block).await? {
                    left.insert((lane, nonce));
                }
            }
            if left.is_empty() {
                self.watched.remove(&key);
            } else {
                self.watched.insert(key, left);
            }
        }
        Ok(())
    }

    /// Takes back one nonce. Returns false if it must be looked at again with the next head. Another instance may have
    /// taken it back already.
    async fn is_taken_back(&self, head: Head, lane: LaneId, nonce: u64, block: BlockRef) -> Result<bool, Undone> {
        let ends = self.desk.ledger.ends_of(lane, nonce).await?;
        match ends.last() {
            Some(SignerEvent::Settled(settled) | SignerEvent::Resettled(_, settled)) if settled.block == block => {
                match self.take_back(head, lane, settled, &ends).await {
                    Ok(()) => Ok(true),
                    // An order of a newer build delays no other nonce. The message of this nonce reports it.
                    Err(Undone::Stale | Undone::NotYet | Undone::Unknown(_)) => Ok(false),
                    Err(other) => Err(other),
                }
            }
            _ => Ok(true),
        }
    }

    async fn handle(&mut self, delivery: &Delivery) -> Outcome {
        let (Event::Signer(lane, SignerEvent::Settled(settled))
        | Event::Signer(lane, SignerEvent::Resettled(_, settled))) = &delivery.event
        else {
            return Ok(Answer::Park("not a used nonce".to_owned()));
        };
        self.catch_up().await?;
        let message = Message::of(DURABLE, delivery);
        if message.is_redriven {
            self.desk.decide_again(*lane, settled.nonce, message).await?;
        }
        Ok(match self.look(*lane, settled, message).await? {
            Look::Closed => Answer::Done,
            Look::Watched => Answer::Later(LOOK),
            Look::Open => Answer::Later(LOOK_OPEN),
        })
    }

    async fn look(&mut self, lane: LaneId, settled: &Settled, message: Message<'_>) -> Result<Look, Undone> {
        let Some(view) = &mut self.view else { return Err(Undone::NotYet) };
        let (head, finalized) = (view.head, view.finalized);
        let (key, nonce) = ((settled.block.number, settled.block.hash), (lane, settled.nonce));
        let stands = view.stands(&self.desk.chain, settled.block).await?;
        let is_final = finalized.is_some_and(|finalized| settled.block.number <= finalized);
        let is_known = self.watched.get(&key).is_some_and(|nonces| nonces.contains(&nonce));
        match stands {
            // A chain that is not as high as the block proves nothing: the node lags.
            None => return Ok(Look::Watched),
            Some(true) if is_known && !is_final => return Ok(Look::Watched),
            Some(_) => {}
        }
        let ends = self.desk.ledger.ends_of(lane, settled.nonce).await?;
        let look = match step(&ends, settled, stands, is_final).ok_or_else(|| not_found(lane, settled.nonce, "end"))? {
            Step::Close => Look::Closed,
            Step::Watch => Look::Watched,
            Step::TakeBack => {
                self.take_back(head, lane, settled, &ends).await?;
                Look::Open
            }
            Step::DecideAgain(n) => {
                let attempts = self.desk.ledger.attempts(lane, &[settled.nonce], u64::MAX).await?;
                self.desk.conclude(lane, &attempts, message, Some(n)).await?;
                Look::Closed
            }
        };
        match look {
            Look::Watched => {
                self.watched.entry(key).or_default().insert(nonce);
            }
            Look::Closed | Look::Open => {
                if let Some(nonces) = self.watched.get_mut(&key) {
                    nonces.remove(&nonce);
                }
                self.watched.retain(|_, nonces| !nonces.is_empty());
            }
        }
        Ok(look)
    }

    /// Takes back everything that counted on `settled`, once another block is N deep at its height: the nonce and every
    /// order that it confirmed, in one append.
    async fn take_back(&self, head: Head, lane: LaneId, settled: &Settled, ends: &[SignerEvent]) -> Result<(), Undone> {
        let confirmations = self.desk.chain.config().confirmations;
        if settled.block.number.saturating_add(confirmations - 1) > head.block.number {
            return Err(Undone::NotYet);
        }
        let tx = self.signed(lane, settled.nonce).await?;
        let reversal = Reversal {
            signer: lane.signer,
            nonce: settled.nonce,
            tx_hash: settled.tx_hash,
            block: settled.block,
            head: head.block,
        };
        let before = ends.iter().filter(|end| matches!(end, SignerEvent::Reverted(..))).count();
        let n = u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1);
        let event = Event::Signer(lane, SignerEvent::Reverted(n, reversal.clone()));
        let mut events = Vec::new();
        for (id, loaded) in self.desk.orders(&tx).await? {
            let loaded = match loaded {
                Ok(loaded) => loaded,
                Err(error) => {
                    tracing::error!(payment = %id, error = %causes(&error), "order not taken back: its history is impossible");
                    continue;
                }
            };
            // The decider takes the leg that counts on this transaction.
            let commands = match tx.purpose {
                Purpose::Settle => vec![Command::Revert(reversal.clone())],
                Purpose::Mint => vec![Command::RevertMint(reversal.clone()), Command::RevertRefund(reversal.clone())],
                Purpose::Operate => vec![
                    Command::Revert(reversal.clone()),
                    Command::RevertMint(reversal.clone()),
                    Command::RevertRefund(reversal.clone()),
                ],
            };
            let taken_back = commands.into_iter().find_map(|command| decide(loaded.state.as_ref(), command).ok()?);
            if let Some(event) = taken_back {
                let expected = Expected::Version(loaded.version);
                events.push(NewEvent { event: Event::Order(id, event), expected, trace: loaded.trace });
            }
        }
        let (orders, last) = (events.len(), NewEvent { event, expected: Expected::Absent, trace: None });
        self.desk.ledger.append(Batch::of(events).sealed_by(last)).await?;
        tracing::error!(
            %lane,
            nonce = settled.nonce,
            tx = %settled.tx_hash,
            block = settled.block.number,
            head = head.block.number,
            purpose = ?tx.purpose,
            orders,
            "a confirmed transaction fell out of the chain: taken back, sent again"
        );
        Ok(())
    }

    async fn signed(&self, lane: LaneId, nonce: u64) -> Result<OpenTx, Undone> {
        let signed = self.desk.ledger.signed(lane, &[nonce]).await?;
        signed.into_iter().next().ok_or_else(|| not_found(lane, nonce, "signature"))
    }
}

/// The next step for a nonce whose message says `settled`, by the events that ended it. `stands` tells if its block is in
/// the chain. Returns `None` if the end was not found.
fn step(ends: &[SignerEvent], settled: &Settled, stands: Option<bool>, is_final: bool) -> Option<Step> {
    Some(match (ends.last()?, stands) {
        // Another sender used the nonce while it was open again. Its orders were freed by that event.
        (SignerEvent::Lost(_), _) => Step::Close,
        (SignerEvent::Settled(last) | SignerEvent::Resettled(_, last), _) if last != settled => Step::Close,
        (SignerEvent::Settled(_) | SignerEvent::Resettled(..), Some(true)) if is_final => Step::Close,
        (SignerEvent::Settled(_) | SignerEvent::Resettled(..), Some(true)) => Step::Watch,
        (SignerEvent::Settled(_) | SignerEvent::Resettled(..), _) => Step::TakeBack,
        (SignerEvent::Reverted(n, _), _) => Step::DecideAgain(*n),
        (SignerEvent::Claimed(_) | SignerEvent::Signed(_) | SignerEvent::Replaced(..), _) => return None,
    })
}

/// An event of a used nonce that this read did not find. It is in the ledger, because the nonce cannot be used without
/// it, so the read is repeated.
fn not_found(lane: LaneId, nonce: u64, what: &str) -> Undone {
    Undone::transient(format!("the {what} of nonce {nonce} of {lane} was not found"))
}

impl View {
    async fn of(chain: &Chain, head: Head) -> Self {
        let finalized = match chain.finalized().await {
            Ok(finalized) => Some(finalized.number),
            Err(error) => {
                tracing::warn!(error = %causes(&error), "the node does not say which block is final");
                None
            }
        };
        Self { head, finalized, hashes: HashMap::from([(head.block.number, head.block.hash)]) }
    }

    /// True if the chain has this block. Returns `None` if the node has no block at its height.
    async fn stands(&mut self, chain: &Chain, block: BlockRef) -> Result<Option<bool>, Undone> {
        if block.number > self.head.block.number {
            return Ok(None);
        }
        if let Some(hash) = self.hashes.get(&block.number) {
            return Ok(Some(*hash == block.hash));
        }
        let Some(found) = chain.block_at(block.number).await? else { return Ok(None) };
        self.hashes.insert(block.number, found.block.hash);
        Ok(Some(found.block.hash == block.hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::examples::{LANE, lost, reversal, settled};

    #[test]
    fn a_used_nonce_is_judged_by_its_last_end_and_an_end_that_is_not_found_is_read_again() {
        let (this, mut moved) = (settled(7), settled(7));
        moved.block.number += 1;
        let reverted = SignerEvent::Reverted(2, reversal(7));
        let table = [
            (vec![SignerEvent::Settled(this.clone())], Some(true), true, Some(Step::Close)),
            (vec![SignerEvent::Settled(this.clone())], Some(true), false, Some(Step::Watch)),
            (vec![SignerEvent::Settled(this.clone())], Some(false), false, Some(Step::TakeBack)),
            (
                vec![SignerEvent::Settled(this.clone()), reverted.clone()],
                Some(false),
                false,
                Some(Step::DecideAgain(2)),
            ),
            (vec![reverted.clone(), SignerEvent::Resettled(2, moved)], Some(true), false, Some(Step::Close)),
            (vec![reverted, SignerEvent::Lost(lost(7))], Some(false), false, Some(Step::Close)),
            (vec![], Some(true), true, None),
        ];
        for (ends, stands, is_final, expected) in table {
            assert_eq!(step(&ends, &this, stands, is_final), expected, "{ends:?}");
        }
        assert!(matches!(not_found(LANE, 7, "end"), Undone::Transient(_)), "never parked");
    }
}
