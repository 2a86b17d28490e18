//! Lanes: reading them, and the version that an append to one must name.
//!
//! Nothing here costs more because a lane has many transactions behind it. A lane is loaded from its latest claim, which is
//! at most one bucket old; a worker that has loaded it reads on from where it stopped.

use crate::connect::Ledger;
use crate::envelope::Recorded;
use crate::error::LedgerError;
use crate::fold::corrupt;
use crate::lane_subjects::{
    after_settled_filters, bucket, bucket_filter, claims_filter, first_claim_filter, first_claims_filter, lane_filter,
    lost_subject, replaced_filter, reversals_filter, reversals_in, settled_subject, signatures_filter, signed,
};
use alloy_primitives::Address;
use domain::event::{Claimed, OpenTx, Purpose};
use domain::{Event, Lane, LaneId, SignerEvent, lane};
use std::collections::{BTreeMap, BTreeSet};

/// Subjects of nonces that are asked for in one request.
const NONCES_MAX: usize = 250;

/// A reader that is further behind loads the lane anew: the server searches everything that was written since.
const BEHIND_MAX: u64 = 16_384;

/// A reader stays this far behind what the process knows of the end of the ledger: a replica that answers may lag.
const SLACK: u64 = 1024;

/// Attempts to load a lane while another instance works it.
const RACES_MAX: usize = 5;

/// The version of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneVersion {
    /// The bucket that was opened last.
    pub bucket: u64,
    /// The last sequence in it; 0 for a bucket that this append opens.
    pub last: u64,
}

/// A folded lane and its version.
#[derive(Clone, Debug, Default)]
pub struct LoadedLane {
    /// What the events say; `None` before the first claim.
    pub state: Option<Lane>,
    /// `None` before the first claim.
    pub version: Option<LaneVersion>,
    /// Everything of the lane up to this sequence is folded.
    read_to: u64,
}

/// What the ledger says of a nonce, beside its first signature.
#[derive(Clone, Debug)]
pub enum Nonce {
    /// Under way, with the transactions that replaced the first one, in order.
    Open(Vec<OpenTx>),
    /// Settled or lost. Either is appended together with the outcome of every item, so there is nothing left to decide.
    Ended,
}

impl LoadedLane {
    /// Whether the bucket of the next nonce was not opened yet.
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
    /// A lane as it is now. Reads its latest claim and what changed since in the same bucket.
    ///
    /// # Errors
    /// `Corrupt` when somebody else wrote to it; `Transient` without an answer.
    pub async fn load_lane(&self, id: LaneId) -> Result<LoadedLane, LedgerError> {
        for _ in 0..RACES_MAX {
            if let Some(loaded) = self.lane_at_the_end(id).await? {
                return self.fold_news(id, loaded).await;
            }
        }
        Err(LedgerError::transient(format!("the lane of {}", id.signer), "it moves while it is read"))
    }

    /// The lane with what has been written since it was folded. Reads only what came since the last call.
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
        // As of before the reading, also where nothing is found: what comes later stands behind it.
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

