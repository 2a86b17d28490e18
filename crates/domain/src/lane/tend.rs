//! Decides the next steps of a lane, given a look at the chain. Every state and every look has an answer.

use super::{COST_MAX_WEI, FeePolicy, Fees, Lane, Open};
use crate::event::OpenTx;
use std::collections::BTreeMap;
use std::fmt;

/// A transaction that is first in line offers too little if it is not mined after this many blocks.
pub const STUCK_BLOCKS: u64 = 8;

/// Gas that a lane must be able to pay for before it signs: the greatest limit of a call that a lane makes, which is a
/// settlement of a hundred payments to twenty tokens. A test in `chain` compares it with that call.
pub const CALL_GAS: u128 = 13_000_000;

/// A node's view of a lane and its account. All values are from approximately one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Base fee of the latest block, wei a gas.
    pub base_fee_wei: u128,
    /// Fees that a new transaction offers now.
    pub market: Fees,
    /// The limits of fees on this chain.
    pub policy: FeePolicy,
    /// The account's nonce after the latest block: everything below is used.
    pub nonce: u64,
    /// The account's nonce after a final block: a nonce used there stays used. 0 if it was not asked for.
    pub final_nonce: u64,
    /// The account's money, wei.
    pub balance_wei: u128,
    /// Cost of one transaction beside its gas, wei: a rollup's fee for the data on its base chain.
    pub data_fee_wei: u128,
    /// True if a node says that the account cannot pay for an open transaction.
    pub is_short_of_funds: bool,
    /// The node's view of every open nonce. A missing nonce counts as unknown.
    pub seen: BTreeMap<u64, NonceStatus>,
}

/// A node's view of an open nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceStatus {
    /// One of its transactions is in a block.
    Mined,
    /// The latest one waits in the pool, or may do so in a pool that shows nothing. The number is the blocks for which it has
    /// waited.
    Pooled(u64),
    /// The node has none of them.
    Unknown,
    /// The node has none of them, and refused the latest one for its fees.
    Underpriced,
    /// The node has none of them, and refused the latest one because its gas at its fee would cost too much.
    TooDear,
}

/// A step to take now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Broadcast the latest bytes of this nonce again.
    Resend(u64),
    /// Sign the same call for the same nonce with these fees, record it, and broadcast it.
    Replace(u64, Fees),
    /// Record that another sender used this nonce. The orders of its transaction are free again.
    Lose(u64),
    /// Record that another sender used all nonces from the next one up to, but not including, this one.
    Skip(u64),
    /// Sign nothing new, and say why.
    Rest(Rest),
}

/// The reason why a lane signs nothing new. Open transactions are looked after nevertheless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rest {
    /// The account has used fewer nonces than the ledger has settled. The node lags, or the chain was reset.
    Behind,
    /// Another sender used a nonce. The lane goes on when that is final.
    Foreign,
    /// The account cannot pay for the open transactions and one more call.
    Funds,
    /// The open transactions cannot be mined below the fee cap.
    FeeCap,
}

/// The next steps of `lane`. Equal arguments give equal steps.
pub fn tend(lane: &Lane, look: &Look) -> Vec<Step> {
    if look.nonce < lane.open.keys().next().copied().unwrap_or(lane.next_nonce) {
        return vec![Step::Rest(Rest::Behind)];
    }
    let mut steps: Vec<Step> = lane.open.iter().flat_map(|(nonce, open)| about(*nonce, open, look)).collect();
    if look.final_nonce > lane.next_nonce {
        steps.push(Step::Skip(look.final_nonce));
    } else if look.nonce > lane.next_nonce {
        steps.push(Step::Rest(Rest::Foreign));
    }
    if look.is_short_of_funds || look.balance_wei < due(lane, look) {
        steps.push(Step::Rest(Rest::Funds));
    }
    steps
}

