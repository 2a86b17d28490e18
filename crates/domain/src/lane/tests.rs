#![allow(clippy::unwrap_used)]

use super::*;
use crate::event::Lost;
use crate::examples::{self, open_tx, replacement};
use std::collections::BTreeMap;

fn claimed(nonce: u64) -> Option<Lane> {
    evolve(None, &SignerEvent::Claimed(claim(None, Purpose::Settle, 84532, "a", nonce))).unwrap()
}

fn folded(lane: Option<Lane>, events: impl IntoIterator<Item = SignerEvent>) -> Option<Lane> {
    events.into_iter().fold(lane, |lane, event| evolve(lane, &event).unwrap())
}

#[test]
fn a_fold_from_the_latest_claim_equals_the_fold_of_everything() {
    let signed = (7..10).map(|nonce| SignerEvent::Signed(open_tx(nonce)));
    let rest = [SignerEvent::Settled(examples::settled(7)), SignerEvent::Replaced(1, replacement(8))];
    let all = folded(claimed(7), signed.chain(rest));
    let second = claim(all.as_ref(), Purpose::Settle, 84532, "b", 99);
    let whole = evolve(all, &SignerEvent::Claimed(second.clone())).unwrap().unwrap();
    assert_eq!(resume(&second, (7..10).map(open_tx).chain([replacement(8)])), whole);
    assert_eq!((whole.epoch, whole.next_nonce), (2, 10));
    assert_eq!(whole.open.keys().copied().collect::<Vec<_>>(), [8, 9]);
    assert_eq!(*whole.open[&8].latest(), replacement(8));
    assert_eq!(whole.open[&8].attempts().count(), 2);
}

#[test]
fn what_no_decider_writes_stops_the_lane() {
    let lane = || folded(claimed(0), [SignerEvent::Signed(open_tx(0))]);
    let lost =
        |nonce, account_nonce| SignerEvent::Lost(Lost { nonce, account_nonce, block: examples::settled(0).block });
    let other = OpenTx { target: examples::TOKEN, ..replacement(0) };
    for (event, expected) in [
        (SignerEvent::Signed(open_tx(2)), ImpossibleLane::NonceOutOfTurn { expected: 1, found: 2 }),
        (
            SignerEvent::Replaced(2, replacement(0)),
            ImpossibleLane::ReplacedOutOfTurn { nonce: 0, expected: 1, found: 2 },
        ),
        (SignerEvent::Replaced(1, other), ImpossibleLane::AnotherCall(0)),
        (SignerEvent::Replaced(1, replacement(1)), ImpossibleLane::NotOpen(1)),
        (lost(1, 1), ImpossibleLane::NotOpen(1)),
        (lost(2, 3), ImpossibleLane::NotOpen(2)),
    ] {
        assert_eq!(evolve(lane(), &event), Err(expected), "{event:?}");
    }
    assert_eq!(evolve(None, &SignerEvent::Signed(open_tx(0))), Err(ImpossibleLane::NotClaimed));
}

#[test]
fn f44_lost_nonces_are_left_behind() {
    let lost =
        |nonce, account_nonce| SignerEvent::Lost(Lost { nonce, account_nonce, block: examples::settled(0).block });
    let lane = folded(claimed(3), [SignerEvent::Signed(open_tx(3)), lost(3, 4), lost(4, 9)]).unwrap();
    assert!(lane.open.is_empty());
    assert_eq!(lane.next_nonce, 9);
}

/// A promise of the fuzz target `log` that was once broken: both numbers overflowed.
#[test]
fn b63_a_rogue_claim_at_the_end_of_the_numbers_stops_the_lane_and_panics_nowhere() {
    let rogue = Claimed { epoch: u32::MAX, ..claim(None, Purpose::Settle, 1, "rogue", u64::MAX) };
    let lane = evolve(None, &SignerEvent::Claimed(rogue)).unwrap();
    assert_eq!(claim(lane.as_ref(), Purpose::Settle, 1, "next", 0).epoch, u32::MAX);
    let signed = evolve(lane, &SignerEvent::Signed(open_tx(u64::MAX)));
    assert_eq!(signed, Err(ImpossibleLane::NoNonceLeft));
}

