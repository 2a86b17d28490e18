//! Transaction fees: enough for quick inclusion, never above the cap.

use crate::connect::Chain;
use crate::error::ChainError;
use crate::rpc::Head;
use domain::lane::{FEE_MAX_WEI, Fees};

/// Minimum tip. Base's own minimum base fee is 0.005 gwei, and pools require a tip above zero.
const TIP_MIN_WEI: u128 = 1_000_000;

/// Maximum tip, 5 gwei: a broken fee oracle must not empty the account.
const TIP_MAX_WEI: u128 = 5_000_000_000;

/// JSON-RPC's code for a method that the node does not have.
const METHOD_NOT_FOUND: i64 = -32601;

impl Chain {
    /// Fees for a transaction that should survive six full blocks above `head`: twice the base fee, which grows by at
    /// most 12.5 % a block, plus the tip that the node suggests.
    ///
    /// # Errors
    /// `Transient`.
    pub async fn fees(&self, head: Head) -> Result<Fees, ChainError> {
        let operation = "eth_maxPriorityFeePerGas";
        let tip = match self.nodes.one(operation, |node| async move { node.tip().await }).await {
            // Not every node has the method. Without its advice the minimum is offered, and replacements raise it.
            Err(ChainError::Refused { code: METHOD_NOT_FOUND, .. }) => 0,
            tip => tip?,
        };
        Ok(clamp(head.base_fee_wei, tip))
    }
}

fn clamp(base_fee_wei: u128, suggested_tip_wei: u128) -> Fees {
    let priority_fee_wei = suggested_tip_wei.clamp(TIP_MIN_WEI, TIP_MAX_WEI);
    let wanted = base_fee_wei.checked_mul(2).and_then(|fee| fee.checked_add(priority_fee_wei)).unwrap_or(FEE_MAX_WEI);
    Fees { max_fee_wei: wanted.clamp(priority_fee_wei, FEE_MAX_WEI), priority_fee_wei }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f51_a_broken_fee_oracle_is_clamped() {
        for (base, tip) in [(0, 0), (u128::MAX, u128::MAX), (1_000_000_000, 0), (5_000_000, u128::MAX)] {
            let fees = clamp(base, tip);
            assert!(fees.priority_fee_wei >= TIP_MIN_WEI && fees.priority_fee_wei <= TIP_MAX_WEI);
            assert!(fees.max_fee_wei >= fees.priority_fee_wei && fees.max_fee_wei <= FEE_MAX_WEI);
        }
    }
}
