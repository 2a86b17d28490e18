//! Fees of a transaction, and what a replacement must offer.

/// The highest fee cap: 200 gwei, far above any congestion seen on an L2. Transactions that would cost more wait.
pub const FEE_MAX_WEI: u128 = 200_000_000_000;

/// EIP-1559 fees, wei a gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fees {
    /// `maxFeePerGas`.
    pub max_fee_wei: u128,
    /// `maxPriorityFeePerGas`.
    pub priority_fee_wei: u128,
}

impl Fees {
    /// Fees of a replacement for a transaction with these fees: an eighth more on both, or the fees of a new
    /// transaction, whichever is more. geth requires a tenth (`txpool.pricebump`), some nodes an eighth. `None` if it
    /// would exceed [`FEE_MAX_WEI`].
    pub fn bumped(self, market: Self) -> Option<Self> {
        let eighth_more = |fee: u128| fee.checked_add(fee.div_ceil(8).max(1));
        let priority_fee_wei = eighth_more(self.priority_fee_wei)?.max(market.priority_fee_wei);
        let max_fee_wei = eighth_more(self.max_fee_wei)?.max(market.max_fee_wei).max(priority_fee_wei);
        (max_fee_wei <= FEE_MAX_WEI).then_some(Self { max_fee_wei, priority_fee_wei })
    }
}
