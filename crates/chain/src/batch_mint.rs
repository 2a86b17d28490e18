//! `MintToken.batchMint`: call, simulation, and the result byte of each item.

use crate::abi::MintToken;
use crate::connect::{Chain, request};
use crate::error::ChainError;
use crate::rpc::{Included, Node, QuorumAnswer};
use crate::sign::Call;
use alloy::primitives::{Address, B256, Bytes};
use alloy::rpc::types::{Filter, Log, TransactionRequest};
use alloy::sol_types::{SolCall, SolError, SolEvent};
use domain::event::Purpose;
use domain::{BlockRef, PaymentId, PaymentKey, Quantity};

/// Maximum number of mints in one transaction.
pub const MINT_BATCH_MAX: usize = 100;

/// Gas limit of one mint. Measured: below 50k each for new holders in a batch of one hundred, about 100k for a lone
/// first mint.
const GAS_PER_ITEM: u64 = 58_000;
const GAS_BASE: u64 = 120_000;

/// One mint, of any quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MintItem {
    /// The order.
    pub id: PaymentId,
    /// The payment's key, which the contract mints once.
    pub payment_key: PaymentKey,
    /// The payer.
    pub to: Address,
    /// Units.
    pub quantity: Quantity,
}

/// The contract's result for an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MintResult {
    /// Code 0.
    Minted,
    /// Code 1: this key was minted before.
    AlreadyMinted,
    /// Code 2: this key was refunded.
    AlreadyRefunded,
    /// Code 3.
    OverCap,
    /// Code 4.
    BadRecipient,
    /// Code 5: more would be minted than the token has been paid for.
    Unpaid,
    /// Any other code.
    Refused(u8),
}

impl MintResult {
    fn of(code: u8) -> Self {
        match code {
            0 => Self::Minted,
            1 => Self::AlreadyMinted,
            2 => Self::AlreadyRefunded,
            3 => Self::OverCap,
            4 => Self::BadRecipient,
            5 => Self::Unpaid,
            other => Self::Refused(other),
        }
    }
}

impl Chain {
    /// The call that mints `items` of `token`.
    pub fn mint_call(&self, token: Address, items: &[MintItem]) -> Call {
        let count = u64::try_from(items.len()).unwrap_or(u64::MAX);
        Call {
            purpose: Purpose::Mint,
            target: token,
            input: mint_input(items),
            gas_limit: GAS_PER_ITEM.saturating_mul(count).saturating_add(GAS_BASE),
            items: items.iter().map(|item| item.id).collect(),
        }
    }

    /// Simulates `call` on the latest block, as `signer` would send it, and returns the result of each item. A result
    /// in which not every item is minted has consequences, so several providers must agree on it.
    ///
    /// # Errors
    /// `Transient`, also while `signer` is not a minter. `Refused` if the contract reverts as a whole. Ours does so for
    /// no single item, so the caller tries the items separately.
    pub async fn simulate_mint(&self, signer: Address, call: &Call) -> Result<Vec<MintResult>, ChainError> {
        let request = request(Some(signer), call.target, call.input.clone(), Some(call.gas_limit));
        let simulate = |node: Node| {
            let (request, count) = (request.clone(), call.items.len());
            async move { simulate(&node, &request, count).await }
        };
        let mut simulated = self.nodes.one("batchMint", simulate).await?;
        if !simulated.is_good() && !self.nodes.alone() {
            simulated = self.nodes.agreed("batchMint", simulate).await?;
        }
        match simulated {
            Simulation::Each(results) => Ok(results),
            Simulation::Whole(refused) => Err(refused),
        }
    }

    /// Finds the transaction that minted `key` of `token`, if there is one. Used in the rare case that the contract
    /// reports "already minted".
    ///
    /// # Errors
    /// `Transient`.
    pub async fn find_mint(&self, token: Address, key: PaymentKey) -> Result<Option<(B256, BlockRef)>, ChainError> {
        let filter = Filter::new()
            .address(token)
            .event_signature(MintToken::MintBatch::SIGNATURE_HASH)
            .from_block(self.config.start_block);
        let search = |node: Node| {
            let filter = filter.clone();
            async move { Ok(node.logs(&filter).await?.iter().find_map(|log| minted_in(log, key))) }
        };
        self.nodes.agreed("eth_getLogs", search).await
    }
}

/// One node's simulation of a mint.
#[derive(Clone, Debug)]
enum Simulation {
    Each(Vec<MintResult>),
    /// The call was executed and failed.
    Whole(ChainError),
}

impl Simulation {
    fn is_good(&self) -> bool {
        matches!(self, Self::Each(results) if results.iter().all(|result| *result == MintResult::Minted))
    }
}

/// The error text is not compared, because each node words a failed call differently.
impl PartialEq for Simulation {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Each(own), Self::Each(others)) => own == others,
            (Self::Whole(_), Self::Whole(_)) => true,
            (Self::Each(_), Self::Whole(_)) | (Self::Whole(_), Self::Each(_)) => false,
        }
    }
}

/// Two honest simulations may differ if they ran on two different latest blocks.
impl QuorumAnswer for Simulation {
    fn may_lag(&self) -> bool {
        true
    }
}

async fn simulate(node: &Node, request: &TransactionRequest, count: usize) -> Result<Simulation, ChainError> {
    let transient = |cause: String| ChainError::transient("batchMint", cause);
    let answer = match node.call(request).await {
        Err(ChainError::Refused { data: Some(data), .. }) if data.starts_with(&MintToken::NotMinter::SELECTOR) => {
            return Err(transient("the signer is not a minter of the token's factory".to_owned()));
        }
        Err(refused) if refused.is_failed_call() => return Ok(Simulation::Whole(refused)),
        answer => answer?,
    };
    let results = MintToken::batchMintCall::abi_decode_returns(&answer).map_err(|e| transient(e.to_string()))?;
    if results.len() != count {
        return Err(transient("the number of results differs from the number of items".to_owned()));
    }
    Ok(Simulation::Each(results.iter().map(|code| MintResult::of(*code)).collect()))
}

/// The transaction and block of `log`, if it reports that `key` was minted.
fn minted_in(log: &Log, key: PaymentKey) -> Option<(B256, BlockRef)> {
    let batch = MintToken::MintBatch::decode_log_data(log.data()).ok()?;
    let index = batch.paymentKeys.iter().position(|found| *found == key.0)?;
    let minted = batch.results.get(index).copied().map(MintResult::of) == Some(MintResult::Minted);
    let block = BlockRef { number: log.block_number?, hash: log.block_hash? };
    minted.then_some((log.transaction_hash?, block))
}

impl Included {
    /// The result of each of `count` items, from the token's `MintBatch` event in this receipt. `None` if there is no
    /// such event, because the transaction reverted.
    pub fn mint_results(&self, token: Address, count: usize) -> Option<Vec<MintResult>> {
        let batch = self
            .logs
            .iter()
            .filter(|log| log.address() == token)
            .find_map(|log| MintToken::MintBatch::decode_log_data(log.data()).ok())?;
        (batch.results.len() == count).then(|| batch.results.iter().map(|code| MintResult::of(*code)).collect())
    }
}

fn mint_input(items: &[MintItem]) -> Bytes {
    MintToken::batchMintCall {
        to: items.iter().map(|item| item.to).collect(),
        quantities: items.iter().map(|item| item.quantity.get()).collect(),
        paymentKeys: items.iter().map(|item| item.payment_key.0).collect(),
    }
    .abi_encode()
    .into()
}
