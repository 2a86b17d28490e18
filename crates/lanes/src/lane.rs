//! One lane at work: claim, record, broadcast. What is under way is looked after in `tend`.

use crate::item::Item;
use crate::watch::Watch;
use crate::window::Window;
use chain::{Address, Broadcast, Call, Chain, Key};
use domain::event::{OpenTx, Purpose, Submission};
use domain::lane::{self, Rest};
use domain::order::Command;
use domain::{Event, Lane, SignerEvent};
use ledger::{Expected, Ledger, Loaded, NewEvent};
use runtime::{Undone, failpoint};

/// A lane in the hands of one worker.
#[derive(Debug)]
pub struct SignerLane {
    pub(crate) ledger: Ledger,
    pub(crate) chain: Chain,
    pub(crate) key: Key,
    pub(crate) folded: Loaded<Lane>,
    pub(crate) lane: Lane,
    pub(crate) window: Window,
    pub(crate) watch: Watch,
    pub(crate) rests: Option<Rest>,
    /// Whether the account's money runs out, so that it is said once.
    pub(crate) is_low: bool,
}

impl SignerLane {
    /// Takes the lane over: writes a claim with a snapshot (or finds the one that another instance wrote just now), then
    /// looks after what is open.
    ///
    /// # Errors
    /// `Transient`: try again. `Broken`: the key has another purpose, or its history is not ours.
    pub async fn claim(
        ledger: Ledger,
        chain: Chain,
        key: Key,
        purpose: Purpose,
        instance: &str,
    ) -> Result<Self, Undone> {
        let address = key.address();
        let mut folded = ledger.load_lane(address).await?;
        loop {
            let nonce = chain.nonce(address).await?;
            check(folded.state.as_ref(), purpose, nonce, address)?;
            let claim = lane::claim(folded.state.as_ref(), purpose, chain.config().chain_id, instance, nonce);
            let event = Event::Signer(address, SignerEvent::Claimed(claim));
            let new = NewEvent { event, expected: Expected::Version(folded.version), trace: None };
            match ledger.append(&[new]).await.map_err(Undone::from) {
                Ok(_) | Err(Undone::Stale) => folded = ledger.refresh_lane(address, folded).await?,
                Err(other) => return Err(other),
            }
            if let Some(lane) = folded.state.clone() {
                tracing::info!(%address, epoch = lane.epoch, next_nonce = lane.next_nonce, open = lane.open.len(), "lane claimed");
                let (window, watch) = (Window::default(), Watch::default());
                let mut lane = Self { ledger, chain, key, folded, lane, window, watch, rests: None, is_low: false };
                lane.tend_now().await?;
                return Ok(lane);
            }
        }
    }

    /// The account.
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// Signed and not settled, as last read.
    pub fn in_flight(&self) -> usize {
        self.lane.open.len()
    }

    /// Whether another transaction may be signed.
    pub fn has_room(&self) -> bool {
        self.rests.is_none() && self.in_flight() < self.window.size()
    }

    /// Why it signs nothing new, where it rests.
    pub fn rests(&self) -> Option<Rest> {
        self.rests
    }

    /// Signs `call` for the next nonce, appends it **in one atomic batch** with what `command` makes of each of `items`,
    /// and only then broadcasts. `items` are those of the call, in its order. After `Ok` the bytes are in the ledger; the
    /// node may not have them yet: [`SignerLane::tend`] sends them again until the nonce is settled.
    ///
    /// # Errors
    /// `Stale`: an order or the lane moved, nothing is written: load again. `Transient`: nothing is known; load again.
    pub async fn send(
        &mut self,
        call: Call,
        items: &[Item],
        command: impl Fn(Submission) -> Command,
    ) -> Result<(), Undone> {
        self.refresh().await?;
        let head = self.chain.head().await?;
        // The append would be refused; what is not written is not even signed.
        if let Some(why) = self.ledger.stopped() {
            return Err(Undone::Stopped(why.to_string()));
        }
        let fees = self.chain.fees(head).await?;
        let tx = self.chain.sign(&self.key, self.lane.next_nonce, fees, call)?;
        let submission = Submission { signer: self.address(), nonce: tx.nonce, tx_hash: tx.tx_hash };
        // First: a server that has no room for all of a batch keeps its beginning, and bytes without their orders are found
        // paid, while orders without bytes would wait for ever (F07).
        let mut events = vec![self.event(SignerEvent::Signed(tx.clone()))];
        for item in items {
            // No item is sent without its event in the same append.
            events.push(item.event(command(submission.clone())).ok_or(Undone::Stale)?);
        }
        self.ledger.append(&events).await?;
        failpoint(before_broadcast(tx.purpose));
        self.broadcast(&tx).await;
        failpoint(after_broadcast(tx.purpose));
        Ok(())
    }

