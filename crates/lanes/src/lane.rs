//! One lane at work: claim, record, broadcast, tend.

use crate::error::LaneError;
use crate::item::Item;
use chain::{Address, Broadcast, Call, Chain, Key};
use domain::event::Submission;
use domain::event::{OpenTx, Purpose};
use domain::lane;
use domain::order::Command;
use domain::{Event, Lane, SignerEvent};
use ledger::{Expected, Ledger, Loaded, NewEvent};
use runtime::failpoint;
use std::time::Duration;
use tokio::time::Instant;

/// Signed and unsettled transactions of one lane. Nodes keep 16 per account in their pools; half of it leaves room.
pub const IN_FLIGHT_MAX: usize = 8;

/// A transaction that the node does not know is sent again at most this often.
const TEND_INTERVAL: Duration = Duration::from_millis(500);

/// A lane in the hands of one worker.
#[derive(Debug)]
pub struct SignerLane {
    ledger: Ledger,
    chain: Chain,
    key: Key,
    folded: Loaded<Lane>,
    lane: Lane,
    tended: Instant,
}

impl SignerLane {
    /// Takes the lane over: writes a claim with a snapshot (or finds the one that another instance wrote just now), then
    /// sends again what is open and unknown to the node.
    ///
    /// # Errors
    /// `Transient`: try again. `Broken`: the key is used elsewhere, or its history is not ours.
    pub async fn claim(
        ledger: Ledger,
        chain: Chain,
        key: Key,
        purpose: Purpose,
        instance: &str,
    ) -> Result<Self, LaneError> {
        let address = key.address();
        let mut folded = ledger.load_lane(address).await?;
        loop {
            let nonce = chain.nonce(address).await?;
            check(folded.state.as_ref(), purpose, nonce, address)?;
            let claim = lane::claim(folded.state.as_ref(), purpose, chain.config().chain_id, instance, nonce);
            let event = Event::Signer(address, SignerEvent::Claimed(claim));
            let new = NewEvent { event, expected: Expected::Version(folded.version), trace: None };
            match ledger.append(&[new]).await.map_err(LaneError::from) {
                Ok(_) | Err(LaneError::Stale) => folded = ledger.refresh_lane(address, folded).await?,
                Err(other) => return Err(other),
            }
            if let Some(lane) = folded.state.clone() {
                tracing::info!(%address, epoch = lane.epoch, next_nonce = lane.next_nonce, open = lane.open.len(), "lane claimed");
                let mut lane = Self { ledger, chain, key, folded, lane, tended: Instant::now() };
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
        self.in_flight() < IN_FLIGHT_MAX
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
    ) -> Result<(), LaneError> {
        self.refresh().await?;
        let head = self.chain.head().await?;
        let fees = self.chain.fees(head).await?;
        let tx = self.chain.sign(&self.key, self.lane.next_nonce, fees, call)?;
        let submission = Submission { signer: self.address(), nonce: tx.nonce, tx_hash: tx.tx_hash };
        let signed = Event::Signer(self.address(), SignerEvent::Signed(tx.clone()));
        let mut events =
            vec![NewEvent { event: signed, expected: Expected::Version(self.folded.version), trace: None }];
        for item in items {
            // No item is sent without its event in the same append.
            events.push(item.event(command(submission.clone())).ok_or(LaneError::Stale)?);
        }
        self.ledger.append(&events).await?;
        failpoint(before_broadcast(tx.purpose));
        self.broadcast(&tx).await;
        failpoint(after_broadcast(tx.purpose));
        Ok(())
    }

    /// Looks after what is signed and unsettled; does nothing when called again within half a second.
    ///
    /// # Errors
    /// `Transient`: call it again.
    pub async fn tend(&mut self) -> Result<(), LaneError> {
        if self.tended.elapsed() < TEND_INTERVAL {
            return Ok(());
        }
        self.tend_now().await
    }

    async fn tend_now(&mut self) -> Result<(), LaneError> {
        self.tended = Instant::now();
        self.refresh().await?;
        if self.lane.open.is_empty() {
            return Ok(());
        }
        let used = self.chain.nonce(self.address()).await?;
        behind(&self.lane, used, self.address())?;
        for tx in self.lane.open.values().filter(|tx| tx.nonce >= used) {
            if !self.chain.knows(tx.tx_hash).await? {
                tracing::warn!(signer = %self.address(), nonce = tx.nonce, tx = %tx.tx_hash, "the node lost a transaction: sent again");
                self.broadcast(tx).await;
            }
        }
        Ok(())
    }

    /// The answer changes nothing that is written: known or not, the same bytes are sent again until they are settled.
    async fn broadcast(&self, tx: &OpenTx) {
        let (signer, nonce, hash) = (self.address(), tx.nonce, tx.tx_hash);
        match self.chain.broadcast(tx).await {
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
    }

    async fn refresh(&mut self) -> Result<(), LaneError> {
        let folded = self.ledger.refresh_lane(self.address(), self.folded.clone()).await?;
        if let Some(lane) = folded.state.clone() {
            self.lane = lane;
        }
        self.folded = folded;
        Ok(())
    }
}

/// A lane whose account has gone beyond its ledger is used by somebody else (F44): stop before signing anything.
fn check(lane: Option<&Lane>, purpose: Purpose, chain_nonce: u64, address: Address) -> Result<(), LaneError> {
    match lane {
        Some(lane) if lane.purpose != purpose => {
            Err(LaneError::Broken(format!("{address} is the key of another purpose: {:?}", lane.purpose)))
        }
        Some(lane) if chain_nonce > lane.next_nonce => Err(LaneError::Broken(format!(
            "{address} has nonce {chain_nonce} on chain, but {} in the ledger: its key is used elsewhere",
            lane.next_nonce
        ))),
        Some(lane) => behind(lane, chain_nonce, address),
        None => Ok(()),
    }
}

/// Every nonce below the lowest open one is settled. A chain that does not have them was reset, or the node lags.
fn behind(lane: &Lane, chain_nonce: u64, address: Address) -> Result<(), LaneError> {
    let settled = lane.open.keys().next().copied().unwrap_or(lane.next_nonce);
    if chain_nonce >= settled {
        return Ok(());
    }
    Err(LaneError::Transient(format!(
        "{address} has nonce {chain_nonce} on chain, but {settled} are settled in the ledger: the node lags, or the chain was reset"
    )))
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