const GWEI: u128 = 1_000_000_000;
const MARKET: Fees = Fees { max_fee_wei: 2 * GWEI, priority_fee_wei: GWEI };

/// A lane with nonces 5 and 6 under way at 2 gwei. The next nonce is 7.
fn two_open() -> Lane {
    folded(claimed(5), [SignerEvent::Signed(open_tx(5)), SignerEvent::Signed(open_tx(6))]).unwrap()
}

fn look(nonce: u64, final_nonce: u64, five: NonceStatus, six: NonceStatus) -> Look {
    let seen = BTreeMap::from([(5, five), (6, six)]);
    Look { base_fee_wei: GWEI, market: MARKET, nonce, final_nonce, balance_wei: u128::MAX, seen }
}

/// Every state of a nonce at the node (rows) against every state of the account's nonce (columns). The nonce is 5,
/// first in line. Nonce 6 behind it waits in the pool, which needs no step.
#[test]
fn every_state_of_a_nonce_against_every_news() {
    let replace = |nonce| Step::Replace(nonce, Fees { max_fee_wei: 2_250_000_000, priority_fee_wei: 1_125_000_000 });
    let pooled = NonceStatus::Pooled(0);
    let table = [
        // what the node has             unused                       used                              used, final
        (NonceStatus::Mined, vec![], vec![], vec![]),
        (pooled, vec![], vec![], vec![]),
        (NonceStatus::Pooled(STUCK_BLOCKS - 1), vec![], vec![], vec![]),
        (NonceStatus::Pooled(STUCK_BLOCKS), vec![replace(5)], vec![], vec![]),
        (NonceStatus::Unknown, vec![Step::Resend(5)], vec![Step::Rest(Rest::Foreign)], vec![Step::Lose(5)]),
        (NonceStatus::Underpriced, vec![replace(5)], vec![Step::Rest(Rest::Foreign)], vec![Step::Lose(5)]),
    ];
    for (five, unused, used, used_final) in table {
        assert_eq!(tend(&two_open(), &look(5, 5, five, pooled)), unused, "{five:?}, unused");
        assert_eq!(tend(&two_open(), &look(6, 5, five, pooled)), used, "{five:?}, used");
        assert_eq!(tend(&two_open(), &look(6, 6, five, pooled)), used_final, "{five:?}, used and final");
    }
    // A transaction that waits behind another one is not stuck, however long it waits.
    assert_eq!(tend(&two_open(), &look(5, 5, pooled, NonceStatus::Pooled(1_000))), []);
    // A nonce that is missing in a look counts as unknown to the node.
    let nothing = Look { seen: BTreeMap::new(), ..look(5, 5, pooled, pooled) };
    assert_eq!(tend(&two_open(), &nothing), [Step::Resend(5), Step::Resend(6)]);
}

#[test]
fn f42_what_is_priced_out_is_replaced_wherever_it_stands_up_to_the_fee_cap() {
    let pooled = NonceStatus::Pooled(0);
    let spike = |max_fee_wei| Look {
        base_fee_wei: 3 * GWEI,
        market: Fees { max_fee_wei, priority_fee_wei: GWEI },
        ..look(5, 5, pooled, pooled)
    };
    let fees = Fees { max_fee_wei: 7 * GWEI, priority_fee_wei: 1_125_000_000 };
    assert_eq!(tend(&two_open(), &spike(7 * GWEI)), [Step::Replace(5, fees), Step::Replace(6, fees)]);
    let at_cap = tend(&two_open(), &spike(FEE_MAX_WEI + 1));
    assert_eq!(at_cap, [Step::Rest(Rest::FeeCap), Step::Rest(Rest::FeeCap)]);
}