    /// The lane as of the end of the ledger before this call. Returns `None` if it moved too much meanwhile.
    async fn lane_at_the_end(&self, id: LaneId) -> Result<Option<LoadedLane>, LedgerError> {
        let (_, end) = self.state().await?;
        let Some((claim, seq)) = self.latest_claim(id).await? else {
            return Ok(Some(LoadedLane { state: None, version: None, read_to: end }));
        };
        let opened = bucket(claim.next_nonce);
        let Some(next) = self.next_nonce(id, &claim, end).await?.filter(|_| seq <= end) else { return Ok(None) };
        let reversed = self.reversed(id, opened, seq + 1, end).await?;
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
            // The server says "not found" also where it cannot read. A second first claim would begin a second history.
            None if self.claimed_for(id.signer).await?.contains(&id.purpose) => {
                Err(LedgerError::transient("the claims of a lane", "not found now"))
            }
            None => Ok(None),
        }
    }

    /// The nonce after the last one that was signed or left behind up to `end`. Returns `None` if more was signed since.
    async fn next_nonce(&self, id: LaneId, claim: &Claimed, end: u64) -> Result<Option<u64>, LedgerError> {
        let mut next = claim.next_nonce;
        if let Some(recorded) = self.last_match(&signatures_filter(id, bucket(next))).await? {
            match &recorded.event {
                Ok(Event::Signer(_, SignerEvent::Signed(_))) if recorded.seq > end => return Ok(None),
                Ok(Event::Signer(_, SignerEvent::Signed(tx))) => next = next.max(tx.nonce.saturating_add(1)),
                _ => return Err(corrupt(&recorded, "not a signed transaction")),
            }
        }
        // Nonces that somebody else has used, and that were not signed for, are left behind by one event.
        while let Some(recorded) = self.last(&lost_subject(id, next)).await?.filter(|recorded| recorded.seq <= end) {
            match &recorded.event {
                Ok(Event::Signer(_, SignerEvent::Lost(lost))) if lost.account_nonce > next => next = lost.account_nonce,
                _ => return Err(corrupt(&recorded, "not a nonce that was left behind")),
            }
        }
        Ok(Some(next))
    }

    /// Nonces that were taken back from sequence `from` to `end`. `opened` is the bucket that was opened last.
    async fn reversed(&self, id: LaneId, opened: u64, from: u64, end: u64) -> Result<BTreeSet<u64>, LedgerError> {
        let (mut found, too_many) = self.found(from, &[reversals_filter(id)]).await?;
        if !too_many.is_empty() {
            // More than a thousand over the years: bucket by bucket.
            let buckets: Vec<String> = (0..=opened).map(|bucket| reversals_in(id, bucket)).collect();
            found = self.last_per_subject_from(from, &buckets).await?;
        }
        let found = found.iter().filter(|recorded| recorded.seq <= end);
        found
            .map(|recorded| match &recorded.event {
                Ok(Event::Signer(_, SignerEvent::Reverted(_, reversal))) => Ok(reversal.nonce),
                _ => Err(corrupt(recorded, "not a reversal")),
            })
            .collect()
    }

    /// Those of `nonces` that have ended by `end`. A nonce of `before` may have been taken back.
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
        for recorded in self.by_subject(&filters).await?.iter().filter(|recorded| recorded.seq <= end) {
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

    /// What a key was claimed for: one purpose, or none yet.
    ///
    /// # Errors
    /// `Transient` without an answer.
    pub async fn claimed_for(&self, signer: Address) -> Result<Vec<Purpose>, LedgerError> {
        let filters = Purpose::ALL.map(|purpose| first_claim_filter(signer, purpose));
        let mut purposes = self.last_per_subject(&filters).await?.into_iter().filter_map(|first| lane_of(&first));
        Ok(purposes.by_ref().map(|id| id.purpose).collect())
    }

    /// Whether the account is a lane: somebody has claimed it.
    ///
    /// # Errors
    /// `Transient` without an answer.
    pub async fn is_lane(&self, account: Address) -> Result<bool, LedgerError> {
        Ok(!self.claimed_for(account).await?.is_empty())
    }

    /// Every lane that signs for `purpose`, with the nonce of its first claim. Finds the first claims by their subjects.
    ///
    /// # Errors
    /// `Transient` without an answer.
    pub async fn lanes(&self, purpose: Purpose) -> Result<Vec<(LaneId, u64)>, LedgerError> {
        let firsts = self.last_per_subject(&[first_claims_filter(purpose)]).await?;
        Ok(firsts
            .into_iter()
            .filter_map(|recorded| match recorded.event {
                Ok(Event::Signer(id, SignerEvent::Claimed(claim))) => Some((id, claim.next_nonce)),
                // The worker of that lane refuses it, so nothing is signed there.
                _ => None,
            })
            .collect())
    }

    /// The nonce that a lane signs for next; `None` before its first claim.
    ///
    /// # Errors
    /// `Corrupt` when an event cannot be read; `Transient` without an answer.
    pub async fn next_to_sign(&self, id: LaneId) -> Result<Option<u64>, LedgerError> {
        match self.latest_claim(id).await? {
            Some((claim, _)) => self.next_nonce(id, &claim, u64::MAX).await,
            None => Ok(None),
        }
    }

    /// What happened to these nonces first: that they were signed for, or left behind unsigned. By sequence.
    ///
    /// # Errors
    /// `Corrupt` when one cannot be read; `Transient` without an answer.
    pub async fn begins(&self, id: LaneId, nonces: &[u64]) -> Result<Vec<SignerEvent>, LedgerError> {
        let of = |nonce: &u64| [signed(id, *nonce), lost_subject(id, *nonce)];
        let stored = self.by_subject(&nonces.iter().flat_map(of).collect::<Vec<_>>()).await?;
        stored
            .into_iter()
            .map(|recorded| match recorded.event {
                Ok(Event::Signer(_, event @ (SignerEvent::Signed(_) | SignerEvent::Lost(_)))) => Ok(event),
                _ => Err(corrupt(&recorded, "not a signed transaction")),
            })
            .collect()
    }

    /// The transactions that were signed for these nonces of a lane, as far as there are any.
    ///
    /// # Errors
    /// `Corrupt` when one cannot be read; `Transient` without an answer.
    pub async fn signed(&self, id: LaneId, nonces: &[u64]) -> Result<Vec<OpenTx>, LedgerError> {
        let subjects: Vec<String> = nonces.iter().map(|nonce| signed(id, *nonce)).collect();
        transactions(self.by_subject(&subjects).await?, u64::MAX)
    }

    /// Every transaction that was signed for these nonces of a lane up to sequence `until`: for each nonce the first one,
    /// and those that replaced it, in order.
    ///
    /// # Errors
    /// As [`Ledger::signed`].
    pub async fn attempts(&self, id: LaneId, nonces: &[u64], until: u64) -> Result<Vec<OpenTx>, LedgerError> {
        let of = |nonce: &u64| [signed(id, *nonce), replaced_filter(id, *nonce)];
        let filters: Vec<String> = nonces.iter().flat_map(of).collect();
        transactions(self.by_subject(&filters).await?, until)
    }

    /// What became of a nonce: settled or lost, and since then perhaps reverted and resettled, any number of times. By
    /// sequence; the last one holds.
    ///
    /// # Errors
    /// `Corrupt` when one cannot be read; `Transient` without an answer.
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

    /// What became of the signature for a nonce.
    ///
    /// # Errors
    /// `Corrupt` when an event cannot be read; `Transient` without an answer.
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

    /// Single subjects and narrow filters, many in one request.
    async fn by_subject(&self, filters: &[String]) -> Result<Vec<Recorded>, LedgerError> {
        let mut found = Vec::new();
        for some in filters.chunks(NONCES_MAX) {
            found.extend(self.last_per_subject(some).await?);
        }
        found.sort_by_key(|recorded| recorded.seq);
        Ok(found)
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

/// The lane that a subject belongs to, readable or not.
fn lane_of(recorded: &Recorded) -> Option<LaneId> {
    let mut tokens = recorded.subject.split('.').skip(1);
    let (signer, _, purpose) = (tokens.next()?.parse().ok()?, tokens.next()?, tokens.next()?);
    Some(LaneId::new(signer, Purpose::ALL.into_iter().find(|known| known.name() == purpose)?))
}
