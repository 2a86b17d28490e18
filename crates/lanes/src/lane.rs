//! One lane at work: claim, record, broadcast. The module `tend` looks after transactions that are under way.

use crate::item::Item;
use crate::unmined::Unmined;
use crate::watch::Watch;
use crate::window::Window;
use chain::{Address, Broadcast, Call, Chain, Key};
use domain::event::{OpenTx, Purpose, Submission};
use domain::lane::{self, CALL_GAS, COST_MAX_WEI, Rest};
use domain::order::Command;
use domain::{Event, Lane, LaneId, SignerEvent};
use ledger::{AppendError, Batch, Expected, LaneVersion, Ledger, LoadedLane, NewEvent};
use runtime::failpoint::{AFTER_BROADCAST, SIGNED_NOT_BROADCAST, failpoint};
use runtime::{OldestWork, Undone};

/// A lane in the hands of one worker.
#[derive(Debug)]
pub struct SignerLane {
    pub(crate) ledger: Ledger,
    pub(crate) chain: Chain,
    pub(crate) key: Key,
    pub(crate) id: LaneId,
    /// Name of this instance, for claims.
    instance: String,
    pub(crate) folded: LoadedLane,
    pub(crate) lane: Lane,
    pub(crate) window: Window,
    pub(crate) watch: Watch,
    pub(crate) unmined: Unmined,
    pub(crate) rests: Option<Rest>,
    /// The fee cap of a new transaction at the last look, wei a gas.
    pub(crate) max_fee_wei: u128,
    /// True if the account's money is running out. Remembered so that the log says it once.
    pub(crate) is_low: bool,
}

impl SignerLane {
    /// Takes the lane over. Appends a claim with a snapshot, or finds the claim that another instance has just
    /// appended.
    ///
    /// # Errors
    /// `Transient`: try again. `Corrupt`: the key has another purpose, or its history is not one that this code writes.
    pub async fn claim(
        ledger: Ledger,
        chain: Chain,
        key: Key,
        purpose: Purpose,
        instance: &str,
    ) -> Result<Self, Undone> {
        let id = LaneId::new(key.address(), purpose);
        let mut folded = ledger.load_lane(id).await?;
        loop {
            if folded.state.is_none() {
                only_for(&ledger.claimed_for(id.signer).await?, id)?;
            }
            let nonce = chain.nonce(id.signer).await?;
            check(folded.state.as_ref(), nonce, id.signer)?;
            let claim = lane::claim(folded.state.as_ref(), purpose, chain.config().chain_id, instance, nonce);
            let lane = folded.state.clone().unwrap_or_else(|| lane::resume(&claim, []));
            let (window, watch) = (Window::default(), Watch::default());
            let instance = instance.to_owned();
            let (ledger, chain, key) = (ledger.clone(), chain.clone(), key.clone());
            let (unmined, rests, is_low) = (Unmined::default(), None, false);
            let mut this = Self {
                ledger,
                chain,
                key,
                id,
                instance,
                folded,
                lane,
                window,
                watch,
                unmined,
                rests,
                max_fee_wei: 0,
                is_low,
            };
            // Asks the node for everything that the lane needs before anything is appended. If a lane claimed first and
            // then failed on one of these answers, each try would append another claim.
            let head = this.chain.head().await?;
            this.look(head).await?;
            let expected = this.folded.version.map_or(Expected::Unclaimed, Expected::Lane);
            let new = NewEvent { event: Event::Signer(id, SignerEvent::Claimed(claim)), expected, trace: None };
            match this.ledger.append(new).await {
                Ok(_) => {}
                Err(AppendError::WrongVersion) => this.folded = this.ledger.load_lane(id).await?,
                Err(other) => return Err(other.into()),
            }
            this.folded = this.ledger.refresh_lane(id, this.folded.clone()).await?;
            if this.folded.state.is_some() {
                this.adopt(this.folded.clone())?;
                let (lane, address) = (&this.lane, id.signer);
                tracing::info!(%address, epoch = lane.epoch, next_nonce = lane.next_nonce, open = lane.open.len(), "lane claimed");
                return Ok(this);
            }
            folded = this.folded;
        }
    }