#[test]
fn f44_f48_why_a_lane_rests() {
    let (lane, pooled) = (two_open(), NonceStatus::Pooled(0));
    let due = 2 * 400_000 * 2 * GWEI + CALL_GAS * MARKET.max_fee_wei;
    for (name, look, expected) in [
        ("the node lags", look(4, 4, pooled, pooled), vec![Step::Rest(Rest::Behind)]),
        ("beyond the next nonce", look(9, 7, NonceStatus::Mined, NonceStatus::Mined), vec![Step::Rest(Rest::Foreign)]),
        ("that, final", look(9, 9, NonceStatus::Mined, NonceStatus::Mined), vec![Step::Skip(9)]),
        ("money", Look { balance_wei: due, ..look(5, 5, pooled, pooled) }, vec![]),
        ("too little", Look { balance_wei: due - 1, ..look(5, 5, pooled, pooled) }, vec![Step::Rest(Rest::Funds)]),
    ] {
        assert_eq!(tend(&lane, &look), expected, "{name}");
    }
}

#[test]
fn f33_a_replacement_offers_an_eighth_more_on_both_or_the_market_if_that_is_more() {
    let fees = |max_fee_wei, priority_fee_wei| Fees { max_fee_wei, priority_fee_wei };
    for (last, market, expected) in [
        (fees(800, 80), fees(0, 0), Some(fees(900, 90))),
        (fees(801, 1), fees(0, 0), Some(fees(902, 2))),
        (fees(800, 80), fees(2_000, 500), Some(fees(2_000, 500))),
        (fees(100, 100), fees(0, 5_000), Some(fees(5_000, 5_000))),
        (fees(0, 0), fees(0, 0), Some(fees(1, 1))),
        (fees(FEE_MAX_WEI, 1), fees(0, 0), None),
        (fees(u128::MAX, 1), fees(0, 0), None),
    ] {
        assert_eq!(last.bumped(market), expected, "{last:?} {market:?}");
    }
}

#[test]
fn f40_a_reverted_nonce_is_open_again_until_it_is_resettled_also_across_a_claim() {
    let reverted = |n| SignerEvent::Reverted(n, examples::reversal(7));
    let signed = [7, 8].map(|nonce| SignerEvent::Signed(open_tx(nonce)));
    let rest = [SignerEvent::Replaced(1, replacement(7)), SignerEvent::Settled(examples::settled(7))];
    let settled =
        folded(claimed(7), signed.into_iter().chain(rest).chain([SignerEvent::Settled(examples::settled(8))]));
    let mut lane = folded(settled, [reverted(1), reverted(1)]).unwrap();
    assert_eq!((lane.open.len(), lane.reopened.iter().copied().collect::<Vec<_>>()), (0, vec![7]));
    let next = claim(Some(&lane), Purpose::Settle, 84532, "b", 7);
    assert_eq!(next.open, [7]);

    // It was replaced before its bytes were read. They come together with the replacement.
    lane = folded(Some(lane), [SignerEvent::Replaced(2, replacement(7))]).unwrap();
    reopen(&mut lane, [open_tx(7), replacement(7), replacement(7), open_tx(8)]);
    assert_eq!(lane.open.keys().copied().collect::<Vec<_>>(), [7], "8 was not reopened");
    assert_eq!((lane.open[&7].attempts().count(), lane.open[&7].next_replacement()), (3, 3));
    let lane = evolve(Some(lane), &SignerEvent::Claimed(next.clone())).unwrap().unwrap();
    assert_eq!(resume(&next, [open_tx(7), replacement(7), replacement(7)]), lane);
    let again = folded(Some(lane), [SignerEvent::Resettled(1, examples::settled(7))]).unwrap();
    assert!(again.open.is_empty() && again.reopened.is_empty());

    let block = examples::settled(0).block;
    let lost = SignerEvent::Lost(Lost { nonce: 7, account_nonce: 8, block });
    let lane = folded(Some(again), [reverted(2), lost]).unwrap();
    assert!(lane.open.is_empty() && lane.reopened.is_empty(), "somebody else used it in the new chain");
}
