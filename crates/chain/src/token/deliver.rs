//! `MintToken.batchMint`: the recorded units to the recorded payers.

use crate::abi::MintToken;
use crate::rpc::Included;
use crate::sign::Call;
use alloy::primitives::Address;
use alloy::sol_types::{SolCall, SolEvent};
use domain::event::Purpose;
use domain::{PaymentId, PaymentKey};

/// Maximum number of keys in one transaction.
pub const DELIVER_BATCH_MAX: usize = 100;

/// Gas limit of one mint. Measured by `contracts/gas`: 31k each for new holders in a batch of one hundred.
const GAS_PER_KEY: u64 = 40_000;
/// The rest: a lone first mint takes 70k.
const GAS_BASE: u64 = 120_000;

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

/// The call that mints what `token` recorded for `keys`, at most [`DELIVER_BATCH_MAX`]. Any account may send it.
pub fn deliver_call(token: Address, keys: &[PaymentKey]) -> Call {
    debug_assert!(keys.len() <= DELIVER_BATCH_MAX, "more than one call is meant for");
    let count = u64::try_from(keys.len()).unwrap_or(u64::MAX);
    let input = MintToken::batchMintCall { keys: keys.iter().map(|key| key.0).collect() }.abi_encode();
    Call {
        purpose: Purpose::Mint,
        target: token,
        input: input.into(),
        gas_limit: GAS_PER_KEY.saturating_mul(count).saturating_add(GAS_BASE),
        items: keys.iter().map(|key| PaymentId::of(*key)).collect(),
    }
}

impl Included {
    /// The result of each of `keys`, from the token's `MintBatch` event in this receipt. `None` if there is no such
    /// event, because the transaction reverted.
    pub fn delivered(&self, token: Address, keys: &[PaymentKey]) -> Option<Vec<Delivered>> {
        let batch = self
            .logs
            .iter()
            .filter(|log| log.address() == token)
            .find_map(|log| MintToken::MintBatch::decode_log_data(log.data()).ok())?;
        let own = batch.keys.len() == keys.len() && batch.keys.iter().zip(keys).all(|(found, own)| *found == own.0);
        (own && batch.results.len() == keys.len())
            .then(|| batch.results.iter().map(|code| Delivered::of(*code)).collect())
    }
}
