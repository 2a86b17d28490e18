//! Traces of records: everything that can have made a record of a payment at a token, in a range of blocks.
//!
//! A record is made by `settle` of the token, which ends with the token's log `Batch`, or by `credit`, which writes
//! `Credited`. The search begins with these two, because only the token writes them, however the call reached it. Transfers
//! of the asset to the token are no trace: anybody sends them, for nothing. The payments of a `settle` stand in the logs
//! `AuthorizationUsed` of the asset before its `Batch`, in the same transaction. The record itself says whether there is one.
//!
//! Anybody may call `settle` in vain, so one block can hold more of a token's logs than a node answers. [`Chain::block_traces`]
//! does without them. Each use of an authorization costs a signature and a new slot of storage, together about 30,000 gas. So
//! a block of 400 million gas holds no more of them than one answer may have (`BODY_MAX` of the module `rpc`).

use crate::abi::{MintToken, UsdcDouble};
use crate::connect::Chain;
use crate::error::ChainError;
use crate::rpc::Node;
use crate::token::pay::Paid;
use alloy::primitives::{Address, B256};
use alloy::rpc::types::{Filter, Log, ValueOrArray};
use alloy::sol_types::SolEvent;
use domain::{BlockRef, PaymentKey};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// Maximum number of tokens in one search.
pub const TRACED_TOKENS_MAX: usize = 100;

/// Blocks in one request for uses of authorizations, at most. The answer holds those of everybody who pays in the asset.
const USES_BLOCKS_MAX: u64 = 16;

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
    /// `Transient` or `Refused`: nothing is known. Also if the range holds more than a node answers in one request.
    pub async fn traces(
        &self,
        tokens: &[Address],
        range: RangeInclusive<u64>,
        last: BlockRef,
    ) -> Result<Vec<RecordTrace>, ChainError> {
        let search = &self.search(range, last);
        self.agreed_traces(|node| async move { search.of_tokens(&node, tokens).await }).await
    }

    /// The traces at `token` in one block, without the logs `Batch`: every use of an authorization in the block counts. Asks
    /// for a record that most of them do not have. The block is `last` or an ancestor of it.
    ///
    /// # Errors
    /// As [`Chain::traces`].
    pub async fn block_traces(
        &self,
        token: Address,
        block: u64,
        last: BlockRef,
    ) -> Result<Vec<RecordTrace>, ChainError> {
        let search = &self.search(block..=block, last);
        self.agreed_traces(|node| async move { search.of_block(&node, token).await }).await
    }

    fn search(&self, range: RangeInclusive<u64>, last: BlockRef) -> Search {
        Search { asset: self.config.asset.address, chain_id: self.config.chain_id, range, last }
    }

    async fn agreed_traces<F: Future<Output = Result<Vec<Placed>, ChainError>>>(
        &self,
        search: impl Fn(Node) -> F,
    ) -> Result<Vec<RecordTrace>, ChainError> {
        let look = |node: Node| {
            let found = search(node);
            async move { found.await.map(|found| Some(in_order(found))) }
        };
        let agreed = self.nodes.agreed(OPERATION, look).await?;
        agreed.ok_or_else(|| ChainError::transient(OPERATION, "no logs"))
    }
}

const OPERATION: &str = "eth_getLogs";

/// A trace, and the place of its log: the block, and the index in the block.
type Placed = ((u64, u64), RecordTrace);

/// A search at one node.
struct Search {
    asset: Address,
    chain_id: u64,
    range: RangeInclusive<u64>,
    last: BlockRef,
}

impl Search {
    async fn of_tokens(&self, node: &Node, tokens: &[Address]) -> Result<Vec<Placed>, ChainError> {
        node.can_search(self.last).await?;
        let events = [MintToken::Batch::SIGNATURE_HASH, MintToken::Credited::SIGNATURE_HASH];
        let own = node.logs(&filter(tokens.to_vec(), &events, &self.range)).await?;
        let settled = Settled::of(&own);
        let mut traces: Vec<Placed> = own.iter().filter_map(credited).collect();
        for blocks in stretches(&settled.blocks) {
            let uses = self.uses(node, &blocks).await?;
            traces.extend(uses.iter().filter_map(|log| self.used(log, settled.token(log)?)));
        }
        Ok(traces)
    }

    async fn of_block(&self, node: &Node, token: Address) -> Result<Vec<Placed>, ChainError> {
        node.can_search(self.last).await?;
        let credits = filter(token, &[MintToken::Credited::SIGNATURE_HASH], &self.range);
        let mut traces: Vec<Placed> = node.logs(&credits).await?.iter().filter_map(credited).collect();
        traces.extend(self.uses(node, &self.range).await?.iter().filter_map(|log| self.used(log, token)));
        Ok(traces)
    }

