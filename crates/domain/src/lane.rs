//! A signer lane: one key, its nonces in order, what is signed and not yet settled. Pure; `lanes` does the I/O.
//!
//! The fence of a nonce is the ledger: `signed.<nonce>` can be written once. This fold only says which nonce is next.

use crate::event::{Claimed, OpenTx, Purpose, SignerEvent};
use std::collections::{BTreeMap, BTreeSet};

/// What the events so far say of a lane. Built only by [`evolve`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Last claim.
    pub epoch: u32,
    /// What it signs for.
    pub purpose: Purpose,
    /// The nonce to sign for next.
    pub next_nonce: u64,
    /// Signed and not settled, by nonce.
    pub open: BTreeMap<u64, OpenTx>,
    /// Open again after a reorganisation. Their bytes are in `signed.<nonce>`, and come with [`reopen`].
    pub reopened: BTreeSet<u64>,
}

/// A past that no decider could have written: the lane stops, others go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImpossibleLane {
    /// The first event is not a claim, or one that left transactions open which were not handed over.
    #[error("the lane's history does not begin with a claim")]
    NotClaimed,
    /// A nonce was signed out of turn.
    #[error("nonce {found} was signed where {expected} was next")]
    NonceOutOfTurn {
        /// What was next.
        expected: u64,
        /// What was signed.
        found: u64,
    },
    /// The greatest number was signed for, which no account can use (EIP-2681).
    #[error("nonce 18446744073709551615 was signed for, and no account has it")]
    NoNonceLeft,
}

/// Folds one event. A fold may start at the latest claim: [`resume`].
///
/// # Errors
/// [`ImpossibleLane`]: somebody else wrote to this stream.
pub fn evolve(lane: Option<Lane>, event: &SignerEvent) -> Result<Option<Lane>, ImpossibleLane> {
    match (lane, event) {
        (None, SignerEvent::Claimed(claim)) if claim.open.is_empty() => Ok(Some(resume(claim, []))),
        (None, _) => Err(ImpossibleLane::NotClaimed),
        (Some(lane), SignerEvent::Claimed(claim)) => Ok(Some(Lane { epoch: claim.epoch, ..lane })),
        (Some(mut lane), SignerEvent::Signed(tx)) => {
            if tx.nonce != lane.next_nonce {
                return Err(ImpossibleLane::NonceOutOfTurn { expected: lane.next_nonce, found: tx.nonce });
            }
            lane.next_nonce = tx.nonce.checked_add(1).ok_or(ImpossibleLane::NoNonceLeft)?;
            lane.open.insert(tx.nonce, tx.clone());
            Ok(Some(lane))
        }
        (Some(mut lane), SignerEvent::Settled(settled) | SignerEvent::Resettled(_, settled)) => {
            lane.open.remove(&settled.nonce);
            lane.reopened.remove(&settled.nonce);
            Ok(Some(lane))
        }
        (Some(mut lane), SignerEvent::Reverted(_, reversal)) => {
            if reversal.nonce < lane.next_nonce && !lane.open.contains_key(&reversal.nonce) {
                lane.reopened.insert(reversal.nonce);
            }
            Ok(Some(lane))
        }
    }
}

/// The lane at a claim, given the transactions that were open then: what is written before it need not be read.
pub fn resume(claim: &Claimed, open: impl IntoIterator<Item = OpenTx>) -> Lane {
    let open = open.into_iter().filter(|tx| claim.open.contains(&tx.nonce)).map(|tx| (tx.nonce, tx)).collect();
    let reopened = BTreeSet::new();
    Lane { epoch: claim.epoch, purpose: claim.purpose, next_nonce: claim.next_nonce, open, reopened }
}

/// The bytes of a nonce that is open again: from now on it is like any other open one.
pub fn reopen(lane: &mut Lane, tx: OpenTx) {
    if lane.reopened.remove(&tx.nonce) {
        lane.open.insert(tx.nonce, tx);
    }
}

