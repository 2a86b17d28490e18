//! Lanes: reads them, and knows the version that an append to one must name.
//!
//! The cost of every function here is independent of the number of transactions of a lane. A lane is loaded from its
//! latest claim, which is at most one bucket back. A worker that has loaded it reads on from where it stopped.

use crate::connect::Ledger;
use crate::error::LedgerError;
use crate::fold::corrupt;
use crate::lane_subjects::{
    after_settled_filters, bucket, bucket_filter, claims_filter, first_claim_filter, first_claims_filter, lane_filter,
    lost_subject, replaced_filter, reversals_filter, reversals_in, settled_subject, signatures_filter, signed,
};
use alloy_primitives::Address;
use domain::event::{Claimed, OpenTx, Purpose};
use domain::{Event, Lane, LaneId, Recorded, SignerEvent, lane};
use std::collections::{BTreeMap, BTreeSet};

/// If a reader is more sequences behind, it loads the lane again. The server would have to search everything that was
/// written since.
const BEHIND_MAX: u64 = 16_384;

/// After a read, everything up to this far before the known end of the ledger counts as read. The rest does not,
/// because the replica that answered may lag.
const SLACK: u64 = 1024;

/// Maximum number of attempts to load a lane while another instance works it.
const RACES_MAX: usize = 5;

/// The version of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneVersion {
    /// The bucket that was opened last.
    pub bucket: u64,
    /// The last sequence in this bucket; 0 if this append opens it.
    pub last: u64,
}

/// A folded lane and its version.
#[derive(Clone, Debug, Default)]
pub struct LoadedLane {
    /// State of the lane; `None` before the first claim.
    pub state: Option<Lane>,
    /// Version of the lane; `None` before the first claim.
    pub version: Option<LaneVersion>,
    /// Every event of the lane up to this sequence is folded.
    read_to: u64,
}

/// State of a nonce that was signed for.
#[derive(Clone, Debug)]
pub enum Nonce {
    /// The nonce is under way. Holds the transactions that replaced the first one, in order.
    Open(Vec<OpenTx>),
    /// The nonce is settled or lost. Both are appended together with the outcomes of all items, so nothing is left to
    /// decide.
    Ended,
}

impl LoadedLane {
    /// True if the bucket of the next nonce is not open yet.
    pub fn is_at_the_end_of_a_bucket(&self) -> bool {
        match (&self.state, self.version) {
            (Some(lane), Some(version)) => bucket(lane.next_nonce) != version.bucket,
            _ => false,
        }
    }

    fn fold(&mut self, recorded: &Recorded) -> Result<(), LedgerError> {
        let Ok(Event::Signer(_, event)) = &recorded.event else { return Err(corrupt(recorded, "not a lane event")) };
        let stands_in = self.version.map(|version| version.bucket);
        match event {
            SignerEvent::Claimed(claim) => {
                self.version = Some(LaneVersion { bucket: bucket(claim.next_nonce), last: recorded.seq });
            }
            SignerEvent::Signed(tx) if stands_in != Some(bucket(tx.nonce)) => {
                return Err(corrupt(recorded, "signed in a bucket that no claim has opened"));
            }
            _ => {}
        }
        self.state = lane::evolve(self.state.take(), event).map_err(|e| corrupt(recorded, e))?;
        if let Some(version) = self.version.as_mut().filter(|version| bucket_of(recorded) == Some(version.bucket)) {
            version.last = version.last.max(recorded.seq);
        }
        Ok(())
    }
}

impl Ledger {
    /// Loads the current state of a lane. Reads its latest claim and the later changes in the same bucket.
    ///
    /// # Errors
    /// `Corrupt`: its history is one that no worker writes. `Transient`: the ledger did not answer.
    pub async fn load_lane(&self, id: LaneId) -> Result<LoadedLane, LedgerError> {
        for _ in 0..RACES_MAX {
            if let Some(loaded) = self.lane_at_the_end(id).await? {
                return self.fold_news(id, loaded).await;
            }
        }
        Err(LedgerError::transient(format!("the lane of {}", id.signer), "it moves while it is read"))
    }

    /// Folds the events that were appended since `loaded` was read, and reads only those.
    ///
    /// # Errors
    /// As [`Ledger::load_lane`].
    pub async fn refresh_lane(&self, id: LaneId, loaded: LoadedLane) -> Result<LoadedLane, LedgerError> {
        if self.whole.known().saturating_sub(loaded.read_to) > BEHIND_MAX {
            return self.load_lane(id).await;
        }
        self.fold_news(id, loaded).await
    }