    /// Every use of an authorization of the asset in these blocks.
    async fn uses(&self, node: &Node, blocks: &RangeInclusive<u64>) -> Result<Vec<Log>, ChainError> {
        node.logs(&filter(self.asset, &[UsdcDouble::AuthorizationUsed::SIGNATURE_HASH], blocks)).await
    }

    fn used(&self, log: &Log, token: Address) -> Option<Placed> {
        let used = UsdcDouble::AuthorizationUsed::decode_log_data(log.data()).ok()?;
        trace(log, token, PaymentKey::new(self.chain_id, self.asset, used.authorizer, used.nonce))
    }
}

fn filter(contracts: impl Into<ValueOrArray<Address>>, events: &[B256], blocks: &RangeInclusive<u64>) -> Filter {
    let of = Filter::new().address(contracts).event_signature(events.to_vec());
    of.from_block(*blocks.start()).to_block(*blocks.end())
}

/// The logs `Batch` of some tokens.
#[derive(Default)]
struct Settled {
    /// For each transaction its `Batch` logs by their index: the token, if it recorded a payment.
    batches: BTreeMap<B256, BTreeMap<u64, Option<Address>>>,
    /// Blocks in which a payment was recorded.
    blocks: BTreeSet<u64>,
}

impl Settled {
    fn of(logs: &[Log]) -> Self {
        let mut settled = Self::default();
        for log in logs {
            let Ok(batch) = MintToken::Batch::decode_log_data(log.data()) else { continue };
            let (Some(tx), Some((block, index))) = (log.transaction_hash, place(log)) else { continue };
            let recorded = batch.results.iter().any(|code| Paid::of(*code) == Paid::Recorded).then(|| log.address());
            settled.blocks.extend(recorded.map(|_| block));
            settled.batches.entry(tx).or_default().insert(index, recorded);
        }
        settled
    }

    /// The token that may have taken the payment of this use of an authorization: the one whose `Batch` is the next in the
    /// transaction. A `settle` writes its `Batch` last, and another one cannot begin within it.
    fn token(&self, used: &Log) -> Option<Address> {
        let (batches, (_, index)) = (self.batches.get(&used.transaction_hash?)?, place(used)?);
        batches.range(index..).next().and_then(|(_, token)| *token)
    }
}

fn credited(log: &Log) -> Option<Placed> {
    let credited = MintToken::Credited::decode_log_data(log.data()).ok()?;
    trace(log, log.address(), PaymentKey(credited.key))
}

fn trace(log: &Log, token: Address, key: PaymentKey) -> Option<Placed> {
    let place = place(log)?;
    let block = BlockRef { number: place.0, hash: log.block_hash? };
    Some((place, RecordTrace { token, key, tx_hash: log.transaction_hash?, block }))
}

/// The place of a log: its block, and its index in the block.
fn place(log: &Log) -> Option<(u64, u64)> {
    Some((log.block_number?, log.log_index?))
}

fn in_order(mut traces: Vec<Placed>) -> Vec<RecordTrace> {
    traces.sort_by_key(|(place, trace)| (*place, trace.token));
    traces.into_iter().map(|(_, trace)| trace).collect()
}

/// Ranges of at most [`USES_BLOCKS_MAX`] blocks that hold all of `blocks`. Each begins and ends with one of them.
fn stretches(blocks: &BTreeSet<u64>) -> Vec<RangeInclusive<u64>> {
    let mut stretches: Vec<RangeInclusive<u64>> = Vec::new();
    for block in blocks.iter().copied() {
        match stretches.last_mut() {
            Some(last) if block - last.start() < USES_BLOCKS_MAX => *last = *last.start()..=block,
            _ => stretches.push(block..=block),
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    #[test]
    fn blocks_with_settlements_are_asked_for_in_few_short_ranges() {
        let stretches = |blocks: &[u64]| super::stretches(&blocks.iter().copied().collect());
        assert!(stretches(&[]).is_empty());
        assert_eq!(stretches(&[7]), [7..=7]);
        assert_eq!(stretches(&[7, 8, 22, 23, 500]), [7..=22, 23..=23, 500..=500]);
        let all: Vec<u64> = (0..1_000).collect();
        assert_eq!(stretches(&all).len(), 63);
        assert_eq!(stretches(&[u64::MAX - 1, u64::MAX]), [u64::MAX - 1..=u64::MAX]);
    }
}
