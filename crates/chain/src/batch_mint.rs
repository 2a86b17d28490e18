//! `MintToken.batchMint`: call, simulation, and the result byte of each item.

use crate::abi::MintToken;
use crate::connect::Chain;
use crate::error::{ChainError, from_rpc};
use crate::receipt::Included;
use crate::sign::Call;
use alloy::primitives::{Address, B256, Bytes};
use alloy::providers::Provider;
use alloy::rpc::types::Filter;
use alloy::sol_types::{SolCall, SolError, SolEvent};
use domain::event::Purpose;
use domain::{BlockRef, PaymentId, PaymentKey, Quantity};

/// Mints in one transaction.
pub const MINT_BATCH_MAX: usize = 100;

/// Measured cost of a mint to a new holder is below 50k at one hundred; a lone first mint takes about 100k.
const GAS_PER_ITEM: u64 = 58_000;
const GAS_BASE: u64 = 120_000;

/// One entry, whatever the quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MintItem {
    /// The order.
    pub id: PaymentId,
    /// The contract mints a key once.
    pub payment_key: PaymentKey,
    /// The payer.
    pub to: Address,
    /// Units.
    pub quantity: Quantity,
}

/// What the contract says of an item.
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

    /// What would become of `call` on the latest block, item by item, as `signer` would send it.
    ///
    /// # Errors
    /// `Transient`, also while `signer` is not a minter; `Refused` when the contract reverts as a whole, which ours does for
    /// no item: who sends several tries them apart.
    pub async fn simulate_mint(&self, signer: Address, call: &Call) -> Result<Vec<MintResult>, ChainError> {
        let transient = |cause: String| ChainError::Transient { operation: "batchMint", cause };
        let answer = match self.call(Some(signer), call.target, call.input.clone(), Some(call.gas_limit)).await {
            Err(ChainError::Refused { data: Some(data), .. }) if data.starts_with(&MintToken::NotMinter::SELECTOR) => {
                return Err(transient(format!("{signer} is no minter of the factory of {}", call.target)));
            }
            answer => answer?,
        };
        let results = MintToken::batchMintCall::abi_decode_returns(&answer).map_err(|e| transient(e.to_string()))?;
        if results.len() != call.items.len() {
            return Err(transient("another number of results than of items".to_owned()));
        }
        Ok(results.iter().map(|code| MintResult::of(*code)).collect())
    }
}

impl Chain {
    /// The transaction of the token's that minted `key`, if one did: for the rare case that the contract says "already".
    ///
    /// # Errors
    /// `Transient`.
    pub async fn find_mint(&self, token: Address, key: PaymentKey) -> Result<Option<(B256, BlockRef)>, ChainError> {
        let filter = Filter::new()
            .address(token)
            .event_signature(MintToken::MintBatch::SIGNATURE_HASH)
            .from_block(self.config.start_block);
        let logs = self.provider.get_logs(&filter).await.map_err(|e| from_rpc("eth_getLogs", e))?;
        Ok(logs.iter().find_map(|log| {
            let batch = MintToken::MintBatch::decode_log_data(log.data()).ok()?;
            let index = batch.paymentKeys.iter().position(|found| *found == key.0)?;
            let minted = batch.results.get(index).copied().map(MintResult::of) == Some(MintResult::Minted);
            let block = BlockRef { number: log.block_number?, hash: log.block_hash? };
            minted.then_some((log.transaction_hash?, block))
        }))
    }
}

impl Included {
    /// The result of each of `count` items, from the token's `MintBatch` event in this very receipt; none where there is
    /// no such event: the transaction reverted.
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