fn about(nonce: u64, open: &Open, look: &Look) -> Vec<Step> {
    let seen = look.seen.get(&nonce).copied().unwrap_or(NonceStatus::Unknown);
    let used = nonce < look.nonce;
    match seen {
        // The confirmer settles it.
        NonceStatus::Mined => vec![],
        // The node says that the nonce is used and that its transaction waits. It contradicts itself, which decides
        // nothing.
        NonceStatus::Pooled(_) if used => vec![],
        NonceStatus::Unknown | NonceStatus::Underpriced | NonceStatus::TooDear if used => {
            vec![if nonce < look.final_nonce { Step::Lose(nonce) } else { Step::Rest(Rest::Foreign) }]
        }
        NonceStatus::Unknown => vec![Step::Resend(nonce)],
        NonceStatus::Underpriced => or_again(nonce, replace(nonce, open.latest(), look)),
        NonceStatus::TooDear => or_again(nonce, cheaper(nonce, open, look)),
        NonceStatus::Pooled(blocks) => {
            let first_in_line = nonce == look.nonce;
            let priced_out = open.latest().max_fee_wei < look.base_fee_wei;
            let is_stuck = priced_out || (first_in_line && blocks >= STUCK_BLOCKS);
            is_stuck.then(|| replace(nonce, open.latest(), look)).into_iter().collect()
        }
    }
}

/// A transaction that no node has is offered again while the lane rests. Nobody else would tell that fees have fallen.
fn or_again(nonce: u64, step: Step) -> Vec<Step> {
    match step {
        Step::Rest(_) => vec![step, Step::Resend(nonce)],
        other => vec![other],
    }
}

fn replace(nonce: u64, latest: &OpenTx, look: &Look) -> Step {
    let fees = Fees { max_fee_wei: latest.max_fee_wei, priority_fee_wei: latest.priority_fee_wei };
    let is_priced_out = latest.max_fee_wei < look.base_fee_wei;
    match fees.bumped(look.market, &look.policy, is_priced_out) {
        Some(fees) if cost(fees.max_fee_wei, latest.gas_limit) <= COST_MAX_WEI => Step::Replace(nonce, fees),
        Some(_) | None => Step::Rest(Rest::FeeCap),
    }
}

/// A transaction that no node has taken needs no higher fees. It is offered at half of its fee cap, if that pays for the next
/// blocks. After fees were raised a node may have an earlier one, which only higher fees replace.
fn cheaper(nonce: u64, open: &Open, look: &Look) -> Step {
    let latest = open.latest();
    let was_raised = open.attempts().any(|earlier| earlier.max_fee_wei < latest.max_fee_wei);
    let half = Fees {
        max_fee_wei: latest.max_fee_wei / 2,
        priority_fee_wei: latest.priority_fee_wei.min(latest.max_fee_wei / 2),
    };
    if !was_raised && half.max_fee_wei >= look.base_fee_wei.saturating_add(half.priority_fee_wei) {
        Step::Replace(nonce, half)
    } else {
        Step::Rest(Rest::FeeCap)
    }
}

fn cost(max_fee_wei: u128, gas: u64) -> u128 {
    max_fee_wei.saturating_mul(u128::from(gas))
}

impl fmt::Display for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Behind => "the chain has fewer nonces than are settled: the node lags, or the chain was reset",
            Self::Foreign => "a nonce was used by somebody else who has this key; it goes on when that is final",
            Self::Funds => "the account cannot pay for what is open and one more call",
            Self::FeeCap => "what is open cannot be mined below the fee cap",
        })
    }
}

/// The maximum cost of all open transactions and one more call, in wei.
fn due(lane: &Lane, look: &Look) -> u128 {
    let open = lane.open.range(look.nonce..).map(|(_, open)| cost(open.latest().max_fee_wei, open.latest().gas_limit));
    let call = look.market.max_fee_wei.saturating_mul(CALL_GAS).min(COST_MAX_WEI);
    open.chain([call]).map(|gas| gas.saturating_add(look.data_fee_wei)).fold(0, u128::saturating_add)
}