    async fn fold_news(&self, id: LaneId, mut loaded: LoadedLane) -> Result<LoadedLane, LedgerError> {
        // Taken before the read. Events that come later stand behind this sequence, so it holds even if the read finds
        // nothing.
        let end = self.whole.known().saturating_sub(SLACK);
        for recorded in self.news(&lane_filter(id), loaded.read_to + 1).await? {
            loaded.fold(&recorded)?;
            loaded.read_to = recorded.seq;
        }
        loaded.read_to = loaded.read_to.max(end);
        if let Some(state) = loaded.state.as_mut().filter(|state| !state.reopened.is_empty()) {
            let nonces: Vec<u64> = state.reopened.iter().copied().collect();
            lane::reopen(state, self.attempts(id, &nonces, loaded.read_to).await?);
        }
        Ok(loaded)
    }

    /// The lane as of the end of the ledger when the call began. Returns `None` if the lane changed too much meanwhile.
    async fn lane_at_the_end(&self, id: LaneId) -> Result<Option<LoadedLane>, LedgerError> {
        let (_, end) = self.state().await?;
        let Some((claim, seq)) = self.latest_claim(id).await? else {
            return Ok(Some(LoadedLane { state: None, version: None, read_to: end }));
        };
        let opened = bucket(claim.next_nonce);
        let Some(next) = self.next_nonce(id, &claim, end).await?.filter(|_| seq <= end) else { return Ok(None) };
        let reversed = self.reversed(id, opened, end).await?;
        // A claim names the version of its own bucket only. It can miss a reversal that was appended to an earlier bucket
        // a moment before, so all reversals are read, whether or not the claim is younger.
        let before: BTreeSet<u64> = claim.open.iter().copied().chain(reversed).collect();
        let nonces: BTreeSet<u64> = before.iter().copied().chain(claim.next_nonce..next).collect();
        let ends = self.ends(id, &nonces, &before, end).await?;
        let open: Vec<u64> = nonces.into_iter().filter(|nonce| !ends.contains(nonce)).collect();
        let state = lane::later(&claim, next, self.attempts(id, &open, end).await?);
        let last = self.last_match(&bucket_filter(id, opened)).await?;
        let last = last
            .ok_or_else(|| LedgerError::transient("the claims of a lane", "a claim was read, and is not found now"))?
            .seq;
        Ok(Some(LoadedLane { state: Some(state), version: Some(LaneVersion { bucket: opened, last }), read_to: end }))
    }

    /// The latest claim of a lane and its sequence.
    async fn latest_claim(&self, id: LaneId) -> Result<Option<(Claimed, u64)>, LedgerError> {
        match self.last_match(&claims_filter(id)).await? {
            Some(recorded) => match &recorded.event {
                Ok(Event::Signer(_, SignerEvent::Claimed(claim))) => Ok(Some((claim.clone(), recorded.seq))),
                _ => Err(corrupt(&recorded, "not a claim")),
            },
            // The server also says "not found" if it cannot read the message. A second first claim would begin a second
            // history.
            None if self.claimed_for(id.signer).await?.contains(&id.purpose) => {
                Err(LedgerError::transient("the claims of a lane", "not found now"))
            }
            None => Ok(None),
        }
    }

    /// The nonce after the last one that was signed for or left behind up to sequence `end`. Returns `None` if more
    /// were signed for since.
    async fn next_nonce(&self, id: LaneId, claim: &Claimed, end: u64) -> Result<Option<u64>, LedgerError> {
        let mut next = claim.next_nonce;
        if let Some(recorded) = self.last_match(&signatures_filter(id, bucket(next))).await? {
            match &recorded.event {
                Ok(Event::Signer(_, SignerEvent::Signed(_))) if recorded.seq > end => return Ok(None),
                Ok(Event::Signer(_, SignerEvent::Signed(tx))) => next = next.max(tx.nonce.saturating_add(1)),
                _ => return Err(corrupt(&recorded, "not a signed transaction")),
            }
        }
        // One event leaves behind a range of nonces that another sender used and that were not signed for here.
        while let Some(recorded) = self.last(&lost_subject(id, next)).await?.filter(|recorded| recorded.seq <= end) {
            match &recorded.event {
                Ok(Event::Signer(_, SignerEvent::Lost(lost))) if lost.account_nonce > next => next = lost.account_nonce,
                _ => return Err(corrupt(&recorded, "not a nonce that was left behind")),
            }
        }
        Ok(Some(next))
    }

