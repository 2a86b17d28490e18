//! What an event makes of an order: the other half of [`decide`](super::decide).

use super::{Ahead, Counts, ImpossiblePast, Order, Stage};
use crate::event::OrderEvent;

/// Folds one event: `events.try_fold(None, evolve)`.
///
/// # Errors
/// [`ImpossiblePast`] on a past that [`decide`](super::decide) could not have written.
pub fn evolve(order: Option<Order>, event: &OrderEvent) -> Result<Option<Order>, ImpossiblePast> {
    use OrderEvent::{
        MintConfirmed, MintDeferred, MintParked, MintRestored, MintReverted, MintSubmitted, PaymentConfirmed,
        PaymentDeferred, PaymentFailed, PaymentRequested, PaymentRestored, PaymentReverted, PaymentSubmitted,
    };
    let Some(order) = order else {
        return match event {
            PaymentRequested(request) => Ok(Some(Order {
                request: (**request).clone(),
                counts: Counts::default(),
                stage: Stage::Requested,
                ahead: None,
            })),
            other => Err(ImpossiblePast { event: other.name(), stage: "unknown" }),
        };
    };
    let Order { request, counts: before, stage, ahead } = order;
    let from = stage.name();
    let unpaid = stage.is_unpaid();
    let impossible = ImpossiblePast { event: event.name(), stage: from };
    let proof = stage.proof().cloned();
    let open = !matches!(stage, Stage::Minted(..));
    // A number out of turn: its writer did not read this past. The greatest would leave no next one.
    let next = before.next();
    let mut counts = before;
    let (stage, ahead) = match (event, proof) {
        (PaymentSubmitted(n, tx), None) if unpaid && *n == next.submitted => {
            counts.submitted = *n;
            (Stage::Settling(tx.clone()), ahead)
        }
        (PaymentDeferred(n, why), None) if unpaid && *n == next.deferred => {
            counts.deferred = *n;
            (Stage::Deferred(why.clone()), ahead)
        }
        (PaymentConfirmed(proof), None) if unpaid && before.reverted == 0 => (Stage::Paid(proof.clone()), None),
        (PaymentRestored(n, proof), None) if unpaid && *n == before.reverted && *n > 0 => {
            let proof = proof.clone();
            let stage = match ahead {
                None => Stage::Paid(proof),
                Some(Ahead::Minting(tx)) => Stage::Minting(proof, tx),
                Some(Ahead::Minted(minted)) => Stage::Minted(proof, minted),
            };
            (stage, None)
        }
        (PaymentReverted(n, reversal), Some(_)) if *n == next.reverted => {
            counts.reverted = *n;
            let ahead = match stage {
                Stage::Minting(_, tx) => Some(Ahead::Minting(tx)),
                Stage::Minted(_, minted) => Some(Ahead::Minted(minted)),
                _ => None,
            };
            (Stage::Reverted(reversal.submission()), ahead)
        }
        (PaymentFailed(failure), None) if unpaid => match ahead {
            None => (Stage::Failed(failure.clone()), None),
            Some(Ahead::Minted(minted)) => (Stage::Lost(failure.clone(), minted), None),
            Some(Ahead::Minting(_)) => return Err(impossible),
        },
        (MintSubmitted(n, tx), Some(proof)) if open && *n == next.mint_submitted => {
            counts.mint_submitted = *n;
            (Stage::Minting(proof, tx.clone()), None)
        }
        (MintDeferred(n, why), proof) if *n == next.mint_deferred => {
            counts.mint_deferred = *n;
            match (proof, ahead) {
                (Some(proof), _) if open => (Stage::MintDeferred(proof, why.clone()), None),
                (None, Some(Ahead::Minting(_))) if unpaid => (stage, None),
                _ => return Err(impossible),
            }
        }
        (MintParked(n, why), proof) if *n == next.mint_parked => {
            counts.mint_parked = *n;
            match (proof, ahead) {
                (Some(proof), _) if open => (Stage::MintParked(proof, why.clone()), None),
                (None, Some(Ahead::Minting(_))) if unpaid => (stage, None),
                _ => return Err(impossible),
            }
        }
        (MintConfirmed(minted), proof) if before.mint_reverted == 0 => match (proof, &ahead) {
            (Some(proof), _) if open => (Stage::Minted(proof, minted.clone()), None),
            (None, None | Some(Ahead::Minting(_))) if unpaid && before.reverted > 0 => {
                (stage, Some(Ahead::Minted(minted.clone())))
            }
            _ => return Err(impossible),
        },
        (MintRestored(n, minted), proof) if *n == before.mint_reverted && *n > 0 => match (proof, &ahead) {
            (Some(proof), _) if open => (Stage::Minted(proof, minted.clone()), None),
            (None, None | Some(Ahead::Minting(_))) if unpaid && before.reverted > 0 => {
                (stage, Some(Ahead::Minted(minted.clone())))
            }
            _ => return Err(impossible),
        },
        (MintReverted(n, reversal), proof) if *n == next.mint_reverted => {
            counts.mint_reverted = *n;
            match (stage, proof, ahead) {
                (Stage::Minted(..), Some(proof), _) => (Stage::Minting(proof, reversal.submission()), None),
                (stage, None, Some(Ahead::Minted(_))) => (stage, Some(Ahead::Minting(reversal.submission()))),
                _ => return Err(impossible),
            }
        }
        _ => return Err(impossible),
    };
    Ok(Some(Order { request, counts, stage, ahead }))
}
