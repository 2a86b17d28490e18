//! Traces of records: everything that can have made a record of a payment at a token, in a range of blocks.
//!
//! A payment leaves two adjacent logs of the asset, whether the token took it or not. A payment that went around its token may
//! be recorded later, by a credit. The record itself says whether there is one.

use crate::abi::{MintToken, UsdcDouble};
use crate::connect::Chain;
use crate::error::ChainError;
use crate::rpc::Node;
use alloy::primitives::{Address, B256};
use alloy::rpc::types::{Filter, Log};
use alloy::sol_types::SolEvent;
use domain::{BlockRef, PaymentKey};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// Maximum number of tokens in one search, and of payers in one request for logs.
pub const TRACED_TOKENS_MAX: usize = 100;
const PAYERS_MAX: usize = 200;

/// The trace of a payment at a token, which may have a record of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordTrace {
    /// The token.
    pub token: Address,
    /// The payment.
    pub key: PaymentKey,
    /// The transaction.
    pub tx_hash: B256,
    /// Its block.
    pub block: BlockRef,
}

impl Chain {
    /// The traces at `tokens`, at most [`TRACED_TOKENS_MAX`], in the blocks `range`, in the order of the chain. The last
    /// block of the range is `last` or an ancestor of it. Each of several providers searches by itself, and two must agree.
    ///
    /// # Errors
    /// `Transient`: nothing is known. Also if the range holds more than a node answers in one request.
    pub async fn traces(
        &self,
        tokens: &[Address],
        range: RangeInclusive<u64>,
        last: BlockRef,
    ) -> Result<Vec<RecordTrace>, ChainError> {
        let search = Search { asset: self.config.asset.address, chain_id: self.config.chain_id, range, last };
        let look = |node: Node| {
            let search = search.clone();
            async move { search.at(&node, tokens).await.map(Some) }
        };
        let agreed = self.nodes.agreed("eth_getLogs", look).await?;
        agreed.ok_or_else(|| ChainError::transient("eth_getLogs", "no logs"))
    }
}

/// A search at one node.
#[derive(Clone)]
struct Search {
    asset: Address,
    chain_id: u64,
    range: RangeInclusive<u64>,
    last: BlockRef,
}

impl Search {
    async fn at(&self, node: &Node, tokens: &[Address]) -> Result<Vec<RecordTrace>, ChainError> {
        // A node cannot have searched blocks that it does not have: its empty result would prove nothing.
        if !node.has(self.last).await? {
            let cause = format!("the node does not have block {}", self.last.number);
            return Err(ChainError::transient("eth_getLogs", cause));
        }
        let to_tokens: Vec<B256> = tokens.iter().map(|token| token.into_word()).collect();
        let transfers = self.of(self.asset, UsdcDouble::Transfer::SIGNATURE_HASH).topic2(to_tokens);
        let transfers = node.logs(&transfers).await?;
        let payers: BTreeSet<B256> = transfers.iter().filter_map(|log| log.topics().get(1).copied()).collect();
        let payers: Vec<B256> = payers.into_iter().collect();
        let mut used = Vec::new();
        for some in payers.chunks(PAYERS_MAX) {
            let by = self.of(self.asset, UsdcDouble::AuthorizationUsed::SIGNATURE_HASH).topic1(some.to_vec());
            used.extend(node.logs(&by).await?);
        }
        let credits = self.of(tokens.to_vec(), MintToken::Credited::SIGNATURE_HASH);
        let credits = node.logs(&credits).await?;
        let mut traces = self.paid(&used, &transfers);
        traces.extend(credits.iter().filter_map(credited));
        traces.sort_by_key(|(place, _)| *place);
        Ok(traces.into_iter().map(|(_, trace)| trace).collect())
    }

    fn of(&self, contracts: impl Into<alloy::rpc::types::ValueOrArray<Address>>, event: B256) -> Filter {
        Filter::new()
            .address(contracts)
            .event_signature(event)
            .from_block(*self.range.start())
            .to_block(*self.range.end())
    }

    /// The pairs of a use of an authorization and the transfer that is the next log of the same transaction.
    fn paid(&self, used: &[Log], transfers: &[Log]) -> Vec<((u64, u64), RecordTrace)> {
        let used: BTreeMap<(u64, u64), &Log> = used.iter().filter_map(|log| Some((place(log)?, log))).collect();
        let pair = |transfer: &Log| {
            let (block, index) = place(transfer)?;
            let before = *used.get(&(block, index.checked_sub(1)?))?;
            let used = UsdcDouble::AuthorizationUsed::decode_log_data(before.data()).ok()?;
            let paid = UsdcDouble::Transfer::decode_log_data(transfer.data()).ok()?;
            let is_pair = before.transaction_hash == transfer.transaction_hash && used.authorizer == paid.from;
            let key = PaymentKey::new(self.chain_id, self.asset, used.authorizer, used.nonce);
            is_pair.then(|| trace(transfer, paid.to, key)).flatten()
        };
        transfers.iter().filter_map(pair).collect()
    }
}

fn credited(log: &Log) -> Option<((u64, u64), RecordTrace)> {
    let credited = MintToken::Credited::decode_log_data(log.data()).ok()?;
    trace(log, log.address(), PaymentKey(credited.key))
}

fn trace(log: &Log, token: Address, key: PaymentKey) -> Option<((u64, u64), RecordTrace)> {
    let place = place(log)?;
    let block = BlockRef { number: place.0, hash: log.block_hash? };
    Some((place, RecordTrace { token, key, tx_hash: log.transaction_hash?, block }))
}

/// The place of a log: its block, and its index in the block.
fn place(log: &Log) -> Option<(u64, u64)> {
    Some((log.block_number?, log.log_index?))
}