    /// The account.
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// Number of transactions that are signed and not settled, as last read.
    pub fn in_flight(&self) -> usize {
        self.lane.open.len()
    }

    /// Returns whether the transaction with this nonce is signed and not settled, as last read.
    pub fn is_in_flight(&self, nonce: u64) -> bool {
        self.lane.open.contains_key(&nonce)
    }

    /// True if another transaction may be signed.
    pub fn has_room(&self) -> bool {
        self.rests.is_none() && self.in_flight() < self.window.size()
    }

    /// The number of items of a batch, at most `most`, of which the gas costs no more than a node allows. `most` items may use
    /// [`CALL_GAS`].
    pub fn batch_max(&self, most: usize) -> usize {
        let affordable = COST_MAX_WEI / self.max_fee_wei.max(1);
        let share = affordable.saturating_mul(most as u128) / CALL_GAS;
        usize::try_from(share).map_or(most, |share| share.clamp(1, most))
    }

    /// The oldest transaction that is in no block.
    pub fn oldest(&self) -> Option<OldestWork> {
        self.unmined.oldest()
    }

    /// The reason why the lane signs nothing new; `None` if it works.
    pub fn rests(&self) -> Option<Rest> {
        self.rests
    }

    /// Signs `call` for the next nonce. Appends the signed bytes **in one atomic batch** with the event that `command`
    /// gives for each of `items`, and only then broadcasts. `items` are the items of the call, in the same order. Returns the
    /// nonce.
    ///
    /// After `Ok` the bytes are in the ledger. The node may not have them yet: [`SignerLane::tend`] sends them again
    /// until the nonce is settled.
    ///
    /// # Errors
    /// `Stale`: an order or the lane has moved on and nothing is stored; load them again. `Transient`: the outcome is
    /// unknown; load them again.
    pub async fn send(
        &mut self,
        call: Call,
        items: &[Item],
        command: impl Fn(Submission) -> Command,
    ) -> Result<u64, Undone> {
        self.refresh().await?;
        let head = self.chain.head().await?;
        // The append would be refused. Bytes that cannot be recorded are not even signed.
        if let Some(why) = self.ledger.stopped() {
            return Err(Undone::Stopped(why.to_string()));
        }
        let fees = self.chain.fees(head).await?.affordable(call.gas_limit);
        let (epoch, nonce) = (self.lane.epoch, self.lane.next_nonce);
        let tx = self.chain.sign(&self.key, nonce, fees, call)?;
        let submission = Submission { signer: self.address(), nonce, tx_hash: tx.tx_hash };
        // No item is sent without its event in the same append.
        let orders: Option<Vec<NewEvent>> = items.iter().map(|item| item.event(command(submission.clone()))).collect();
        let orders = orders.ok_or(Undone::Stale)?;
        loop {
            let version = self.folded.version;
            let (opening, signed) = self.event(SignerEvent::Signed(tx.clone()));
            let batch = Batch::led_by(opening.into_iter().chain([signed])).then(orders.iter().cloned());
            match self.ledger.append(batch).await {
                Ok(_) => break,
                Err(AppendError::WrongVersion) => {}
                Err(other) => return Err(other.into()),
            }
            // Usually the confirmer has settled a nonce in the meantime. If nothing else has changed, the same bytes
            // are appended again at the new version. If an order has moved on, the ledger refuses them again.
            self.catch_up().await?;
            let is_same = (self.lane.epoch, self.lane.next_nonce) == (epoch, nonce);
            if self.folded.version == version || !is_same || self.in_flight() >= self.window.size() {
                return Err(Undone::Stale);
            }
        }
        failpoint(SIGNED_NOT_BROADCAST);
        self.broadcast(&tx).await;
        failpoint(AFTER_BROADCAST);
        Ok(nonce)
    }