/// The claim with which `instance` takes over `lane`, or opens it at the account's nonce on chain.
pub fn claim(lane: Option<&Lane>, purpose: Purpose, chain_id: u64, instance: &str, chain_nonce: u64) -> Claimed {
    Claimed {
        // Behind the last number comes none: it is there already, and the ledger refuses the claim.
        epoch: lane.map_or(1, |lane| lane.epoch.saturating_add(1)),
        purpose,
        chain_id,
        instance: instance.to_owned(),
        next_nonce: lane.map_or(chain_nonce, |lane| lane.next_nonce),
        open: lane.map_or_else(Vec::new, |lane| lane.open.keys().chain(&lane.reopened).copied().collect()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::examples;

    #[test]
    fn a_fold_from_the_latest_claim_equals_the_fold_of_everything() {
        let mut all = None;
        let first = SignerEvent::Claimed(claim(None, Purpose::Settle, 84532, "a", 7));
        all = evolve(all, &first).unwrap();
        for nonce in 7..10 {
            all = evolve(all, &SignerEvent::Signed(examples::open_tx(nonce))).unwrap();
        }
        all = evolve(all, &SignerEvent::Settled(examples::settled(7))).unwrap();
        let second = claim(all.as_ref(), Purpose::Settle, 84532, "b", 99);
        let whole = evolve(all, &SignerEvent::Claimed(second.clone())).unwrap().unwrap();
        assert_eq!(resume(&second, (7..10).map(examples::open_tx)), whole);
        assert_eq!((whole.epoch, whole.next_nonce), (2, 10));
        assert_eq!(whole.open.keys().copied().collect::<Vec<_>>(), [8, 9]);
    }

    #[test]
    fn f40_a_reverted_nonce_is_open_again_until_it_is_resettled_also_across_a_claim() {
        let first = SignerEvent::Claimed(claim(None, Purpose::Settle, 84532, "a", 7));
        let signed = [7, 8].map(|nonce| SignerEvent::Signed(examples::open_tx(nonce)));
        let settled = [7, 8].map(|nonce| SignerEvent::Settled(examples::settled(nonce)));
        let reverted = SignerEvent::Reverted(1, examples::reversal(7));
        let past = [first].into_iter().chain(signed).chain(settled).chain([reverted.clone(), reverted]);
        let lane = past.fold(None, |lane, event| evolve(lane, &event).unwrap()).unwrap();
        assert_eq!((lane.open.len(), lane.reopened.iter().copied().collect::<Vec<_>>()), (0, vec![7]));

        let next = claim(Some(&lane), Purpose::Settle, 84532, "b", 7);
        assert_eq!(next.open, [7]);
        let mut lane = lane;
        reopen(&mut lane, examples::open_tx(7));
        reopen(&mut lane, examples::open_tx(8));
        let claimed = evolve(Some(lane), &SignerEvent::Claimed(next.clone())).unwrap().unwrap();
        assert_eq!(resume(&next, [examples::open_tx(7)]), claimed, "8 was not reopened");
        let again = evolve(Some(claimed), &SignerEvent::Resettled(1, examples::settled(7))).unwrap().unwrap();
        assert!(again.open.is_empty() && again.reopened.is_empty());
    }

    #[test]
    fn a_nonce_out_of_turn_stops_the_lane() {
        let lane = evolve(None, &SignerEvent::Claimed(claim(None, Purpose::Mint, 1, "a", 0))).unwrap();
        let skipped = evolve(lane, &SignerEvent::Signed(examples::open_tx(1)));
        assert_eq!(skipped, Err(ImpossibleLane::NonceOutOfTurn { expected: 0, found: 1 }));
        assert_eq!(evolve(None, &SignerEvent::Signed(examples::open_tx(0))), Err(ImpossibleLane::NotClaimed));
    }

    /// A promise of the fuzz target `log`, broken until it was written: both overflowed.
    #[test]
    fn b63_a_rogue_claim_at_the_end_of_the_numbers_stops_the_lane_and_panics_nowhere() {
        let rogue = Claimed { epoch: u32::MAX, ..claim(None, Purpose::Settle, 1, "rogue", u64::MAX) };
        let lane = evolve(None, &SignerEvent::Claimed(rogue)).unwrap();
        assert_eq!(claim(lane.as_ref(), Purpose::Settle, 1, "next", 0).epoch, u32::MAX);
        let signed = evolve(lane, &SignerEvent::Signed(examples::open_tx(u64::MAX)));
        assert_eq!(signed, Err(ImpossibleLane::NoNonceLeft));
    }
}