    /// Nonces that a reorg ever took back in events up to sequence `end`. `opened` is the bucket that was opened last.
    async fn reversed(&self, id: LaneId, opened: u64, end: u64) -> Result<BTreeSet<u64>, LedgerError> {
        let (mut found, too_many) = self.found(0, &[reversals_filter(id)]).await?;
        if !too_many.is_empty() {
            // More than a thousand in the whole history of the lane: asked for bucket by bucket.
            let buckets: Vec<String> = (0..=opened).map(|bucket| reversals_in(id, bucket)).collect();
            found = self.last_per_subject(&buckets).await?;
        }
        let found = found.iter().filter(|recorded| recorded.seq <= end);
        found
            .map(|recorded| match &recorded.event {
                Ok(Event::Signer(_, SignerEvent::Reverted(_, reversal))) => Ok(reversal.nonce),
                _ => Err(corrupt(recorded, "not a reversal")),
            })
            .collect()
    }

    /// Returns those of `nonces` that have ended by sequence `end`. A reorg may have taken back a nonce of `before` in
    /// the meantime.
    async fn ends(
        &self,
        id: LaneId,
        nonces: &BTreeSet<u64>,
        before: &BTreeSet<u64>,
        end: u64,
    ) -> Result<BTreeSet<u64>, LedgerError> {
        let once = |nonce: &u64| [settled_subject(id, *nonce), lost_subject(id, *nonce)];
        let mut filters: Vec<String> = nonces.iter().flat_map(once).collect();
        filters.extend(before.iter().flat_map(|nonce| after_settled_filters(id, *nonce)));
        let mut has_ended = BTreeMap::new();
        for recorded in self.last_per_subject(&filters).await?.iter().filter(|recorded| recorded.seq <= end) {
            match &recorded.event {
                Ok(Event::Signer(_, SignerEvent::Settled(of) | SignerEvent::Resettled(_, of))) => {
                    has_ended.insert(of.nonce, true)
                }
                Ok(Event::Signer(_, SignerEvent::Lost(of))) => has_ended.insert(of.nonce, true),
                Ok(Event::Signer(_, SignerEvent::Reverted(_, of))) => has_ended.insert(of.nonce, false),
                _ => return Err(corrupt(recorded, "not the end of a nonce")),
            };
        }
        Ok(has_ended.into_iter().filter_map(|(nonce, ended)| ended.then_some(nonce)).collect())
    }

    /// The purposes that a key was claimed for: one, or none yet.
    ///
    /// # Errors
    /// `Transient`: the ledger did not answer.
    pub async fn claimed_for(&self, signer: Address) -> Result<Vec<Purpose>, LedgerError> {
        let filters = Purpose::ALL.map(|purpose| first_claim_filter(signer, purpose));
        let mut purposes = self.last_per_subject(&filters).await?.into_iter().filter_map(|first| lane_of(&first));
        Ok(purposes.by_ref().map(|id| id.purpose).collect())
    }

    /// Every lane that signs for `purpose`, with the nonce of its first claim. Finds the first claims by their
    /// subjects.
    ///
    /// # Errors
    /// `Newer`: a newer build has claimed a lane. `Transient`: the ledger did not answer.
    pub async fn lanes(&self, purpose: Purpose) -> Result<Vec<(LaneId, u64)>, LedgerError> {
        let mut lanes = Vec::new();
        for recorded in self.last_per_subject(&[first_claims_filter(purpose)]).await? {
            match &recorded.event {
                Ok(Event::Signer(id, SignerEvent::Claimed(claim))) => lanes.push((*id, claim.next_nonce)),
                _ => match corrupt(&recorded, "not a claim") {
                    // The worker of that lane refuses the claim too, so nothing is signed there.
                    LedgerError::Corrupt { .. } => {}
                    other => return Err(other),
                },
            }
        }
        Ok(lanes)
    }

    /// The nonce that a lane signs for next. Returns `None` before its first claim.
    ///
    /// # Errors
    /// `Corrupt`: an event cannot be read. `Transient`: the ledger did not answer.
    pub async fn next_to_sign(&self, id: LaneId) -> Result<Option<u64>, LedgerError> {
        match self.latest_claim(id).await? {
            Some((claim, _)) => self.next_nonce(id, &claim, u64::MAX).await,
            None => Ok(None),
        }
    }