    /// Whatever the answer, nothing that is written changes: the same bytes are sent again until they are settled.
    pub(crate) async fn broadcast(&mut self, tx: &OpenTx) {
        let (signer, nonce, hash) = (self.address(), tx.nonce, tx.tx_hash);
        let answer = self.chain.broadcast(tx).await;
        match &answer {
            Broadcast::Accepted => tracing::info!(%signer, nonce, tx = %hash, items = tx.items.len(), "broadcast"),
            Broadcast::Known | Broadcast::NonceTooLow => {
                tracing::info!(%signer, nonce, tx = %hash, "broadcast: known already")
            }
            Broadcast::Transient(why) => {
                tracing::warn!(%signer, nonce, tx = %hash, why, "broadcast: no answer, sent again soon")
            }
            Broadcast::Underpriced => tracing::warn!(%signer, nonce, tx = %hash, "broadcast: underpriced"),
            Broadcast::Funds => tracing::error!(%signer, nonce, tx = %hash, "broadcast: the lane cannot pay its gas"),
            Broadcast::Unknown(why) => {
                tracing::error!(%signer, nonce, tx = %hash, why, "broadcast: an answer that is not known")
            }
        }
        self.watch.answered(hash, &answer);
    }

    /// An event of this lane, at the version that was read.
    pub(crate) fn event(&self, event: SignerEvent) -> NewEvent {
        let event = Event::Signer(self.address(), event);
        NewEvent { event, expected: Expected::Version(self.folded.version), trace: None }
    }

    pub(crate) async fn refresh(&mut self) -> Result<(), Undone> {
        let folded = self.ledger.refresh_lane(self.address(), self.folded.clone()).await?;
        if let Some(lane) = folded.state.clone() {
            let ended = self.lane.open.keys().filter(|nonce| !lane.open.contains_key(nonce)).count();
            self.window.ended(ended);
            self.lane = lane;
        }
        self.folded = folded;
        Ok(())
    }
}

fn check(lane: Option<&Lane>, purpose: Purpose, chain_nonce: u64, address: Address) -> Result<(), Undone> {
    let Some(lane) = lane else { return Ok(()) };
    if lane.purpose != purpose {
        return Err(Undone::corrupt(format!("{address} is the key of another purpose: {:?}", lane.purpose)));
    }
    // Every nonce below the lowest open one is settled. A chain that does not have them was reset, or the node lags.
    let settled = lane.open.keys().next().copied().unwrap_or(lane.next_nonce);
    if chain_nonce < settled {
        return Err(behind(address, chain_nonce, settled));
    }
    Ok(())
}

pub(crate) fn behind(address: Address, chain_nonce: u64, settled: u64) -> Undone {
    Undone::transient(format!(
        "{address} has nonce {chain_nonce} on chain, but {settled} are settled in the ledger: the node lags, or the chain was reset"
    ))
}

/// Crash points of docs/CATALOGUE.md, by purpose.
fn before_broadcast(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Settle => "C07",
        Purpose::Mint => "C17",
    }
}

fn after_broadcast(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Settle => "C08",
        Purpose::Mint => "C18",
    }
}