    /// Sends signed bytes to the node. No answer changes what is recorded: the same bytes are sent again until they are
    /// settled.
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
            Broadcast::TooDear => {
                tracing::warn!(%signer, nonce, tx = %hash, "broadcast: its gas costs more than the node allows")
            }
            Broadcast::Funds => tracing::error!(%signer, nonce, tx = %hash, "broadcast: the lane cannot pay its gas"),
            Broadcast::Unknown(why) => {
                tracing::error!(%signer, nonce, tx = %hash, why, "broadcast: an answer that is not known")
            }
        }
        self.watch.answered(hash, &answer);
        self.unmined.answered(tx, &answer);
    }

    /// An event of this lane at the version that was read, and what must be appended before it.
    ///
    /// If the bucket of the next nonce is not open, a claim opens it. The claim names the version of the previous
    /// bucket, and the event expects that the new bucket is empty. So of two writers, one that opens a bucket and one
    /// that still writes in the old one, the ledger refuses one.
    pub(crate) fn event(&self, event: SignerEvent) -> (Option<NewEvent>, NewEvent) {
        let new = |event, version: Option<LaneVersion>| {
            let expected = version.map_or(Expected::Unclaimed, Expected::Lane);
            NewEvent { event: Event::Signer(self.id, event), expected, trace: None }
        };
        if !self.folded.is_at_the_end_of_a_bucket() {
            return (None, new(event, self.folded.version));
        }
        let chain_id = self.chain.config().chain_id;
        let (purpose, next) = (self.id.purpose, self.lane.next_nonce);
        let claim = lane::claim(Some(&self.lane), purpose, chain_id, &self.instance, next);
        let empty = LaneVersion { bucket: ledger::bucket(next), last: 0 };
        (Some(new(SignerEvent::Claimed(claim), self.folded.version)), new(event, Some(empty)))
    }

    /// Appends `batch`. If the answer is `Stale`, the lane has already been read again.
    pub(crate) async fn write(&mut self, batch: Batch) -> Result<(), Undone> {
        match self.ledger.append(batch).await {
            Ok(_) => Ok(()),
            Err(AppendError::WrongVersion) => {
                self.catch_up().await?;
                Err(Undone::Stale)
            }
            Err(other) => Err(other.into()),
        }
    }

    /// Reads what was appended since, after the ledger refused an append. If there is nothing new, something was
    /// missed, so the lane is loaded from the beginning.
    async fn catch_up(&mut self) -> Result<(), Undone> {
        let version = self.folded.version;
        self.refresh().await?;
        if self.folded.version == version {
            self.adopt(self.ledger.load_lane(self.id).await?)?;
        }
        Ok(())
    }

    pub(crate) async fn refresh(&mut self) -> Result<(), Undone> {
        let folded = self.ledger.refresh_lane(self.id, self.folded.clone()).await?;
        self.adopt(folded)
    }

    /// Continues from `folded`. A lane never loses a claim or a nonce. A ledger that shows less than was read before is
    /// another ledger or a lagging replica, so nothing is signed on it.
    fn adopt(&mut self, folded: LoadedLane) -> Result<(), Undone> {
        let is_behind = |lane: &Lane| lane.epoch < self.lane.epoch || lane.next_nonce < self.lane.next_nonce;
        let Some(lane) = folded.state.clone().filter(|lane| !is_behind(lane)) else {
            let less = format!("the ledger shows less of the lane of {} than was read before", self.id.signer);
            return Err(Undone::transient(less));
        };
        let ended = self.lane.open.keys().filter(|nonce| !lane.open.contains_key(nonce)).count();
        self.window.ended(ended);
        self.lane = lane;
        self.folded = folded;
        Ok(())
    }
}

/// The key of a lane is that of another purpose, which is a mistake in the configuration.
#[derive(Debug, thiserror::Error)]
#[error("{signer} is the key of another purpose: {purpose:?}")]
pub(crate) struct OtherPurpose {
    signer: Address,
    purpose: Purpose,
}

/// Refuses a key that was claimed for another purpose. The first claim of a key decides its purpose permanently.
fn only_for(purposes: &[Purpose], id: LaneId) -> Result<(), Undone> {
    match purposes.iter().find(|purpose| **purpose != id.purpose) {
        Some(other) => Err(Undone::corrupt(OtherPurpose { signer: id.signer, purpose: *other })),
        None => Ok(()),
    }
}

fn check(lane: Option<&Lane>, chain_nonce: u64, address: Address) -> Result<(), Undone> {
    let Some(lane) = lane else { return Ok(()) };
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