    /// The first event of each of these nonces: signed for, or left behind unsigned. In order of sequence.
    ///
    /// # Errors
    /// `Corrupt`: an event cannot be read. `Transient`: the ledger did not answer.
    pub async fn begins(&self, id: LaneId, nonces: &[u64]) -> Result<Vec<SignerEvent>, LedgerError> {
        let of = |nonce: &u64| [signed(id, *nonce), lost_subject(id, *nonce)];
        let stored = self.last_per_subject(&nonces.iter().flat_map(of).collect::<Vec<_>>()).await?;
        stored
            .into_iter()
            .map(|recorded| match recorded.event {
                Ok(Event::Signer(_, event @ (SignerEvent::Signed(_) | SignerEvent::Lost(_)))) => Ok(event),
                _ => Err(corrupt(&recorded, "not a signed transaction")),
            })
            .collect()
    }

    /// The first transactions that were signed for these nonces of a lane. A nonce without one is left out.
    ///
    /// # Errors
    /// `Corrupt`: an event cannot be read. `Transient`: the ledger did not answer.
    pub async fn signed(&self, id: LaneId, nonces: &[u64]) -> Result<Vec<OpenTx>, LedgerError> {
        let subjects: Vec<String> = nonces.iter().map(|nonce| signed(id, *nonce)).collect();
        transactions(self.last_per_subject(&subjects).await?, u64::MAX)
    }

    /// Every transaction that was signed for these nonces of a lane up to sequence `until`. For each nonce the first
    /// one comes first, and its replacements follow in order.
    ///
    /// # Errors
    /// As [`Ledger::signed`].
    pub async fn attempts(&self, id: LaneId, nonces: &[u64], until: u64) -> Result<Vec<OpenTx>, LedgerError> {
        let of = |nonce: &u64| [signed(id, *nonce), replaced_filter(id, *nonce)];
        let filters: Vec<String> = nonces.iter().flat_map(of).collect();
        transactions(self.last_per_subject(&filters).await?, until)
    }

    /// The events that ended a nonce, or took that end back, in order of sequence: settled or lost, then reverted and
    /// resettled any number of times. The last one holds.
    ///
    /// # Errors
    /// `Corrupt`: an event cannot be read. `Transient`: the ledger did not answer.
    pub async fn ends_of(&self, id: LaneId, nonce: u64) -> Result<Vec<SignerEvent>, LedgerError> {
        let mut filters = vec![settled_subject(id, nonce), lost_subject(id, nonce)];
        filters.extend(after_settled_filters(id, nonce));
        let stored = self.last_per_subject(&filters).await?;
        stored
            .into_iter()
            .map(|recorded| match recorded.event {
                Ok(Event::Signer(_, event)) => Ok(event),
                _ => Err(corrupt(&recorded, "not the end of a nonce")),
            })
            .collect()
    }

    /// The state of a nonce that was signed for.
    ///
    /// # Errors
    /// `Corrupt`: an event cannot be read. `Transient`: the ledger did not answer.
    pub async fn nonce(&self, id: LaneId, nonce: u64) -> Result<Nonce, LedgerError> {
        let filters = [settled_subject(id, nonce), lost_subject(id, nonce), replaced_filter(id, nonce)];
        let mut replacements = Vec::new();
        for recorded in self.last_per_subject(&filters).await? {
            match &recorded.event {
                Ok(Event::Signer(_, SignerEvent::Settled(_) | SignerEvent::Lost(_))) => return Ok(Nonce::Ended),
                Ok(Event::Signer(_, SignerEvent::Replaced(_, tx))) => replacements.push(tx.clone()),
                _ => return Err(corrupt(&recorded, "not an event of a nonce")),
            }
        }
        Ok(Nonce::Open(replacements))
    }
}

fn transactions(stored: Vec<Recorded>, until: u64) -> Result<Vec<OpenTx>, LedgerError> {
    let stored = stored.into_iter().filter(|recorded| recorded.seq <= until);
    stored
        .map(|recorded| match recorded.event {
            Ok(Event::Signer(_, SignerEvent::Signed(tx) | SignerEvent::Replaced(_, tx))) => Ok(tx),
            _ => Err(corrupt(&recorded, "not a signed transaction")),
        })
        .collect()
}

fn bucket_of(recorded: &Recorded) -> Option<u64> {
    recorded.subject.split('.').nth(2)?.parse().ok()
}

/// The lane that a subject belongs to, whether or not the event can be read.
fn lane_of(recorded: &Recorded) -> Option<LaneId> {
    let mut tokens = recorded.subject.split('.').skip(1);
    let (signer, _, purpose) = (tokens.next()?.parse().ok()?, tokens.next()?, tokens.next()?);
    Some(LaneId::new(signer, Purpose::ALL.into_iter().find(|known| known.name() == purpose)?))
}
