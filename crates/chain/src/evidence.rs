//! Evidence of the asset's logs about one authorization: it can never be charged, or it was charged, perhaps around the
//! token. A charge is two adjacent logs, never a state and never a receipt's status alone: anybody may submit an
//! authorization, and its state is also "used" after a cancellation.

use crate::abi::UsdcDouble;
use crate::connect::{Chain, request};
use crate::error::ChainError;
use crate::rpc::{Head, Included, Node, QuorumAnswer};
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
    /// Unused up to that block, and in the latest state.
    Unused,
    /// Used or cancelled, but not deep enough to say which.
    NotDeepYet,
}

impl Chain {
    /// Searches the blocks up to `last` for a use of `auth`. Each of several providers searches by itself, and the
    /// result on which two agree counts.
    ///
    /// # Errors
    /// `Transient`: nothing is known.
    pub async fn evidence(&self, auth: &Authorization, last: Head) -> Result<Evidence, ChainError> {
        let (asset, start) = (self.config.asset.address, self.config.start_block);
        let look = |node: Node| {
            let auth = auth.clone();
            async move { look(&node, asset, start, &auth, last.block).await }
        };
        self.nodes.agreed("eth_getLogs", look).await
    }
}

/// The complete search at one node.
async fn look(
    node: &Node,
    asset: Address,
    start: u64,
    auth: &Authorization,
    last: BlockRef,
) -> Result<Evidence, ChainError> {
    node.can_search(last).await?;
    let filter = Filter::new()
        .address(asset)
        .event_signature(vec![
            UsdcDouble::AuthorizationUsed::SIGNATURE_HASH,
            UsdcDouble::AuthorizationCanceled::SIGNATURE_HASH,
        ])
        .topic1(auth.from)
        .topic2(auth.nonce)
        .from_block(start)
        .to_block(last.number);
    let logs = node.logs(&filter).await?;
    // A nonce is used or cancelled once, so the first log is the only one.
    let Some(log) = logs.first() else {
        let used = authorization_state(node, asset, auth).await?;
        return Ok(if used { Evidence::NotDeepYet } else { Evidence::Unused });
    };
    let Some(tx_hash) = log.transaction_hash else { return Ok(Evidence::NotDeepYet) };
    let Some(included) = node.receipt(tx_hash).await? else { return Ok(Evidence::NotDeepYet) };
    if included.block.number > last.number || !node.has(included.block).await? {
        return Ok(Evidence::NotDeepYet);
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

/// The latest state of the nonce. A nonce never becomes unused again, so `false` now means `false` in every ancestor.
async fn authorization_state(node: &Node, asset: Address, auth: &Authorization) -> Result<bool, ChainError> {
    let call = UsdcDouble::authorizationStateCall { authorizer: auth.from, nonce: auth.nonce };
    let answer = node.call(&request(None, asset, call.abi_encode().into(), None)).await?;
    UsdcDouble::authorizationStateCall::abi_decode_returns(&answer)
        .map_err(|e| ChainError::transient("authorizationState", e))
}

impl QuorumAnswer for Evidence {
    fn may_lag(&self) -> bool {
        *self == Self::NotDeepYet
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
