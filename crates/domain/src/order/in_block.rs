//! Evidence that stands or falls with a block.

use crate::BlockRef;
use crate::event::{Minted, PaymentProof, Refunded};
use alloy_primitives::B256;

/// Evidence that is in a block.
pub trait InBlock {
    /// The transaction and its block.
    fn place(&self) -> (B256, BlockRef);
}

impl InBlock for PaymentProof {
    fn place(&self) -> (B256, BlockRef) {
        (self.tx_hash, self.block)
    }
}

impl InBlock for Refunded {
    fn place(&self) -> (B256, BlockRef) {
        (self.tx_hash, self.block)
    }
}

impl InBlock for Minted {
    fn place(&self) -> (B256, BlockRef) {
        (self.tx_hash, self.block)
    }
}
