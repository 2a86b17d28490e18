//! Transaction fees: enough for quick inclusion, within the limits of the chain.

use crate::connect::Chain;
use crate::error::ChainError;
use crate::rpc::Head;
use domain::lane::Fees;

/// JSON-RPC code of a method that a node does not have.
const NO_METHOD: i64 = -32_601;

impl Chain {
    /// Fees for a new transaction above `head`. A node that suggests no tip gets the lowest.
    ///
    /// # Errors
    /// `Transient`.
    pub async fn fees(&self, head: Head) -> Result<Fees, ChainError> {
        let operation = "eth_maxPriorityFeePerGas";
        let tip = match self.nodes.one(operation, |node| async move { node.tip().await }).await {
            Err(ChainError::Refused { code: NO_METHOD, .. }) => 0,
            answer => answer?,
        };
        Ok(self.config.fees.fees(head.base_fee_wei, tip))
    }
}
