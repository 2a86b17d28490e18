//! Fees of a transaction, and what a replacement must offer.

/// The highest cost of the gas of one transaction: one coin. Nodes refuse more by default (geth's `rpc.txfeecap`).
pub const COST_MAX_WEI: u128 = 1_000_000_000_000_000_000;

/// EIP-1559 fees, wei a gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fees {
    /// `maxFeePerGas`.
    pub max_fee_wei: u128,
    /// `maxPriorityFeePerGas`.
    pub priority_fee_wei: u128,
}

/// The limits of fees on a chain, wei a gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeePolicy {
    /// The lowest tip: what the pools of the chain require.
    pub tip_min_wei: u128,
    /// The highest tip, so that neither a broken fee oracle nor a pool that passes nothing on empties the account.
    pub tip_max_wei: u128,
    /// The highest fee cap. Transactions that would cost more wait.
    pub fee_max_wei: u128,
}

impl FeePolicy {
    /// The limits for a chain, by its EIP-155 id.
    pub const fn of_chain(chain_id: u64) -> Self {
        match chain_id {
            // Polygon, and its test network Amoy. bor takes no tip below 25 gwei (2.2.11, params/protocol_params.go), and
            // Polygon's documentation asks for 30. The upper limits are far above what was paid there in its busiest hours.
            137 | 80_002 => Self { tip_min_wei: gwei(30), tip_max_wei: gwei(500), fee_max_wei: gwei(5_000) },
            // Base's own minimum base fee is 0.005 gwei, and pools require a tip above zero. 200 gwei is far above any
            // congestion seen on an L2.
            _ => Self { tip_min_wei: gwei(1) / 1_000, tip_max_wei: gwei(5), fee_max_wei: gwei(200) },
        }
    }

    /// Fees for a transaction that should survive six full blocks: twice the base fee, which grows by at most 12.5 % a
    /// block, plus the suggested tip.
    pub fn fees(&self, base_fee_wei: u128, suggested_tip_wei: u128) -> Fees {
        let priority_fee_wei = suggested_tip_wei.clamp(self.tip_min_wei, self.tip_max_wei);
        let wanted = base_fee_wei.saturating_mul(2).saturating_add(priority_fee_wei);
        Fees { max_fee_wei: wanted.min(self.fee_max_wei).max(priority_fee_wei), priority_fee_wei }
    }
}

const fn gwei(amount: u128) -> u128 {
    amount * 1_000_000_000
}

impl Fees {
    /// Fees of a replacement for a transaction with these fees: an eighth more on both, or the fees of a new
    /// transaction, whichever is more. geth requires a tenth (`txpool.pricebump`), some nodes an eighth. `None` beyond the
    /// limits. Only the base fee is a reason for a tip above its limit: a tip is paid, and a fee cap is not.
    pub fn bumped(self, market: Self, policy: &FeePolicy, is_priced_out: bool) -> Option<Self> {
        let eighth_more = |fee: u128| fee.checked_add(fee.div_ceil(8).max(1));
        let priority_fee_wei = eighth_more(self.priority_fee_wei)?.max(market.priority_fee_wei);
        let max_fee_wei = eighth_more(self.max_fee_wei)?.max(market.max_fee_wei).max(priority_fee_wei);
        let is_within = (is_priced_out || priority_fee_wei <= policy.tip_max_wei) && max_fee_wei <= policy.fee_max_wei;
        is_within.then_some(Self { max_fee_wei, priority_fee_wei })
    }

    /// These fees, so low that `gas` costs no more than [`COST_MAX_WEI`].
    #[must_use]
    pub fn affordable(self, gas: u64) -> Self {
        let max_fee_wei = self.max_fee_wei.min(COST_MAX_WEI / u128::from(gas.max(1)));
        Self { max_fee_wei, priority_fee_wei: self.priority_fee_wei.min(max_fee_wei) }
    }
}
