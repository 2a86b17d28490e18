#![allow(clippy::unwrap_used)]

use super::*;
use crate::event::{Lost, OpenTx};
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
const POLICY: FeePolicy = FeePolicy::of_chain(8_453);

/// A lane with nonces 5 and 6 under way at 2 gwei. The next nonce is 7.
fn two_open() -> Lane {
    folded(claimed(5), [SignerEvent::Signed(open_tx(5)), SignerEvent::Signed(open_tx(6))]).unwrap()
}

fn look(nonce: u64, final_nonce: u64, five: NonceStatus, six: NonceStatus) -> Look {
    let seen = BTreeMap::from([(5, five), (6, six)]);
    Look {
        base_fee_wei: GWEI,
        market: MARKET,
        policy: POLICY,
        nonce,
        final_nonce,
        balance_wei: u128::MAX,
        data_fee_wei: 0,
        is_short_of_funds: false,
        seen,
    }
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
        (
            NonceStatus::TooDear,
            vec![Step::Rest(Rest::FeeCap), Step::Resend(5)],
            vec![Step::Rest(Rest::Foreign)],
            vec![Step::Lose(5)],
        ),
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
    let rest = [Step::Rest(Rest::FeeCap), Step::Rest(Rest::FeeCap)];
    assert_eq!(tend(&two_open(), &spike(POLICY.fee_max_wei + 1)), rest);
    // The gas of a transaction may cost one coin. It may use 400,000, so at 2,500 gwei.
    let policy = FeePolicy { fee_max_wei: u128::MAX, ..POLICY };
    let spike = |max_fee_wei| Look { policy, ..spike(max_fee_wei) };
    assert!(matches!(tend(&two_open(), &spike(2_500 * GWEI))[..], [Step::Replace(..), Step::Replace(..)]));
    assert_eq!(tend(&two_open(), &spike(2_500 * GWEI + 1)), rest);
}

/// A pool may show a transaction and never pass it on. Then no fee helps, and the tip is paid.
#[test]
fn a_tip_never_climbs_above_its_limit_unless_the_base_fee_has_priced_the_transaction_out() {
    let at = |max_fee_wei, priority_fee_wei| Fees { max_fee_wei, priority_fee_wei };
    let (mut fees, mut bumps) = (at(10 * GWEI, GWEI), 0);
    while let Some(next) = fees.bumped(MARKET, &POLICY, false) {
        (fees, bumps) = (next, bumps + 1);
    }
    assert!(fees.priority_fee_wei <= POLICY.tip_max_wei && bumps > 10, "{fees:?} after {bumps}");
    assert!(fees.bumped(MARKET, &POLICY, true).is_some());
}

#[test]
fn what_costs_more_than_a_node_allows_is_offered_for_half_while_that_pays_for_blocks() {
    let lane = |max_fee_wei| {
        let tx = OpenTx { max_fee_wei, priority_fee_wei: GWEI, ..open_tx(5) };
        folded(claimed(5), [SignerEvent::Signed(tx)]).unwrap()
    };
    let dear = look(5, 5, NonceStatus::TooDear, NonceStatus::Mined);
    let half = Fees { max_fee_wei: 2 * GWEI, priority_fee_wei: GWEI };
    assert_eq!(tend(&lane(4 * GWEI), &dear), [Step::Replace(5, half)]);
    assert_eq!(tend(&lane(4 * GWEI - 2), &dear), [Step::Rest(Rest::FeeCap), Step::Resend(5)]);
}

/// A node may have the transaction that the latest one was to replace. It would refuse less, and the other node more.
#[test]
fn fees_that_were_raised_are_not_lowered_again() {
    let signed = SignerEvent::Signed(OpenTx { max_fee_wei: 4 * GWEI, ..open_tx(5) });
    let replaced = |max_fee_wei| SignerEvent::Replaced(1, OpenTx { max_fee_wei, ..replacement(5) });
    let dear = look(5, 5, NonceStatus::TooDear, NonceStatus::Mined);
    for (fee, is_lowered) in [(8 * GWEI, false), (3_999_999_999, true)] {
        let lane = folded(claimed(5), [signed.clone(), replaced(fee)]).unwrap();
        let is_replaced = tend(&lane, &Look { base_fee_wei: 1, ..dear.clone() }).iter().any(is_replacement);
        assert_eq!(is_replaced, is_lowered, "{fee}");
    }
}

fn is_replacement(step: &Step) -> bool {
    matches!(step, Step::Replace(..))
}

/// The node refused it while fees were high. If the lane only rested, nobody would offer it again when they have fallen.
#[test]
fn what_a_node_refused_at_the_limit_is_offered_again() {
    let tx = OpenTx { max_fee_wei: POLICY.fee_max_wei, priority_fee_wei: GWEI, ..open_tx(5) };
    let lane = folded(claimed(5), [SignerEvent::Signed(tx)]).unwrap();
    let refused = look(5, 5, NonceStatus::Underpriced, NonceStatus::Mined);
    assert_eq!(tend(&lane, &refused), [Step::Rest(Rest::FeeCap), Step::Resend(5)]);
    let pooled = look(5, 5, NonceStatus::Pooled(STUCK_BLOCKS), NonceStatus::Mined);
    assert_eq!(tend(&lane, &pooled), [Step::Rest(Rest::FeeCap)], "the pool has it");
}

#[test]
fn f51_a_broken_fee_oracle_is_clamped_to_the_limits_of_its_chain() {
    for chain_id in [1, 10, 137, 8_453, 80_002, 84_532] {
        let policy = FeePolicy::of_chain(chain_id);
        for (base, tip) in [(0, 0), (u128::MAX, u128::MAX), (GWEI, 0), (5_000_000, u128::MAX), (u128::MAX, 0)] {
            let Fees { max_fee_wei, priority_fee_wei } = policy.fees(base, tip);
            assert!((policy.tip_min_wei..=policy.tip_max_wei).contains(&priority_fee_wei), "{chain_id}");
            assert!((priority_fee_wei..=policy.fee_max_wei).contains(&max_fee_wei), "{chain_id}");
        }
    }
    assert_eq!(FeePolicy::of_chain(137).fees(GWEI, 0), Fees { max_fee_wei: 32 * GWEI, priority_fee_wei: 30 * GWEI });
    let dear = Fees { max_fee_wei: 500 * GWEI, priority_fee_wei: 100 * GWEI };
    let affordable = Fees { max_fee_wei: 100 * GWEI, priority_fee_wei: 100 * GWEI };
    assert_eq!([dear.affordable(1_000_000), dear.affordable(10_000_000)], [dear, affordable], "one coin");
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
        (
            "too little for the data of three",
            Look { balance_wei: due + 29, data_fee_wei: 10, ..look(5, 5, pooled, pooled) },
            vec![Step::Rest(Rest::Funds)],
        ),
        (
            "enough for the data of three",
            Look { balance_wei: due + 30, data_fee_wei: 10, ..look(5, 5, pooled, pooled) },
            vec![],
        ),
        (
            "a node says so",
            Look { is_short_of_funds: true, ..look(5, 5, pooled, pooled) },
            vec![Step::Rest(Rest::Funds)],
        ),
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
        (fees(POLICY.fee_max_wei, 1), fees(0, 0), None),
        (fees(u128::MAX, 1), fees(0, 0), None),
    ] {
        assert_eq!(last.bumped(market, &POLICY, false), expected, "{last:?} {market:?}");
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
