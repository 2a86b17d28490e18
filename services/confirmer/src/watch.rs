//! After N: every used nonce is watched until its block is final. One whose block falls out of the chain is taken back,
//! with all that was decided on it, and decided anew where its transaction is included next.
//!
//! What is watched is carried by the ledger's messages, which are set back and come again; the copy of it in memory is
//! there so that a reorganisation is noticed with the head, and not when the message happens to come.

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

/// Messages in hand at most. They are looked at one after the other, because they share one picture of the chain.
const IN_HAND_MAX: usize = 256;

/// The head is looked at this often without news of it.
const TURN: Duration = Duration::from_secs(2);

/// Between two looks at a block that is not final. On Base it is after 15 to 20 minutes, so thousands wait.
const LOOK: Duration = Duration::from_secs(10);

/// Between two looks at a nonce that is open again.
const LOOK_OPEN: Duration = Duration::from_millis(500);

/// What a look at one nonce comes to.
enum Look {
    /// Nothing more can happen to it, or a later message carries it on.
    Closed,
    /// In its block, which is not final.
    Watched,
    /// Its block is gone, and its transaction is not deep enough anywhere else.
    Open,
}

struct Watch {
    desk: Desk,
    /// `None` until the first head, and after a fault.
    view: Option<View>,
    /// Nonces by the block that used them, whose message was looked at.
    watched: BTreeMap<(u64, B256), BTreeSet<(LaneId, u64)>>,
}

/// The chain that leads to one head.
struct View {
    head: Head,
    /// None where the node does not say: nothing is closed then, and what is gone is taken back all the same.
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
    tokio::join!(inbox.run(stop.clone(), IN_HAND_MAX, message), follow(desk, &watch, &stop));
}

/// Looks at what is watched whenever the head has changed, until `stop`.
async fn follow(mut desk: Desk, watch: &Mutex<Watch>, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        desk.ledger.until_whole(stop).await;
        if let Err(error) = watch.lock().await.catch_up().await
            && !matches!(error, Undone::NotYet)
        {
            tracing::warn!(error = %causes(&error), "used nonces are not watched now");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            Ok(()) = desk.heads.changed() => {}
            () = tokio::time::sleep(TURN) => {}
        }
    }
}

impl Watch {
    /// The picture of the chain at the latest head, from which everything that is gone has been taken back.
    ///
    /// # Errors
    /// `NotYet` before the first head. After an error the next call begins anew.
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

