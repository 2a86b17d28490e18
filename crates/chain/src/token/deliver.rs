//! `MintToken.batchMint`: the recorded units to the recorded payers.

use crate::abi::MintToken;
use crate::connect::Chain;
use crate::error::ChainError;
use crate::rpc::Included;
use crate::sign::Call;
use alloy::primitives::{Address, B256};
use alloy::sol_types::{SolCall, SolEvent};
use domain::event::Purpose;
use domain::{PaymentId, PaymentKey};
use std::collections::HashMap;

/// Maximum number of keys in one transaction.
pub const DELIVER_BATCH_MAX: usize = 100;

/// Gas limit of one mint. Measured by `contracts/gas`: 31k each for new holders in a batch of one hundred.
pub const PER_DELIVERY_GAS: u64 = 40_000;
/// Gas limit of a transaction beside its mints: a lone first mint takes 70k.
pub const LONE_DELIVERY_GAS: u64 = 120_000;

/// The contract's result for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// Code 0: minted by this call.
    Minted,
    /// Code 1: minted before, by anybody.
    MintedBefore,
    /// Code 2: the payer has the money back.
    MoneyBack,
    /// Code 5: the token has no record of the payment.
    NoRecord,
    /// Any other code, which no token of ours gives.
    Unknown(u8),
}

impl Delivered {
    const fn of(code: u8) -> Self {
        match code {
            0 => Self::Minted,
            1 => Self::MintedBefore,
            2 => Self::MoneyBack,
            5 => Self::NoRecord,
            other => Self::Unknown(other),
        }
    }
}

/// The call that mints what `token` recorded for the orders `ordered` and, behind them, for the keys `found`, which no order
/// stands for. At most [`DELIVER_BATCH_MAX`] in all. Any account may send it.
pub fn deliver_call(token: Address, ordered: &[PaymentKey], found: &[PaymentKey]) -> Call {
    let keys: Vec<B256> = ordered.iter().chain(found).map(|key| key.0).collect();
    debug_assert!(keys.len() <= DELIVER_BATCH_MAX, "more than one call is meant for");
    let count = u64::try_from(keys.len()).unwrap_or(u64::MAX);
    let input = MintToken::batchMintCall { keys }.abi_encode();
    Call {
        purpose: Purpose::Mint,
        target: token,
        input: input.into(),
        gas_limit: PER_DELIVERY_GAS.saturating_mul(count).saturating_add(LONE_DELIVERY_GAS),
        items: ordered.iter().map(|key| PaymentId::of(*key)).collect(),
    }
}

impl Chain {
    /// Tries to deliver `keys` on the latest block of one node, as `signer` would send it. Returns the result of each. A
    /// node that lags may say [`Delivered::NoRecord`].
    ///
    /// # Errors
    /// `Transient`, or `Refused` if the token reverts as a whole. Nothing is known.
    pub async fn try_deliver(
        &self,
        signer: Address,
        token: Address,
        keys: &[PaymentKey],
    ) -> Result<Vec<Delivered>, ChainError> {
        let call = deliver_call(token, keys, &[]);
        let answer = self.call(Some(signer), token, call.input, Some(call.gas_limit)).await?;
        let results =
            MintToken::batchMintCall::abi_decode_returns(&answer).map_err(|e| ChainError::transient("batchMint", e))?;
        if results.len() != keys.len() {
            return Err(ChainError::transient("batchMint", "the number of results differs from the number of keys"));
        }
        Ok(results.iter().map(|code| Delivered::of(*code)).collect())
    }
}

impl Included {
    /// The result of each key, from the token's `MintBatch` event in this receipt. Empty if there is no such event,
    /// because the transaction reverted.
    pub fn delivered(&self, token: Address) -> HashMap<PaymentKey, Delivered> {
        let own = self.logs.iter().filter(|log| log.address() == token);
        let batch = own.filter_map(|log| MintToken::MintBatch::decode_log_data(log.data()).ok()).next();
        batch.map_or_else(HashMap::new, |batch| {
            let results = batch.results.iter().map(|code| Delivered::of(*code));
            batch.keys.iter().map(|key| PaymentKey(*key)).zip(results).collect()
        })
    }
}
