//! Evidence of the asset's logs about one authorization: it can never be charged, or it was charged, perhaps around the
//! token. A charge is two adjacent logs, never a state and never a receipt's status alone: anybody may submit an
//! authorization, and its state is also "used" after a cancellation.

use crate::abi::UsdcDouble;
use crate::connect::{Chain, request};
use crate::error::ChainError;
use crate::rpc::{Included, Node, QuorumAnswer};
use alloy::eips::BlockId;
use alloy::primitives::{Address, B256, U256};
use alloy::rpc::types::{Filter, Log};
use alloy::sol_types::{SolCall, SolEvent};
use domain::{Authorization, BlockRef};

/// Evidence about an authorization in the blocks up to a given one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The pair of logs is there, whoever sent the transaction.
    Paid {
        /// The transaction.
        tx_hash: B256,
        /// Its block.
        block: BlockRef,
    },
    /// The payer cancelled it.
    Cancelled {
        /// The transaction.
        tx_hash: B256,
        /// Its block.
        block: BlockRef,
    },
    /// The nonce paid for something else.
    UsedElsewhere {
        /// The transaction.
        tx_hash: B256,
        /// Its block.
        block: BlockRef,
    },
    /// Unused up to that block.
    Unused,
    /// Used or cancelled, and not known which: above that block, or the search has not come to it.
    NotFoundYet,
}

impl Chain {
    /// Searches the blocks up to `last` for a use of `auth`. `deep`: a block that is N deep, so that the nodes still have its
    /// state. Of the two, one is an ancestor of the other. Each of several providers searches by itself, and the result on
    /// which two agree counts.
    ///
    /// The state is asked first, and most authorizations need no search: a nonce never becomes unused again, so `false` after
    /// a block means `false` after each of its ancestors. The state is that of the later of the two blocks, by its hash. A
    /// node that does not have this block, or not in its chain, gives no answer. A used nonce is searched for backwards, page
    /// by page, and the next call goes on where this one stops.
    ///
    /// # Errors
    /// `Transient` or `Refused`: nothing is known.
    pub async fn evidence(&self, auth: &Authorization, last: BlockRef, deep: BlockRef) -> Result<Evidence, ChainError> {
        // If N is large, the final block may be the later one.
        let state = if last.number > deep.number { last } else { deep };
        let look = |node: Node| async move { self.look(&node, auth, last, state).await };
        self.nodes.agreed("eth_getLogs", look).await
    }

    /// The search at one node.
    async fn look(
        &self,
        node: &Node,
        auth: &Authorization,
        last: BlockRef,
        state: BlockRef,
    ) -> Result<Evidence, ChainError> {
        let asset = self.config.asset.address;
        if !authorization_state(node, asset, auth, state).await? {
            return Ok(Evidence::Unused);
        }
        let filter = Filter::new()
            .address(asset)
            .event_signature(vec![
                UsdcDouble::AuthorizationUsed::SIGNATURE_HASH,
                UsdcDouble::AuthorizationCanceled::SIGNATURE_HASH,
            ])
            .topic1(auth.from)
            .topic2(auth.nonce);
        let blocks = self.config.start_block..=state.number;
        // A nonce is used or cancelled once, so there is one log.
        let found = self.searches.newest(node, &filter, (auth.from, auth.nonce), blocks).await?;
        let Some(log) = found else { return Ok(Evidence::NotFoundYet) };
        let Some(tx_hash) = log.transaction_hash else { return Ok(Evidence::NotFoundYet) };
        let Some(included) = node.receipt(tx_hash).await? else { return Ok(Evidence::NotFoundYet) };
        if included.block.number > last.number || !node.has(included.block).await? {
            return Ok(Evidence::NotFoundYet);
        }
        let cancelled = log.topic0() == Some(&UsdcDouble::AuthorizationCanceled::SIGNATURE_HASH);
        let block = included.block;
        Ok(if cancelled {
            Evidence::Cancelled { tx_hash, block }
        } else if included.paid_by_logs(asset, auth) {
            Evidence::Paid { tx_hash, block }
        } else {
            Evidence::UsedElsewhere { tx_hash, block }
        })
    }
}

/// The state of the nonce after a block of the node's chain.
async fn authorization_state(
    node: &Node,
    asset: Address,
    auth: &Authorization,
    after: BlockRef,
) -> Result<bool, ChainError> {
    let call = UsdcDouble::authorizationStateCall { authorizer: auth.from, nonce: auth.nonce };
    let request = request(None, asset, call.abi_encode().into(), None);
    let answer = node.call_after(&request, BlockId::hash_canonical(after.hash)).await?;
    UsdcDouble::authorizationStateCall::abi_decode_returns(&answer)
        .map_err(|e| ChainError::transient("authorizationState", e))
}

impl QuorumAnswer for Evidence {
    fn may_lag(&self) -> bool {
        *self == Self::NotFoundYet
    }

    /// One has found the use, and another is still searching.
    fn undecided() -> Option<Self> {
        Some(Self::NotFoundYet)
    }
}

impl Included {
    /// True if there is a log `AuthorizationUsed(from, nonce)` whose next log is `Transfer(from, to, value)`, both of
    /// `asset`.
    fn paid_by_logs(&self, asset: Address, auth: &Authorization) -> bool {
        self.logs.windows(2).any(|pair| match pair {
            [used, transfer] if is_used(used, asset, auth) && is_transfer(transfer, asset, auth) => {
                match (used.log_index, transfer.log_index) {
                    (Some(first), Some(second)) => first.checked_add(1) == Some(second),
                    _ => false,
                }
            }
            _ => false,
        })
    }
}

fn is_used(log: &Log, asset: Address, auth: &Authorization) -> bool {
    log.address() == asset
        && UsdcDouble::AuthorizationUsed::decode_log_data(log.data())
            .is_ok_and(|used| used.authorizer == auth.from && used.nonce == auth.nonce)
}

fn is_transfer(log: &Log, asset: Address, auth: &Authorization) -> bool {
    log.address() == asset
        && UsdcDouble::Transfer::decode_log_data(log.data()).is_ok_and(|transfer| {
            transfer.from == auth.from && transfer.to == auth.to && transfer.value == U256::from(auth.value.0)
        })
}