    /// From the highest block down to the first that still stands: what is below leads to it.
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
            for (signer, nonce) in self.watched.get(&key).cloned().unwrap_or_default() {
                if !self.is_taken_back(view.head, signer, nonce, block).await? {
                    left.insert((signer, nonce));
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

    /// False: not yet, look again at the next head. Another instance may have been faster.
    async fn is_taken_back(&self, head: Head, signer: LaneId, nonce: u64, block: BlockRef) -> Result<bool, Undone> {
        let ends = self.desk.ledger.ends_of(signer, nonce).await?;
        match ends.last() {
            Some(SignerEvent::Settled(settled) | SignerEvent::Resettled(_, settled)) if settled.block == block => {
                match self.take_back(head, signer, settled, &ends).await {
                    Ok(()) => Ok(true),
                    Err(Undone::Stale | Undone::NotYet) => Ok(false),
                    Err(other) => Err(other),
                }
            }
            _ => Ok(true),
        }
    }

    async fn handle(&mut self, delivery: &Delivery) -> Outcome {
        let (Event::Signer(signer, SignerEvent::Settled(settled))
        | Event::Signer(signer, SignerEvent::Resettled(_, settled))) = &delivery.event
        else {
            return Ok(Answer::Park("not a used nonce".to_owned()));
        };
        self.catch_up().await?;
        let message = Message { seq: delivery.seq, subject: &delivery.subject };
        Ok(match self.look(*signer, settled, message).await? {
            Look::Closed => Answer::Done,
            Look::Watched => Answer::Later(LOOK),
            Look::Open => Answer::Later(LOOK_OPEN),
        })
    }

    async fn look(&mut self, signer: LaneId, settled: &Settled, message: Message<'_>) -> Result<Look, Undone> {
        let Some(view) = &mut self.view else { return Err(Undone::NotYet) };
        let (head, finalized) = (view.head, view.finalized);
        let (key, nonce) = ((settled.block.number, settled.block.hash), (signer, settled.nonce));
        let stands = view.stands(&self.desk.chain, settled.block).await?;
        let is_final = finalized.is_some_and(|finalized| settled.block.number <= finalized);
        let is_known = self.watched.get(&key).is_some_and(|nonces| nonces.contains(&nonce));
        match stands {
            // A chain that is not as high takes nothing back: the node lags.
            None => return Ok(Look::Watched),
            Some(true) if is_known && !is_final => return Ok(Look::Watched),
            Some(_) => {}
        }
        let ends = self.desk.ledger.ends_of(signer, settled.nonce).await?;
        let look = match (ends.last(), stands) {
            // Somebody else used the nonce where it was open again: what it carried was freed with that.
            (Some(SignerEvent::Lost(_)), _) => Look::Closed,
            (Some(SignerEvent::Settled(last) | SignerEvent::Resettled(_, last)), _) if last != settled => Look::Closed,
            (Some(SignerEvent::Settled(_) | SignerEvent::Resettled(..)), Some(true)) if is_final => Look::Closed,
            (Some(SignerEvent::Settled(_) | SignerEvent::Resettled(..)), Some(true)) => Look::Watched,
            (Some(SignerEvent::Settled(_) | SignerEvent::Resettled(..)), _) => {
                self.take_back(head, signer, settled, &ends).await?;
                Look::Open
            }
            (Some(SignerEvent::Reverted(n, _)), _) => {
                let attempts = self.desk.ledger.attempts(signer, &[settled.nonce], u64::MAX).await?;
                self.desk.conclude(signer, &attempts, message, Some(*n)).await?;
                Look::Closed
            }
            _ => return Err(Undone::corrupt("a used nonce without its end")),
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

    /// Takes back what counted on `settled`, once another block is N deep in its place: the nonce and every order that
    /// it confirmed, in one append.
    async fn take_back(
        &self,
        head: Head,
        signer: LaneId,
        settled: &Settled,
        ends: &[SignerEvent],
    ) -> Result<(), Undone> {
        let confirmations = self.desk.chain.config().confirmations;
        if settled.block.number.saturating_add(confirmations - 1) > head.block.number {
            return Err(Undone::NotYet);
        }
        let tx = self.signed(signer, settled.nonce).await?;
        let reversal = Reversal {
            signer: signer.signer,
            nonce: settled.nonce,
            tx_hash: settled.tx_hash,
            block: settled.block,
            head: head.block,
        };
        let before = ends.iter().filter(|end| matches!(end, SignerEvent::Reverted(..))).count();
        let n = u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1);
        let event = Event::Signer(signer, SignerEvent::Reverted(n, reversal.clone()));
        let mut events = Vec::new();
        for (id, loaded) in self.desk.orders(&tx).await? {
            let loaded = match loaded {
                Ok(loaded) => loaded,
                Err(error) => {
                    tracing::error!(payment = %id, error = %causes(&error), "not taken back: its past is impossible");
                    continue;
                }
            };
            let command = match tx.purpose {
                Purpose::Settle => Command::Revert(reversal.clone()),
                Purpose::Mint => Command::RevertMint(reversal.clone()),
            };
            if let Ok(Some(event)) = decide(loaded.state.as_ref(), command) {
                let expected = Expected::Version(loaded.version);
                events.push(NewEvent { event: Event::Order(id, event), expected, trace: loaded.trace });
            }
        }
        let (orders, last) = (events.len(), NewEvent { event, expected: Expected::Absent, trace: None });
        self.desk.ledger.append(Batch::of(events).sealed_by(last)).await?;
        tracing::error!(
            %signer,
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

    async fn signed(&self, signer: LaneId, nonce: u64) -> Result<OpenTx, Undone> {
        let signed = self.desk.ledger.signed(signer, &[nonce]).await?;
        signed.into_iter().next().ok_or_else(|| Undone::corrupt(format!("nonce {nonce} was used and never signed")))
    }
}

impl View {
    async fn of(chain: &Chain, head: Head) -> Self {
        let finalized = match chain.finalized().await {
            Ok(finalized) => Some(finalized.number),
            Err(error) => {
                tracing::warn!(error = %causes(&error), "which block is final is not known");
                None
            }
        };
        Self { head, finalized, hashes: HashMap::from([(head.block.number, head.block.hash)]) }
    }

    /// Whether the chain has this block; none where it is not as high.
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
